"""The failures that a recording holds, as claims need them: whose they were, and what became of the commands.

Decides which lost connection is a failover of MC/S (its session had other connections) and which one of
MPIO (the initiator had another session to the target). Reads the incidents and events of a timeline.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from analyzer.comparison.event_details import told_events
from analyzer.tables.folder import Timeline

REACHING_OTHERS = ("CLEAR TASK SET", "LOGICAL UNIT RESET", "TARGET WARM RESET", "TARGET COLD RESET")
"""Functions that may end commands of other initiators too (SAM-5 section 7)."""
ABORTING = ("ABORT TASK", "ABORT TASK SET", *REACHING_OTHERS)


@dataclass(frozen=True, slots=True)
class Failover:
    """One connection lost with commands in flight. Times are ns, None where not seen.

    ``extra_ns`` runs from when commands could go on (the failure known, the timer over) to the
    completion of the last of them: what aborting and sending again took.
    """

    is_mcs: bool
    is_session_kept: bool
    held: int
    reassigned: int
    retried: int
    reissued: int
    answered: int
    aborted: int
    lost: int
    neighbours: int
    stall_ns: int | None
    detection_ns: int | None
    timer_ns: int | None
    extra_ns: int | None
    functions: tuple[str, ...]
    """Task management functions of its initiator meanwhile, with those shortly before the loss."""


def failovers(timeline: Timeline) -> list[Failover]:
    """The connections lost with commands in flight, in order of time, that something could take over from."""
    sessions = timeline.arrow["sessions"].to_pylist()
    carrying = _carrying(timeline)
    fates = _fates(timeline)
    found = []
    for row in timeline.arrow["incidents"].to_pylist():
        if row["kind"] != "connection-loss" or not row["outstanding"]:
            continue
        is_mcs = len(carrying[row["session_index"]]) > 1
        if is_mcs or _has_other_session(sessions, row["session_index"]):
            found.append(_failover(timeline, row, is_mcs, fates.get(row["incident_index"], Counter())))
    return found


def _carrying(timeline: Timeline) -> list[set[int]]:
    """The connections of each session that carried commands."""
    found: list[set[int]] = [set() for _ in range(timeline.arrow["sessions"].num_rows)]
    pairs = zip(
        timeline.values("tasks", "session_index").tolist(),
        timeline.values("tasks", "connection_index").tolist(),
        strict=True,
    )
    for session, connection in set(pairs):
        found[session].add(connection)
    return found


def _has_other_session(sessions: list[dict[str, Any]], index: int) -> bool:
    """Whether the initiator had another session to this target while this one lasted."""
    mine = sessions[index]
    names = ("initiator_name", "target_name")
    return any(
        other["session_index"] != index
        and all(other[name] == mine[name] for name in names)
        and other["first_ns"] <= mine["last_ns"]
        and other["last_ns"] >= mine["first_ns"]
        for other in sessions
    )


def _fates(timeline: Timeline) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {}
    table = timeline.arrow["task_fates"]
    for incident, fate in zip(
        table.column("incident_index").to_pylist(), table.column("fate").to_pylist(), strict=True
    ):
        found.setdefault(incident, Counter())[fate] += 1
    return found


_SHORTLY_NS = 1_000_000_000


def _failover(timeline: Timeline, row: dict[str, Any], is_mcs: bool, fates: Counter[str]) -> Failover:
    free_ns = row["hold_to_ns"] or row["detected_ns"]
    last_ns = row["last_completion_ns"]
    held_from, held_to = row["hold_from_ns"], row["hold_to_ns"]
    sessions = set(json.loads(row["sessions"]))
    functions = tuple(
        one.text("function") or ""
        for one in told_events(timeline, "task-management")
        if one.session in sessions and row["failed_ns"] - _SHORTLY_NS <= one.at_ns <= row["ended_ns"]
    )
    return Failover(
        is_mcs=is_mcs,
        is_session_kept=sessions == {row["session_index"]},
        held=row["outstanding"],
        reassigned=fates["reassigned"],
        retried=fates["retried"],
        reissued=fates["reissued"],
        answered=fates["answered"],
        aborted=fates["aborted"],
        lost=fates["lost"],
        neighbours=len(json.loads(row["neighbours"])),
        stall_ns=row["stall_ns"],
        detection_ns=None if row["detected_ns"] is None else row["detected_ns"] - row["failed_ns"],
        timer_ns=None if held_from is None or held_to is None else held_to - held_from,
        extra_ns=None if free_ns is None or last_ns is None else max(0, last_ns - free_ns),
        functions=functions,
    )

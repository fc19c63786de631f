"""The incidents table of an outcome: what came of each fault, in the words of recorded incidents.

Decides how the story of a fault reads as a row; the story itself is written down by ``failover.py``. Columns
that a recording's incidents have too mean the same, so both can stand in one table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.replay.disturbance import Disturbance
from analyzer.replay.quantities import time_said
from analyzer.replay.state import GOOD, NEVER, World
from analyzer.replay.workload import Workload
from analyzer.tables.outcome_tables import OUTCOME_INCIDENTS

Int64s = npt.NDArray[np.int64]

_DONE = {
    "reset": "the connection was reset",
    "nop-timeout": "a NOP-Out went unanswered",
    "carrier": "the carrier went",
    "tcp-timeout": "TCP gave up",
    "command-timer": "a command timed out",
    "bond": "the bond saw the carrier go",
}


def incident_table(found: Sequence[Disturbance], workload: Workload, world: World) -> pa.Table:
    """One row for each fault, in order of time."""
    rows = [_row(number, one, workload, world) for number, one in enumerate(found)]
    names = [column.name for column in OUTCOME_INCIDENTS.columns]
    return OUTCOME_INCIDENTS.build({name: [row[name] for row in rows] for name in names})


def _row(number: int, one: Disturbance, workload: Workload, world: World) -> dict[str, Any]:
    begin_ns = workload.begin_ns
    progress = world.progress
    held = np.array(sorted(one.affected), np.int64)
    ended = held[(progress.end[held] == GOOD) & (progress.completed_ns[held] >= one.failed_ns)]
    completions = progress.completed_ns[ended]
    stall = progress.completed_ns[held] - progress.ready_ns[held]
    last_ns = int(progress.completed_ns[held].max(initial=one.failed_ns))

    def when(time_ns: int | None) -> int | None:
        return None if time_ns is None else begin_ns + int(time_ns)

    row: dict[str, Any] = {
        "incident_index": number,
        "kind": "connection-loss" if one.detected_ns is not None else "stall",
        "cause": str(one.fault.kind),
        "fault": one.fault.words,
        "recovery": one.recovery.preset,
        "failed_ns": when(one.failed_ns),
        "detected_ns": when(one.detected_ns),
        "detected_by": one.detected_by,
        "hold_from_ns": when(one.hold_from_ns),
        "hold_to_ns": when(one.hold_to_ns),
        "hold_timer": one.hold_timer,
        "hold_setting_s": None if one.hold_setting_ns is None else one.hold_setting_ns / 1e9,
        "cleanup_ns": when(one.cleanup_ns),
        "first_retry_ns": when(one.first_retry_ns),
        "first_completion_ns": when(int(completions.min())) if len(completions) else None,
        "last_completion_ns": when(int(completions.max())) if len(completions) else None,
        "ended_ns": when(max([last_ns, one.failed_ns, *(at_ns for at_ns, _, _ in one.steps)])),
        "stall_ns": int(stall.max()) if len(held) else None,
        "gap_ns": _longest_gap(one, last_ns, workload, world),
        "outstanding": len(held),
        "reassigned": len(one.reassigned),
        "retried_same_path": len(one.retried_same_path - one.reassigned),
        "retried_other_path": len(one.retried_other_path - one.reassigned),
        "aborted": len(one.aborted),
        "failed": len(one.failed),
        "reservation": one.reservation,
        "neighbours": json.dumps(_neighbours(one, world)),
        "steps": json.dumps(
            [
                {"at_ns": begin_ns + at_ns, "what": what, "detail": detail}
                for at_ns, what, detail in sorted(one.steps, key=lambda step: step[0])
            ]
        ),
    }
    row["summary"] = _summary(one, row)
    return row


def _longest_gap(one: Disturbance, last_ns: int, workload: Workload, world: World) -> int:
    """The longest time up to the last held command in which nothing of this initiator completed."""
    completed = world.progress.completed_ns
    mine = np.sort(completed[(workload.host == 0) & (completed != NEVER)])
    inside = mine[(mine >= one.failed_ns) & (mine <= last_ns)]
    before = mine[mine < one.failed_ns]
    begin = int(before[-1]) if len(before) else one.failed_ns
    return int(np.diff(np.concatenate([[begin], inside])).max(initial=0))


def _neighbours(one: Disturbance, world: World) -> list[dict[str, Any]]:
    """The other sessions that were touched, with what their initiators suffered."""
    found = []
    for nexus, touched in sorted(one.neighbours.items()):
        paths = np.flatnonzero(world.paths.nexus == nexus)
        mine = np.isin(world.progress.path, paths) & (world.progress.completed_ns >= one.failed_ns)
        latency = (world.progress.completed_ns - world.progress.ready_ns)[mine]
        again = [row for row in one.retried_same_path if np.isin(world.progress.path[row], paths)]
        found.append(
            {**touched, "retried": len(again), "longest_ns": int(latency.max()) if len(latency) else None}
        )
    return found


def _summary(one: Disturbance, row: dict[str, Any]) -> str:
    said = [f"{one.fault.words}: "]
    if one.detected_ns is None or one.detected_by is None:
        said.append("no connection was lost")
    else:
        after = time_said(one.detected_ns - one.failed_ns)
        said.append(f"noticed after {after} ({_DONE[one.detected_by]})")
    if one.hold_from_ns is not None and one.hold_to_ns is not None and one.hold_to_ns > one.hold_from_ns:
        said.append(f", held for {time_said(one.hold_to_ns - one.hold_from_ns)} ({one.hold_timer})")
    counts = [
        f"{row[name]} {words}"
        for name, words in (
            ("reassigned", "reassigned"),
            ("retried_same_path", "sent again on their path"),
            ("retried_other_path", "sent again on another path"),
            ("failed", "failed"),
        )
        if row[name]
    ]
    if counts:
        said.append(f"; of {row['outstanding']} commands " + ", ".join(counts))
    if row["stall_ns"] is not None:
        said.append(f"; the slowest took {time_said(row['stall_ns'])}")
    if one.neighbours:
        ended = sum(int(each["aborted"]) for each in one.neighbours.values())
        said.append(f"; {ended} commands of {len(one.neighbours)} other sessions were ended")
    return "".join(said) + "."

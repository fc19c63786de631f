"""Finds the incidents of a capture and gathers what belongs to each: commands, recovery, neighbours, steps.

Decides the extent of an incident and which events are its steps. How the initiator noticed and what held
its commands is decided in ``incidents``; what became of each command in ``fates``.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.iscsi.opcodes import TASK_MANAGEMENT_FUNCTIONS, name_of
from analyzer.timeline import task_tracker as field
from analyzer.timeline.events import Event, EventLog
from analyzer.timeline.fates import FateFinder
from analyzer.timeline.given_up import GivenUp, NoopIntervals
from analyzer.timeline.incidents import (
    Incident,
    Loss,
    Step,
    begin_incident,
    group_losses,
    infer_detection,
    name_hold,
    summarize,
)
from analyzer.timeline.membership import Identities
from analyzer.timeline.sessions import CAPTURE_ENDED, LOGOUT, Connection
from analyzer.timeline.stalls import Stall
from analyzer.timeline.task_ends import TaskEnds
from analyzer.timeline.task_management import TASK_REASSIGN, TaskManagement
from analyzer.timeline.task_table import TaskColumns

Int64s = npt.NDArray[np.int64]

LONGEST_RECOVERY_NS = 180_000_000_000
_COMMAND_TIMER_NS = 1_000_000_000
"""A command that was older than this when task management ended it had timed out."""
_CHAIN_NS = 1_000_000_000
"""Task management functions closer than this are one recovery."""
_MOST_STEPS = 60

_RECOVERING = ("login", "login-failed", "logout", "task-management")
_TOLD = (
    *_RECOVERING,
    "session-reinstated",
    "connection-reinstated",
    "connection-lost",
    "async-message",
    "reject",
    "nop-timeout",
    "unit-attention",
    "reservation-conflict",
    "window-closed",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the finder looks at."""

    identities: Identities
    tasks: TaskColumns
    ends: TaskEnds
    functions: list[TaskManagement]
    fates: FateFinder
    nexus_of_session: Int64s
    """Equal for sessions of one initiator with one target."""
    intervals: NoopIntervals
    given_up: dict[int, GivenUp]
    time2wait_s: list[int | None]
    """Negotiated DefaultTime2Wait of each session."""
    events: EventLog


def find_incidents(around: Surroundings, stalls: Sequence[Stall]) -> list[Incident]:
    """All incidents in order of their beginning; ``stalls`` that lie inside another one are part of it."""
    chronicle = _Chronicle(around)
    incidents = [_from_losses(around, chronicle, group) for group in group_losses(_losses(around))]
    incidents += _from_functions(around, chronicle, incidents)
    spans: dict[int, list[Incident]] = {}
    for incident in incidents:
        spans.setdefault(incident.nexus, []).append(incident)
    for stall in stalls:
        nexus = int(around.nexus_of_session[stall.session])
        if not any(
            one.failed_ns <= stall.until_ns and stall.from_ns <= one.ended_ns for one in spans.get(nexus, ())
        ):
            incidents.append(_from_stall(around, chronicle, stall))
    incidents.sort(key=lambda one: (one.failed_ns, one.session))
    return incidents


def _losses(around: Surroundings) -> list[Loss]:
    nop_sent = {one.connection.connection_index: one.sent_ns for one in around.identities.nop_timeouts}
    taken_over = {
        takeover.old.connection_index: takeover.login.started_ns
        for takeover in around.identities.membership.connection_reinstatements
    }
    for renewal in around.identities.membership.session_reinstatements:
        for connection in renewal.old.connections:
            taken_over.setdefault(connection.connection_index, renewal.login.started_ns)
    losses = []
    for connection in around.identities.connections:
        number = connection.connection_index
        session = int(around.identities.session_of_connection[number])
        if session < 0 or connection.closed_ns is None or connection.end in (LOGOUT, CAPTURE_ENDED):
            continue
        if _is_discovery(connection):
            continue
        losses.append(
            Loss(
                number,
                session,
                int(around.nexus_of_session[session]),
                connection.end,
                connection.ended_by,
                connection.closed_ns,
                connection.last_from_target_ns,
                connection.last_from_initiator_ns,
                nop_sent.get(number),
                number not in around.given_up,
                taken_over.get(number),
            )
        )
    return losses


def _is_discovery(connection: Connection) -> bool:
    return connection.login is not None and connection.login.is_discovery


def _from_losses(around: Surroundings, chronicle: _Chronicle, group: list[Loss]) -> Incident:
    incident = begin_incident(group)
    held = [around.fates.held_by(loss.connection, loss.failed_ns, loss.closed_ns) for loss in group]
    members = np.unique(np.concatenate(held))
    incident.fates = around.fates.fates(members.tolist(), incident.failed_ns)
    infer_detection(
        incident, around.intervals.of(incident.nexus) if group[0].nop_sent_ns is not None else None
    )
    since_ns = incident.failed_ns
    login = next(
        (
            e
            for e in chronicle.of(incident.nexus, since_ns, since_ns + LONGEST_RECOVERY_NS)
            if e.kind == "login"
        ),
        None,
    )
    is_back = login is not None and _is_same_path(around, login.connection_index, group)
    if login is not None and is_back:
        incident.ended_ns = max(incident.ended_ns, login.at_ns)
    logged_in_ns = login.at_ns if login is not None and is_back else None
    name_hold(incident, around.time2wait_s[incident.session], logged_in_ns)
    for loss in group:
        before = around.given_up.get(loss.connection)
        if before is not None and before.closed_ns is not None:
            what = f"connection {loss.connection}: {before.end} on the wire, long after it was given up"
            incident.steps.append(Step(before.closed_ns, before.end, what))
    return _finish(around, chronicle, incident)


def _is_same_path(around: Surroundings, connection: int | None, group: list[Loss]) -> bool:
    return connection is not None and any(
        around.fates.is_same_path(connection, loss.connection) for loss in group
    )


def _from_functions(around: Surroundings, chronicle: _Chronicle, losses: list[Incident]) -> list[Incident]:
    """Task management that ended commands without a connection being lost."""
    ended_by: dict[int, list[int]] = {}
    for task in np.flatnonzero(around.ends.aborted_by >= 0).tolist():
        ended_by.setdefault(int(around.ends.aborted_by[task]), []).append(task)
    chains: dict[int, list[list[int]]] = {}
    for number, function in enumerate(around.functions):
        session = int(around.identities.session_of_connection[function.connection_index])
        if session < 0 or function.function == TASK_REASSIGN or number not in ended_by:
            continue
        nexus = int(around.nexus_of_session[session])
        if any(one.nexus == nexus and one.failed_ns <= function.at_ns <= one.ended_ns for one in losses):
            continue
        groups = chains.setdefault(nexus, [])
        if groups and function.at_ns - around.functions[groups[-1][-1]].at_ns <= _CHAIN_NS:
            groups[-1].append(number)
        else:
            groups.append([number])
    return [
        _from_chain(around, chronicle, nexus, chain, sorted(t for number in chain for t in ended_by[number]))
        for nexus, groups in chains.items()
        for chain in groups
    ]


def _from_chain(
    around: Surroundings, chronicle: _Chronicle, nexus: int, chain: list[int], members: list[int]
) -> Incident:
    functions = [around.functions[number] for number in chain]
    first = functions[0]
    session = int(around.identities.session_of_connection[first.connection_index])
    oldest_ns = int(around.tasks.command_ns[members].min())
    has_timed_out = first.at_ns - oldest_ns >= _COMMAND_TIMER_NS
    failed_ns = oldest_ns if has_timed_out else first.at_ns
    answered_ns = max(function.response_ns or function.at_ns for function in functions)
    incident = Incident("task-management", "task-management", session, None, nexus, failed_ns, answered_ns)
    incident.sessions = {session}
    incident.detected_ns, incident.detected_by = first.at_ns, "task-management"
    incident.is_detection_seen = True
    incident.hold_from_ns, incident.hold_to_ns = first.at_ns, answered_ns
    incident.hold_timer = "task-management"
    incident.fates = around.fates.fates(members, failed_ns)
    return _finish(around, chronicle, incident)


def _from_stall(around: Surroundings, chronicle: _Chronicle, stall: Stall) -> Incident:
    nexus = int(around.nexus_of_session[stall.session])
    incident = Incident(
        "stall", stall.cause, stall.session, stall.connection, nexus, stall.from_ns, stall.until_ns
    )
    incident.sessions, incident.held_until_ns = {stall.session}, stall.until_ns
    incident.fates = around.fates.fates(stall.tasks, stall.from_ns)
    return _finish(around, chronicle, incident)


def _finish(around: Surroundings, chronicle: _Chronicle, incident: Incident) -> Incident:
    """What every kind has: its extent, gap, neighbours, steps and summary."""
    completions = incident.completions_ns
    times = [one.again_ns for one in incident.fates if one.again_ns is not None] + completions
    limit_ns = incident.failed_ns + LONGEST_RECOVERY_NS
    incident.ended_ns = max([incident.ended_ns, *(at for at in times if at <= limit_ns)])
    for fate in incident.fates:
        if fate.again_connection is not None:
            session = int(around.identities.session_of_connection[fate.again_connection])
            incident.sessions.add(session)
    incident.gap_ns = chronicle.gap_ns(incident.nexus, incident.failed_ns, incident.ended_ns)
    own = chronicle.of(incident.nexus, incident.failed_ns, incident.ended_ns)
    after_ns = incident.detected_ns if incident.detected_ns is not None else incident.failed_ns
    recovering = [e.at_ns for e in own if e.kind in _RECOVERING and e.at_ns >= after_ns]
    incident.cleanup_ns = min(recovering, default=None)
    _find_neighbours(around, chronicle, incident)
    incident.steps = _steps(incident, own)
    incident.summary = summarize(incident)
    return incident


def _find_neighbours(around: Surroundings, chronicle: _Chronicle, incident: Incident) -> None:
    """Sessions of other initiators whose commands were ended by this incident, or that were told of it."""
    for number, function in enumerate(around.functions):
        session = int(around.identities.session_of_connection[function.connection_index])
        is_own = session >= 0 and around.nexus_of_session[session] == incident.nexus
        if not is_own or not incident.failed_ns <= function.at_ns <= incident.ended_ns:
            continue
        ended = np.flatnonzero(around.ends.aborted_by == number)
        sessions, counts = np.unique(around.tasks.matrix[ended, field.SESSION], return_counts=True)
        name = name_of(TASK_MANAGEMENT_FUNCTIONS, function.function)
        for other, count in zip(sessions.tolist(), counts.tolist(), strict=True):
            if around.nexus_of_session[other] != incident.nexus:
                incident.neighbours.append(
                    {"session_index": other, "how": f"{count} commands ended by {name}"}
                )
    for event in chronicle.attentions:
        cause = event.detail["cause_session_index"]
        is_caused = cause is not None and around.nexus_of_session[cause] == incident.nexus
        other = event.session_index
        if other is None or not is_caused or around.nexus_of_session[other] == incident.nexus:
            continue
        if incident.failed_ns <= event.detail["cause_at_ns"] <= incident.ended_ns:
            how = f"unit attention: {event.detail['meaning']}"
            incident.neighbours.append({"session_index": other, "how": how})


def _steps(incident: Incident, events: list[Event]) -> list[Step]:
    """The story: what was heard last, what was noticed, done, repeated and completed."""
    steps = list(incident.steps)

    def add(at_ns: int | None, what: str, detail: str) -> None:
        if at_ns is not None:
            steps.append(Step(at_ns, what, detail))

    add(incident.last_from_target_ns, "last-from-target", "last PDU of the target")
    add(incident.last_from_initiator_ns, "last-from-initiator", "last PDU of the initiator")
    add(incident.failed_ns, "failed", f"{incident.cause}; {len(incident.fates)} commands in flight")
    if incident.detected_ns != incident.failed_ns:
        how = "seen" if incident.is_detection_seen else "inferred"
        add(incident.detected_ns, "detected", f"{incident.detected_by} ({how})")
    if incident.hold_from_ns is not None:
        setting = f", set to {incident.hold_setting_s:g} s" if incident.hold_setting_s else ""
        add(incident.hold_from_ns, "hold-begins", f"{incident.hold_timer}{setting}")
        add(incident.hold_to_ns, "hold-ends", f"{incident.hold_timer}{setting}")
    again = [one for one in incident.fates if one.again_ns is not None]
    add(incident.first_retry_ns, "first-retry", f"first of {len(again)} commands to go on")
    completions = incident.completions_ns
    if completions:
        add(completions[0], "first-completion", "first held command completed")
        add(completions[-1], "last-completion", f"last of {len(completions)} held commands completed")
    steps += _told(events)
    steps.sort(key=lambda step: step.at_ns)
    return steps[:_MOST_STEPS]


def _told(events: list[Event]) -> list[Step]:
    """Events as steps; a run of one kind is one step."""
    steps: list[Step] = []
    latest: tuple[str, str] | None = None
    count = 0
    for event in events:
        if event.kind not in _TOLD:
            continue
        words = _words(event)
        if latest == (event.kind, words):
            count += 1
            steps[-1].detail = f"{words} (and {count} more)"
            continue
        latest, count = (event.kind, words), 0
        steps.append(Step(event.at_ns, event.kind, words))
    return steps


def _words(event: Event) -> str:
    detail = event.detail
    where = f"connection {event.connection_index}"
    match event.kind:
        case "task-management":
            return f"{detail['function']} on {where}: {detail['response'] or 'no answer'}"
        case "login":
            return (
                f"{where}, CID {detail['cid']}, {'new session' if detail['is_leading'] else 'same session'}"
            )
        case "login-failed":
            return f"{where}: {detail['status'] or 'no answer'}"
        case "logout":
            return f"{detail['reason']} on {where}: {detail['response'] or 'no answer'}"
        case "connection-lost":
            return f"{where}: {detail['cause']}, {detail['open_tasks']} commands open"
        case "unit-attention":
            return f"session {event.session_index}: {detail['meaning']}"
        case "async-message":
            return f"{where}: {detail['event']}"
        case "reject":
            return f"{where}: {detail['reason']}"
        case "session-reinstated":
            return f"session {event.session_index} in place of session {detail['old_session_index']}"
        case "connection-reinstated":
            return f"{where} in place of connection {detail['old_connection_index']}"
        case "nop-timeout":
            return f"{where}: NOP-Out unanswered for {detail['waited_ns'] / 1e9:.2f} s"
        case "window-closed":
            return f"for {(detail['closed_for_ns'] or 0) / 1e6:.3g} ms"
    return where


class _Chronicle:
    """Events and completions by nexus, in order of time."""

    def __init__(self, around: Surroundings) -> None:
        nexus = around.nexus_of_session
        self._events: dict[int, list[Event]] = {}
        for event in sorted(around.events.events, key=lambda one: one.at_ns):
            if event.session_index is not None:
                self._events.setdefault(int(nexus[event.session_index]), []).append(event)
        self.attentions = [event for event in around.events.events if event.kind == "unit-attention"]
        self._times = {number: [one.at_ns for one in own] for number, own in self._events.items()}
        tasks = around.tasks
        answered = np.flatnonzero(tasks.is_answered)
        answered = answered[np.argsort(tasks.response_ns[answered], kind="stable")]
        self._completed_ns = tasks.response_ns[answered]
        self._completed_nexus = nexus[tasks.matrix[answered, field.SESSION]]

    def of(self, nexus: int, from_ns: int, until_ns: int) -> list[Event]:
        """Events of all sessions of a nexus within a time, its borders included."""
        times = self._times.get(nexus, [])
        begin, end = bisect.bisect_left(times, from_ns), bisect.bisect_right(times, until_ns)
        return self._events.get(nexus, [])[begin:end]

    def gap_ns(self, nexus: int, from_ns: int, until_ns: int) -> int:
        """Longest time without a completion of the nexus within a time."""
        begin, end = np.searchsorted(self._completed_ns, [from_ns, until_ns], side="right")
        inside = self._completed_ns[begin:end][self._completed_nexus[begin:end] == nexus]
        return int(np.diff(np.concatenate([[from_ns], inside, [until_ns]])).max(initial=0))


def steps_json(incident: Incident) -> str:
    """The column ``steps``."""
    return json.dumps(
        [{"at_ns": step.at_ns, "what": step.what, "detail": step.detail} for step in incident.steps],
        ensure_ascii=False,
    )

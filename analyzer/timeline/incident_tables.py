"""The incidents and task_fates tables, and the words that the events table has for stalls.

Decides how incidents read as rows; finds nothing itself.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from analyzer.tables.timeline_tables import INCIDENTS, TASK_FATES
from analyzer.timeline.events import EventLog
from analyzer.timeline.fates import ABORTED_FATE, ANSWERED, LOST, REASSIGNED
from analyzer.timeline.incident_finder import steps_json
from analyzer.timeline.incidents import Incident
from analyzer.timeline.membership import Identities
from analyzer.timeline.stalls import SHORTEST_NS, Stall


def incident_table(incidents: list[Incident], identities: Identities) -> pa.Table:
    """The incidents table, in the given order."""
    logins = [identities.sessions[one.session].any_login for one in incidents]
    plain = (
        "kind", "cause", "failed_ns", "last_from_target_ns", "last_from_initiator_ns", "detected_ns",
        "detected_by", "is_detection_seen", "hold_from_ns", "hold_to_ns", "hold_timer", "hold_setting_s",
        "noop_interval_s", "noop_timeout_s", "cleanup_ns", "first_retry_ns", "ended_ns", "stall_ns", "gap_ns",
        "summary",
    )  # fmt: skip
    return INCIDENTS.build(
        {
            "incident_index": np.arange(len(incidents), dtype=np.int32),
            **{name: [getattr(one, name) for one in incidents] for name in plain},
            "initiator_name": [login.offered.get("InitiatorName") if login else None for login in logins],
            "target_name": [login.offered.get("TargetName") if login else None for login in logins],
            "session_index": [one.session for one in incidents],
            "connection_index": [one.connection for one in incidents],
            "sessions": [json.dumps(sorted(one.sessions)) for one in incidents],
            "connections": [json.dumps(sorted(one.connections)) for one in incidents],
            "first_completion_ns": [min(one.completions_ns, default=None) for one in incidents],
            "last_completion_ns": [max(one.completions_ns, default=None) for one in incidents],
            "outstanding": [len(one.fates) for one in incidents],
            "reassigned": [one.count(REASSIGNED) for one in incidents],
            "retried_same_path": [_repeated(one, is_same_path=True) for one in incidents],
            "retried_other_path": [_repeated(one, is_same_path=False) for one in incidents],
            "aborted": [one.count(ABORTED_FATE) for one in incidents],
            "answered": [one.count(ANSWERED) for one in incidents],
            "lost": [one.count(LOST) for one in incidents],
            "neighbours": [json.dumps(one.neighbours) for one in incidents],
            "steps": [steps_json(one) for one in incidents],
        }
    )


def emit_stalls(incidents: list[Incident], stalls: list[Stall], events: EventLog) -> None:
    """A stall event for every incident that held commands for long enough to be noticed."""
    blockers = {(stall.session, stall.from_ns): stall.blocking_task for stall in stalls}
    for one in incidents:
        if one.kind == "stall":
            from_ns, until_ns = one.failed_ns, one.held_until_ns
        elif one.hold_from_ns is not None and one.hold_to_ns is not None:
            from_ns, until_ns = one.failed_ns, one.hold_to_ns
        else:
            continue
        if until_ns - from_ns < SHORTEST_NS:
            continue
        detail = {
            "until_ns": until_ns,
            "duration_ns": until_ns - from_ns,
            "open_tasks": len(one.fates),
            "cause": one.cause,
            "timer": one.hold_timer,
            "setting_s": one.hold_setting_s,
            "blocking_task_index": blockers.get((one.session, one.failed_ns)),
        }
        events.emit("stall", from_ns, detail, session_index=one.session, connection_index=one.connection)


def fate_table(incidents: list[Incident]) -> pa.Table:
    """The task_fates table, in order of incident and task."""
    rows = [(number, fate) for number, incident in enumerate(incidents) for fate in incident.fates]
    return TASK_FATES.build(
        {
            "incident_index": [number for number, _ in rows],
            "task_index": [fate.task for _, fate in rows],
            "fate": [fate.fate for _, fate in rows],
            "is_same_path": [fate.is_same_path for _, fate in rows],
            "again_task_index": [fate.again_task for _, fate in rows],
            "again_connection_index": [fate.again_connection for _, fate in rows],
            "issued_ns": [fate.issued_ns for _, fate in rows],
            "again_ns": [fate.again_ns for _, fate in rows],
            "completed_ns": [fate.completed_ns for _, fate in rows],
        }
    )


def _repeated(incident: Incident, *, is_same_path: bool) -> int:
    return sum(
        fate.is_same_path is is_same_path and fate.fate != REASSIGNED and fate.again_ns is not None
        for fate in incident.fates
    )

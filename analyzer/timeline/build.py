"""From decoded PDUs to a timeline: asks the trackers in turn and puts their answers into tables.

Decides the order of the work and nothing of the protocol. Reads no file and no clock, so that the same
PDUs always give the same tables.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.decoders.decoded import CaptureFile, DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.headers import BASIC, OPCODE_MASK, view
from analyzer.iscsi.headers import data_length as data_length_of
from analyzer.tables.folder import Timeline
from analyzer.tables.timeline_tables import CAPTURES, DIAGNOSTICS
from analyzer.timeline import task_tracker as field
from analyzer.timeline.command_events import (
    diagnose_tasks,
    emit_closed_windows,
    emit_moves,
    emit_task_management,
)
from analyzer.timeline.events import EventLog
from analyzer.timeline.failed_attempts import attempts_of, nexus_numbers, target_numbers
from analyzer.timeline.fates import FateFinder
from analyzer.timeline.given_up import NoopIntervals, close_given_up
from analyzer.timeline.incident_finder import Surroundings, find_incidents
from analyzer.timeline.incident_tables import emit_stalls, fate_table, incident_table
from analyzer.timeline.membership import Identities, identify
from analyzer.timeline.notices import emit_gaps, emit_pdu_notices
from analyzer.timeline.open_tasks import OpenTasks
from analyzer.timeline.pdu_table import pdu_table
from analyzer.timeline.protocol_lint import lint
from analyzer.timeline.reissues import link_reissues
from analyzer.timeline.reservation_events import emit_reservations_and_attentions
from analyzer.timeline.session_order import judge_order
from analyzer.timeline.session_table import (
    connection_table,
    emit_session_events,
    negotiated_number,
    session_table,
)
from analyzer.timeline.sessions import LOGOUT
from analyzer.timeline.stalls import find_stalls
from analyzer.timeline.task_ends import (
    CAPTURE_ENDED,
    CONNECTION_LOST,
    SESSION_LOST,
    Lifetimes,
    TaskEnds,
    TaskFacts,
    judge_ends,
)
from analyzer.timeline.task_management import TaskManagement, track_task_management
from analyzer.timeline.task_table import TaskColumns, task_columns, task_table
from analyzer.timeline.task_tracker import TrackedTasks, track_tasks

Int64s = npt.NDArray[np.int64]
Opcodes = npt.NDArray[np.uint8]

_HEADERS_LOST = ("pdu-header-lost", "resynchronised")
_NEVER = np.iinfo(np.int64).max


def build(decoded: DecodedCapture, manifest: dict[str, Any] | None = None) -> Timeline:
    """The timeline of a decoded capture; ``manifest`` is taken over into its manifest."""
    pdus = decoded.pdus
    scratch = decoded.scratch
    opcodes = np.empty(len(pdus), np.uint8)
    lengths = np.empty(len(pdus), np.int32)
    for step in scratch.steps(len(pdus)):
        opcodes[step] = pdus.headers[step, 0] & OPCODE_MASK
        lengths[step] = data_length_of(view(pdus.headers[step], BASIC))
    diagnostics = copy.deepcopy(decoded.diagnostics)
    events = EventLog()

    identities = identify(decoded, opcodes, diagnostics)
    session_of_connection = identities.session_of_connection
    closed_ns = np.array(
        [_NEVER if c.closed_ns is None else c.closed_ns for c in identities.connections], np.int64
    )
    tracked = track_tasks(pdus, opcodes, session_of_connection, closed_ns, lengths, scratch)
    tasks = task_columns(pdus, opcodes, lengths, tracked.matrix, scratch)
    functions = track_task_management(decoded, opcodes)
    ends = _judge_ends(decoded, identities, tracked, tasks, functions)
    lossy = _lossy_connections(decoded)
    order = judge_order(decoded, opcodes, identities, tasks, lossy, diagnostics)
    attempts = attempts_of(decoded, identities, tasks, ends)
    retry_of = link_reissues(attempts)
    nexus = nexus_numbers(decoded, identities)
    nexus_of_connection = np.append(nexus, -1)[session_of_connection]
    intervals = NoopIntervals(decoded, opcodes, nexus_of_connection)
    given_up = close_given_up(
        decoded, identities, tasks, retry_of, tracked.moved_from, nexus_of_connection, intervals
    )
    if given_up:
        ends = _judge_ends(decoded, identities, tracked, tasks, functions)
    open_tasks = OpenTasks(tasks, ends, len(identities.connections), scratch)

    emit_session_events(identities, open_tasks, events, diagnostics)
    emit_task_management(identities, functions, tracked, ends, events)
    emit_moves(decoded, opcodes, tracked, events)
    stretches = order.statistics.stretches
    windows = emit_closed_windows(decoded, opcodes, identities, stretches, events, diagnostics)
    emit_pdu_notices(decoded, opcodes, session_of_connection, tracked.pdu_task, events)
    emit_gaps(decoded, session_of_connection, events)
    emit_reservations_and_attentions(decoded, identities, tasks, functions, tracked.pdu_task, events)
    diagnose_tasks(decoded, tracked, tasks, ends, diagnostics)
    lint(decoded, opcodes, lengths, identities, tracked, functions, lossy, diagnostics)
    unused = np.flatnonzero(attempts.is_unanswered & tasks.is_answered & (attempts.failed_ns >= 0))
    fates = FateFinder(
        pdus, opcodes, decoded.connections, tracked, tasks, ends, open_tasks, retry_of, unused, functions
    )
    stalls = find_stalls(tasks, ends, order.wait_ns, windows.spans)
    time2wait_s = [negotiated_number(session, "DefaultTime2Wait") for session in identities.sessions]
    around = Surroundings(
        identities, tasks, ends, functions, fates, nexus, intervals, given_up, time2wait_s, events
    )
    incidents = find_incidents(around, stalls)
    emit_stalls(incidents, stalls, events)

    arrow = {
        "captures": _capture_table(decoded.files),
        "sessions": session_table(identities, decoded, order.statistics, windows),
        "connections": connection_table(identities, decoded),
        "pdus": pdu_table(pdus, opcodes, lengths, tracked.pdu_task, scratch),
        "tasks": task_table(tasks, ends, order.wait_ns, retry_of, pdus.packet, scratch),
        "events": events.table(),
        "incidents": incident_table(incidents, identities),
        "task_fates": fate_table(incidents),
        "diagnostics": _diagnostic_table(diagnostics),
    }
    return Timeline(arrow, {**(manifest or {}), "assumptions": _assumptions(diagnostics)}, scratch)


def _judge_ends(
    decoded: DecodedCapture,
    identities: Identities,
    tracked: TrackedTasks,
    tasks: TaskColumns,
    functions: list[TaskManagement],
) -> TaskEnds:
    matrix = tasks.matrix
    facts = TaskFacts(
        matrix[:, field.SESSION],
        matrix[:, field.CONNECTION],
        tasks.lun,
        tasks.command_ns,
        tasks.response_ns,
        matrix[:, field.REUSED_NS],
    )
    lifetimes = Lifetimes(
        _times([connection.closed_ns for connection in identities.connections]),
        _times([session.closed_ns for session in identities.sessions]),
        target_numbers(decoded, identities),
        _recording_ended_ns(decoded),
    )
    ends = judge_ends(
        facts,
        lifetimes,
        functions,
        [int(identities.session_of_connection[function.connection_index]) for function in functions],
        [int(tracked.pdu_task[function.pdu]) for function in functions],
        decoded.scratch,
    )
    # Where headers were not recorded and the connection was closed in order, the answer was one of them.
    connection = tasks.matrix[:, field.CONNECTION]
    is_ended_by_logout = np.array([c.end == LOGOUT for c in identities.connections], np.bool_)[connection]
    is_ended_by_logout &= (ends.end == CONNECTION_LOST) | (ends.end == SESSION_LOST)
    ends.end[is_ended_by_logout & np.isin(connection, _lossy_connections(decoded))] = CAPTURE_ENDED
    return ends


def _recording_ended_ns(decoded: DecodedCapture) -> int:
    """The last packet of all files."""
    last = [file.last_ns for file in decoded.files if file.last_ns is not None]
    return max(
        [
            *last,
            int(decoded.pdus.time_last_ns.max(initial=0)),
            int(decoded.connections.ended_ns.max(initial=0)),
        ]
    )


def _lossy_connections(decoded: DecodedCapture) -> list[int]:
    """Connections of which PDU headers were not recorded."""
    holes = decoded.holes
    lossy = set(holes.connection_index[~holes.framing_kept].tolist())
    for entry in decoded.diagnostics:
        if entry.kind.code in _HEADERS_LOST and entry.connection_index is not None:
            lossy.add(entry.connection_index)
    return sorted(lossy)


def _times(times: list[int | None]) -> Int64s:
    return np.array([-1 if at is None else at for at in times], np.int64)


def _capture_table(files: tuple[CaptureFile, ...]) -> pa.Table:
    names = [column.name for column in CAPTURES.columns]
    return CAPTURES.build({name: [getattr(file, name) for file in files] for name in names})


def _diagnostic_table(diagnostics: DiagnosticLog) -> pa.Table:
    entries = list(diagnostics)
    return DIAGNOSTICS.build(
        {
            "code": [entry.kind.code for entry in entries],
            "severity": [str(entry.kind.severity) for entry in entries],
            "source": [str(entry.kind.source) for entry in entries],
            "count": [entry.count for entry in entries],
            "file_index": [entry.file_index for entry in entries],
            "packet": [entry.packet for entry in entries],
            "connection_index": [entry.connection_index for entry in entries],
            "at_ns": [entry.at_ns for entry in entries],
            "detail": [entry.detail for entry in entries],
            "meaning": [entry.kind.meaning for entry in entries],
            "remedy": [entry.kind.remedy for entry in entries],
        }
    )


def _assumptions(diagnostics: DiagnosticLog) -> list[str]:
    """What was inferred rather than seen, a sentence each."""
    assumed = [entry for entry in diagnostics if entry.kind.code.endswith("-assumed")]
    return [
        f"{entry.kind.meaning} ({entry.detail})" if entry.detail else entry.kind.meaning for entry in assumed
    ]

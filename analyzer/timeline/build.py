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
from analyzer.iscsi.headers import BASIC, FROM_INITIATOR, FROM_TARGET, OPCODE_MASK, view
from analyzer.iscsi.headers import data_length as data_length_of
from analyzer.iscsi.opcodes import TASK_MANAGEMENT_FUNCTIONS, TASK_MANAGEMENT_RESPONSES, Opcode, name_of
from analyzer.scsi.sense import ABORTED_COMMAND, UNIT_ATTENTION
from analyzer.scsi.status import CHECK_CONDITION, RETRIED_STATUSES
from analyzer.serial_numbers import serial_less
from analyzer.tables.folder import Timeline
from analyzer.tables.timeline_tables import CAPTURES, DIAGNOSTICS
from analyzer.timeline import task_tracker as field
from analyzer.timeline.command_order import OrderedRequests, WindowTraffic, follow_window, order_waits
from analyzer.timeline.events import EventLog
from analyzer.timeline.membership import Identities, identify, numbered_requests
from analyzer.timeline.notices import emit_gaps, emit_pdu_notices, emit_task_notices
from analyzer.timeline.pdu_table import pdu_table
from analyzer.timeline.reissues import Attempts, link_reissues
from analyzer.timeline.session_table import connection_table, emit_session_events, session_table
from analyzer.timeline.sessions import LOGOUT
from analyzer.timeline.task_ends import (
    CAPTURE_ENDED,
    CONNECTION_LOST,
    RESPONDED,
    SESSION_LOST,
    Lifetimes,
    TaskEnds,
    TaskFacts,
    judge_ends,
)
from analyzer.timeline.task_management import TASK_REASSIGN, TaskManagement, track_task_management
from analyzer.timeline.task_table import TaskColumns, delivered_by_ns, task_columns, task_table
from analyzer.timeline.task_tracker import TrackedTasks, track_tasks

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Opcodes = npt.NDArray[np.uint8]

_HEADERS_LOST = ("pdu-header-lost", "resynchronised")
_NEVER = np.iinfo(np.int64).max
_SHORTEST_CLOSURE_NS = 1_000_000
"""Closures of the command window shorter than this are no events: a full queue closes it at every command."""


def build(decoded: DecodedCapture, manifest: dict[str, Any] | None = None) -> Timeline:
    """The timeline of a decoded capture; ``manifest`` is taken over into its manifest."""
    pdus = decoded.pdus
    opcodes = np.ascontiguousarray(pdus.headers[:, 0] & OPCODE_MASK)
    lengths = data_length_of(view(pdus.headers, BASIC))
    diagnostics = copy.deepcopy(decoded.diagnostics)
    events = EventLog()

    identities = identify(decoded, opcodes, diagnostics)
    session_of_connection = identities.session_of_connection
    closed_ns = np.array(
        [_NEVER if c.closed_ns is None else c.closed_ns for c in identities.connections], np.int64
    )
    tracked = track_tasks(pdus, opcodes, session_of_connection, closed_ns, lengths)
    tasks = task_columns(pdus, opcodes, lengths, tracked.matrix)
    functions = track_task_management(pdus, opcodes)
    ends = _judge_ends(decoded, identities, tracked, tasks, functions)
    waits = _order(decoded, opcodes, identities, tasks, diagnostics)
    retry_of = link_reissues(_attempts(decoded, identities, tasks, ends))

    def open_tasks(connections: Int32s, at_ns: int) -> int:
        return _count_open(tasks, ends, connections, at_ns)

    emit_session_events(identities, open_tasks, events, diagnostics)
    _emit_task_management(identities, functions, tracked, ends, events)
    _emit_moves(decoded, opcodes, tracked, events)
    _emit_closed_windows(decoded, opcodes, identities, events, diagnostics)
    emit_pdu_notices(decoded, opcodes, session_of_connection, tracked.pdu_task, events)
    emit_gaps(decoded, session_of_connection, events)
    emit_task_notices(tasks, pdus.packet, events)
    _diagnose_tasks(decoded, tracked, tasks, ends, diagnostics)

    arrow = {
        "captures": _capture_table(decoded.files),
        "sessions": session_table(identities, decoded),
        "connections": connection_table(identities, decoded),
        "pdus": pdu_table(pdus, opcodes, lengths, tracked.pdu_task),
        "tasks": task_table(tasks, ends, waits, retry_of, pdus.packet),
        "events": events.table(),
        "diagnostics": _diagnostic_table(diagnostics),
    }
    return Timeline(arrow, {**(manifest or {}), "assumptions": _assumptions(diagnostics)})


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
        _target_numbers(decoded, identities),
        _recording_ended_ns(decoded),
    )
    ends = judge_ends(
        facts,
        lifetimes,
        functions,
        [int(identities.session_of_connection[function.connection_index]) for function in functions],
        [int(tracked.pdu_task[function.pdu]) for function in functions],
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


def _target_numbers(decoded: DecodedCapture, identities: Identities) -> Int64s:
    """A number per session that is equal for sessions with the same target."""
    numbers: dict[str, int] = {}
    answer = []
    for session in identities.sessions:
        name = session.any_login.offered.get("TargetName") if session.any_login else None
        # Without a login the portal's address stands for the target.
        first = session.connections[0].connection_index
        key = name or decoded.connections.target_address[first]
        answer.append(numbers.setdefault(key, len(numbers)))
    return np.array(answer, np.int64)


def _nexus_numbers(decoded: DecodedCapture, identities: Identities) -> Int64s:
    """A number per session that is equal for sessions of one initiator with one target."""
    targets = _target_numbers(decoded, identities)
    numbers: dict[tuple[str, int], int] = {}
    answer = []
    for number, session in enumerate(identities.sessions):
        name = session.any_login.offered.get("InitiatorName") if session.any_login else None
        first = session.connections[0].connection_index
        key = (name or decoded.connections.initiator_address[first], int(targets[number]))
        answer.append(numbers.setdefault(key, len(numbers)))
    return np.array(answer, np.int64)


def _order(
    decoded: DecodedCapture,
    opcodes: Opcodes,
    identities: Identities,
    tasks: TaskColumns,
    diagnostics: DiagnosticLog,
) -> Int64s:
    """Order waits of all tasks in ns, shape (tasks,); says which CmdSNs were given twice."""
    pdus = decoded.pdus
    ordered = np.flatnonzero(~tasks.is_immediate)
    others = numbered_requests(decoded, opcodes)
    others = others[opcodes[others] != Opcode.SCSI_COMMAND]
    others = others[identities.session_of_connection[pdus.connection_index[others]] >= 0]
    command_pdu = tasks.matrix[ordered, field.COMMAND_PDU]
    in_time = np.argsort(np.concatenate([command_pdu, others]), kind="stable")
    sessions = identities.session_of_connection[pdus.connection_index[others]].astype(np.int64)
    numbers = view(np.ascontiguousarray(pdus.headers[others]), FROM_INITIATOR)["cmd_sn"].astype(np.uint32)
    requests = OrderedRequests(
        np.concatenate([tasks.matrix[ordered, field.SESSION], sessions])[in_time],
        np.concatenate([tasks.cmd_sn[ordered], numbers])[in_time],
        np.concatenate([tasks.matrix[ordered, field.ARRIVED_NS], pdus.time_last_ns[others]])[in_time],
    )
    sorted_waits, repeats = order_waits(requests)
    for session in np.unique(requests.session[repeats]).tolist():
        count = int(np.count_nonzero(requests.session[repeats] == session))
        diagnostics.emit("cmd-sn-duplicate", f"session {session}", count=count)
    waits_in_place = np.empty_like(sorted_waits)
    waits_in_place[in_time] = sorted_waits
    waits = np.zeros(len(tasks), np.int64)
    waits[ordered] = waits_in_place[: len(ordered)]
    # A task the target was at work on had been delivered, whatever the recorder missed or saw late.
    longest = np.maximum(delivered_by_ns(tasks) - tasks.matrix[:, field.ARRIVED_NS], 0)
    return np.asarray(np.minimum(waits, longest), np.int64)


def _attempts(
    decoded: DecodedCapture, identities: Identities, tasks: TaskColumns, ends: TaskEnds
) -> Attempts:
    failed_ns = np.where((ends.end != RESPONDED) & (ends.end != CAPTURE_ENDED), ends.ended_ns, -1)
    is_refused = np.isin(tasks.status, np.array(RETRIED_STATUSES, np.uint8))
    is_transient = np.isin(tasks.sense.sense_key, np.array([UNIT_ATTENTION, ABORTED_COMMAND], np.uint8))
    is_refused |= (tasks.status == CHECK_CONDITION) & tasks.sense.has_sense & is_transient
    is_unanswered = failed_ns >= 0
    failed_ns = np.where(tasks.is_answered & is_refused, tasks.response_ns, failed_ns)
    for connection in identities.connections:
        if connection.closed_ns is not None and connection.end != LOGOUT:
            unused = _unused_answers(decoded, tasks, connection.connection_index)
            failed_ns[unused] = connection.closed_ns
            is_unanswered[unused] = True
    has_work = (tasks.expected_bytes > 0) | tasks.operations.has_lba
    failed_ns[~has_work] = -1
    content = np.zeros((len(tasks), 32), np.uint8)
    nexus = _nexus_numbers(decoded, identities)
    content[:, 0:4] = nexus[tasks.matrix[:, field.SESSION]].astype(">u4")[:, None].view(np.uint8)
    content[:, 4:12] = tasks.lun.astype(">u8")[:, None].view(np.uint8)
    content[:, 12:28] = tasks.cdb
    content[:, 28:32] = tasks.expected_bytes.astype(">u4")[:, None].view(np.uint8)
    return Attempts(
        content.view("V32")[:, 0],
        tasks.command_ns,
        failed_ns,
        is_unanswered,
        tasks.matrix[:, field.CONNECTION],
    )


def _unused_answers(decoded: DecodedCapture, tasks: TaskColumns, connection_index: int) -> Int64s:
    """Tasks answered on a lost connection whose status the initiator never acknowledged: perhaps unused."""
    answered = np.flatnonzero(tasks.response_connection == connection_index)
    if not len(answered):
        return answered
    pdus = decoded.pdus
    is_sent = (pdus.connection_index == connection_index) & ~pdus.from_target
    sent = np.flatnonzero(is_sent)
    acknowledged = 0
    if len(sent):
        last = pdus.headers[sent[-1] : sent[-1] + 1]
        acknowledged = int(view(last, FROM_INITIATOR)["exp_stat_sn"][0])
    headers = np.ascontiguousarray(pdus.headers[tasks.matrix[answered, field.RESPONSE_PDU]])
    numbers = view(headers, FROM_TARGET)["stat_sn"].tolist()
    is_unused = [not sent.size or not serial_less(number, acknowledged) for number in numbers]
    return answered[np.array(is_unused, np.bool_)]


def _count_open(tasks: TaskColumns, ends: TaskEnds, connections: Int32s, at_ns: int) -> int:
    held = np.isin(tasks.matrix[:, field.FIRST_CONNECTION], connections)
    held |= np.isin(tasks.matrix[:, field.CONNECTION], connections)
    held &= (tasks.command_ns <= at_ns) & (ends.ended_ns >= at_ns)
    # What was answered at that very moment was answered.
    return int(np.count_nonzero(held & ~(tasks.is_answered & (tasks.response_ns <= at_ns))))


def _emit_task_management(
    identities: Identities,
    functions: list[TaskManagement],
    tracked: TrackedTasks,
    ends: TaskEnds,
    events: EventLog,
) -> None:
    aborted = np.bincount(ends.aborted_by[ends.aborted_by >= 0], minlength=len(functions))
    for number, function in enumerate(functions):
        session = int(identities.session_of_connection[function.connection_index])
        task = int(tracked.pdu_task[function.pdu])
        response_ns = function.response_ns
        response = function.response
        detail = {
            "function": name_of(TASK_MANAGEMENT_FUNCTIONS, function.function),
            "lun": function.lun,
            "referenced_task_tag": function.referenced_task_tag,
            "referenced_cmd_sn": function.referenced_cmd_sn,
            "response": None if response is None else name_of(TASK_MANAGEMENT_RESPONSES, response),
            "response_code": response,
            "response_ns": response_ns,
            "latency_ns": None if response_ns is None else response_ns - function.at_ns,
            "aborted_tasks": int(aborted[number]),
        }
        events.emit(
            "task-management",
            function.at_ns,
            detail,
            packet=function.packet,
            session_index=session if session >= 0 else None,
            connection_index=function.connection_index,
            task_index=task if task >= 0 else None,
        )


def _emit_moves(decoded: DecodedCapture, opcodes: Opcodes, tracked: TrackedTasks, events: EventLog) -> None:
    """Retries and reassignments, each at the PDU that shows it."""
    pdus = decoded.pdus
    asked = np.flatnonzero(opcodes == Opcode.TASK_MANAGEMENT_REQUEST)
    is_reassign = pdus.headers[asked, 1] & 0x7F == TASK_REASSIGN
    reassigned = set(tracked.pdu_task[asked[is_reassign]].tolist())
    for pdu in np.flatnonzero(tracked.moved_from >= 0).tolist():
        task = int(tracked.pdu_task[pdu])
        is_retry = opcodes[pdu] == Opcode.SCSI_COMMAND
        detail: dict[str, Any] = {
            "from_connection_index": int(tracked.moved_from[pdu]),
            "to_connection_index": int(pdus.connection_index[pdu]),
        }
        if is_retry:
            detail["cmd_sn"] = int(view(pdus.headers[pdu : pdu + 1], FROM_INITIATOR)["cmd_sn"][0])
        else:
            detail["by"] = "task-reassign" if task in reassigned else "connection-reinstatement"
        events.emit(
            "task-retried" if is_retry else "task-reassigned",
            int(pdus.time_ns[pdu]),
            detail,
            packet=int(pdus.packet[pdu]),
            session_index=int(tracked.matrix[task, field.SESSION]),
            connection_index=int(pdus.connection_index[pdu]),
            task_index=task,
        )


def _emit_closed_windows(
    decoded: DecodedCapture,
    opcodes: Opcodes,
    identities: Identities,
    events: EventLog,
    diagnostics: DiagnosticLog,
) -> None:
    pdus = decoded.pdus
    session = identities.session_of_connection[pdus.connection_index].astype(np.int64)
    is_request = np.zeros(len(pdus), np.bool_)
    is_request[numbered_requests(decoded, opcodes)] = True
    is_grant = pdus.from_target & (opcodes != Opcode.LOGIN_RESPONSE)
    members = np.flatnonzero((is_request | is_grant) & (session >= 0))
    headers = view(np.ascontiguousarray(pdus.headers), FROM_TARGET)
    grants = is_grant[members]
    number = np.where(grants, headers["max_cmd_sn"][members], headers["stat_sn"][members]).astype(np.uint32)
    traffic = WindowTraffic(
        session[members],
        grants,
        number,
        headers["exp_cmd_sn"][members].astype(np.uint32),
        pdus.time_ns[members],
    )
    history = follow_window(traffic, len(identities.sessions))
    for closed, opened in zip(history.closed_at.tolist(), history.opened_at.tolist(), strict=True):
        closed_ns = int(traffic.time_ns[closed])
        opened_ns = int(traffic.time_ns[opened]) if opened >= 0 else None
        if opened_ns is None or opened_ns - closed_ns < _SHORTEST_CLOSURE_NS:
            continue
        pdu = int(members[closed])
        events.emit(
            "window-closed",
            closed_ns,
            {
                "max_cmd_sn": int(traffic.number[closed]),
                "opened_ns": opened_ns,
                "closed_for_ns": opened_ns - closed_ns,
            },
            packet=int(pdus.packet[pdu]),
            session_index=int(session[pdu]),
            connection_index=int(pdus.connection_index[pdu]),
        )
    for outside in np.unique(traffic.session[history.outside]).tolist():
        where = history.outside[traffic.session[history.outside] == outside]
        first = int(members[where[0]])
        diagnostics.emit(
            "cmd-sn-outside-window",
            f"session {outside}",
            count=len(where),
            packet=int(pdus.packet[first]),
            file_index=int(pdus.file_index[first]),
            at_ns=int(pdus.time_ns[first]),
        )


def _diagnose_tasks(
    decoded: DecodedCapture,
    tracked: TrackedTasks,
    tasks: TaskColumns,
    ends: TaskEnds,
    diagnostics: DiagnosticLog,
) -> None:
    pdus = decoded.pdus
    carriers = pdus.connection_index[tracked.orphans]
    for connection in np.unique(carriers).tolist():
        own = tracked.orphans[carriers == connection]
        diagnostics.emit(
            "response-without-command",
            count=len(own),
            packet=int(pdus.packet[own[0]]),
            connection_index=connection,
            at_ns=int(pdus.time_ns[own[0]]),
        )
    unanswered = np.flatnonzero(ends.end != RESPONDED)
    carriers = tasks.matrix[unanswered, field.CONNECTION]
    for connection in np.unique(carriers).tolist():
        mine = unanswered[carriers == connection]
        diagnostics.emit(
            "command-unanswered",
            count=len(mine),
            packet=int(pdus.packet[tasks.matrix[mine[0], field.COMMAND_PDU]]),
            connection_index=connection,
            at_ns=int(tasks.command_ns[mine[0]]),
        )


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

"""Events and diagnostics of commands: management, retries, reassignments, closed windows, what stayed open.

Decides how the findings of the task, order and management trackers read; finds nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.headers import FROM_INITIATOR, view
from analyzer.iscsi.opcodes import TASK_MANAGEMENT_FUNCTIONS, TASK_MANAGEMENT_RESPONSES, Opcode, name_of
from analyzer.timeline import task_tracker as field
from analyzer.timeline.command_order import ClosedWindows, follow_window
from analyzer.timeline.events import EventLog
from analyzer.timeline.membership import Identities, numbered_requests
from analyzer.timeline.order_statistics import StandStills
from analyzer.timeline.task_ends import RESPONDED, TaskEnds
from analyzer.timeline.task_management import FUNCTION_MASK, TASK_REASSIGN, TaskManagement
from analyzer.timeline.task_table import TaskColumns
from analyzer.timeline.task_tracker import TrackedTasks

Opcodes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_SHORTEST_CLOSURE_NS = 1_000_000
"""Closures of the command window shorter than this are no events: a full queue closes it at every command."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """How often and how long the window of each session was closed, shape (sessions,)."""

    closures: Int64s
    closed_ns: Int64s
    spans: ClosedWindows
    """Those closures that were seen to end."""


def emit_task_management(
    identities: Identities,
    functions: list[TaskManagement],
    tracked: TrackedTasks,
    ends: TaskEnds,
    events: EventLog,
) -> None:
    """Task management functions, each at its request with its answer and what it ended."""
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


def emit_moves(decoded: DecodedCapture, opcodes: Opcodes, tracked: TrackedTasks, events: EventLog) -> None:
    """Retries and reassignments, each at the PDU that shows it."""
    pdus = decoded.pdus
    asked = np.flatnonzero(opcodes == Opcode.TASK_MANAGEMENT_REQUEST)
    is_reassign = pdus.headers[asked, 1] & FUNCTION_MASK == TASK_REASSIGN
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


def emit_closed_windows(
    decoded: DecodedCapture,
    opcodes: Opcodes,
    identities: Identities,
    stretches: StandStills,
    events: EventLog,
    diagnostics: DiagnosticLog,
) -> WindowFigures:
    """Closures of the command window that lasted; commands sent outside it are told as diagnostics.

    A window that stayed closed while commands lay at the target for a lower CmdSN was closed by their
    order; else by the target, which had not done enough of what it was given.
    """
    pdus = decoded.pdus
    session = identities.session_of_connection[pdus.connection_index]
    is_request = np.zeros(len(pdus), np.bool_)
    is_request[numbered_requests(decoded, opcodes)] = True
    is_grant = pdus.from_target & (opcodes != Opcode.LOGIN_RESPONSE)
    headers = np.ascontiguousarray(pdus.headers)
    history = follow_window(headers, session, is_grant, is_request, len(identities.sessions))
    is_opened = history.opened_by >= 0
    closed_by, opened_by = history.closed_by[is_opened], history.opened_by[is_opened]
    spans = pdus.time_ns[opened_by] - pdus.time_ns[closed_by]
    for place in np.flatnonzero(spans >= _SHORTEST_CLOSURE_NS).tolist():
        pdu = int(closed_by[place])
        closed_ns, opened_ns = int(pdus.time_ns[pdu]), int(pdus.time_ns[opened_by[place]])
        is_held = stretches.covering(int(session[pdu]), closed_ns, opened_ns)
        events.emit(
            "window-closed",
            closed_ns,
            {
                "cause": "command-order" if is_held else "target",
                "max_cmd_sn": int(view(headers[pdu : pdu + 1], FROM_INITIATOR)["cmd_sn"][0]),
                "opened_ns": opened_ns,
                "closed_for_ns": opened_ns - closed_ns,
            },
            packet=int(pdus.packet[pdu]),
            session_index=int(session[pdu]),
            connection_index=int(pdus.connection_index[pdu]),
        )
    _diagnose_outside(decoded, session, history.outside, diagnostics)
    closures = np.bincount(session[history.closed_by], minlength=len(identities.sessions))
    closed_for_ns = np.zeros(len(identities.sessions), np.int64)
    np.add.at(closed_for_ns, session[closed_by], spans)
    members = session[closed_by].astype(np.int64)
    closed = ClosedWindows(members, pdus.time_ns[closed_by], pdus.time_ns[opened_by])
    return WindowFigures(closures.astype(np.int64), closed_for_ns, closed)


def _diagnose_outside(
    decoded: DecodedCapture, session: Int32s, requests: Int64s, diagnostics: DiagnosticLog
) -> None:
    pdus = decoded.pdus
    for outside in np.unique(session[requests]).tolist():
        where = requests[session[requests] == outside]
        first = int(where[0])
        diagnostics.emit(
            "cmd-sn-outside-window",
            f"session {outside}",
            count=len(where),
            packet=int(pdus.packet[first]),
            file_index=int(pdus.file_index[first]),
            at_ns=int(pdus.time_ns[first]),
        )


def diagnose_tasks(
    decoded: DecodedCapture,
    tracked: TrackedTasks,
    tasks: TaskColumns,
    ends: TaskEnds,
    diagnostics: DiagnosticLog,
) -> None:
    """Responses without a command and commands without a response, counted by connection."""
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

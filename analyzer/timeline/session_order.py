"""The order of each session's commands: gathers what has a CmdSN, and tells what broke the order.

Decides which requests count and which breaches are told; waits and figures are computed in
``command_order`` and ``order_statistics``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.headers import FROM_INITIATOR, view
from analyzer.iscsi.opcodes import Opcode
from analyzer.timeline import task_tracker as field
from analyzer.timeline.command_order import OrderedRequests, order_waits
from analyzer.timeline.membership import Identities, numbered_requests
from analyzer.timeline.order_statistics import OrderStatistics, order_statistics
from analyzer.timeline.task_table import TaskColumns, delivered_by_ns

Int64s = npt.NDArray[np.int64]

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """What came of the order of commands."""

    wait_ns: Int64s
    """Order wait of each task, shape (tasks,)."""
    statistics: OrderStatistics


def judge_order(
    decoded: DecodedCapture,
    opcodes: npt.NDArray[np.uint8],
    identities: Identities,
    tasks: TaskColumns,
    lossy: list[int],
    diagnostics: DiagnosticLog,
) -> SessionOrder:
    """Order waits and figures; says which CmdSNs were given twice, left out or sent backwards.

    On ``lossy`` connections requests may be missing, so their sessions are not blamed for holes.
    """
    pdus, moved, gathered = decoded.pdus, decoded.scratch.moved, decoded.scratch.gathered
    ordered = moved(np.flatnonzero(~tasks.is_immediate))
    others = numbered_requests(decoded, opcodes)
    others = others[opcodes[others] != Opcode.SCSI_COMMAND]
    others = others[identities.session_of_connection[pdus.connection_index[others]] >= 0]
    pdu = moved(np.concatenate([tasks.matrix[ordered, field.COMMAND_PDU], others]))
    in_time = moved(np.argsort(pdu, kind="stable"))
    pdu = moved(pdu[in_time])
    sessions = identities.session_of_connection[pdus.connection_index[others]].astype(np.int64)
    numbers = view(gathered(pdus.headers, others), FROM_INITIATOR)["cmd_sn"].astype(np.uint32)
    requests = OrderedRequests(
        moved(np.concatenate([tasks.matrix[ordered, field.SESSION], sessions])[in_time]),
        moved(np.concatenate([tasks.cmd_sn[ordered], numbers])[in_time]),
        moved(np.concatenate([tasks.matrix[ordered, field.ARRIVED_NS], pdus.time_last_ns[others]])[in_time]),
    )
    waits, repeats = order_waits(requests, decoded.scratch)
    # A task the target was at work on had been delivered, whatever the recorder missed or saw late.
    longest = decoded.scratch.empty(len(tasks), np.int64)
    for step in decoded.scratch.steps(len(tasks)):
        longest[step] = np.maximum(delivered_by_ns(tasks, step) - tasks.matrix[step, field.ARRIVED_NS], 0)
    limits = moved(np.concatenate([longest[ordered], np.full(len(others), _NEVER)])[in_time])
    np.minimum(waits, limits, out=waits)
    carrier = moved(pdus.connection_index[pdu].astype(np.int64))
    statistics = order_statistics(
        requests,
        carrier,
        waits,
        repeats,
        len(identities.sessions),
        len(identities.connections),
        decoded.scratch,
    )
    _diagnose(decoded, identities, requests, pdu, repeats, statistics, lossy, diagnostics)
    in_place = moved(np.empty_like(waits))
    in_place[in_time] = waits
    wait_ns = moved(np.zeros(len(tasks), np.int64))
    wait_ns[ordered] = in_place[: len(ordered)]
    return SessionOrder(wait_ns, statistics)


def _diagnose(
    decoded: DecodedCapture,
    identities: Identities,
    requests: OrderedRequests,
    pdu: Int64s,
    repeats: npt.NDArray[np.bool_],
    statistics: OrderStatistics,
    lossy: list[int],
    diagnostics: DiagnosticLog,
) -> None:
    pdus = decoded.pdus

    def place(request: int) -> dict[str, int]:
        shown = pdu[request]
        return {
            "packet": int(pdus.packet[shown]),
            "file_index": int(pdus.file_index[shown]),
            "at_ns": int(pdus.time_ns[shown]),
        }

    for session in np.unique(requests.session[repeats]).tolist():
        count = int(np.count_nonzero(requests.session[repeats] == session))
        diagnostics.emit("cmd-sn-duplicate", f"session {session}", count=count)
    missing = set(lossy) | set(np.flatnonzero(decoded.connections.lost_bytes > 0).tolist())
    for session in np.flatnonzero(statistics.cmd_sn_holes > 0).tolist():
        members = identities.sessions[session].connections
        if not any(member.connection_index in missing for member in members):
            count = int(statistics.cmd_sn_holes[session])
            diagnostics.emit("cmd-sn-hole", f"session {session}", count=count)
    # After a loss the initiator fills the holes it left, wherever it can.
    lost_ns = np.array(
        [
            min((c.closed_ns for c in session.connections if c.closed_ns is not None), default=_NEVER)
            for session in identities.sessions
        ],
        np.int64,
    )
    backwards = np.flatnonzero(statistics.is_backwards)
    backwards = backwards[pdus.time_ns[pdu[backwards]] < lost_ns[requests.session[backwards]]]
    for session in np.unique(requests.session[backwards]).tolist():
        own = backwards[requests.session[backwards] == session]
        diagnostics.emit("cmd-sn-backwards", f"session {session}", count=len(own), **place(int(own[0])))

"""Events that one PDU or one row shows by itself: messages, rejects, digest errors, unit attentions, gaps.

Decides nothing beyond the words: each function reads one kind of column and writes one kind of event.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DIGEST_BAD, DecodedCapture
from analyzer.iscsi.headers import (
    ASYNC_MESSAGE,
    BASIC,
    HEADER_BYTES,
    OPCODE_MASK,
    REJECT,
    SNACK_REQUEST,
    view,
)
from analyzer.iscsi.opcodes import (
    ASYNC_EVENTS,
    OPCODE_NAMES,
    REJECT_REASONS,
    RESERVED_TAG,
    SNACK_TYPES,
    Opcode,
    name_of,
)
from analyzer.scsi.operations import (
    OPERATION_NAMES,
    PERSISTENT_RESERVATION_TYPES,
    PERSISTENT_RESERVE_OUT,
    PERSISTENT_RESERVE_OUT_ACTIONS,
    RELEASE_6,
    RELEASE_10,
    RESERVE_6,
    RESERVE_10,
)
from analyzer.scsi.sense import UNIT_ATTENTION, additional_sense_name
from analyzer.scsi.status import RESERVATION_CONFLICT, status_name
from analyzer.timeline import task_tracker as field
from analyzer.timeline.events import EventLog
from analyzer.timeline.task_table import TaskColumns

_SNACK_TYPE_MASK = 0x0F
_SERVICE_ACTION_MASK = 0x1F
_RESERVING = (RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10, PERSISTENT_RESERVE_OUT)

Int32s = npt.NDArray[np.int32]
Opcodes = npt.NDArray[np.uint8]


def emit_pdu_notices(
    decoded: DecodedCapture,
    opcodes: Opcodes,
    session_of_connection: Int32s,
    pdu_task: Int32s,
    events: EventLog,
) -> None:
    """Asynchronous messages, rejects, SNACKs and digest errors."""
    pdus = decoded.pdus
    is_damaged = (pdus.header_digest == DIGEST_BAD) | (pdus.data_digest == DIGEST_BAD)
    is_told = np.isin(
        opcodes, np.array([Opcode.ASYNC_MESSAGE, Opcode.REJECT, Opcode.SNACK_REQUEST], np.uint8)
    )
    for pdu in np.flatnonzero(is_damaged | is_told).tolist():
        connection = int(pdus.connection_index[pdu])
        session = int(session_of_connection[connection])
        place = {
            "packet": int(pdus.packet[pdu]),
            "session_index": session if session >= 0 else None,
            "connection_index": connection,
            "task_index": int(pdu_task[pdu]) if pdu_task[pdu] >= 0 else None,
        }
        at_ns = int(pdus.time_ns[pdu])
        for digest, states in (("header", pdus.header_digest), ("data", pdus.data_digest)):
            if states[pdu] == DIGEST_BAD:
                damage = {
                    "digest": digest,
                    "opcode": name_of(OPCODE_NAMES, int(opcodes[pdu])),
                    "from_target": bool(pdus.from_target[pdu]),
                }
                events.emit("digest-error", at_ns, damage, **place)
        header = pdus.headers[pdu : pdu + 1]
        if opcodes[pdu] == Opcode.ASYNC_MESSAGE:
            events.emit("async-message", at_ns, _async_detail(header), **place)
        elif opcodes[pdu] == Opcode.REJECT:
            events.emit("reject", at_ns, _reject_detail(header, pdus.segment(pdu)), **place)
        elif opcodes[pdu] == Opcode.SNACK_REQUEST:
            events.emit("snack", at_ns, _snack_detail(header), **place)


def emit_gaps(decoded: DecodedCapture, session_of_connection: Int32s, events: EventLog) -> None:
    """Stretches of TCP bytes that the recorder missed."""
    holes = decoded.holes
    for number in range(len(holes)):
        connection = int(holes.connection_index[number])
        session = int(session_of_connection[connection])
        events.emit(
            "capture-gap",
            int(holes.at_ns[number]),
            {
                "lost_bytes": int(holes.lost_bytes[number]),
                "from_target": bool(holes.from_target[number]),
                "framing_kept": bool(holes.framing_kept[number]),
            },
            packet=int(holes.packet[number]),
            session_index=session if session >= 0 else None,
            connection_index=connection,
        )


def emit_task_notices(tasks: TaskColumns, packet: npt.NDArray[np.int64], events: EventLog) -> None:
    """Unit attentions, reservations and reservation conflicts, at the response of their command."""
    is_attention = tasks.sense.has_sense & (tasks.sense.sense_key == UNIT_ATTENTION)
    answered = tasks.is_answered
    is_conflict = answered & (tasks.status == RESERVATION_CONFLICT)
    is_reserving = np.isin(tasks.cdb[:, 0], np.array(_RESERVING, np.uint8))
    for task in np.flatnonzero(is_attention | is_conflict | is_reserving).tolist():
        is_answered = bool(answered[task])
        shown_by = field.RESPONSE_PDU if is_answered else field.COMMAND_PDU
        at_ns = int(tasks.response_ns[task] if is_answered else tasks.command_ns[task])
        place = {
            "packet": int(packet[tasks.matrix[task, shown_by]]),
            "session_index": int(tasks.matrix[task, field.SESSION]),
            "connection_index": int(tasks.matrix[task, field.CONNECTION]),
            "task_index": task,
        }
        operation = OPERATION_NAMES[int(tasks.operations.operation[task])]
        if is_attention[task]:
            asc, ascq = int(tasks.sense.asc[task]), int(tasks.sense.ascq[task])
            meaning = additional_sense_name(asc, ascq)
            detail = {"asc": asc, "ascq": ascq, "meaning": meaning}
            events.emit("unit-attention", at_ns, detail, **place)
        if is_conflict[task]:
            refused = {"operation": operation, "lun": int(tasks.lun[task])}
            events.emit("reservation-conflict", at_ns, refused, **place)
        if is_reserving[task]:
            status = status_name(int(tasks.status[task])) if is_answered else None
            reserving = {"operation": operation, **_reservation(tasks.cdb[task]), "status": status}
            events.emit("reservation", at_ns, reserving, **place)


def _reservation(cdb: npt.NDArray[np.uint8]) -> dict[str, str | None]:
    """Service action and type of PERSISTENT RESERVE OUT (SPC-4 section 6.16), null for the old commands."""
    if cdb[0] != PERSISTENT_RESERVE_OUT:
        return {"service_action": None, "type": None}
    action, kind = int(cdb[1]) & _SERVICE_ACTION_MASK, int(cdb[2]) & 0x0F
    return {
        "service_action": name_of(PERSISTENT_RESERVE_OUT_ACTIONS, action),
        "type": PERSISTENT_RESERVATION_TYPES.get(kind),
    }


def _async_detail(header: npt.NDArray[np.uint8]) -> dict[str, object]:
    message = view(header, ASYNC_MESSAGE)[0]
    code = int(message["async_event"])
    return {
        "event": name_of(ASYNC_EVENTS, code),
        "code": code,
        "vcode": int(message["async_vcode"]),
        "parameters": [int(message[f"parameter_{number}"]) for number in (1, 2, 3)],
    }


def _reject_detail(header: npt.NDArray[np.uint8], rejected: bytes) -> dict[str, object]:
    """The data segment of a Reject is the header of what it rejects (RFC 7143 section 11.17)."""
    code = int(view(header, REJECT)[0]["reason"])
    opcode = tag = None
    if len(rejected) >= HEADER_BYTES:
        inner = view(np.frombuffer(rejected[:HEADER_BYTES], np.uint8).reshape(1, HEADER_BYTES), BASIC)[0]
        opcode = name_of(OPCODE_NAMES, int(inner["opcode_byte"]) & OPCODE_MASK)
        tag = int(inner["initiator_task_tag"])
    return {
        "reason": name_of(REJECT_REASONS, code),
        "code": code,
        "rejected_opcode": opcode,
        "rejected_task_tag": None if tag == RESERVED_TAG else tag,
    }


def _snack_detail(header: npt.NDArray[np.uint8]) -> dict[str, object]:
    request = view(header, SNACK_REQUEST)[0]
    return {
        "type": name_of(SNACK_TYPES, int(request["flags"]) & _SNACK_TYPE_MASK),
        "begin_run": int(request["beg_run"]),
        "run_length": int(request["run_length"]),
    }

"""Events that one PDU or one row shows by itself: messages, rejects, SNACKs, digest errors, gaps.

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
from analyzer.timeline.events import EventLog

_SNACK_TYPE_MASK = 0x0F

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

"""Sense data: the key and the two additional codes, from either format, and what they are called.

Decides nothing about tasks. Reads fixed format (response codes 70h, 71h) and descriptor format
(72h, 73h) as in SPC-4 section 4.5; any other format has no sense here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNIT_ATTENTION = 0x6
ABORTED_COMMAND = 0xB

SENSE_KEYS: dict[int, str] = {
    0x0: "NO SENSE",
    0x1: "RECOVERED ERROR",
    0x2: "NOT READY",
    0x3: "MEDIUM ERROR",
    0x4: "HARDWARE ERROR",
    0x5: "ILLEGAL REQUEST",
    UNIT_ATTENTION: "UNIT ATTENTION",
    0x7: "DATA PROTECT",
    0x8: "BLANK CHECK",
    0x9: "VENDOR SPECIFIC",
    0xA: "COPY ABORTED",
    ABORTED_COMMAND: "ABORTED COMMAND",
    0xD: "VOLUME OVERFLOW",
    0xE: "MISCOMPARE",
    0xF: "COMPLETED",
}

# (ASC, ASCQ) that sessions, paths, reservations and resets bring about (SPC-4 annex F).
ADDITIONAL_SENSE: dict[tuple[int, int], str] = {
    (0x00, 0x00): "no additional sense information",
    (0x04, 0x00): "logical unit not ready",
    (0x04, 0x01): "logical unit is becoming ready",
    (0x04, 0x0A): "asymmetric access state transition",
    (0x04, 0x0B): "target port in standby state",
    (0x04, 0x0C): "target port in unavailable state",
    (0x04, 0x12): "logical unit offline",
    (0x0C, 0x0C): "write error, unexpected unsolicited data",
    (0x0C, 0x0D): "write error, not enough unsolicited data",
    (0x1D, 0x00): "miscompare during verify operation",
    (0x20, 0x00): "invalid command operation code",
    (0x21, 0x00): "logical block address out of range",
    (0x24, 0x00): "invalid field in CDB",
    (0x25, 0x00): "logical unit not supported",
    (0x26, 0x00): "invalid field in parameter list",
    (0x26, 0x04): "invalid release of persistent reservation",
    (0x27, 0x00): "write protected",
    (0x28, 0x00): "not ready to ready change, medium may have changed",
    (0x29, 0x00): "power on, reset, or bus device reset occurred",
    (0x29, 0x01): "power on occurred",
    (0x29, 0x02): "SCSI bus reset occurred",
    (0x29, 0x03): "bus device reset function occurred",
    (0x29, 0x04): "device internal reset",
    (0x29, 0x07): "I_T nexus loss occurred",
    (0x2A, 0x00): "parameters changed",
    (0x2A, 0x01): "mode parameters changed",
    (0x2A, 0x03): "reservations preempted",
    (0x2A, 0x04): "reservations released",
    (0x2A, 0x05): "registrations preempted",
    (0x2A, 0x06): "asymmetric access state changed",
    (0x2A, 0x07): "implicit asymmetric access state transition failed",
    (0x2A, 0x09): "capacity data has changed",
    (0x2F, 0x00): "commands cleared by another initiator",
    (0x3A, 0x00): "medium not present",
    (0x3F, 0x03): "inquiry data has changed",
    (0x3F, 0x0E): "reported LUNs data has changed",
    (0x44, 0x00): "internal target failure",
    (0x47, 0x03): "information unit iuCRC error detected",
    (0x47, 0x05): "protocol service CRC error",
    (0x4B, 0x00): "data phase error",
    (0x55, 0x04): "insufficient registration resources",
}

_FIXED = (0x70, 0x71)
_DESCRIPTOR = (0x72, 0x73)
_LENGTH_FIELD_BYTES = 2


@dataclass(frozen=True, slots=True)
class SenseColumns:
    """Sense of n responses, shape (n,) each; without sense, ``has_sense`` is false and the rest 0."""

    has_sense: npt.NDArray[np.bool_]
    sense_key: npt.NDArray[np.uint8]
    asc: npt.NDArray[np.uint8]
    ascq: npt.NDArray[np.uint8]


def decode_sense(
    segments: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> SenseColumns:
    """Sense from data segments of SCSI Responses: a two-byte SenseLength, then the sense data.

    ``offsets`` and ``lengths``, shape (n,), say where in ``segments`` each data segment lies; a length
    that reaches beyond it counts as far as bytes are there (RFC 7143 section 11.4.7).
    """
    room = np.minimum(lengths, len(segments) - offsets)
    declared = _byte(segments, offsets, room, 0).astype(np.int64) << 8
    declared |= _byte(segments, offsets, room, 1)
    length = np.minimum(declared, room - _LENGTH_FIELD_BYTES)
    start = offsets + _LENGTH_FIELD_BYTES
    response_code = _byte(segments, start, length, 0) & 0x7F
    is_fixed = np.isin(response_code, _FIXED) & (length > 2)
    is_descriptor = np.isin(response_code, _DESCRIPTOR) & (length > 3)
    key = np.where(is_fixed, _byte(segments, start, length, 2), _byte(segments, start, length, 1)) & 0x0F
    asc = np.where(is_fixed, _byte(segments, start, length, 12), _byte(segments, start, length, 2))
    ascq = np.where(is_fixed, _byte(segments, start, length, 13), _byte(segments, start, length, 3))
    has_sense = is_fixed | is_descriptor
    none = np.uint8(0)
    return SenseColumns(
        has_sense,
        np.where(has_sense, key, none),
        np.where(has_sense, asc, none),
        np.where(has_sense, ascq, none),
    )


def sense_key_name(key: int) -> str:
    """The name of a sense key, or its number."""
    return SENSE_KEYS.get(key, f"sense key {key:X}h")


def additional_sense_name(asc: int, ascq: int) -> str:
    """What an additional sense code and qualifier say, or their numbers."""
    return ADDITIONAL_SENSE.get((asc, ascq), f"additional sense {asc:02X}h/{ascq:02X}h")


def _byte(
    segments: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    position: int,
) -> npt.NDArray[np.uint8]:
    """Byte ``position`` of each stretch, 0 where the stretch is too short; shape (n,)."""
    is_there = position < lengths
    values = np.zeros(len(offsets), np.uint8)
    values[is_there] = segments[offsets[is_there] + position]
    return values

"""What a Basic Header Segment looks like, and whether its numbers go on from the ones before it.

Decides whether 48 bytes may be a PDU header, from the bits that RFC 7143 section 11 reserves or fixes and
from relations between its fields. Knows nothing of streams and positions; framing asks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, big_24, big_32, wide
from analyzer.compilation import njit
from analyzer.iscsi.opcodes import Opcode

INITIATOR, TARGET = 1, 2
NOT_A_HEADER = -1

LARGEST_SEARCHED_DATA_BYTES = 4 << 20
"""A longer data segment is legal, but no reason to believe in a header found by searching."""

_NEAR = 1 << 15
"""How far CmdSN and StatSN may have moved while bytes were missing."""

# Opcode -> bytes or ranges of bytes that are reserved whole; byte 1 is declared apart. Fields that targets
# in the field are known to fill although they are reserved (LUN of a response) are not listed.
_DATA_LENGTH = (5, 8)
_RESERVED_BYTES: dict[Opcode, tuple[tuple[int, int], ...]] = {
    Opcode.NOP_OUT: ((2, 5), (32, 48)),
    Opcode.SCSI_COMMAND: ((2, 4),),
    Opcode.TASK_MANAGEMENT_REQUEST: ((2, 5), _DATA_LENGTH, (40, 48)),
    Opcode.LOGIN_REQUEST: ((2, 5), (22, 24), (32, 48)),
    Opcode.TEXT_REQUEST: ((2, 5), (32, 48)),
    Opcode.DATA_OUT: ((2, 5), (24, 28), (32, 36), (44, 48)),
    Opcode.LOGOUT_REQUEST: ((2, 5), _DATA_LENGTH, (22, 24), (32, 48)),
    Opcode.SNACK_REQUEST: ((2, 5), _DATA_LENGTH, (24, 28), (32, 40)),
    Opcode.NOP_IN: ((2, 5), (36, 48)),
    Opcode.SCSI_RESPONSE: ((4, 5),),
    Opcode.TASK_MANAGEMENT_RESPONSE: ((3, 5), _DATA_LENGTH, (36, 48)),
    Opcode.LOGIN_RESPONSE: ((2, 5), (20, 24), (38, 48)),
    Opcode.TEXT_RESPONSE: ((2, 5), (36, 48)),
    Opcode.DATA_IN: ((2, 3), (4, 5)),
    Opcode.LOGOUT_RESPONSE: ((3, 5), _DATA_LENGTH),
    Opcode.R2T: ((2, 5), _DATA_LENGTH),
    Opcode.ASYNC_MESSAGE: ((2, 5),),
    Opcode.REJECT: ((3, 5),),
}

# Opcode -> (bits of byte 1 that are reserved, bits that are always set).
_FLAG_BITS: dict[Opcode, tuple[int, int]] = {
    Opcode.NOP_OUT: (0x7F, 0x80),
    Opcode.SCSI_COMMAND: (0x18, 0x00),
    Opcode.TASK_MANAGEMENT_REQUEST: (0x70, 0x80),
    Opcode.LOGIN_REQUEST: (0x30, 0x00),
    Opcode.TEXT_REQUEST: (0x3F, 0x00),
    Opcode.DATA_OUT: (0x7F, 0x00),
    Opcode.LOGOUT_REQUEST: (0x7C, 0x80),
    Opcode.SNACK_REQUEST: (0x70, 0x80),
    Opcode.NOP_IN: (0x7F, 0x80),
    Opcode.SCSI_RESPONSE: (0x61, 0x80),
    Opcode.TASK_MANAGEMENT_RESPONSE: (0x7F, 0x80),
    Opcode.LOGIN_RESPONSE: (0x30, 0x00),
    Opcode.TEXT_RESPONSE: (0x3F, 0x00),
    Opcode.DATA_IN: (0x38, 0x00),
    Opcode.LOGOUT_RESPONSE: (0x7F, 0x80),
    Opcode.R2T: (0x7F, 0x80),
    Opcode.ASYNC_MESSAGE: (0x7F, 0x80),
    Opcode.REJECT: (0x7F, 0x80),
}


def _bit_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """By the whole of byte 0: reserved bits of each header byte, shape (256, 48), and fixed ones of byte 1.

    A row of an unknown opcode is all ones, which no header with a byte 0 of that value passes.
    """
    reserved = np.full((256, 48), 0xFF, np.uint8)
    fixed = np.zeros(256, np.uint8)
    for opcode, ranges in _RESERVED_BYTES.items():
        # The immediate bit exists in requests only.
        for first_byte in (opcode, opcode | 0x40) if opcode < 0x20 else (opcode,):
            reserved[first_byte] = 0
            for begin, end in ranges:
                reserved[first_byte, begin:end] = 0xFF
            reserved[first_byte, 1], fixed[first_byte] = _FLAG_BITS[opcode]
    return reserved, fixed


_RESERVED, _FIXED = _bit_tables()

_COMMAND, _LOGIN, _DATA_OUT, _SNACK = (
    int(Opcode.SCSI_COMMAND),
    int(Opcode.LOGIN_REQUEST),
    int(Opcode.DATA_OUT),
    int(Opcode.SNACK_REQUEST),
)
_RESPONSE, _LOGIN_RESPONSE, _DATA_IN, _R2T, _ASYNC, _REJECT = (
    int(Opcode.SCSI_RESPONSE),
    int(Opcode.LOGIN_RESPONSE),
    int(Opcode.DATA_IN),
    int(Opcode.R2T),
    int(Opcode.ASYNC_MESSAGE),
    int(Opcode.REJECT),
)
_RESERVED_TAG = 0xFFFFFFFF
_LARGEST_WINDOW = 65_536


@njit(cache=True, nogil=True)
def role_of(opcode: int) -> int:
    """Who sends PDUs of this opcode (RFC 7143 section 11.2.1.2)."""
    return INITIATOR if opcode < 0x20 else TARGET


@njit(cache=True, nogil=True)
def may_begin(first_byte: int, flags: int) -> bool:
    """A quick look at the first two bytes of what may be a header."""
    return not flags & _RESERVED[first_byte, 1] and flags & _FIXED[first_byte] == _FIXED[first_byte]


@njit(cache=True, nogil=True)
def recognise(header: Bytes) -> int:
    """The opcode of the header, or NOT_A_HEADER where the bits cannot be one."""
    first_byte = header[0]
    if not may_begin(first_byte, header[1]):
        return NOT_A_HEADER
    for byte in range(2, 48):
        if header[byte] & _RESERVED[first_byte, byte]:
            return NOT_A_HEADER
    opcode = wide(first_byte & 0x3F)
    flags = wide(header[1])
    data_bytes = big_24(header, 5)
    task_tag = big_32(header, 16)
    if opcode in (_LOGIN, _LOGIN_RESPONSE):
        is_sound = _is_sound_login(flags, data_bytes) and (opcode == _LOGIN or header[36] <= 3)
    elif opcode >= 0x20:
        # MaxCmdSN may be one below ExpCmdSN, never more (RFC 7143 section 4.2.2.1).
        window = (big_32(header, 32) - big_32(header, 28) + 1) & 0xFFFFFFFF
        is_sound = window <= _LARGEST_WINDOW and _is_sound_response(header, opcode, flags, task_tag)
    else:
        is_sound = _is_sound_request(header, opcode, flags, data_bytes, task_tag)
    return opcode if is_sound else NOT_A_HEADER


@njit(cache=True, nogil=True)
def _is_sound_login(flags: int, data_bytes: int) -> bool:
    """Stages of RFC 7143 section 11.12: security 0, operational 1, full feature 3."""
    current, following = (flags >> 2) & 3, flags & 3
    if current > 1 or data_bytes > 65_536 or flags & 0xC0 == 0xC0:
        return False
    return not flags & 0x80 or (following != 2 and following > current)


@njit(cache=True, nogil=True)
def _is_sound_request(header: Bytes, opcode: int, flags: int, data_bytes: int, task_tag: int) -> bool:
    if opcode == _COMMAND:
        if flags & 7 > 4 or task_tag == _RESERVED_TAG or header[4] > 64:
            return False
        return data_bytes == 0 or (flags & 0x20 != 0 and data_bytes <= big_32(header, 20))
    return opcode != _DATA_OUT or task_tag != _RESERVED_TAG


@njit(cache=True, nogil=True)
def _is_sound_response(header: Bytes, opcode: int, flags: int, task_tag: int) -> bool:
    if opcode in (_ASYNC, _REJECT):
        return task_tag == _RESERVED_TAG
    if opcode in (_DATA_IN, _R2T, _RESPONSE) and task_tag == _RESERVED_TAG:
        return False
    if opcode == _DATA_IN:
        return not flags & 0x01 or flags & 0x80 != 0
    if opcode == _R2T:
        return big_32(header, 20) != _RESERVED_TAG and big_32(header, 44) > 0
    return opcode != _RESPONSE or header[2] < 2 or header[2] >= 0x80


@njit(cache=True, nogil=True)
def is_common(opcode: int, task_tag: int) -> bool:
    """Whether a header may be believed in the middle of other bytes: I/O of a task with a tag."""
    return opcode in (_COMMAND, _DATA_OUT, _RESPONSE, _DATA_IN, _R2T) and task_tag != 0


@njit(cache=True, nogil=True)
def has_command_number(opcode: int) -> bool:
    """Whether bytes 24 (request, CmdSN) or 28 (response, ExpCmdSN) number commands."""
    return opcode >= 0x20 or (opcode not in (_DATA_OUT, _SNACK))


@njit(cache=True, nogil=True)
def has_status_number(opcode: int, flags: int) -> bool:
    """Whether there is a StatSN (of a response) or an ExpStatSN (of a request)."""
    return opcode != _DATA_IN or flags & 0x01 != 0


@njit(cache=True, nogil=True)
def is_near(number: int, known: int) -> bool:
    """Whether two serial numbers lie so near each other that one counter may have had both values."""
    return (number - known + _NEAR) & 0xFFFFFFFF < 2 * _NEAR

"""PDUs to bytes and back, by the layouts that ``analyzer.iscsi.headers`` declares.

Field offsets are not written here a second time: each layout becomes a table of packers. Does not know
sockets, digests or sessions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from analyzer.iscsi import headers
from analyzer.iscsi.headers import FINAL_BIT, HEADER_BYTES, IMMEDIATE_BIT, OPCODE_MASK
from analyzer.iscsi.opcodes import Opcode

_NUMBERS = {1: ">B", 2: ">H", 4: ">I", 8: ">Q"}
Packers = dict[str, tuple[struct.Struct, int]]


def _packers(layout: np.dtype[np.void]) -> Packers:
    """For each field of a layout how it is packed and where it stands."""
    packers: Packers = {}
    for name, (kind, offset, *_) in (layout.fields or {}).items():
        form = _NUMBERS[kind.itemsize] if kind.kind == "u" else f"{kind.itemsize}s"
        packers[name] = (struct.Struct(form), offset)
    return packers


_BASIC = _packers(headers.BASIC)
_LAYOUTS: dict[Opcode, Packers] = {
    opcode: _packers(layout)
    for opcode, layout in (
        (Opcode.NOP_OUT, headers.NOP_OUT),
        (Opcode.SCSI_COMMAND, headers.SCSI_COMMAND),
        (Opcode.TASK_MANAGEMENT_REQUEST, headers.TASK_MANAGEMENT_REQUEST),
        (Opcode.LOGIN_REQUEST, headers.LOGIN_REQUEST),
        (Opcode.DATA_OUT, headers.DATA_OUT),
        (Opcode.LOGOUT_REQUEST, headers.LOGOUT_REQUEST),
        (Opcode.NOP_IN, headers.NOP_IN),
        (Opcode.SCSI_RESPONSE, headers.SCSI_RESPONSE),
        (Opcode.TASK_MANAGEMENT_RESPONSE, headers.TASK_MANAGEMENT_RESPONSE),
        (Opcode.LOGIN_RESPONSE, headers.LOGIN_RESPONSE),
        (Opcode.DATA_IN, headers.DATA_IN),
        (Opcode.LOGOUT_RESPONSE, headers.LOGOUT_RESPONSE),
        (Opcode.R2T, headers.R2T),
        (Opcode.ASYNC_MESSAGE, headers.ASYNC_MESSAGE),
        (Opcode.REJECT, headers.REJECT),
    )
}
FROM_TARGET = frozenset(opcode for opcode, packers in _LAYOUTS.items() if "max_cmd_sn" in packers)
"""Opcodes that a target may send and that are understood here."""


class ProtocolError(Exception):
    """The other side sent what cannot be, or a digest does not fit; the connection is of no use any more."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU: its 48 header bytes and its data segment without padding. ``pdu["name"]`` reads a field."""

    header: bytes
    data: bytes | memoryview = b""
    opcode: Opcode = field(init=False)

    def __post_init__(self) -> None:
        code = self.header[0] & OPCODE_MASK
        try:
            object.__setattr__(self, "opcode", Opcode(code))
        except ValueError:
            raise ProtocolError(f"opcode {code:02x} is none that is known") from None

    def __getitem__(self, name: str) -> int:
        """A numeric field. Raises KeyError where the PDU's layout has none of that name."""
        packer, offset = _LAYOUTS.get(self.opcode, _BASIC)[name]
        value: int = packer.unpack_from(self.header, offset)[0]
        return value

    @property
    def is_final(self) -> bool:
        """The F bit."""
        return bool(self["flags"] & FINAL_BIT)


def encode(
    opcode: Opcode,
    *,
    flags: int = FINAL_BIT,
    is_immediate: bool = False,
    data: bytes | memoryview = b"",
    **fields: int | bytes,
) -> Pdu:
    """A PDU of ``opcode`` with ``fields`` set, everything else zero. Raises KeyError for an unknown field."""
    header = bytearray(HEADER_BYTES)
    packers = _LAYOUTS[opcode]
    fields |= {"opcode_byte": opcode | (IMMEDIATE_BIT if is_immediate else 0), "flags": flags}
    fields |= {"data_length_high": len(data) >> 16, "data_length_low": len(data) & 0xFFFF}
    for name, value in fields.items():
        packer, offset = packers[name]
        packer.pack_into(header, offset, value)
    return Pdu(bytes(header), data)


def segment_lengths(header: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Bytes of the additional headers and of the data segment that follow a header, without padding."""
    words, high, low = (_BASIC[name] for name in ("total_ahs_length", "data_length_high", "data_length_low"))
    additional: int = 4 * words[0].unpack_from(header, words[1])[0]
    length: int = (high[0].unpack_from(header, high[1])[0] << 16) | low[0].unpack_from(header, low[1])[0]
    return additional, length


def encode_lun(number: int) -> int:
    """The LUN field of a unit below 256: peripheral device addressing, bus 0 (SAM-5 section 4.7.7.4)."""
    return number << 48

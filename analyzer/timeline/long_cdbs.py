"""CDBs longer than sixteen bytes: put together from the header and its Additional Header Segment.

Decides where in an AHS the rest of a CDB stands (RFC 7143 section 11.2.2.3); what it says is decided in
``scsi.operations``. Such commands are rare, so each is looked at by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import PduColumns
from analyzer.scsi.operations import (
    CDB_BYTES,
    LONG_CDB_BYTES,
    VARIABLE_LENGTH,
    CdbColumns,
    decode_cdbs,
)

Int64s = npt.NDArray[np.int64]

_EXTENDED_CDB = 0x01
_TYPE_MASK = 0x3F
_HEAD_BYTES = 3
"""AHSLength (16 bits) and AHSType; what AHSLength counts begins with one reserved byte."""


@dataclass(frozen=True, slots=True)
class LongCdbs:
    """The long CDBs among those of n commands."""

    rows: Int64s
    """Which commands have one, shape (k,)."""
    cdbs: npt.NDArray[np.uint8]
    """Shape (k, 32), zeros behind what was sent."""


def long_cdbs(pdus: PduColumns, commands: Int64s, cdbs: npt.NDArray[np.uint8]) -> LongCdbs:
    """Long CDBs of the command PDUs ``commands``, shape (n,); ``cdbs``, (n, 16), are their beginnings."""
    has_more = (cdbs[:, 0] == VARIABLE_LENGTH) & (pdus.ahs_bytes[commands] > 0)
    found = []
    rows = []
    for row in np.flatnonzero(has_more).tolist():
        pdu = int(commands[row])
        start = int(pdus.segment_offset[pdu])
        rest = extended_bytes(pdus.segments[start : start + int(pdus.ahs_bytes[pdu])].tobytes())
        if rest:
            rows.append(row)
            whole = cdbs[row].tobytes() + rest
            found.append(np.frombuffer(whole.ljust(LONG_CDB_BYTES, b"\0")[:LONG_CDB_BYTES], np.uint8))
    empty = np.zeros((0, LONG_CDB_BYTES), np.uint8)
    return LongCdbs(np.array(rows, np.int64), np.stack(found) if found else empty)


def extended_bytes(headers: bytes) -> bytes:
    """The rest of the CDB in a run of Additional Header Segments, empty where there is none."""
    at = 0
    while at + _HEAD_BYTES < len(headers):
        length = int.from_bytes(headers[at : at + 2], "big")
        if headers[at + 2] & _TYPE_MASK == _EXTENDED_CDB:
            return headers[at + _HEAD_BYTES + 1 : at + _HEAD_BYTES + max(length, 1)]
        # Each AHS is padded to four bytes.
        at += -(-(_HEAD_BYTES + max(length, 1)) // 4) * 4
    return b""


def measure_long(columns: CdbColumns, long: LongCdbs) -> None:
    """Put LBA and length of long CDBs into the columns of all commands."""
    if not len(long.rows):
        return
    assert long.cdbs.shape[1] > CDB_BYTES
    measured = decode_cdbs(long.cdbs)
    columns.lba[long.rows], columns.has_lba[long.rows] = measured.lba, measured.has_lba
    columns.blocks[long.rows], columns.has_blocks[long.rows] = measured.blocks, measured.has_blocks

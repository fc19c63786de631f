"""CRC32C, the digest of iSCSI headers and data (RFC 7143 section 13.1; polynomial of RFC 3720 section 12.1).

Works on bytes as they come, so that a digest is computed over segments without joining them.
The four bytes on the wire are the result with its least significant byte first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, little_32, wide
from analyzer.compilation import njit
from analyzer.iscsi.crc_instruction import IS_USABLE, crc32c_step

CRC_START = 0xFFFFFFFF
_REFLECTED_POLYNOMIAL = 0x82F63B78
_SLICES = 8


def _tables() -> npt.NDArray[np.int64]:
    """Shape (8, 256): what a byte leaves behind after 1 to 8 bytes more."""
    tables = np.zeros((_SLICES, 256), np.int64)
    value = np.arange(256, dtype=np.int64)
    for _ in range(8):
        value = np.where(value & 1, (value >> 1) ^ _REFLECTED_POLYNOMIAL, value >> 1)
    tables[0] = value
    for index in range(1, _SLICES):
        tables[index] = (tables[index - 1] >> 8) ^ tables[0][tables[index - 1] & 0xFF]
    return tables


_TABLES = _tables()


@njit(cache=True, nogil=True)
def crc32c_byte(crc: int, value: int) -> int:
    """The running value after one byte."""
    return (crc >> 8) ^ _TABLES[0, (crc ^ value) & 0xFF]


@njit(cache=True, nogil=True)
def crc32c_by_tables(crc: int, data: Bytes, at: int, end: int) -> int:
    """The running value after ``data[at:end]``, eight table look-ups for eight bytes."""
    t = _TABLES
    while at + 8 <= end:
        low = crc ^ little_32(data, at)
        high = little_32(data, at + 4)
        crc = (
            t[7, low & 0xFF]
            ^ t[6, (low >> 8) & 0xFF]
            ^ t[5, (low >> 16) & 0xFF]
            ^ t[4, low >> 24]
            ^ t[3, high & 0xFF]
            ^ t[2, (high >> 8) & 0xFF]
            ^ t[1, (high >> 16) & 0xFF]
            ^ t[0, high >> 24]
        )
        at += 8
    while at < end:
        crc = crc32c_byte(crc, wide(data[at]))
        at += 1
    return crc


@njit(cache=True, nogil=True)
def crc32c_by_instruction(crc: int, data: Bytes, at: int, end: int) -> int:
    """The same by the processor's own instruction."""
    while at + 8 <= end:
        crc = crc32c_step(crc, little_32(data, at) | (little_32(data, at + 4) << 32))
        at += 8
    while at < end:
        crc = crc32c_byte(crc, wide(data[at]))
        at += 1
    return crc


crc32c_more = crc32c_by_instruction if IS_USABLE else crc32c_by_tables
"""The running value after ``data[at:end]``; begin with CRC_START, end with ``crc32c_end``."""


@njit(cache=True, nogil=True)
def crc32c_end(crc: int) -> int:
    """The digest as ``little_32`` reads it from the wire."""
    return crc ^ 0xFFFFFFFF

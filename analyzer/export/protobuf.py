"""Messages in the wire format of Protocol Buffers, which is all that a writer of traces needs of it.

Decides nothing about any message: field numbers come from the caller. The format is
https://protobuf.dev/programming-guides/encoding. The ``put_`` functions fill a buffer that
the caller made large enough, for use in compiled loops; the others make ``bytes``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Bytes = npt.NDArray[np.uint8]

VARINT_BYTES = 10
LENGTH_BYTES = 2
"""Of a message whose length is filled in later; enough for 16,383 bytes."""
_VARINT, _LENGTH_DELIMITED = 0, 2


@njit(cache=True, nogil=True)
def put_varint(buffer: Bytes, at: int, value: int) -> int:
    """Write a number of 0 or more as a varint; gives the place behind it."""
    rest = np.uint64(value)
    while rest >= np.uint64(0x80):
        buffer[at] = np.uint8(rest & np.uint64(0x7F)) | np.uint8(0x80)
        rest >>= np.uint64(7)
        at += 1
    buffer[at] = np.uint8(rest)
    return at + 1


@njit(cache=True, nogil=True)
def put_number(buffer: Bytes, at: int, field: int, value: int) -> int:
    """Write one integer field; gives the place behind it."""
    return put_varint(buffer, put_varint(buffer, at, field << 3), value)


@njit(cache=True, nogil=True)
def open_message(buffer: Bytes, at: int, field: int) -> int:
    """Write the head of a message inside another, its length left open; gives where its content begins."""
    return put_varint(buffer, at, field << 3 | 2) + LENGTH_BYTES


@njit(cache=True, nogil=True)
def close_message(buffer: Bytes, begin: int, at: int) -> int:
    """Fill in the length of the message whose content runs from ``begin`` to ``at``; gives ``at``.

    The length is written in two bytes even where one would do, which readers accept.
    """
    length = at - begin
    buffer[begin - 2] = np.uint8(length & 0x7F) | np.uint8(0x80)
    buffer[begin - 1] = np.uint8(length >> 7)
    return at


def varint(value: int) -> bytes:
    """A number of 0 or more as a varint."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def number(field: int, value: int) -> bytes:
    """One integer field."""
    return varint(field << 3 | _VARINT) + varint(value)


def text(field: int, value: str) -> bytes:
    """One text field."""
    return message(field, value.encode())


def message(field: int, *parts: bytes) -> bytes:
    """One message (or bytes) as a field."""
    content = b"".join(parts)
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content

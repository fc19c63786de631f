"""Integers out of bytes, for compiled code: one function per width and byte order.

Callers have checked that the bytes exist. Every result is an int64, so that compiled and
uncompiled runs compute alike (a NumPy byte shifted as a byte would lose its bits).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Bytes = npt.NDArray[np.uint8]


@njit(cache=True, nogil=True)
def wide(value: Any) -> int:
    """``value`` as an int64, whatever its width was."""
    return np.int64(value)  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def big_16(data: Bytes, at: int) -> int:
    """Two bytes at ``at``, most significant first."""
    return (wide(data[at]) << 8) | wide(data[at + 1])


@njit(cache=True, nogil=True)
def big_24(data: Bytes, at: int) -> int:
    """Three bytes at ``at``, most significant first."""
    return (wide(data[at]) << 16) | (wide(data[at + 1]) << 8) | wide(data[at + 2])


@njit(cache=True, nogil=True)
def big_32(data: Bytes, at: int) -> int:
    """Four bytes at ``at``, most significant first; never negative."""
    return (
        (wide(data[at]) << 24) | (wide(data[at + 1]) << 16) | (wide(data[at + 2]) << 8) | wide(data[at + 3])
    )


@njit(cache=True, nogil=True)
def big_64(data: Bytes, at: int) -> int:
    """Eight bytes at ``at`` as they would stand in a signed 64-bit integer."""
    return (big_32(data, at) << 32) | big_32(data, at + 4)


@njit(cache=True, nogil=True)
def little_32(data: Bytes, at: int) -> int:
    """Four bytes at ``at``, least significant first; never negative."""
    return (
        wide(data[at]) | (wide(data[at + 1]) << 8) | (wide(data[at + 2]) << 16) | (wide(data[at + 3]) << 24)
    )


@njit(cache=True, nogil=True)
def unsigned_16(data: Bytes, at: int, is_big: int) -> int:
    """Two bytes at ``at`` in the byte order that ``is_big`` names."""
    if is_big:
        return big_16(data, at)
    return wide(data[at]) | (wide(data[at + 1]) << 8)


@njit(cache=True, nogil=True)
def unsigned_32(data: Bytes, at: int, is_big: int) -> int:
    """Four bytes at ``at`` in the byte order that ``is_big`` names."""
    if is_big:
        return big_32(data, at)
    return little_32(data, at)

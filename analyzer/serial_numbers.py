"""Serial number arithmetic on 32 bits (RFC 1982, used by RFC 7143 section 4.2.2.1 for every SN).

Scalar functions are plain Python so that compiled code can wrap them with ``numba.njit``;
the column functions work on whole arrays. Nothing here knows which counter it is given.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HALF = 1 << 31
MASK = (1 << 32) - 1


def serial_difference(a: int, b: int) -> int:
    """``a - b`` as the signed 32-bit distance from ``b`` to ``a``."""
    distance = (a - b) & MASK
    return distance - (1 << 32) if distance >= HALF else distance


def serial_less(a: int, b: int) -> bool:
    """Whether ``a`` comes before ``b``; false for equal numbers and for ones 2**31 apart."""
    return 0 < ((b - a) & MASK) < HALF


def serial_max(a: int, b: int) -> int:
    """The later of two serial numbers."""
    return b if serial_less(a, b) else a


def unwrap(numbers: npt.NDArray[np.uint32], start: int | None = None) -> npt.NDArray[np.int64]:
    """Serial numbers as growing 64-bit integers, each taken relative to the one before it.

    ``numbers`` has shape (n,); neighbours must lie within 2**31 of each other. The result
    keeps ``numbers`` modulo 2**32 and may fall where the input steps backwards.
    ``start`` is the value the first is taken relative to; without it the first is kept.
    """
    if numbers.size == 0:
        return np.zeros(0, np.int64)
    base = int(numbers[0]) if start is None else start
    steps = np.diff(numbers.astype(np.int64), prepend=np.int64(base))
    near = np.mod(steps + HALF, 1 << 32) - HALF
    return np.asarray(base + np.cumsum(near), dtype=np.int64)

"""Small numbers for large keys, so that what is known of a key can stand in an array.

Decides nothing: equal keys get equal numbers, in order of first appearance. Knows no protocol.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_FREE = -1
# An odd number near 2**32 / golden ratio spreads neighbouring keys over the table (Knuth, volume 3, 6.4).
_SPREAD = 0x9E3779B1
_FOLD = (1 << 31) - 1  # Times _SPREAD this still fits into 63 bits.


def number_keys(keys: Int64s) -> tuple[Int32s, int]:
    """The number of each key, shape (n,), and how many different keys there are."""
    slots = 16
    while slots < 2 * len(keys):
        slots *= 2
    numbers = np.empty(len(keys), np.int32)
    count = _number(np.ascontiguousarray(keys), np.full(slots, _FREE, np.int32), numbers)
    return numbers, int(count)


@njit(cache=True, nogil=True)
def _number(keys: Int64s, table: Int32s, numbers: Int32s) -> int:
    """Open addressing; ``table`` holds the first place of the key that lives in each slot."""
    count = 0
    mask = len(table) - 1
    for place in range(len(keys)):
        folded = (keys[place] ^ (keys[place] >> 31)) & _FOLD
        slot = ((folded * _SPREAD) >> 15) & mask
        while table[slot] != _FREE and keys[table[slot]] != keys[place]:
            slot = (slot + 1) & mask
        if table[slot] == _FREE:
            table[slot] = place
            numbers[place] = count
            count += 1
        else:
            numbers[place] = numbers[table[slot]]
    return count

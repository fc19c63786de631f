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
# Odd numbers that spread neighbouring keys over the table, the first near 2**31 / golden ratio (Knuth, volume
# 3, 6.4). Times half a key they still fit into 63 bits.
_SPREAD_LOW, _SPREAD_HIGH = 0x4F1BBCDD, 0x2545F491
_WORD = (1 << 32) - 1

_FIRST_SLOTS = 1 << 12


def number_keys(keys: Int64s) -> tuple[Int32s, int]:
    """The number of each key, shape (n,), and how many different keys there are.

    Takes memory for the different keys, not for all of them.
    """
    keys = np.ascontiguousarray(keys)
    numbers = np.empty(len(keys), np.int32)
    firsts = np.empty(_FIRST_SLOTS // 2, np.int32)
    place = count = 0
    while True:
        firsts = np.resize(firsts, 2 * len(firsts))
        table = np.full(2 * len(firsts), _FREE, np.int32)
        place, count = _number(keys, place, table, firsts, count, numbers)
        if place == len(keys):
            return numbers, int(count)


@njit(cache=True, nogil=True)
def _number(
    keys: Int64s, begin: int, table: Int32s, firsts: Int32s, count: int, numbers: Int32s
) -> tuple[int, int]:
    """Number the keys from ``begin`` on: the first place that is left for a larger table, and the count.

    Open addressing: ``table`` holds the number of the key that lives in each slot, and ``firsts`` the
    first place of each number. ``table`` is filled with the ``count`` keys known so far.
    """
    mask = len(table) - 1
    shift = 32
    while mask >> (32 - shift):
        shift -= 1
    for number in range(count):
        slot = _slot(keys[firsts[number]], shift, mask)
        while table[slot] != _FREE:
            slot = (slot + 1) & mask
        table[slot] = number
    for place in range(begin, len(keys)):
        key = keys[place]
        slot = _slot(key, shift, mask)
        while table[slot] != _FREE and keys[firsts[table[slot]]] != key:
            slot = (slot + 1) & mask
        if table[slot] == _FREE:
            if count == len(firsts):
                return place, count
            firsts[count] = place
            table[slot] = count
            count += 1
        numbers[place] = table[slot]
    return len(keys), count


@njit(cache=True, nogil=True)
def _slot(key: int, shift: int, mask: int) -> int:
    """Where the search for a key begins: as many upper bits of the mixed halves as ``mask`` has."""
    mixed = (key & _WORD) * _SPREAD_LOW ^ ((key >> 32) & (_WORD >> 1)) * _SPREAD_HIGH
    return (mixed & _WORD) >> shift & mask

"""Which of too many marks a page keeps, and where bars are stacked: never the extremes are lost.

Works on plain arrays. What was left out is said by the section that left it out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Int64s = npt.NDArray[np.int64]


def keep(rank: npt.NDArray[np.float64] | Int64s, limit: int) -> npt.NDArray[np.intp]:
    """Indexes, ascending, of at most ``limit`` of the rows of ``rank``, shape (n,).

    All of them where they are no more; else a quarter by highest rank and the rest evenly spread
    over the others.
    """
    total = len(rank)
    if total <= limit:
        return np.arange(total)
    extremes = np.argpartition(rank, total - limit // 4)[total - limit // 4 :]
    is_extreme = np.zeros(total, np.bool_)
    is_extreme[extremes] = True
    others = np.flatnonzero(~is_extreme)
    spread = others[np.linspace(0, len(others) - 1, limit - len(extremes)).astype(np.intp)]
    return np.sort(np.concatenate([extremes, spread]))


def spread_ranks(total: int, limit: int) -> npt.NDArray[np.intp]:
    """At most ``limit`` places in a sorted column of ``total``, for its cumulative distribution.

    Even in the middle and ever closer towards the largest, which is always there.
    """
    if total <= limit:
        return np.arange(total)
    even = np.linspace(0, total - 1, limit // 2)
    tail = total - np.geomspace(1, total, limit - limit // 2)
    return np.unique(np.concatenate([even, tail]).astype(np.intp).clip(0, total - 1))


@njit(cache=True, nogil=True)
def stack(start: Int64s, end: Int64s, slots: int) -> npt.NDArray[np.int32]:
    """The lowest free slot of each bar, shape (n,); ``start`` must not fall.

    A slot is free again from the ``end`` of its bar. Bars beyond ``slots`` at once share the last.
    """
    free_from = np.full(slots, np.iinfo(np.int64).min, np.int64)
    chosen = np.empty(len(start), np.int32)
    for bar in range(len(start)):
        slot = 0
        while slot < slots - 1 and free_from[slot] > start[bar]:
            slot += 1
        chosen[bar] = slot
        free_from[slot] = max(free_from[slot], end[bar])
    return chosen

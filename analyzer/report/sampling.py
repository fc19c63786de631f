"""Which of too many marks a page keeps: the extremes are never lost.

Works on plain arrays. What was left out is said by the section that left it out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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

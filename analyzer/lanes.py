"""Which of many things at the same time stand beside each other: the lowest free lane for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def stack(start: Int64s, end: Int64s, lanes: int) -> npt.NDArray[np.int32]:
    """The lowest free lane of each bar, shape (n,); ``start`` must not fall.

    A lane is free again from the ``end`` of its bar. Bars beyond ``lanes`` at once share the last.
    """
    free_from = np.full(lanes, np.iinfo(np.int64).min, np.int64)
    chosen = np.empty(len(start), np.int32)
    for bar in range(len(start)):
        lane = 0
        while lane < lanes - 1 and free_from[lane] > start[bar]:
            lane += 1
        chosen[bar] = lane
        free_from[lane] = max(free_from[lane], end[bar])
    return chosen

"""Which commands continue where the one before them ended, in any order that commands are given in.

Decides what a sequence is: the next command to the same logical unit, in the same direction, at the
very block behind the last. Works on plain arrays and knows neither recordings nor replays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def continues(unit: Int64s, begin: Int64s, end: Int64s) -> Bools:
    """Whether each of n commands, in the given order, continues the one before of its ``unit``, shape (n,).

    ``unit`` tells apart what cannot continue each other (logical unit and direction); ``begin`` and
    ``end`` are the first block and the one behind the last.
    """
    order = np.argsort(unit, kind="stable")
    sorted_unit, sorted_begin, sorted_end = unit[order], begin[order], end[order]
    found = np.zeros(len(unit), np.bool_)
    if len(unit) > 1:
        follows = (sorted_unit[1:] == sorted_unit[:-1]) & (sorted_begin[1:] == sorted_end[:-1])
        found[order[1:]] = follows
    return found


@njit(cache=True, nogil=True)
def sorted_order(unit: Int64s, begin: Int64s, end: Int64s, queued: int) -> Int64s:
    """The order in which a target that sorts would serve n commands given in order of arrival, shape (n,).

    Of the ``queued`` commands that arrived first and are not served yet it takes the one which continues what
    it served last, else the nearest behind it, else the lowest of all (a one-way elevator).
    """
    waiting = np.empty(max(queued, 1), np.int64)
    served = np.empty(len(unit), np.int64)
    filled = 0
    arrived = 0
    last_unit, last_end = np.int64(-1), np.int64(0)
    for place in range(len(unit)):
        while filled < len(waiting) and arrived < len(unit):
            waiting[filled] = arrived
            filled += 1
            arrived += 1
        best = 0
        best_class = 3
        for slot in range(filled):
            command = waiting[slot]
            is_behind = unit[command] == last_unit and begin[command] >= last_end
            grade = 0 if is_behind and begin[command] == last_end else 1 if is_behind else 2
            if grade < best_class or (grade == best_class and begin[command] < begin[waiting[best]]):
                best, best_class = slot, grade
        chosen = waiting[best]
        served[place] = chosen
        last_unit, last_end = unit[chosen], end[chosen]
        filled -= 1
        # Those that stay keep their order of arrival.
        for slot in range(best, filled):
            waiting[slot] = waiting[slot + 1]
    return served

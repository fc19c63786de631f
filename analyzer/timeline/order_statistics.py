"""How well each session kept its commands in order: inversions, holes, stand-stills, breaches.

Decides these figures from CmdSNs and arrivals alone. Order waits themselves are those of
``command_order``; what closed the window is found in ``command_events``. Rules: RFC 7143 section 4.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.scratch import Scratch
from analyzer.timeline.command_order import OrderedRequests, numbers_of

Int64s = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StandStills:
    """Stretches in which commands of a session lay at the target for lower CmdSNs, in order of begin."""

    session: Int64s
    from_ns: Int64s
    until_ns: Int64s

    def covering(self, session: int, from_ns: int, until_ns: int) -> bool:
        """Whether stand-stills of the session take up more than half of a time."""
        begin, end = np.searchsorted(self.session, [session, session + 1])
        starts, ends = self.from_ns[begin:end], self.until_ns[begin:end]
        shared = np.minimum(ends, until_ns) - np.maximum(starts, from_ns)
        return bool(2 * shared[shared > 0].sum() > until_ns - from_ns)


@dataclass(frozen=True, slots=True)
class OrderStatistics:
    """Figures of each session, shape (sessions,), and its stand-stills."""

    arrival_inversions: Int64s
    cmd_sn_holes: Int64s
    stand_stills: Int64s
    stood_still_ns: Int64s
    longest_stand_still_ns: Int64s
    stretches: StandStills
    """Sorted by session, then by begin."""
    is_backwards: Flags
    """Requests with a lower CmdSN than one before them on their connection, shape (n,); no repetitions."""


def order_statistics(
    requests: OrderedRequests,
    connection: Int64s,
    waits: Int64s,
    repeats: Flags,
    sessions: int,
    connections: int,
    scratch: Scratch,
) -> OrderStatistics:
    """Measure n requests in order of time; ``connection``, ``waits`` and ``repeats`` have shape (n,)."""
    numbers = numbers_of(requests, sessions, scratch)
    figures = np.zeros((5, sessions), np.int64)
    stretches = np.zeros((len(numbers), 3), np.int64)
    by_arrival = scratch.moved(np.argsort(requests.arrived_ns, kind="stable"))
    count = _measure(
        by_arrival,
        requests.session,
        numbers,
        requests.arrived_ns,
        waits,
        repeats,
        np.full((2, sessions), -1, np.int64),
        np.full(sessions, -1, np.int64),
        figures,
        stretches,
    )
    stretches = stretches[:count]
    stretches = stretches[np.lexsort((stretches[:, 1], stretches[:, 0]))]
    spans = stretches[:, 2] - stretches[:, 1]
    np.add.at(figures[3], stretches[:, 0], spans)
    np.maximum.at(figures[4], stretches[:, 0], spans)
    backwards = _find_backwards(connection, numbers, repeats, np.full(connections, -1, np.int64))
    return OrderStatistics(
        figures[0],
        figures[1],
        figures[2],
        figures[3],
        figures[4],
        StandStills(*(np.ascontiguousarray(stretches[:, column]) for column in range(3))),
        backwards,
    )


@njit(cache=True, nogil=True)
def _measure(
    by_arrival: Int64s,
    session: Int64s,
    numbers: Int64s,
    arrived_ns: Int64s,
    waits: Int64s,
    repeats: Flags,
    span: Int64s,
    current: Int64s,
    figures: Int64s,
    stretches: Int64s,
) -> int:
    """``span`` holds lowest and highest number, ``current`` the open stretch of each session; -1 for none."""
    count = 0
    for place in by_arrival:
        row, number = session[place], numbers[place]
        if span[0, row] < 0:
            span[0, row], span[1, row] = number, number
        elif not repeats[place]:
            if number < span[1, row]:
                figures[0, row] += 1
            figures[1, row] -= 1
        span[0, row] = min(span[0, row], number)
        span[1, row] = max(span[1, row], number)
        if waits[place] <= 0:
            continue
        until_ns = arrived_ns[place] + waits[place]
        stretch = current[row]
        if stretch >= 0 and arrived_ns[place] <= stretches[stretch, 2]:
            stretches[stretch, 2] = max(stretches[stretch, 2], until_ns)
            continue
        stretches[count, 0], stretches[count, 1], stretches[count, 2] = row, arrived_ns[place], until_ns
        current[row] = count
        figures[2, row] += 1
        count += 1
    for row in range(span.shape[1]):
        if span[0, row] >= 0:
            figures[1, row] += span[1, row] - span[0, row]
    return count


@njit(cache=True, nogil=True)
def _find_backwards(connection: Int64s, numbers: Int64s, repeats: Flags, highest: Int64s) -> Flags:
    """``highest`` holds the highest number of each connection, -1 at first."""
    is_backwards = np.zeros(len(numbers), np.bool_)
    for place in range(len(numbers)):
        known = highest[connection[place]]
        if numbers[place] < known and not repeats[place]:
            is_backwards[place] = True
        highest[connection[place]] = max(known, numbers[place])
    return is_backwards

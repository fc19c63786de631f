"""Whether a host gave its requests to its sessions in turn, which tells their order where times do not.

Each session of a multipath device has CmdSNs of its own, so nothing numbers requests across sessions, and
where they wait unseen behind data only a span of time is known for each. But round-robin (as dm-multipath and
all others have it) leaves one order: the first of each session, then the second of each, and so on; where a
session is lost the others go on without it. It is taken where that order fits into nearly all spans. Works on
plain arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]

FEWEST_EACH = 20
"""Sessions with fewer requests may seem to take turns by chance."""
MOST_MISFITS = 0.01
TOLERANCE_NS = 100_000
"""So far recorders at several interfaces, and a host that sends on several of them, may swap two commands."""


def in_turn(member: Int64s, earliest_ns: Int64s, latest_ns: Int64s) -> Int64s | None:
    """The order of requests given to members in turn, shape (requests,); None where they were not.

    ``member`` numbers the session of each request, those of one session in order of asking; the spans have
    shape (requests,). The result lists the requests in the order in which they were asked for. A member with
    fewer requests than the others was lost when it had had them.
    """
    queues = [np.flatnonzero(member == one) for one in np.unique(member)]
    counts = [len(rows) for rows in queues]
    if len(counts) < 2 or min(counts) < FEWEST_EACH:
        return None
    least, most = min(counts), max(counts)
    middle = (earliest_ns + latest_ns) / 2
    # Whose turn is first shows in the mean over all turns, where a single span may be wide.
    queues.sort(key=lambda rows: float(middle[rows[:least]].mean()))
    if most - least == 1:
        queues.sort(key=lambda rows: -len(rows))
    order = np.full((len(queues), most), -1, np.int64)
    for place, rows in enumerate(queues):
        order[place, : len(rows)] = rows
    turns = order.T.reshape(-1)
    turns = turns[turns >= 0]
    misfits = _misfits(earliest_ns[turns], latest_ns[turns] + TOLERANCE_NS)
    return turns if misfits <= MOST_MISFITS * len(turns) else None


def asked_in_turn(turns: Int64s, asked_ns: Int64s, earliest_ns: Int64s, latest_ns: Int64s) -> Int64s:
    """The times of asking, shape (requests,), moved as little as puts those of ``turns`` in order."""
    result = asked_ns.copy()
    limits = np.minimum.accumulate(latest_ns[turns][::-1])[::-1]
    result[turns] = np.maximum.accumulate(np.clip(asked_ns[turns], earliest_ns[turns], limits))
    return result


@njit(cache=True, nogil=True)
def _misfits(earliest_ns: Int64s, latest_ns: Int64s) -> int:
    """How many spans are over before those before them have begun."""
    at, misfits = earliest_ns[0], 0
    for row in range(len(earliest_ns)):
        at = max(at, earliest_ns[row])
        if at > latest_ns[row]:
            misfits += 1
            at = latest_ns[row]
    return misfits

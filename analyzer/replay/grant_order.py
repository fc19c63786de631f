"""What a target sends first, the R2T of a write or the data of a read, told from their order on a connection.

Where the link is busy the waits before both hold queueing, and may be wrong by more than they differ. But of
two commands that came to the target at about the same time, the one that was answered first was the quicker.
Behind reads of much data that decides when a write gets its R2T. Works on plain arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.answer_order import MOST_OUT_OF_ORDER, near, order_of

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def pairs_of(connection: Int64s, arrived_ns: Int64s, r2t_ns: Int64s, data_ns: Int64s) -> tuple[Int64s, Bools]:
    """Pairs of a write and a read that arrived near each other, on one connection.

    How much later the read arrived, in ns, and whether its data went before the R2T, both of shape (pairs,).
    All arguments have shape (tasks,); ``r2t_ns`` and ``data_ns`` are when the first of each was sent, 0 where
    there was none.
    """
    leads, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    for one in np.unique(connection):
        writes = np.flatnonzero((connection == one) & (r2t_ns > 0))
        reads = np.flatnonzero((connection == one) & (data_ns > 0))
        reads = reads[np.argsort(arrived_ns[reads], kind="stable")]
        place, other = near(arrived_ns[writes], arrived_ns[reads])
        write, read = writes[place], reads[other]
        leads.append(arrived_ns[read] - arrived_ns[write])
        firsts.append(data_ns[read] < r2t_ns[write])
    return np.concatenate(leads), np.concatenate(firsts)


def granted_in_order(
    grant_ns: Int64s, writes: Bools, service_ns: Int64s, reads: Bools, pairs: tuple[Int64s, Bools]
) -> Int64s:
    """The waits before R2Ts, shape (tasks,), moved as little as keeps the order of the ``pairs``.

    They stay where they contradict few pairs, and where no difference from the service time of reads explains
    the order.
    """
    lead, is_data_first = pairs
    order = order_of(lead, is_data_first)
    if order.difference_ns is None:
        return grant_ns
    usual = int(np.median(service_ns[reads]))
    present = int(np.median(grant_ns[writes])) - usual
    if (is_data_first != (lead < present)).mean() <= MOST_OUT_OF_ORDER:
        return grant_ns
    if order.high_ns is not None and present >= order.high_ns:
        return np.minimum(grant_ns, max(0, usual + order.high_ns - 1))
    if order.low_ns is not None and present <= order.low_ns:
        return np.maximum(grant_ns, max(0, usual + order.low_ns + 1))
    return grant_ns

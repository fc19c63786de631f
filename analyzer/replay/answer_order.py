"""What the initiator did first where a status and an R2T reached it close together.

A connection is written first in, first out. Where new commands and the data that R2Ts ask for both wait
unseen, neither think time nor turnaround shows, but their order on the wire tells which was longer: data
before the command says that the command was asked for later than the R2T was answered. The smallest times
that keep the recorded order are taken. Where statuses and R2Ts come in batches none are close together, and
those farther apart still bound the difference: else the wait of all data behind a batch would pass for a slow
initiator. Works on plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.pacing import Pacing
from analyzer.replay.state import NONE

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEAR_NS = 1_000_000
"""R2Ts so close to a status say best which of the two was answered sooner."""
FARTHER, FARTHEST_NS = 4, 64_000_000
"""Where too few are, those within so many times the span are looked at, and so on: their bounds are wider."""
FEWEST_PAIRS, MOST_PAIRS = 20, 200_000
MOST_OUT_OF_ORDER = 0.05


@dataclass(frozen=True, slots=True)
class AnswerOrder:
    """A difference of two waits, in ns: more than ``low_ns``, less than ``high_ns``; None where open.

    Of the initiator think time less turnaround, of the target the wait before R2Ts less the service of reads.
    ``out_of_order`` of ``pairs`` pairs do not fit.
    """

    low_ns: int | None
    high_ns: int | None
    pairs: int
    out_of_order: int

    @property
    def difference_ns(self) -> int | None:
        """The difference to take; None where too few pairs tell one."""
        if self.pairs < FEWEST_PAIRS or self.out_of_order > MOST_OUT_OF_ORDER * self.pairs:
            return None
        bounds = [one for one in (self.low_ns, self.high_ns) if one is not None]
        if len(bounds) == 2 and bounds[1] - bounds[0] > NEAR_NS:
            return min(max(bounds[0], 0), bounds[1])
        return sum(bounds) // len(bounds) if bounds else None


@dataclass(frozen=True, slots=True)
class Answers:
    """Columns of shape (requests,), times at the recorder in ns.

    ``r2t_ns`` is the first R2T of a request and ``data_ns`` the first Data-Out behind it, 0 where there was
    none; ``completed_ns`` is -1 for what did not complete.
    """

    connection: Int64s
    left_ns: Int64s
    completed_ns: Int64s
    r2t_ns: Int64s
    data_ns: Int64s


def answer_order(pacing: Pacing, answers: Answers) -> AnswerOrder:
    """Hold the order of commands and data against that of the statuses and R2Ts that brought them."""
    within_ns = NEAR_NS
    order = order_of(*_pairs(pacing, answers, within_ns))
    if order.pairs >= FEWEST_PAIRS:
        return order
    while within_ns < FARTHEST_NS and (
        order.pairs < FEWEST_PAIRS or order.low_ns is None or order.high_ns is None
    ):
        within_ns *= FARTHER
        order = order_of(*_pairs(pacing, answers, within_ns), is_far=True)
    return order


def order_of(lead: Int64s, is_data_first: Bools, *, is_far: bool = False) -> AnswerOrder:
    """The bounds of a difference that explains the order of most pairs, all of shape (pairs,).

    Data goes first where the lead is below the difference. Pairs far apart err by as much, where the wrong
    status was taken for that of a request: a difference of nothing that explains nearly all of them will do.
    """
    order = np.argsort(lead, kind="stable")
    lead, is_data_first = lead[order], is_data_first[order]
    # A difference above the first k leads has data first in just these: count what that gets wrong.
    wrong = np.concatenate([[0], np.cumsum(~is_data_first)])
    wrong += int(is_data_first.sum()) - np.concatenate([[0], np.cumsum(is_data_first)])
    best = np.flatnonzero(wrong == wrong.min())
    nothing = int(np.searchsorted(lead, 0))
    if is_far and wrong[nothing] <= MOST_OUT_OF_ORDER * len(lead):
        best = np.array([nothing])
    low = int(lead[best[0] - 1]) if best[0] > 0 else None
    high = int(lead[best[-1]]) if best[-1] < len(lead) else None
    return AnswerOrder(low, high, len(lead), int(wrong[best[0]]))


def _pairs(pacing: Pacing, answers: Answers, within_ns: int) -> tuple[Int64s, Bools]:
    """Of unseen requests and R2Ts near their status: R2T less status, and whether its data left first."""
    leads, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    waiting = (pacing.predecessor != NONE) & ~pacing.is_exact
    waiting &= answers.completed_ns[np.maximum(pacing.predecessor, 0)] >= 0
    for connection in np.unique(answers.connection[waiting]):
        mine = answers.connection == connection
        asked = np.flatnonzero(mine & (answers.r2t_ns > 0) & (answers.data_ns >= answers.r2t_ns))
        asked = asked[np.argsort(answers.r2t_ns[asked], kind="stable")]
        unseen = np.flatnonzero(mine & waiting)
        status_ns = answers.completed_ns[pacing.predecessor[unseen]]
        request, place = near(status_ns, answers.r2t_ns[asked], within_ns)
        leads.append(answers.r2t_ns[asked[place]] - status_ns[request])
        firsts.append(answers.data_ns[asked[place]] < answers.left_ns[unseen[request]])
    return np.concatenate(leads), np.concatenate(firsts)


def near(
    times_ns: Int64s, others_ns: Int64s, within_ns: int = NEAR_NS
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where in ``times_ns`` and in the sorted ``others_ns`` two are as near as said, shape (pairs,) each.

    Of more than ``MOST_PAIRS`` or so only every n-th time is taken.
    """
    begin = np.searchsorted(others_ns, times_ns - within_ns)
    count = np.searchsorted(others_ns, times_ns + within_ns) - begin
    taken = np.arange(0, len(times_ns), 1 + int(count.sum()) // MOST_PAIRS)
    begin, count = begin[taken], count[taken]
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(taken, count), np.repeat(begin, count) + within


def in_order(
    pacing: Pacing, turnaround_ns: Int64s, is_turnaround_hidden: bool, order: AnswerOrder
) -> tuple[Pacing, Int64s]:
    """Think times and turnarounds that keep the order, those that the capture shows left as they are."""
    difference = order.difference_ns
    if difference is None:
        return pacing, turnaround_ns
    if is_turnaround_hidden:
        # The waits seen hold queueing, so they bound the turnaround from above only.
        turnaround_ns = np.minimum(turnaround_ns, max(0, -difference))
    usual = int(np.median(turnaround_ns)) if len(turnaround_ns) else 0
    is_open = (pacing.predecessor != NONE) & ~pacing.is_exact
    least = np.minimum(max(0, difference + usual), pacing.longest_think_ns)
    think = np.where(is_open, np.maximum(pacing.think_ns, least), pacing.think_ns)
    return replace(pacing, think_ns=think), turnaround_ns


def order_value(order: AnswerOrder) -> CalibratedValue:
    """The difference with its bounds, as it stands in the manifest."""
    difference = order.difference_ns
    is_bounded = order.low_ns is not None and order.high_ns is not None
    confidence = Confidence.LOW
    if difference is not None:
        confidence = Confidence.HIGH if is_bounded else Confidence.MEDIUM
    return CalibratedValue(
        "think time less turnaround of the initiator",
        difference,
        "ns",
        f"order of commands and data behind {order.pairs} pairs of a status and an R2T, "
        f"{order.out_of_order} of which do not fit",
        confidence,
        None if order.low_ns is None else float(order.low_ns),
        None if order.high_ns is None else float(order.high_ns),
    )

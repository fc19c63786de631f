"""How many commands the application kept outstanding, from when it asked and when it was answered.

An application with a limit of its own asks for the next command when any of those outstanding completes: the
number in flight stands at the limit, and a replay has to keep it whichever path is faster. Where the number
moves, each request waits for the one that it followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.state import NONE

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FEWEST_REQUESTS = 20
LEAST_SHARE = 0.6
SURE_SHARE = 0.9
MOST_DEEPER = 0.05
ALONE = 0.95
HIDDEN_SHARE = 0.5
AT_ONCE_SHARE = 0.05
"""Requests whose commands left so close together, as a share of what the first of them took, were asked for
at once: an initiator writes one after the other, and answers no R2T meanwhile."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """``depth`` is None where no limit shows; ``think_ns`` is the usual time from completion to request.

    ``at_once`` of the first requests that move data were asked for together, though they left one by one.
    """

    depth: int | None
    think_ns: int
    value: CalibratedValue
    at_once: int = 0

    def begun(self, issued_ns: Int64s, moves_data: Bools) -> Int64s:
        """When each request was asked for, shape (requests,): the first ones together where they were."""
        together = np.flatnonzero(moves_data)[: self.at_once]
        result = issued_ns.copy()
        result[together] = result[together].min(initial=np.iinfo(np.int64).max)
        return result

    def limited(self, think_ns: Int64s, issued_ns: Int64s, completed_ns: Int64s, moves_data: Bools) -> Int64s:
        """Think times that the number in flight allows, of shape (requests,) as all arguments.

        At the depth N the request number k is asked for behind completion number k - N, whichever request
        that was of. One that seems to have followed a completion from before number k - 2 N would pause for
        longer than a whole round, where nothing paused: it thought as long as behind number k - N.
        """
        rows = np.flatnonzero(moves_data)
        if self.depth is None or len(rows) <= 2 * self.depth:
            return think_ns
        rows = rows[np.argsort(issued_ns[rows], kind="stable")]
        done = np.sort(completed_ns[moves_data & (completed_ns >= 0)])
        later = rows[2 * self.depth : self.depth + len(done)]
        round_before = issued_ns[later] - done[: len(later)]
        behind = issued_ns[later] - done[self.depth : self.depth + len(later)]
        result = think_ns.copy()
        result[later] = np.where(think_ns[later] > round_before, np.maximum(behind, 0), think_ns[later])
        return result


def queue_depth(
    issued_ns: Int64s,
    completed_ns: Int64s,
    predecessor: npt.NDArray[np.int32],
    think_ns: Int64s,
    stream: Int64s,
    moves_data: Bools,
    is_known: Bools,
) -> QueueDepth:
    """Find the limit of one stream that has nearly all requests; all arguments of shape (requests,).

    ``completed_ns`` is -1 where nothing completed; ``is_known`` where the time of asking rests on the
    capture.
    """
    counts = np.bincount(stream[moves_data]) if moves_data.any() else np.zeros(1, np.int64)
    chosen = moves_data & (stream == int(np.argmax(counts)))
    total = int(chosen.sum())
    if total < FEWEST_REQUESTS or total < ALONE * moves_data.sum():
        return _none("not one stream of requests to one logical unit: each waits for what it followed")
    done = np.sort(completed_ns[chosen & (completed_ns >= 0)])
    asked = np.sort(issued_ns[chosen])
    in_flight = np.arange(1, total + 1) - np.searchsorted(done, asked, side="right")
    depths, times = np.unique(in_flight, return_counts=True)
    depth = int(depths[np.argmax(times)])
    # Two that complete together, or are asked for in the other order than it seems, count one less or more.
    share = float((np.abs(in_flight - depth) <= (1 if depth > 2 else 0)).mean())
    deeper = float((in_flight > depth + 1).mean())
    if share < LEAST_SHARE or deeper > MOST_DEEPER:
        return _none(f"the number outstanding moves between {depths.min()} and {depths.max()}")
    linked = chosen & (predecessor != NONE)
    think = int(np.median(think_ns[linked])) if linked.any() else 0
    hidden = 1 - float(is_known[chosen].mean())
    confidence = Confidence.HIGH if share >= SURE_SHARE else Confidence.MEDIUM
    rests_on = f"{depth} outstanding at {share:.0%} of {total} requests"
    if hidden > HIDDEN_SHARE:
        rests_on += f", {hidden:.0%} of which left behind others and show nothing of when they were asked for"
        confidence = Confidence.LOW
    low, high = (float(one) for one in np.percentile(in_flight, [10, 90]))
    value = CalibratedValue(
        "queue depth of the application", depth, "requests", rests_on, confidence, low, high, "pacing"
    )
    first, last = asked[0], asked[depth - 1]
    is_at_once = len(done) > 0 and last - first <= AT_ONCE_SHARE * (done[0] - first)
    return QueueDepth(depth, think, value, depth if is_at_once else 0)


def _none(rests_on: str) -> QueueDepth:
    value = CalibratedValue(
        "queue depth of the application", None, "requests", rests_on, Confidence.LOW, key="pacing"
    )
    return QueueDepth(None, 0, value)

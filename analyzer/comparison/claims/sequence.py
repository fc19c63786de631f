"""Claim 9: what lost order costs a target that serves in order of arrival, and one that sorts.

The cost is counted in broken sequences, which every device pays for in its own coin; none is assumed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.comparison.claims.delivery import Delivered, delivered
from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.trial import MPIO, SINGLE, Trial
from analyzer.comparison.sequentiality import continues, sorted_order

Int64s = npt.NDArray[np.int64]

SEQUENTIAL_SHARE = 0.5
"""From such a share of continuing commands on a workload is sequential."""
BROKEN_SHARE = 0.05
"""Sequences broken by so many more of all commands are felt."""


def _places(trial: Trial, task: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Unit, first block and block behind the last of each task."""
    timeline = trial.timeline
    is_write = timeline.values("tasks", "direction") == "write"
    lun = np.unique(timeline.values("tasks", "lun"), return_inverse=True)[1].astype(np.int64)
    begin = timeline.values("tasks", "lba", 0).astype(np.int64)
    end = begin + timeline.values("tasks", "blocks", 0).astype(np.int64)
    return (2 * lun + is_write)[task], begin[task], end[task]


def _broken(trial: Trial, task: Int64s) -> float:
    """The share of commands, in this order, that do not continue the one before."""
    return float(1.0 - continues(*_places(trial, task)).mean())


def _judge(trial: Trial) -> Judgement:
    has_place = trial.is_data & ~trial.timeline.is_null("tasks", "lba")
    if not has_place.any():
        return untried("No command of the recording has a logical block address.")
    depth = max(1, round(trial.outstanding_mean))
    # At a fixed depth commands are asked for in recorded order; think times would change them about.
    pacing = f"depth:{depth}"
    found = delivered(trial.replayed(MPIO, pacing), trial)
    kept = has_place[found.task]
    found = Delivered(
        found.task[kept],
        found.stream[kept],
        found.dispatched_ns[kept],
        found.delivered_ns[kept],
        found.path[kept],
    )
    as_sent = _broken(trial, found.task)
    share = Number("sequences broken as sent", 100 * as_sent, "%")
    if 1 - as_sent < SEQUENTIAL_SHARE:
        return untried(
            f"The workload is not sequential: {100 * (1 - as_sent):.0f} % of its commands continue another.",
            share,
        )
    arrived = found.task[np.argsort(found.delivered_ns, kind="stable")]
    by_arrival = _broken(trial, arrived)
    by_sorting = _broken(trial, arrived[sorted_order(*_places(trial, arrived), depth)])
    numbers = (
        share,
        Number("broken in order of arrival under MPIO", 100 * by_arrival, "%"),
        Number("broken when the target sorts", 100 * by_sorting, "%"),
        Number("commands it may sort among", float(depth), "requests"),
    )
    if by_arrival - as_sent < BROKEN_SHARE:
        return untried("Hardly a sequence is broken by two links: commands are too far apart.", *numbers)
    gain = trial.gain_percent(trial.replayed(MPIO, pacing), trial.replayed(SINGLE, pacing))
    return Judgement(
        verdict(by_sorting - as_sent < BROKEN_SHARE),
        f"Of the commands {100 * as_sent:.0f} % begin a new sequence as sent, {100 * by_arrival:.0f} % as "
        f"they arrive over two links, and {100 * by_sorting:.0f} % when the target sorts the {depth} "
        "outstanding. "
        f"Where broken sequences cost nothing, two links give {gain or 0.0:+.0f} % throughput over one.",
        (*numbers, Number("throughput of two links against one", gain, "%")),
    )


LOST_ORDER = Claim(
    9,
    "Lost order hurts only a naive target; one that sorts gets nearly both links' rate.",
    "A sequential workload under MPIO round-robin over two links with as many commands outstanding as "
    "recorded, served in order of arrival and sorted.",
    f"Commands that begin a new sequence: at least {100 * BROKEN_SHARE:.0f} % more of all as they arrive "
    "than as they were sent; the claim holds where sorting leaves less than that.",
    "pattern",
    _judge,
)

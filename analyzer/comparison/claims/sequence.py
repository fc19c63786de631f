"""Claim 9: what lost order costs a target that serves in order of arrival, and one that sorts.

The cost is counted in broken sequences, which every device pays for in its own coin; none is assumed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.comparison.baseline import signed_percent
from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.trial import MPIO, SINGLE, Delivered, Experiment, Trial
from analyzer.sequentiality import continues, sorted_order

Int64s = npt.NDArray[np.int64]

SEQUENTIAL_SHARE = 0.5
"""From such a share of continuing commands on a workload is sequential."""
BROKEN_SHARE = 0.05
"""Sequences broken by so many more of all commands are felt."""


def _places(trial: Trial, task: npt.NDArray[np.integer]) -> tuple[Int64s, Int64s, Int64s]:
    """Unit, first block and block behind the last of each task."""
    begin = trial.timeline.values("tasks", "lba", 0).astype(np.int64)
    end = begin + trial.timeline.values("tasks", "blocks", 0).astype(np.int64)
    return (2 * trial.unit + trial.is_direction("write"))[task], begin[task], end[task]


def _broken(trial: Trial, task: npt.NDArray[np.integer]) -> float:
    """The share of commands, in this order, that do not continue the one before."""
    return float(1.0 - continues(*_places(trial, task)).mean())


def _asked(trial: Trial) -> Int64s:
    """The data commands among the replayed that name a block, in the order in which they were issued."""
    has_place = trial.is_data & ~trial.timeline.is_null("tasks", "lba")
    rows = trial.excerpt[has_place[trial.excerpt]]
    return rows[np.argsort(trial.timeline.values("tasks", "command_ns")[rows], kind="stable")]


def _depth(trial: Trial) -> tuple[int, str]:
    """Commands kept outstanding, and the pacing that does so.

    At a fixed depth commands are asked for in recorded order; think times would change them about.
    """
    depth = max(1, round(trial.outstanding_mean))
    return depth, f"depth:{depth}"


def _both_and_one(trial: Trial) -> tuple[Experiment, ...]:
    """None where there is no sequence to break."""
    asked = _asked(trial)
    if not len(asked) or 1 - _broken(trial, asked) < SEQUENTIAL_SHARE:
        return ()
    pacing = _depth(trial)[1]
    return Experiment(MPIO, pacing), Experiment(SINGLE, pacing)


def _judge(trial: Trial) -> Judgement:
    asked = _asked(trial)
    if not len(asked):
        return untried("No command of the recording has a logical block address.")
    as_sent = _broken(trial, asked)
    share = Number("sequences broken as sent", 100 * as_sent, "%")
    if 1 - as_sent < SEQUENTIAL_SHARE:
        return untried(
            f"The workload is not sequential: {100 * (1 - as_sent):.0f} % of its commands continue another.",
            share,
        )
    depth, pacing = _depth(trial)
    found = trial.delivered(MPIO, pacing)
    kept = np.isin(found.task, asked)
    found = Delivered(
        found.task[kept],
        found.stream[kept],
        found.dispatched_ns[kept],
        found.delivered_ns[kept],
        found.path[kept],
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
    gain = trial.replayed(MPIO, pacing).gain_percent(trial.replayed(SINGLE, pacing))
    return Judgement(
        verdict(by_sorting - as_sent < BROKEN_SHARE),
        f"Of the commands {100 * as_sent:.0f} % begin a new sequence as sent, {100 * by_arrival:.0f} % as "
        f"they arrive over two links, and {100 * by_sorting:.0f} % when the target sorts the {depth} "
        "outstanding. "
        f"Where broken sequences cost nothing, two links give {signed_percent(gain)} throughput over one.",
        (*numbers, Number("throughput of two links against one", gain, "%")),
    )


LOST_ORDER = Claim(
    9,
    "Lost order hurts only a naive target; one that sorts gets nearly both links' rate.",
    "A sequential workload under MPIO round-robin over two like links with as many commands outstanding as "
    "recorded, served in order of arrival and sorted.",
    f"Commands that begin a new sequence: at least {100 * BROKEN_SHARE:.0f} % more of all as they arrive "
    "than as they were sent; the claim holds where sorting leaves less than that.",
    "pattern",
    _judge,
    _both_and_one,
)

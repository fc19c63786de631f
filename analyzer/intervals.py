"""The interval around a figure that depends on chance: what it means, and how it follows from repeats.

A replay and its repeats count alike: each is what one run might have shown. The figure to expect is their
median, and the interval one in which a further run would lie with the probability ``LEVEL``. Knows neither
replays nor what was drawn for them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

LEVEL = 0.9
"""Probability that a further run lies in the interval, as far as the repeats know of chance."""
FEWEST_RANKED = 19
"""So many values have a 5th and a 95th percentile without any assumption: the least and the greatest."""
STUDENT_95_PERCENT = (
    (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
    + (1.812, 1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740)
)  # fmt: skip
"""The 95th percentile of Student's distribution with 1, 2, ... degrees of freedom."""


def middle(runs: Float64s) -> float | None:
    """The median of what the runs show, shape (runs,): what to expect of a further one. NaN is a run without.

    One run alone is a draw of chance: where little decides which of two paths a command takes, it may lie at
    an end of its own interval. None where no run has the figure.
    """
    values = runs[~np.isnan(runs)]
    return float(np.median(values)) if len(values) else None


def interval(figure: float, runs: Float64s) -> tuple[float, float] | None:
    """Ends of the interval in which a further one of the ``runs`` lies, shape (runs,); it holds the figure.

    From 19 runs on they are percentiles by rank, so that nothing is assumed of the distribution and two
    regimes show both. Fewer are taken to be normal: the prediction interval of Student's distribution. NaN is
    a run without such a figure. None where fewer than two runs have one.
    """
    values = runs[~np.isnan(runs)]
    count = len(values)
    if count < 2:
        return None
    if values.min() == values.max() == figure:
        return figure, figure
    if count >= FEWEST_RANKED:
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="weibull")
    else:
        mean = float(values.mean())
        half = STUDENT_95_PERCENT[count - 2] * float(values.std(ddof=1)) * math.sqrt(1 + 1 / count)
        low, high = mean - half, mean + half
    return min(float(low), figure), max(float(high), figure)


def widened(ends: tuple[float, float], by: float) -> tuple[float, float]:
    """The interval with ``by`` added at both ends."""
    return ends[0] - by, ends[1] + by

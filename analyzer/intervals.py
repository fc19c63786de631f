"""The interval around a figure that depends on chance: what it means, and how it follows from repeats.

A figure and its repeats count alike: each is what one run might have shown. The interval is one in which a
further run would lie with the probability ``LEVEL``. Knows neither replays nor what was drawn for them.
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


def interval(figure: float, repeats: Float64s) -> tuple[float, float] | None:
    """Ends of the interval of a figure and its ``repeats``, shape (repeats,); it always holds the figure.

    From 19 values on they are percentiles by rank, so that nothing is assumed of the distribution and two
    regimes show both. Fewer are taken to be normal: the prediction interval of Student's distribution. NaN is
    a repeat without such a figure. None where no repeat has one.
    """
    values = np.append(repeats[~np.isnan(repeats)], figure)
    count = len(values)
    if count < 2:
        return None
    if values.min() == values.max():
        return figure, figure
    if count >= FEWEST_RANKED:
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="weibull")
    else:
        middle = float(values.mean())
        half = STUDENT_95_PERCENT[count - 2] * float(values.std(ddof=1)) * math.sqrt(1 + 1 / count)
        low, high = middle - half, middle + half
    return min(float(low), figure), max(float(high), figure)


def widened(ends: tuple[float, float], by: float) -> tuple[float, float]:
    """The interval with ``by`` added at both ends."""
    return ends[0] - by, ends[1] + by

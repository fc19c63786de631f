"""How far two outcomes lie apart in one measure, and whether that is more than chance and the model's error.

Repeats that drew the same are taken pair by pair, so that what befalls both cancels. Knows figures only, not
what they are of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.intervals import interval, widened
from analyzer.measures import Measure
from analyzer.tables.folder import Outcome

Float64s = npt.NDArray[np.float64]

LEAST_PERCENT = 1.0
"""A smaller difference is nobody's concern."""
LEAST_NS = 1000.0
"""Nor is one of a time by less."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A replay and its repeats: ``values`` of shape (1 + repeats,) by figure, NaN where one is withheld.

    The replay itself comes first. ``draws`` names what the repeats drew; two outcomes with the same name drew
    the same, repeat by repeat.
    """

    draws: str
    values: Mapping[str, Float64s]


NOT_REPEATED = Repeated("", {})


def repeated(outcome: Outcome) -> Repeated:
    """An outcome and its repeats, as its folder has them; nothing where it was not repeated."""
    table = outcome.arrow["repeats"]
    if not table.num_rows:
        return NOT_REPEATED
    value = outcome.values("repeats", "value", np.nan)
    number = outcome.values("repeats", "repeat")
    metric = outcome.values("repeats", "metric").astype(str)
    metrics = outcome.arrow["metrics"]
    own = dict(zip(metrics.column("metric").to_pylist(), metrics.column("value").to_pylist(), strict=True))
    values = {}
    for name in dict.fromkeys(metric.tolist()):
        rows = np.flatnonzero(metric == name)
        first = own.get(name)
        values[name] = np.append(
            np.nan if first is None else first, value[rows[np.argsort(number[rows], kind="stable")]]
        )
    told: Any = outcome.manifest.get("repeats")
    return Repeated(str(told.get("draws", "")) if isinstance(told, dict) else "", values)


@dataclass(frozen=True, slots=True)
class Difference:
    """One outcome against another, or against the reference, in one measure.

    The percentages are of the other's figure, None where there is no ratio. From ``low_percent`` to
    ``high_percent`` goes the interval, the model's error included.
    """

    percent: float | None
    low_percent: float | None = None
    high_percent: float | None = None
    holds_zero: bool = True
    """Whether the interval holds zero: then chance and the model's error explain the difference."""
    is_apart: bool = False
    """Whether the two can be told apart: the interval holds no zero, and the difference is of concern."""

    @property
    def has_interval(self) -> bool:
        """Whether there is any doubt about how large the difference is."""
        return self.low_percent != self.high_percent


UNKNOWN = Difference(None)


def difference(
    measure: Measure,
    value: float | None,
    repeats: Repeated,
    other: float | None,
    other_repeats: Repeated,
    error_percent: float,
) -> Difference:
    """``value`` less ``other``; ``error_percent`` is how far the model is known to err in this measure."""
    if value is None or other is None:
        return UNKNOWN
    found = value - other
    chance = interval(found, _differences(measure.name, value, repeats, other, other_repeats))
    ends = widened(chance or (found, found), error_percent / 100 * abs(other))
    least = max(LEAST_PERCENT / 100 * abs(other), LEAST_NS if measure.unit == "ns" else 0.0)
    holds_zero = ends[0] <= 0 <= ends[1]
    return Difference(
        difference_percent(value, other),
        difference_percent(other + ends[0], other),
        difference_percent(other + ends[1], other),
        holds_zero,
        not holds_zero and abs(found) > least,
    )


def _differences(
    name: str, value: float, repeats: Repeated, other: float, other_repeats: Repeated
) -> Float64s:
    """What the runs say of the difference: pair by pair where both drew the same, else each with each."""
    mine, others = repeats.values.get(name), other_repeats.values.get(name)
    if mine is None or others is None:
        mine = np.array([value]) if mine is None else mine
        others = np.array([other]) if others is None else others
        return (mine - others) if len(mine) + len(others) > 2 else np.zeros(0)
    if repeats.draws and repeats.draws == other_repeats.draws:
        count = min(len(mine), len(others))
        return mine[:count] - others[:count]
    return (mine[:, None] - others[None, :]).reshape(-1)


def difference_percent(value: float | None, reference: float | None) -> float | None:
    """``value`` over ``reference`` less one, in percent; None where either lacks or the reference is 0."""
    if value is None or reference is None or reference == 0:
        return None
    return 100.0 * (value - reference) / reference

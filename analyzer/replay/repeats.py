"""Repeats of a replay: how many there are, and how an outcome carries their figures and the intervals.

A repeat is the same scenario with what is uncertain drawn anew (``draws.py``). Of each only figures are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.intervals import FEWEST_RANKED, LEVEL, Float64s, interval, middle
from analyzer.tables.folder import Outcome
from analyzer.tables.outcome_tables import METRICS, REPEATS

Figures = Mapping[str, tuple[float | None, str]]
"""Value (None where nothing completed) and unit of each figure by name."""

MOST_BY_DEFAULT, FEWEST_BY_DEFAULT = FEWEST_RANKED - 1, 3
REQUESTS_BY_DEFAULT = 300_000
"""Requests that the repeats of a scenario replay at most, unless those are the fewest."""


def repeats_of(asked: int | None, requests: int) -> int:
    """How many repeats a replay of so many requests has: as ``asked``, else by what they cost."""
    if asked is not None:
        return asked
    return min(MOST_BY_DEFAULT, max(FEWEST_BY_DEFAULT, REQUESTS_BY_DEFAULT // max(requests, 1)))


def metrics_columns(figures: Figures) -> dict[str, list[Any]]:
    """The columns of ``metrics`` without repeats."""
    nothing: list[Any] = [None] * len(figures)
    return {
        "metric": list(figures),
        "value": [value for value, _ in figures.values()],
        "unit": [unit for _, unit in figures.values()],
        "median": nothing,
        "low": nothing,
        "high": nothing,
        "withheld": [None if value is not None else "nothing completed" for value, _ in figures.values()],
    }


def with_repeats(outcome: Outcome, repeats: Sequence[Figures], draws: str) -> Outcome:
    """The outcome with the figures of its ``repeats``, and the median and interval of each of its own.

    ``draws`` names what they drew. An outcome without repeats stays as it is.
    """
    if not repeats:
        return outcome
    metrics = outcome.arrow["metrics"]
    names, values = metrics.column("metric").to_pylist(), metrics.column("value").to_pylist()
    shown = [
        np.array([np.nan if one is None else one for one in (value, *(each[name][0] for each in repeats))])
        for name, value in zip(names, values, strict=True)
    ]
    ends = [_ends(value, runs) for value, runs in zip(values, shown, strict=True)]
    columns = {name: metrics.column(name) for name in metrics.schema.names}
    columns["median"] = [
        None if value is None else middle(runs) for value, runs in zip(values, shown, strict=True)
    ]
    columns["low"] = [None if one is None else one[0] for one in ends]
    columns["high"] = [None if one is None else one[1] for one in ends]
    rows = [
        (number, name, figures[name][0]) for number, figures in enumerate(repeats, start=1) for name in names
    ]
    table = REPEATS.build(
        {
            "repeat": np.array([row[0] for row in rows], np.int32),
            "metric": [row[1] for row in rows],
            "value": [row[2] for row in rows],
        }
    )
    told = {"count": len(repeats), "level": LEVEL, "draws": draws}
    return Outcome(
        {**outcome.arrow, "metrics": METRICS.build(columns), "repeats": table},
        {**outcome.manifest, "repeats": told},
    )


def _ends(value: float | None, runs: Float64s) -> tuple[float, float] | None:
    """The interval of a figure, which is never less than 0; None where there is none."""
    if value is None:
        return None
    found = interval(value, runs)
    return None if found is None else (max(found[0], 0.0), found[1])

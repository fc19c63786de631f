"""Outcomes side by side with the recording: one row per measure, differences and intervals as data.

Decides what a difference is taken against: the as-recorded baseline where there is one, since
its model error is shared by all outcomes, else the recording; and that this error, with what predictions were
measured to err beyond it, widens every interval. Draws and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.comparison.baseline import BaselineError, baseline_error
from analyzer.comparison.differences import (
    NOT_REPEATED,
    Difference,
    Repeated,
    difference,
    difference_percent,
    repeated,
)
from analyzer.comparison.model_error import UNSEEN_PERCENT
from analyzer.comparison.request_columns import recorded_requests, replayed_part
from analyzer.intervals import LEVEL, interval, widened
from analyzer.measures import MEASURES, Measure
from analyzer.tables.folder import Outcome, Timeline

if TYPE_CHECKING:
    import pandas as pd

RECORDING = "recording"


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """One measure of the recording and of each outcome, in the order of ``Comparison.labels``."""

    measure: Measure
    recorded: float | None
    values: tuple[float | None, ...]
    differences_percent: tuple[float | None, ...]
    """Against the reference; None for the reference itself and where there is no ratio."""
    withheld: tuple[str | None, ...]
    """Why a value is not given."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ``compared`` gives. ``reference`` is the label the differences are taken against."""

    labels: tuple[str, ...]
    reference: str
    rows: tuple[MeasureRow, ...]
    repeats: tuple[Repeated, ...]
    """Of each outcome, in the order of ``labels``."""
    errors_percent: Mapping[str, float] = field(default_factory=dict)
    """How far the model is known to err in some measures; else the baseline tells."""

    def row(self, name: str) -> MeasureRow:
        """The row of one measure. Raises KeyError for a name that is not declared."""
        for row in self.rows:
            if row.measure.name == name:
                return row
        raise KeyError(name)

    def error_percent(self, name: str) -> float | None:
        """How far the model errs on the recording itself in a measure; None where that is not known."""
        if name in self.errors_percent:
            return abs(self.errors_percent[name])
        row = self.row(name)
        if self.reference not in self.labels:
            return None
        error = difference_percent(row.values[self.labels.index(self.reference)], row.recorded)
        return None if error is None else abs(error)

    def interval(self, name: str, place: int) -> tuple[float, float] | None:
        """Where a real run would lie with 90 %: chance and the model's errors. None without repeats."""
        value, runs = self.row(name).values[place], self.repeats[place].values.get(name)
        found = None if value is None or runs is None else interval(value, runs)
        if value is None or found is None:
            return None
        low, high = widened(found, self._doubt_percent(name, place) / 100 * abs(value))
        return max(low, 0.0), high

    def difference(self, name: str, place: int, against: int | None = None) -> Difference:
        """An outcome in one measure against another one, or against the reference unless one is given."""
        row = self.row(name)
        if against is None and self.reference in self.labels:
            against = self.labels.index(self.reference)
        other = row.recorded if against is None else row.values[against]
        others = NOT_REPEATED if against is None else self.repeats[against]
        doubt = self._doubt_percent(name, place, *(() if against is None else (against,)))
        return difference(row.measure, row.values[place], self.repeats[place], other, others, doubt)

    def _doubt_percent(self, name: str, *places: int) -> float:
        """How far the model may err: on the recording, and beyond it where any outcome is predicted."""
        is_predicted = any(self.labels[place] != self.reference for place in places)
        return (self.error_percent(name) or 0.0) + (UNSEEN_PERCENT.get(name, 0.0) if is_predicted else 0.0)

    @property
    def most_repeats(self) -> int:
        """How many repeats the intervals rest on; 0 where there are none."""
        return max((len(one.values["requests"]) - 1 for one in self.repeats if one.values), default=0)

    @property
    def meaning(self) -> str:
        """What an interval means here, in a sentence; empty where there is none."""
        if not self.most_repeats:
            return ""
        error = "by the model's own error on the recording and what predictions were measured to err besides"
        if not self.errors_percent and self.reference not in self.labels:
            error = (
                "by what predictions were measured to err; the model's error on the recording is not known"
            )
        drawn = f"{self.most_repeats} repeats with service times, think times and links drawn anew"
        return (
            f"A figure is the median of its replay and {drawn}; an interval holds a further run with "
            f"{100 * LEVEL:.0f} %, as these show, widened {error}."
        )


def compare(outcomes: Sequence[Outcome], timeline: Timeline | None = None) -> pd.DataFrame:
    """One row per measure, indexed by its name.

    Columns: ``unit``, ``better`` (``higher``, ``lower`` or empty), ``recording`` where a timeline
    is given, one column per outcome by its label; for each of them ``LABEL low`` and ``LABEL high``, the ends
    of its interval at the level ``frame.attrs["level"]``; and for each but the reference, which is named in
    ``frame.attrs["reference"]``, ``LABEL difference %`` with ``LABEL difference low %``, ``LABEL difference
    high %`` and ``LABEL is apart``: whether the two can be told apart. Missing figures are null.
    """
    import pandas as pd  # heavy, and not needed by those who want the plain rows

    comparison = compared(outcomes, timeline)
    columns: dict[str, list[Any]] = {
        "unit": [row.measure.unit for row in comparison.rows],
        "better": [row.measure.better for row in comparison.rows],
    }
    if timeline is not None:
        columns[RECORDING] = [row.recorded for row in comparison.rows]
    for place, label in enumerate(comparison.labels):
        columns[label] = [row.values[place] for row in comparison.rows]
    for place, label in enumerate(comparison.labels):
        ends = [comparison.interval(row.measure.name, place) or (None, None) for row in comparison.rows]
        columns[f"{label} low"], columns[f"{label} high"] = ([end[side] for end in ends] for side in (0, 1))
        if label == comparison.reference:
            continue
        found = [comparison.difference(row.measure.name, place) for row in comparison.rows]
        columns[f"{label} difference %"] = [one.percent for one in found]
        columns[f"{label} difference low %"] = [one.low_percent for one in found]
        columns[f"{label} difference high %"] = [one.high_percent for one in found]
        columns[f"{label} is apart"] = [one.is_apart for one in found]
    frame = pd.DataFrame(
        columns, index=pd.Index([row.measure.name for row in comparison.rows], name="measure")
    )
    words = ("unit", "better", *(f"{label} is apart" for label in comparison.labels))
    numbers = [name for name in frame.columns if name not in words]
    frame[numbers] = frame[numbers].astype("Float64")
    frame.attrs["reference"], frame.attrs["level"] = comparison.reference, LEVEL
    return frame


def compared(
    outcomes: Sequence[Outcome], timeline: Timeline | None = None, error: BaselineError | None = None
) -> Comparison:
    """The same as plain values. The recording is measured over the tasks that the outcomes replay.

    ``error`` is that of the baseline among the outcomes; it is worked out where it is not given.
    """
    labels = distinct_labels(outcomes)
    recorded: dict[str, float | None] = {}
    if timeline is not None:
        requests = recorded_requests(timeline)
        if outcomes:
            requests = replayed_part(requests, outcomes[0])
        recorded = requests.measures()
    figures = [_figures(outcome) for outcome in outcomes]
    baseline = next((place for place, outcome in enumerate(outcomes) if is_baseline(outcome)), None)
    rows = []
    for item in MEASURES:
        values = tuple(values.get(item.name, (None, None))[0] for values in figures)
        withheld = tuple(values.get(item.name, (None, "not measured"))[1] for values in figures)
        reference = recorded.get(item.name) if baseline is None else values[baseline]
        differences = tuple(
            None if place == baseline else difference_percent(value, reference)
            for place, value in enumerate(values)
        )
        rows.append(MeasureRow(item, recorded.get(item.name), values, differences, withheld))
    if error is None and baseline is not None and timeline is not None:
        error = baseline_error(outcomes[baseline], timeline)
    return Comparison(
        labels,
        RECORDING if baseline is None else labels[baseline],
        tuple(rows),
        tuple(repeated(outcome) for outcome in outcomes),
        {} if error is None else error.errors_percent,
    )


def is_baseline(outcome: Outcome) -> bool:
    """Whether the outcome replays the recording as it was driven, to measure the model's own error."""
    return bool(outcome.manifest.get("is_baseline"))


def distinct_labels(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The label of each outcome, with pacing and then a number added where two would be equal."""
    labels = [outcome.label for outcome in outcomes]
    if len(set(labels)) < len(labels):
        labels = [
            f"{label} ({outcome.manifest.get('pacing', 'pacing unknown')})"
            if labels.count(label) > 1
            else label
            for label, outcome in zip(labels, outcomes, strict=True)
        ]
    seen: dict[str, int] = {}
    distinct = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        distinct.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return tuple(distinct)


def _figures(outcome: Outcome) -> dict[str, tuple[float | None, str | None]]:
    """What to expect of each figure in the outcome's metrics, the median of its runs; why one is withheld.

    Of the baseline too, for what chance adds to all outcomes alike is no difference between them; how well it
    reproduces the recording is told of its one replay, command by command (``baseline.py``).
    """
    table = outcome.arrow["metrics"].to_pydict()
    return {
        name: (value if median is None else median, withheld)
        for name, value, median, withheld in zip(
            table["metric"], table["value"], table["median"], table["withheld"], strict=True
        )
    }

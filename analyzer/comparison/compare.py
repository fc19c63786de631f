"""Outcomes side by side with the recording: one row per measure, differences as data.

Decides what a difference is taken against: the as-recorded baseline where there is one, since
its model error is shared by all outcomes, else the recording. Draws and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer.comparison.request_columns import recorded_requests, replayed_part
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


LEAST_PERCENT = 1.0
"""A smaller difference is nobody's concern."""
LEAST_NS = 1000.0
"""Nor is one of a time by less."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One outcome against another, or against the reference, in one measure.

    ``percent`` is None where there is no ratio. ``doubt_percent`` is half the width of its interval.
    """

    percent: float | None
    doubt_percent: float
    is_apart: bool
    """Whether the two can be told apart: the difference exceeds the doubt, and anyone's concern."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ``compared`` gives. ``reference`` is the label the differences are taken against."""

    labels: tuple[str, ...]
    reference: str
    rows: tuple[MeasureRow, ...]
    errors_percent: Mapping[str, float] = field(default_factory=dict)
    """How far the model is known to err in some measures; else the baseline tells."""

    def row(self, name: str) -> MeasureRow:
        """The row of one measure. Raises KeyError for a name that is not declared."""
        for row in self.rows:
            if row.measure.name == name:
                return row
        raise KeyError(name)

    def doubt_percent(self, name: str) -> float:
        """How far a difference in a measure may be off: by as much as the model errs on the recording itself.

        At least by 1 %. All that is known is that least where the recording was not replayed as it was.
        """
        if name in self.errors_percent:
            return max(LEAST_PERCENT, abs(self.errors_percent[name]))
        row = self.row(name)
        if self.reference not in self.labels:
            return LEAST_PERCENT
        error = difference_percent(row.values[self.labels.index(self.reference)], row.recorded)
        return max(LEAST_PERCENT, abs(error or 0.0))

    def difference(self, name: str, place: int, against: int | None = None) -> Difference:
        """An outcome in one measure against another one, or against the reference unless one is given."""
        row = self.row(name)
        value = row.values[place]
        if against is not None:
            other = row.values[against]
        elif self.reference in self.labels:
            other = row.values[self.labels.index(self.reference)]
        else:
            other = row.recorded
        doubt = self.doubt_percent(name)
        percent = difference_percent(value, other)
        if value is None or other is None:
            return Difference(None, doubt, False)
        least = max(doubt / 100 * abs(other), LEAST_NS if row.measure.unit == "ns" else 0.0)
        return Difference(percent, doubt, abs(value - other) > least)


def compare(outcomes: Sequence[Outcome], timeline: Timeline | None = None) -> pd.DataFrame:
    """One row per measure, indexed by its name.

    Columns: ``unit``, ``better`` (``higher``, ``lower`` or empty), ``recording`` where a timeline
    is given, one column per outcome by its label, and for each of them ``LABEL difference %``
    against the reference named in ``frame.attrs["reference"]``. Missing figures are null.
    """
    import pandas as pd  # heavy, and not needed by those who want the plain rows

    comparison = compared(outcomes, timeline)
    columns: dict[str, list[str] | list[float | None]] = {
        "unit": [row.measure.unit for row in comparison.rows],
        "better": [row.measure.better for row in comparison.rows],
    }
    if timeline is not None:
        columns[RECORDING] = [row.recorded for row in comparison.rows]
    for place, label in enumerate(comparison.labels):
        columns[label] = [row.values[place] for row in comparison.rows]
    for place, label in enumerate(comparison.labels):
        columns[f"{label} difference %"] = [row.differences_percent[place] for row in comparison.rows]
    frame = pd.DataFrame(
        columns, index=pd.Index([row.measure.name for row in comparison.rows], name="measure")
    )
    numbers = [name for name in frame.columns if name not in ("unit", "better")]
    frame[numbers] = frame[numbers].astype("Float64")
    frame.attrs["reference"] = comparison.reference
    return frame


def compared(outcomes: Sequence[Outcome], timeline: Timeline | None = None) -> Comparison:
    """The same as plain values. The recording is measured over the tasks that the outcomes replay."""
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
    reference_label = RECORDING if baseline is None else labels[baseline]
    return Comparison(labels, reference_label, tuple(rows))


def difference_percent(value: float | None, reference: float | None) -> float | None:
    """``value`` over ``reference`` less one, in percent; None where either lacks or the reference is 0."""
    if value is None or reference is None or reference == 0:
        return None
    return 100.0 * (value - reference) / reference


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
    """Value and withholding reason of each figure in the outcome's metrics."""
    table = outcome.arrow["metrics"]
    return {
        name: (value, withheld)
        for name, value, withheld in zip(
            table.column("metric").to_pylist(),
            table.column("value").to_pylist(),
            table.column("withheld").to_pylist(),
            strict=True,
        )
    }

"""The same workload under other policies: small multiples, differences to the baseline, and the paths.

Decides which measures get a small chart, and shows with every figure the interval that it carries.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from analyzer.comparison.compare import MeasureRow
from analyzer.comparison.differences import Difference
from analyzer.comparison.request_columns import replayed_part, replayed_requests
from analyzer.report.advice import advice_of, is_doubtful
from analyzer.report.blocks import (
    Align,
    Axis,
    AxisKind,
    Block,
    Cell,
    Figure,
    Heading,
    Line,
    Lines,
    Multiple,
    Multiples,
    Section,
    Series,
    Shape,
    Table,
)
from analyzer.report.cells import amount_cell, count_cell, name_cell, records, share_cell, time_cell
from analyzer.report.palette import series_color
from analyzer.report.sampling import spread_ranks
from analyzer.report.sections.latency import (
    LATENCY_AXIS,
    SHARE_AXIS,
    completed_latency_ns,
    distribution,
)
from analyzer.report.study import Study
from analyzer.report.words import (
    MISSING,
    beside,
    between,
    bit_rate,
    figure,
    percent,
    percent_between,
    sentence,
    shortened,
)
from analyzer.tables.folder import Outcome

_CHARTS = {
    "iops": "Commands per second",
    "bytes_per_s": "Data per second",
    "latency_ns_p50": "Median latency",
    "latency_ns_p99": "p99 latency",
    "order_wait_ns_mean": "Mean order wait",
    "longest_gap_ns": "Longest pause in completions",
}
_CURVE_POINTS = 400
_LISTED_PATHS = 32
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def build(study: Study) -> Section | None:
    """Nothing where nothing was replayed."""
    if not study.outcomes:
        return None
    return Section(
        "comparison",
        "Replays compared",
        "What if the links had been driven another way?",
        answer(study),
        (
            *_advice(study),
            _multiples(study),
            _replays(study),
            _table(study),
            *_pairs(study),
            _curves(study),
            _progress(study),
            *_paths(study),
        ),
    )


def _advice(study: Study) -> tuple[Lines, ...]:
    """What to do, why, and what to mind."""
    found = advice_of(study)
    if found is None:
        return ()
    return (
        Lines(
            (
                Line("Advice", found.advice, "warning" if is_doubtful(study) else "good"),
                *(Line(label, text) for label, text in found.reasons),
                *(Line("Mind", text, "warning") for text in found.caveats),
            )
        ),
    )


def _pairs(study: Study) -> tuple[Table, ...]:
    """Every two replays against each other, with the interval that the difference may lie in."""
    labels = study.comparison.labels
    if len(labels) < 2:
        return ()
    headings = (
        Heading("Replay"),
        Heading("Against"),
        *(
            Heading(word, Align.NUMBER, "Difference, and the interval it lies in.")
            for word in _PAIRED.values()
        ),
    )
    rows = []
    for first, second in combinations(range(min(len(labels), _PAIRED_OUTCOMES)), 2):
        cells = [_difference_cell(study, name, second, first) for name in _PAIRED]
        rows.append((_label_cell(study, second), _label_cell(study, first), *cells))
    left_out = len(labels) - _PAIRED_OUTCOMES
    note = "Repeats that drew the same are set against each other, so that what befalls both cancels."
    if left_out > 0:
        note += f" Of {len(labels)} replays the first {_PAIRED_OUTCOMES} are paired."
    return (Table("pairs", "Every two replays against each other", headings, tuple(rows), note=note),)


def _label_cell(study: Study, place: int) -> Cell:
    label = shortened(study.comparison.labels[place], 40)
    return Cell(label, float(place), color=series_color(place))


def _difference_cell(study: Study, name: str, place: int, against: int | None = None) -> Cell:
    """A difference with its interval, or that it is none."""
    found = study.comparison.difference(name, place, against)
    if found.percent is None:
        return Cell(MISSING)
    interval = percent_between(found.low_percent, found.high_percent)
    if not found.is_apart:
        return Cell(beside("cannot be told apart", interval), found.percent)
    tone = _tone_of(found, study.comparison.row(name).measure.better)
    return Cell(beside(percent(found.percent, signed=True), interval), found.percent, tone)


def _replays(study: Study) -> Table:
    """One row for each replay, so that a click on a heading ranks them."""
    comparison = study.comparison
    headings = [Heading("Replay")]
    for word in _PAIRED.values():
        headings.append(Heading(word, Align.NUMBER, "In brackets the interval."))
        headings.append(Heading(f"against {comparison.reference}", Align.NUMBER, f"Difference in {word}."))
    rows = []
    for place, label in enumerate(comparison.labels):
        cells = [_label_cell(study, place)]
        for name in _PAIRED:
            cells.append(_figure_cell(study, comparison.row(name), place))
            is_reference = label == comparison.reference
            cells.append(Cell(MISSING) if is_reference else _difference_cell(study, name, place))
        rows.append(tuple(cells))
    caption = "Every replay with its intervals"
    return Table("replays", caption, tuple(headings), tuple(rows), note=comparison.meaning)


def _figure_cell(study: Study, row: MeasureRow, place: int) -> Cell:
    """A figure with its interval."""
    unit, value = row.measure.unit, row.values[place]
    interval = between(study.comparison.interval(row.measure.name, place), unit)
    return Cell(beside(figure(value, unit), interval), value)


def answer(study: Study) -> str:
    """The best throughput and the best p99 latency among the outcomes, or that nothing sets them apart."""
    comparison = study.comparison
    others = [place for place, label in enumerate(comparison.labels) if label != comparison.reference]
    if not others:
        return "Only the recording itself was replayed; name another policy to compare it with."
    parts = []
    for name, word, sign in (("iops", "most throughput", 1), ("latency_ns_p99", "lowest p99 latency", -1)):
        row = comparison.row(name)
        rated = [
            (sign * (row.differences_percent[place] or 0.0), place)
            for place in others
            if study.is_apart(name, place)
        ]
        gain, best = max(rated, default=(0.0, 0))
        if gain > 0:
            found = comparison.difference(name, best)
            interval = percent_between(found.low_percent, found.high_percent)
            change = beside(percent(found.percent, signed=True), interval)
            parts.append(f"the {word} has {comparison.labels[best]}, {change} against {comparison.reference}")
        elif rated:
            parts.append(f"no policy has a {_BETTER[name]} than {comparison.reference}")
    if not parts:
        return (
            f"No policy differs from {comparison.reference} in throughput or p99 latency by more than chance "
            "and the model's own error."
        )
    return sentence("; ".join(parts))


_PAIRED = {"iops": "Throughput", "latency_ns_p50": "Median latency", "latency_ns_p99": "p99 latency"}
_PAIRED_OUTCOMES = 8
_BETTER = {"iops": "higher throughput", "latency_ns_p99": "lower p99 latency"}


def _labels(study: Study) -> tuple[str, ...]:
    return ("recording", *(shortened(label, 40) for label in study.comparison.labels))


def _colors(study: Study) -> tuple[str, ...]:
    return ("ink-soft", *(series_color(place) for place in range(len(study.outcomes))))


def _tone(study: Study, row: MeasureRow, place: int) -> str:
    return _tone_of(study.comparison.difference(row.measure.name, place), row.measure.better)


def _tone_of(found: Difference, better: str) -> str:
    if found.percent is None or not better or not found.is_apart:
        return ""
    return "good" if (found.percent > 0) == (better == "higher") else "bad"


def _multiples(study: Study) -> Multiples:
    charts = []
    for name, title in _CHARTS.items():
        row = study.comparison.row(name)
        unit = row.measure.unit
        tones = [_tone(study, row, place) for place in range(len(study.outcomes))]
        charts.append(
            Multiple(
                title,
                row.measure.better,
                (figure(row.recorded, unit), *(figure(value, unit) for value in row.values)),
                (row.recorded, *row.values),
                ("", *tones),
                (None, *(_bar(study.comparison.interval(name, place)) for place in range(len(tones)))),
            )
        )
    return Multiples(
        "multiples",
        "The recording and each replay, measure by measure",
        "Bars for the recording and each replay with their intervals, one small chart per measure; the table "
        "below has all numbers.",
        _labels(study),
        _colors(study),
        tuple(charts),
        "A green (better) or orange (worse) figure can be told apart from the reference: its difference "
        "exceeds chance and the model's own error. Thin lines are the intervals.",
    )


def _bar(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval as an error bar; one without width is none."""
    return None if interval is None or interval[0] == interval[1] else interval


def _table(study: Study) -> Table:
    comparison = study.comparison
    headings = [
        Heading("Measure", sentence="Measured over the commands that were replayed."),
        Heading("Recording", Align.NUMBER),
    ]
    for label in comparison.labels:
        headings.append(Heading(shortened(label, 40), Align.NUMBER))
        if label != comparison.reference:
            headings.append(Heading("±%", Align.NUMBER, f"{label} against {comparison.reference}."))
    headings.append(Heading("Better", sentence="Which way is better, where one is."))
    rows = []
    for row in comparison.rows:
        unit = row.measure.unit
        cells = [
            Cell(row.measure.sentence.rstrip("."), row.measure.name),
            Cell(figure(row.recorded, unit), row.recorded),
        ]
        for place, label in enumerate(comparison.labels):
            cells.append(_figure_cell(study, row, place))
            if label != comparison.reference:
                difference = row.differences_percent[place]
                cells.append(Cell(percent(difference, signed=True), difference, _tone(study, row, place)))
        rows.append((*cells, Cell(row.measure.better, row.measure.better)))
    return Table(
        "comparison",
        f"All measures; differences against {comparison.reference}",
        tuple(headings),
        tuple(rows),
    )


def _curves(study: Study) -> Figure:
    recorded = replayed_part(study.requests, study.outcomes[0])
    series = [distribution("recording", "ink-soft", completed_latency_ns(recorded))]
    for place, outcome in enumerate(study.outcomes):
        series.append(
            distribution(
                shortened(study.comparison.labels[place], 40),
                series_color(place),
                completed_latency_ns(replayed_requests(outcome)),
                _DASHES[place % len(_DASHES)],
            )
        )
    return Figure(
        "comparison-latency",
        "Latency of all commands under each policy: the further left, the better",
        "Cumulative distribution of latency of the recording and of each replay on a logarithmic axis; "
        "the table above has the percentiles.",
        LATENCY_AXIS,
        SHARE_AXIS,
        tuple(one for one in series if len(one.x)),
        height=340,
    )


def _progress(study: Study) -> Figure:
    recorded = replayed_part(study.requests, study.outcomes[0])
    everyone = [("recording", "ink-soft", "solid", recorded)] + [
        (
            shortened(study.comparison.labels[place], 40),
            series_color(place),
            _DASHES[place % len(_DASHES)],
            replayed_requests(outcome),
        )
        for place, outcome in enumerate(study.outcomes)
    ]
    series = []
    for name, color, dash, requests in everyone:
        done = np.sort(requests.completed_ns[requests.is_completed])
        places = np.unique(
            np.concatenate([spread_ranks(len(done), _CURVE_POINTS), _around_gaps(done)]).astype(np.int64)
        )
        series.append(
            Series(
                name,
                Shape.STEPS,
                color,
                study.seconds(done[places]),
                places.astype(np.float64) + 1,
                dash=dash,
            )
        )
    return Figure(
        "comparison-progress",
        "Commands completed by then: steeper is faster, a level stretch is a stall",
        "Number of completed commands over time in the recording and in each replay.",
        Axis("time since the start of the capture", "s", AxisKind.REPLAY_TIME, range=_span(series)),
        Axis("commands completed"),
        tuple(one for one in series if len(one.x)),
        height=320,
        note="Up to 400 points per curve, both ends of the longest pauses always among them.",
    )


def _span(series: list[Series]) -> tuple[float, float]:
    """From the first to the last completion of all, with a little room."""
    ends = [float(one.x[place]) for one in series if len(one.x) for place in (0, -1)]
    first, last = min(ends, default=0.0), max(ends, default=0.0)
    room = max(0.01 * (last - first), 1e-6)
    return first - room, last + room


def _around_gaps(done_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Both ends of the 40 longest pauses between completions, in order of time."""
    if len(done_ns) < 2:
        return np.zeros(0, np.int64)
    longest = np.argsort(-np.diff(done_ns), kind="stable")[:40]
    return np.concatenate([longest, longest + 1])


def _paths(study: Study) -> tuple[Block, ...]:
    headings = (
        Heading("Replay"),
        Heading("Path"),
        Heading("Order kept over", sentence="Paths with the same number share one CmdSN order."),
        Heading("Commands", Align.NUMBER),
        Heading("Share", Align.NUMBER),
        Heading("Read", Align.NUMBER),
        Heading("Written", Align.NUMBER),
        Heading("Rate to target", Align.NUMBER),
        Heading("Rate from target", Align.NUMBER),
        Heading("Busy to target", Align.NUMBER, "Time the link was sending towards the target."),
        Heading("Busy from target", Align.NUMBER, "Time the link was sending towards the initiator."),
    )
    rows = []
    for place, outcome in enumerate(study.outcomes):
        label = Cell(shortened(study.comparison.labels[place], 40), float(place), color=series_color(place))
        rows += [(label, *cells) for cells in _path_cells(outcome)]
    return (Table("paths", "What each path carried", headings, tuple(rows)),)


def _path_cells(outcome: Outcome) -> list[tuple[Cell, ...]]:
    paths = records(outcome.paths)
    total = sum(path["requests"] for path in paths) or 1
    return [
        (
            name_cell(path["name"]),
            Cell(f"nexus {path['nexus_index']}", float(path["nexus_index"])),
            count_cell(path["requests"]),
            share_cell(path["requests"] / total),
            amount_cell(path["read_bytes"]),
            amount_cell(path["written_bytes"]),
            _rate_cell(path["rate_to_target_bps"]),
            _rate_cell(path["rate_from_target_bps"]),
            time_cell(path["busy_to_target_ns"]),
            time_cell(path["busy_from_target_ns"]),
        )
        for path in paths[:_LISTED_PATHS]
    ]


def _rate_cell(bits_per_s: float) -> Cell:
    return Cell(bit_rate(bits_per_s) if bits_per_s else "no limit", bits_per_s)

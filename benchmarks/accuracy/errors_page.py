"""The errors of all predictions as one self-contained page, in the style of the reports.

Decides what is drawn: predicted against measured, every prediction with its errors, and every capture's own
replay. Computes no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analyzer.intervals import LEVEL
from analyzer.report.blocks import Align, Axis, AxisKind, Cell, Figure, Heading, Section, Series, Shape, Table
from analyzer.report.render import Head, panels_of, render
from benchmarks.accuracy.failovers import (
    BOUNDS_PERCENT,
    COMPLETIONS,
    MEASURED,
    TIMES,
    FailoverPrediction,
    rankings,
)
from benchmarks.accuracy.predictions import (
    BOUNDS,
    SHARE,
    FromOneCapture,
    Prediction,
    coverage_percent,
)

COLORS = ("series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8")
NAMES = {
    "iops": "IOPS",
    "lat_p50_ms": "Median latency",
    "lat_p99_ms": "p99 latency",
    SHARE: "Share of path 0",
}
FAILOVER_NAMES = {
    "iops": "IOPS",
    "affected": "Affected commands",
    "first": "First completion",
    "last": "Last completion",
    "slowest": "Slowest command",
}


def write_page(found: Sequence[FromOneCapture], failovers: Sequence[FailoverPrediction], path: Path) -> Path:
    """Write the page and give its path."""
    sections = [_predictions(found, failovers), _coverage(found), _baselines(found)]
    if failovers:
        sections.insert(1, _failovers(failovers))
    head = Head("Predictions against reality", (f"{len(found)} captures",), "", "")
    text = render(panels_of([(head, tuple(sections), {})]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _predictions(found: Sequence[FromOneCapture], failovers: Sequence[FailoverPrediction]) -> Section:
    flat = [prediction for one in found for prediction in one.predictions]
    orders = rankings(found, failovers)
    wrong, pairs = sum(len(order.wrong) for order in orders), sum(order.pairs for order in orders)
    errors = {name: np.abs([one.error(name) for one in flat]) for name in NAMES}
    answer = (
        f"{len(flat)} predictions: IOPS off by {np.median(errors['iops']):.1f} % at the median and "
        f"{errors['iops'].max():.1f} % at worst, median latency by {np.median(errors['lat_p50_ms']):.1f} %, "
        f"p99 by {np.median(errors['lat_p99_ms']):.1f} %; {wrong} of {pairs} pairs in the wrong order."
    )
    blocks = (*(_scatter(flat, name) for name in ("iops", "lat_p50_ms", "lat_p99_ms")), _table(flat))
    return Section("predictions", "Predictions", "How near do predictions come?", answer, blocks)


def _coverage(found: Sequence[FromOneCapture]) -> Section:
    """How many measured outcomes lie in the interval of their prediction."""
    flat = [prediction for one in found for prediction in one.predictions]
    nominal = 100 * LEVEL
    headings = (
        Heading("Workload"),
        Heading("Predictions", Align.NUMBER),
        *(Heading(f"{label}, inside", Align.NUMBER) for label in NAMES.values()),
    )
    rows = []
    for workload in [*sorted({one.run.workload for one in flat}), ""]:
        mine = [one for one in flat if workload in ("", one.run.workload)]
        shares = [coverage_percent(mine, name) for name in NAMES]
        rows.append(
            (
                Cell(workload or "all"),
                Cell(str(len(mine)), float(len(mine))),
                *(Cell(f"{share:.0f} %", share, "good" if share >= nominal else "bad") for share in shares),
            )
        )
    inside = [
        f"{coverage_percent(flat, name):.0f} % of the measured {label}" for name, label in NAMES.items()
    ]
    answer = f"Inside intervals that are to hold {nominal:.0f} % lie {', '.join(inside)}."
    table = Table("coverage", "Measured outcomes inside the interval", headings, tuple(rows))
    return Section("coverage", "Intervals", "Do the intervals hold what was measured?", answer, (table,))


def _scatter(flat: Sequence[Prediction], name: str) -> Figure:
    workloads = sorted({one.run.workload for one in flat})
    series = []
    for place, workload in enumerate(workloads):
        mine = [one for one in flat if one.run.workload == workload]
        measured = np.array([one.run.median(name) for one in mine])
        guessed = np.array([one.figures[name] for one in mine])
        series.append(Series(workload, Shape.POINTS, COLORS[place % len(COLORS)], measured, guessed))
    ends = np.array([min(one.run.median(name) for one in flat), max(one.run.median(name) for one in flat)])
    series.append(Series("equal", Shape.LINE, "ink-soft", ends, ends, dash="dash"))
    unit = "" if name == "iops" else "ms"
    return Figure(
        f"scatter-{name}",
        f"{NAMES[name]}: points on the line came true",
        f"Predicted over measured {NAMES[name]}, one point for each prediction; the table has the numbers.",
        Axis("measured", unit, AxisKind.LOG),
        Axis("predicted", unit, AxisKind.LOG),
        tuple(series),
    )


def _tone(one: Prediction, name: str) -> str:
    return "good" if one.is_covered(name) else "bad"


def _table(flat: Sequence[Prediction]) -> Table:
    headings = (
        Heading("From the capture of"),
        Heading("Predicted"),
        *(Heading(f"{label}, measured", Align.NUMBER) for label in NAMES.values()),
        *(Heading(f"{label}, error", Align.NUMBER) for label in NAMES.values()),
        *(Heading(f"{label}, interval", Align.NUMBER) for label in NAMES.values()),
        Heading("Given besides"),
    )
    rows = []
    for one in flat:
        measured = [Cell(f"{one.run.median(name):.4g}", one.run.median(name)) for name in NAMES]
        errors = [
            Cell(
                f"{one.error(name):+.3f}" if name == SHARE else f"{one.error(name):+z.1f} %",
                one.error(name),
                "good" if one.excess(name) <= 1 else "bad",
            )
            for name in NAMES
        ]
        inside = [
            Cell("{:.4g} to {:.4g}".format(*one.intervals[name]), one.intervals[name][0], _tone(one, name))
            for name in NAMES
        ]
        rows.append(
            (
                Cell(one.source),
                Cell(one.run.configuration),
                *measured,
                *errors,
                *inside,
                Cell(", ".join(one.asked)),
            )
        )
    limits = (
        f"Green: IOPS within {BOUNDS['iops'].worst:g} %, latencies within {BOUNDS['lat_p50_ms'].median:g} "
    )
    limits += f"and {BOUNDS['lat_p99_ms'].median:g} %, shares within {BOUNDS[SHARE].worst:g}."
    return Table("all", "Every prediction", headings, tuple(rows), searchable=True, note=limits)


def _failovers(failovers: Sequence[FailoverPrediction]) -> Section:
    errors = np.abs([one.error(name) for one in failovers for name in TIMES])
    kept, all_kept = (sum(one.keeps(names) for one in failovers) for names in (COMPLETIONS, BOUNDS_PERCENT))
    in_range = np.mean([one.is_in_range(name) for one in failovers for name in BOUNDS_PERCENT])
    answer = (
        f"{len(failovers)} predictions of runs with a failed link: times off by {np.median(errors):.1f} % "
        f"at the median and {errors.max():.1f} % at worst; in {kept} first and last completion keep their "
        f"bounds, in {all_kept} all figures do. "
        f"{100 * in_range:.0f} % of the measured figures lie in the predicted range, give or take what their "
        "repeats lie apart."
    )
    headings = (
        Heading("From the capture of"),
        Heading("Predicted"),
        *(
            Heading(f"{FAILOVER_NAMES[name]}, {what}", Align.NUMBER)
            for name in BOUNDS_PERCENT
            for what in ("measured", "predicted", "error")
        ),
    )
    rows = []
    for one in failovers:
        cells = [Cell(one.source), Cell(one.run.configuration)]
        for name, bound in BOUNDS_PERCENT.items():
            low, high = min(one.figures[name]), max(one.figures[name])
            cells += [
                Cell(f"{one.measured(name):.4g} ± {one.run.spread(MEASURED[name]):.2g}", one.measured(name)),
                Cell(
                    f"{one.predicted(name):.4g} ({low:.4g} to {high:.4g})",
                    one.predicted(name),
                    "" if one.is_in_range(name) else "warning",
                ),
                Cell(
                    f"{one.error(name):+z.1f} %",
                    one.error(name),
                    "good" if abs(one.error(name)) <= bound else "bad",
                ),
            ]
        rows.append(tuple(cells))
    note = (
        "Times are ms behind the fault, of the slowest command its latency. The fault was replayed at "
        "several moments around the measured one; predicted is the median, with the range (marked where "
        "what was measured lies outside, also with what its repeats lie apart). Green: IOPS "
        f"within {BOUNDS_PERCENT['iops']:g} %, all else within {BOUNDS_PERCENT['first']:g} %."
    )
    table = Table("failing", "Every failing run", headings, tuple(rows), searchable=True, note=note)
    return Section("failovers", "Failovers", "And when a link dies?", answer, (table,))


def _baselines(found: Sequence[FromOneCapture]) -> Section:
    headings = (
        Heading("Capture"),
        Heading("Fit"),
        Heading("IOPS", Align.NUMBER),
        Heading("Median latency", Align.NUMBER),
        Heading("p99 latency", Align.NUMBER),
        Heading("Given besides"),
    )
    rows = []
    for one in found:
        errors = [one.baseline.error_percent(name) for name in ("iops", "latency_ns_p50", "latency_ns_p99")]
        tone = {"good": "good", "poor": "bad"}.get(str(one.baseline.fit), "warning")
        rows.append(
            (
                Cell(one.source.name),
                Cell(str(one.baseline.fit), str(one.baseline.fit), tone),
                *(Cell("" if error is None else f"{error:+z.1f} %", error) for error in errors),
                Cell(" ".join(one.settings)),
            )
        )
    good = sum(str(one.baseline.fit) == "good" for one in found)
    return Section(
        "baselines",
        "Baselines",
        "Does the model reproduce the captures?",
        f"{good} of {len(found)} captures are reproduced well by their own replay.",
        (Table("fits", "Each capture and its own replay", headings, tuple(rows)),),
    )

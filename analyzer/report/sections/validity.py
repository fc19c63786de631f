"""How far the replay can be trusted: the recording against its own replay, and what the model assumes.

Decides what stands beside the baseline's error. The error and its judgement come from
``comparison.baseline``.
"""

from __future__ import annotations

from typing import Any

from analyzer.comparison.baseline import BaselineError
from analyzer.comparison.compare import is_baseline
from analyzer.report.blocks import Align, Cell, Figure, Heading, Line, Lines, Section, Table
from analyzer.report.cells import name_cell
from analyzer.report.sections.latency import (
    LATENCY_AXIS,
    SHARE_AXIS,
    completed_latency_ns,
    distribution,
)
from analyzer.report.study import Study
from analyzer.report.words import MISSING, bit_rate, count, figure, percent, visible
from analyzer.tables.folder import Outcome

_LISTED_VALUES = 80
_TONES = {"high": "good", "low": "bad"}
_SCALED_UNITS = ("ns", "s", "bytes/s", "bit/s", "requests/s")


def build(study: Study) -> Section | None:
    """Nothing where nothing was replayed."""
    if not study.outcomes:
        return None
    question = "Can the replay be trusted on this trace?"
    baseline = study.baseline
    if baseline is None:
        answer = "Unknown: no replay of the recording as it was driven is among the outcomes."
        return Section("validity", "Replay validity", question, answer, (_model(study), *_calibration(study)))
    return Section(
        "validity",
        "Replay validity",
        question,
        baseline.sentence,
        (_table(baseline), _curves(baseline), _model(study), *_calibration(study)),
    )


def _table(baseline: BaselineError) -> Table:
    headings = (
        Heading("Measure", sentence="Over the commands that were replayed."),
        Heading("Recording", Align.NUMBER),
        Heading("Replayed as recorded", Align.NUMBER),
        Heading("Error", Align.NUMBER),
        Heading("Good within", Align.NUMBER, "Largest error of a good fit."),
    )
    rows = []
    for error in baseline.errors:
        tone = ""
        if error.limit_percent is not None and error.error_percent is not None:
            tone = "good" if abs(error.error_percent) <= error.limit_percent else "bad"
        limit = MISSING if error.limit_percent is None else f"±{percent(error.limit_percent)}"
        rows.append(
            (
                Cell(error.measure.sentence.rstrip("."), error.measure.name),
                Cell(figure(error.recorded, error.measure.unit), error.recorded),
                Cell(figure(error.replayed, error.measure.unit), error.replayed),
                Cell(percent(error.error_percent, signed=True), error.error_percent, tone),
                Cell(limit, error.limit_percent),
            )
        )
    return Table("baseline", "The recording and its own replay", headings, tuple(rows))


def _curves(baseline: BaselineError) -> Figure:
    return Figure(
        "baseline-latency",
        "Where the two curves part, the model errs",
        "Cumulative distribution of latency in the recording and in its replay as recorded; the table "
        "above has the percentiles.",
        LATENCY_AXIS,
        SHARE_AXIS,
        (
            distribution("recording", "ink", completed_latency_ns(baseline.recorded)),
            distribution("replayed as recorded", "series-1", completed_latency_ns(baseline.replayed), "dash"),
        ),
        height=300,
    )


def _modelled(study: Study) -> Outcome:
    return next((one for one in study.outcomes if is_baseline(one)), study.outcomes[0])


def _model(study: Study) -> Lines:
    """What the manifest of the baseline, else of the first outcome, says of the model."""
    manifest = _modelled(study).manifest
    lines = [
        Line("Pacing", _pacing(manifest)),
        *(
            Line("Assumed" if place == 0 else "", visible(text))
            for place, text in enumerate(_sentences(manifest.get("assumptions")))
        ),
    ]
    return Lines(tuple(lines))


_PACINGS = {
    "recorded": "Open loop: every request is issued at its recorded time, however slow the paths are.",
    "closed": "Closed loop: a request waits for the completion that its issue followed in the recording, "
    "plus the think time that was seen.",
}


def _pacing(manifest: dict[str, Any]) -> str:
    pacing = str(manifest.get("pacing", "not said"))
    if pacing.startswith("depth:"):
        return f"Closed loop with {visible(pacing.removeprefix('depth:'))} requests kept outstanding."
    return _PACINGS.get(pacing, visible(pacing))


def _sentences(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _calibration(study: Study) -> tuple[Table, ...]:
    """What the model took from the recording, and what each value rests on; nothing where none is said."""
    found = _modelled(study).manifest.get("calibration")
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    if not entries:
        return ()
    headings = (
        Heading("Value"),
        Heading("Taken as", Align.NUMBER),
        Heading("Between", Align.NUMBER, "Bounds that the recording puts on it."),
        Heading("Confidence", sentence="How far the value can be trusted."),
        Heading("Rests on"),
    )
    rows = []
    for entry in entries[:_LISTED_VALUES]:
        value, unit = entry.get("value"), str(entry.get("unit", ""))
        number = float(value) if isinstance(value, (int, float)) else None
        shown = visible(value) if isinstance(value, str) else _shown(number, unit)
        rows.append(
            (
                name_cell(str(entry.get("name", "")), 120),
                Cell(shown, number),
                Cell(_bounds(entry, unit)),
                Cell(
                    visible(str(entry.get("confidence", ""))),
                    tone=_TONES.get(str(entry.get("confidence")), ""),
                ),
                name_cell(str(entry.get("rests_on", "")), 240),
            )
        )
    return (Table("calibration", "What the model took from the recording", headings, tuple(rows)),)


def _shown(number: float | None, unit: str) -> str:
    text = bit_rate(number) if unit == "bit/s" else figure(number, unit)
    if unit == "bytes":
        text = count(number)
    return f"{text} {visible(unit)}" if unit not in _SCALED_UNITS and number is not None else text


def _bounds(entry: dict[str, Any], unit: str) -> str:
    """The bounds of a value; one that is open has a dash on that side."""
    low, high = (
        float(one) if isinstance(one, (int, float)) else None for one in (entry.get("low"), entry.get("high"))
    )
    return MISSING if low is None and high is None else f"{_shown(low, unit)} to {_shown(high, unit)}"

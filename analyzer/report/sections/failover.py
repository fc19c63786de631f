"""Failovers as recorded and as replayed, from the moment of the failure, in one picture and one table.

Decides which are shown and what they are called. An outcome's incidents have the columns of a recording's, so
both are told alike; an outcome without such a table was replayed with links that stay up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.report.blocks import (
    Align,
    Axis,
    AxisKind,
    Cell,
    Figure,
    Heading,
    Hover,
    Section,
    Series,
    Shape,
    Table,
)
from analyzer.report.cells import count_cell, name_cell, time_cell
from analyzer.report.incident_cuts import STRETCHES, TIMERS, cuts
from analyzer.report.palette import series_color
from analyzer.report.study import Study
from analyzer.report.words import duration, listed, percent, plural, sentence, shortened

RECORDED = 6
"""Recorded failovers that are shown: those that held commands longest."""
EACH = 3
"""Of each replay, likewise."""
QUESTION = "How long did failover take, and how long would it have taken?"
_HOW = (
    "Replay with a fault to compare, for example: analyzer replay SOURCE --with mcs:2/round-robin "
    "--with mpio:2/round-robin --fault down,link=1,at=50%."
)


@dataclass(frozen=True, slots=True)
class Failover:
    """One failover. ``row`` has the columns of the table ``incidents``; ``place`` is its outcome, or None."""

    name: str
    place: int | None
    row: dict[str, Any]

    def after_ns(self, column: str) -> int | None:
        """How long after the failure something happened; None where it did not, or was not seen."""
        at_ns = self.row.get(column)
        return None if at_ns is None else int(at_ns) - int(self.row["failed_ns"])

    @property
    def stall_ns(self) -> int:
        """The longest life of a command that it held; where none completed, the longest pause."""
        return int(self.row.get("stall_ns") or self.row.get("gap_ns") or 0)

    @property
    def gone(self) -> int:
        """Held commands that the application did not get back: recorded, ended for good; replayed, failed."""
        if self.place is None:
            return int(self.row["lost"] + self.row["aborted"])
        return int(self.row.get("failed") or self.row.get("lost") or 0)


def build(study: Study) -> Section:
    """The picture and the table where anything failed."""
    recorded, replayed = _recorded(study), _replayed(study)
    if not recorded and not replayed:
        answer = f"No connection was lost with commands in flight, recorded or replayed. {_HOW}"
        return Section("failover", "Failover", QUESTION, answer)
    found = recorded + replayed
    return Section(
        "failover",
        "Failover",
        QUESTION,
        _answer(recorded, replayed),
        (_figure(found), _table(found, how="" if replayed else _HOW)),
    )


def _recorded(study: Study) -> list[Failover]:
    rows = [row for row in study.incidents if row["kind"] == "connection-loss" and row["outstanding"]]
    return [
        Failover(f"recorded at {(row['failed_ns'] - study.begin_ns) / 1e9:.3f} s", None, row)
        for row in _longest(rows, RECORDED)
    ]


def _replayed(study: Study) -> list[Failover]:
    found = []
    for place, (label, outcome) in enumerate(zip(study.comparison.labels, study.outcomes, strict=True)):
        table = outcome.arrow.get("incidents")
        rows = _longest(
            [row for row in ([] if table is None else table.to_pylist()) if row["outstanding"]], EACH
        )
        for row in rows:
            several = f" at {(row['failed_ns'] - study.begin_ns) / 1e9:.3f} s" if len(rows) > 1 else ""
            found.append(Failover(f"{shortened(label, 44)}{several}", place, row))
    return found


def _longest(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    chosen = sorted(rows, key=lambda row: -int(row["stall_ns"] or row["gap_ns"] or 0))[:limit]
    return sorted(chosen, key=lambda row: int(row["failed_ns"]))


def _answer(recorded: list[Failover], replayed: list[Failover]) -> str:
    parts = []
    if recorded:
        worst = max(recorded, key=lambda one: one.stall_ns)
        parts.append(
            f"The recording lost {plural(len(recorded), 'connection')} with commands in flight; the slowest "
            f"of these took {duration(worst.stall_ns)}{_mostly(worst)}"
        )
    if replayed:
        by_stall = sorted(replayed, key=lambda one: one.stall_ns)
        best, worst = by_stall[0], by_stall[-1]
        told = f"of the replays {best.name} holds commands shortest, {duration(best.stall_ns)}"
        if len(by_stall) > 1:
            told += f", and {worst.name} longest, {duration(worst.stall_ns)}{_mostly(worst)}"
        parts.append(told)
    else:
        parts.append("no replay holds a failure to compare with")
    return sentence("; ".join(parts))


def _mostly(one: Failover) -> str:
    """What most of the time went to, in brackets."""
    stretches = cuts(one.row)
    if not stretches:
        return ""
    _, label, _, longest = max(stretches, key=lambda stretch: stretch[3])
    whole = sum(stretch[3] for stretch in stretches)
    return f" ({percent(100 * longest / whole)} of it {label})"


def _figure(found: list[Failover]) -> Figure:
    rows = len(found)
    series = []
    for kind, name, color in STRETCHES:
        x, end, y, labels = [], [], [], []
        for number, one in enumerate(found):
            begun = 0
            for stretch, label, _, length in cuts(one.row):
                if stretch == kind:
                    x.append(begun / 1e9)
                    end.append((begun + length) / 1e9)
                    y.append(float(rows - number))
                    labels.append(f"{one.name}: {label}")
                begun += length
        if x:
            lengths = (np.array(end) - np.array(x)) * 1e9
            series.append(
                Series(
                    name,
                    Shape.BARS,
                    color,
                    np.array(x),
                    np.array(y),
                    np.array(end),
                    hover=(
                        Hover("", np.arange(len(x)), names=tuple(labels)),
                        Hover("for", np.round(lengths), "ns"),
                    ),
                )
            )
    return Figure(
        "failover",
        "From the failure to the last command that it held, and what the time went to",
        "One bar per failover, recorded or replayed, cut into the time until it was noticed, the time "
        "commands were held, and the time until the last of them completed. The table below has the numbers.",
        Axis("time since the failure", "s"),
        Axis(
            "failover",
            kind=AxisKind.LANES,
            ticks=tuple((float(rows - number), one.name) for number, one in enumerate(found)),
            range=(0.4, rows + 0.6),
        ),
        tuple(series),
        height=int(np.clip(110 + 30 * rows, 170, 900)),
    )


def _table(found: list[Failover], how: str) -> Table:
    headings = (
        Heading("Failover"),
        Heading("Cause"),
        Heading("Noticed after", Align.NUMBER, "From the first sign of the failure."),
        Heading("Held by"),
        Heading("Held for", Align.NUMBER),
        Heading("First sent again", Align.NUMBER, "After the failure."),
        Heading("First completed", Align.NUMBER, "First of the held commands, after the failure."),
        Heading("Last completed", Align.NUMBER, "Last of the held commands, after the failure."),
        Heading("Slowest command", Align.NUMBER, "From first sending to completion, through all attempts."),
        Heading("Nothing completed for", Align.NUMBER, "Longest such time within it."),
        Heading("Held", Align.NUMBER, "Commands that it held."),
        Heading("Reassigned", Align.NUMBER),
        Heading("Sent again", Align.NUMBER, "On the same path or on another."),
        Heading("Answered", Align.NUMBER, "After all, without being sent again."),
        Heading("Lost", Align.NUMBER, "Never heard of again, aborted for good, or ended with an error."),
    )
    rows = []
    for one in found:
        row = one.row
        held = None if row["hold_to_ns"] is None else row["hold_to_ns"] - row["hold_from_ns"]
        gone = one.gone
        setting = "" if row["hold_setting_s"] is None else f" of {row['hold_setting_s']:.3g} s"
        timer = "" if held is None else f"{TIMERS.get(row['hold_timer'], row['hold_timer'])}{setting}"
        color = "ink-soft" if one.place is None else series_color(one.place)
        rows.append(
            (
                Cell(one.name, one.name, color=color),
                name_cell(row["cause"]),
                time_cell(one.after_ns("detected_ns")),
                name_cell(timer),
                time_cell(held),
                time_cell(one.after_ns("first_retry_ns")),
                time_cell(one.after_ns("first_completion_ns")),
                time_cell(one.after_ns("last_completion_ns")),
                time_cell(row["stall_ns"]),
                time_cell(row["gap_ns"]),
                count_cell(row["outstanding"]),
                count_cell(row["reassigned"]),
                count_cell(row["retried_same_path"] + row["retried_other_path"]),
                count_cell(row.get("answered")),
                count_cell(gone, "bad" if gone else ""),
            )
        )
    return Table("failover", _caption(found), headings, tuple(rows), note=how)


def _caption(found: list[Failover]) -> str:
    recorded = sum(one.place is None for one in found)
    parts = [f"{plural(recorded, 'recorded failover')}"] if recorded else []
    if len(found) > recorded:
        parts.append(plural(len(found) - recorded, "replayed failover"))
    return sentence(f"{listed(parts)}, times counted from the failure").rstrip(".")

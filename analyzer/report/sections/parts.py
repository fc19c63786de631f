"""Where the time of a command went: waiting for order, at the target, and moving data.

Decides how the parts are shown; how a life is cut stands in ``life_parts``. What the initiator held back
before sending is in no capture and is not among the parts.
"""

from __future__ import annotations

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
from analyzer.report.cells import count_cell, share_cell, time_cell
from analyzer.report.life_parts import Parts, parts_of
from analyzer.report.study import Study
from analyzer.report.words import duration, percent

_ROWS = 12
_PARTS = (
    ("sending", "sending the command and its data", "write"),
    ("order wait", "waiting for lower CmdSNs", "wait"),
    ("target", "nothing moves: the target works", "other"),
    ("answer", "data and status on their way back", "read"),
)


def build(study: Study) -> Section:
    """A stacked bar for each operation, and the same as a table."""
    question = "Where did the time of a command go?"
    if not study.requests.is_completed.any():
        return Section("parts", "Time spent", question, "No command was completed.")
    parts = parts_of(study)
    totals = [float(column.sum()) for column in parts.columns()]
    whole = sum(totals) or 1.0
    largest = int(np.argmax(totals))
    answer = (
        f"Of the time of all commands {percent(100 * totals[2] / whole)} passed while the target worked, "
        f"{percent(100 * totals[1] / whole)} in waiting for lower CmdSNs, {percent(100 * totals[0] / whole)} "
        "in "
        f"sending and {percent(100 * totals[3] / whole)} in the answer; {_PARTS[largest][0]} is the largest "
        "part, "
        f"{duration(totals[largest] / len(parts.task))} of a command on the mean."
    )
    return Section("parts", "Time spent", question, answer, (_figure(study, parts), _table(study, parts)))


def _shown(study: Study) -> list[tuple[str, int]]:
    done = [part for part in study.recorded.by_operation if part.measures["completed"]]
    return [(part.label, int(part.index or 0)) for part in done[:_ROWS]]


def _figure(study: Study, parts: Parts) -> Figure:
    shown = _shown(study)
    operation = study.requests.operation.codes[parts.task]
    means = np.array(
        [[float(column[operation == code].mean()) / 1e6 for column in parts.columns()] for _, code in shown]
    )
    ends = np.cumsum(means, axis=1)
    rows = np.arange(len(shown), 0, -1, dtype=np.float64)
    codes = np.array([code for _, code in shown], np.int64)
    series = tuple(
        Series(
            name,
            Shape.BARS,
            color,
            ends[:, place] - means[:, place],
            rows,
            ends[:, place],
            hover=(
                Hover("", codes, names=study.requests.operation.names, key="operation"),
                Hover(sentence, np.round(means[:, place] * 1e6), "ns"),
            ),
            keys={"part": place},
        )
        for place, (name, sentence, color) in enumerate(_PARTS)
    )
    return Figure(
        "parts",
        "Mean time of a command by operation: what a faster link or another order could shorten, and what "
        "not",
        "Stacked bars, one per operation: sending, waiting for lower CmdSNs, the target, the answer. The "
        "table "
        "below has the numbers.",
        Axis("mean time", "ms"),
        Axis(
            "operation",
            kind=AxisKind.LANES,
            ticks=tuple((float(row), label) for row, (label, _) in zip(rows, shown, strict=True)),
            range=(0.4, len(shown) + 0.6),
        ),
        series,
        height=90 + 34 * len(shown),
        note="Time in the initiator before the command left is in no capture.",
        sum="parts",
    )


def _table(study: Study, parts: Parts) -> Table:
    headings = (
        Heading("Operation"),
        Heading("Commands", Align.NUMBER, sum="completed"),
        Heading("Sending", Align.NUMBER, "Mean.", "sending"),
        Heading("Order wait", Align.NUMBER, "Mean.", "order_wait"),
        Heading("Target", Align.NUMBER, "Mean.", "target"),
        Heading("Answer", Align.NUMBER, "Mean.", "answer"),
        Heading("Target's share", Align.NUMBER, "Of the time of these commands.", "target_share"),
    )
    operation = study.requests.operation.codes[parts.task]
    rows = []
    for label, code in _shown(study):
        mine = operation == code
        means = [float(column[mine].mean()) for column in parts.columns()]
        rows.append(
            (
                Cell(label, label),
                count_cell(int(mine.sum())),
                *(time_cell(mean) for mean in means),
                share_cell(means[2] / (sum(means) or 1.0)),
            )
        )
    keys = tuple({"operation": code} for _, code in _shown(study))
    return Table("parts", "Mean time by operation and part", headings, tuple(rows), row_keys=keys)

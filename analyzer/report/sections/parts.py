"""Where the time of a command went: waiting for order, at the target, and moving data.

Decides how a life is cut. What the initiator held back before sending is in no capture and is not
among the parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
from analyzer.report.study import Study
from analyzer.report.words import duration, percent

Int64s = npt.NDArray[np.int64]
_ROWS = 12
_PARTS = (
    ("sending", "sending the command and its data", "write"),
    ("order wait", "waiting for lower CmdSNs", "wait"),
    ("target", "nothing moves: the target works", "other"),
    ("answer", "data and status on their way back", "read"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of n completed tasks, each of shape (n,) in ns; they add up to the latency."""

    task: npt.NDArray[np.intp]
    sending: Int64s
    order_wait: Int64s
    target: Int64s
    answer: Int64s

    def columns(self) -> tuple[Int64s, ...]:
        """The parts in the order of a life."""
        return self.sending, self.order_wait, self.target, self.answer


def parts_of(study: Study) -> Parts:
    """Cut the life of every completed task.

    Sending ends with the last byte that the initiator sent (command, or data of a write), less the silence in
    which it waited for the first R2T; the answer begins with the first Data-In, or is the status alone.
    """
    timeline = study.timeline
    task = np.flatnonzero(study.requests.is_completed)
    command = study.requests.ready_ns[task]
    whole = study.requests.latency_ns[task]
    is_read = study.is_direction("read")[task]
    command_last = timeline.values("tasks", "command_last_ns")[task]
    first_data = np.where(
        timeline.is_null("tasks", "first_data_ns")[task],
        -1,
        timeline.values("tasks", "first_data_ns", 0)[task],
    )
    last_data = np.where(first_data < 0, -1, timeline.values("tasks", "last_data_ns", 0)[task])
    response = study.requests.completed_ns[task]
    answer = np.where(is_read & (first_data >= 0), response - first_data, 0).clip(0, whole)
    sent_from = np.where(is_read | (first_data < 0), command_last, first_data)
    sending = (command_last - command).clip(0, whole - answer)
    moved = np.where(~is_read & (last_data >= 0), last_data - sent_from, 0).clip(0, whole - answer - sending)
    sending = sending + moved
    order_wait = np.minimum(study.requests.order_wait_ns[task], whole - answer - sending).clip(0)
    return Parts(task, sending, order_wait, whole - answer - sending - order_wait, answer)


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
    series = tuple(
        Series(
            name,
            Shape.BARS,
            color,
            ends[:, place] - means[:, place],
            rows,
            ends[:, place],
            hover=(
                Hover("", np.arange(len(shown)), names=tuple(label for label, _ in shown)),
                Hover(sentence, np.round(means[:, place] * 1e6), "ns"),
            ),
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
    )


def _table(study: Study, parts: Parts) -> Table:
    headings = (
        Heading("Operation"),
        Heading("Commands", Align.NUMBER),
        Heading("Sending", Align.NUMBER, "Mean."),
        Heading("Order wait", Align.NUMBER, "Mean."),
        Heading("Target", Align.NUMBER, "Mean."),
        Heading("Answer", Align.NUMBER, "Mean."),
        Heading("Target's share", Align.NUMBER, "Of the time of these commands."),
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
    return Table("parts", "Mean time by operation and part", headings, tuple(rows))

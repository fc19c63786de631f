"""Where on the logical units the commands went, and whether sequences stayed whole on their way.

Decides which logical units are drawn. What continues what is ``analyzer.sequentiality``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Align, Axis, Cell, Figure, Heading, Section, Series, Shape, Table
from analyzer.report.cells import count_cell, share_cell, size_cell
from analyzer.report.sampling import keep
from analyzer.report.sections.commands import task_hover
from analyzer.report.study import Study
from analyzer.report.words import count, percent, plural
from analyzer.sequentiality import continues
from analyzer.serial_numbers import unwrap

Int64s = npt.NDArray[np.int64]
LIMIT = 12_000
"""Commands drawn over all logical units."""
PICTURED = 3
LISTED = 100
_LEAST_SHARE = 0.02
"""A logical unit with a smaller part of the commands is only listed."""
_WAYS = (("reads", "read", "read"), ("writes", "write", "write"))


def build(study: Study) -> Section:
    """A figure for each of the busiest logical units, and sequentiality as a table."""
    question = "Where did the commands go, and did sequences stay whole?"
    placed = np.flatnonzero(~study.timeline.is_null("tasks", "lba") & _is_transfer(study))
    if not len(placed):
        return Section("pattern", "Access pattern", question, "No command named a logical block.")
    order = Orders(study, placed)
    lun = study.timeline.values("tasks", "lun")[placed]
    units, counts = np.unique(lun, return_counts=True)
    busiest = units[np.argsort(-counts, kind="stable")]
    sent, arrived = order.share(order.sent), order.share(order.arrived)
    answer = (
        f"{plural(len(placed), 'command')} to {plural(len(units), 'logical unit')}: {percent(100 * sent)} "
        "continued "
        f"the one before as they were sent, {percent(100 * arrived)} as they arrived at the target."
    )
    busy = [unit for unit in busiest[:PICTURED] if (lun == unit).sum() >= _LEAST_SHARE * len(placed)]
    figures = tuple(_figure(study, placed[lun == unit], int(unit), len(units)) for unit in busy)
    return Section(
        "pattern", "Access pattern", question, answer, (*figures, _table(study, order, busiest, lun))
    )


def _is_transfer(study: Study) -> npt.NDArray[np.bool_]:
    return study.is_direction("read") | study.is_direction("write")


class Orders:
    """Tasks with a block address in three orders, each an array of places in ``task``.

    ``sent``: by CmdSN where one session had the logical unit, else by time; ``arrived``: as their
    commands came to the target; ``delivered``: after the waits for lower CmdSNs.
    """

    def __init__(self, study: Study, task: npt.NDArray[np.intp]) -> None:
        """``task`` are the rows of the tasks, shape (n,)."""
        timeline = study.timeline
        self.task = task
        self.unit = np.unique(timeline.values("tasks", "lun")[task], return_inverse=True)[1].astype(np.int64)
        self.begin = timeline.values("tasks", "lba", 0)[task].astype(np.int64)
        self.end = self.begin + timeline.values("tasks", "blocks", 0)[task].astype(np.int64)
        self.stream = 2 * self.unit + study.is_direction("write")[task]
        arrived = timeline.values("tasks", "command_last_ns")[task]
        self.arrived = np.argsort(arrived, kind="stable")
        self.delivered = np.argsort(arrived + study.requests.order_wait_ns[task], kind="stable")
        self.sent = self._sent(study)

    def _sent(self, study: Study) -> npt.NDArray[np.intp]:
        issued = study.requests.ready_ns[self.task].copy()
        session = study.timeline.values("tasks", "session_index")[self.task]
        number = study.timeline.values("tasks", "cmd_sn")[self.task].astype(np.uint32)
        for one in np.unique(session):
            mine = np.flatnonzero(session == one)
            mine = mine[np.argsort(issued[mine], kind="stable")]
            # Within a session the CmdSN says the order; the moments are dealt out anew in that order.
            issued[mine[np.argsort(unwrap(number[mine]), kind="stable")]] = np.sort(issued[mine])
        return np.argsort(issued, kind="stable")

    def share(self, order: npt.NDArray[np.intp], unit: int | None = None) -> float:
        """The share of commands that continue the one before, in that order, of one unit or of all."""
        if unit is not None:
            order = order[self.unit[order] == unit]
        found = continues(self.stream[order], self.begin[order], self.end[order])
        return float(found.mean()) if len(found) else 0.0


def _figure(study: Study, task: npt.NDArray[np.intp], lun: int, units: int) -> Figure:
    limit = LIMIT // min(units, PICTURED)
    chosen = task[keep(study.requests.latency_ns[task], limit)]
    lba = study.timeline.values("tasks", "lba", 0).astype(np.float64)
    series = []
    for name, color, direction in _WAYS:
        mine = chosen[study.is_direction(direction)[chosen]]
        series.append(
            Series(
                name,
                Shape.POINTS,
                color,
                study.seconds(study.requests.ready_ns[mine]),
                lba[mine],
                rank=study.requests.latency_ns[mine].astype(np.float64),
                hover=task_hover(study, mine),
            )
        )
    note = ""
    if len(task) > limit:
        note = f"{count(limit)} of {count(len(task))} commands are kept, the slowest among them."
    if units > 1:
        note += f" Of {units} logical units those with the most commands are drawn."
    return Figure(
        f"pattern-{lun:x}",
        f"LUN {study.lun_name(lun)}: a slope is a sequence, a cloud is random access",
        f"First logical block of each command to LUN {study.lun_name(lun)} over time, reads and writes "
        "apart.",
        study.time_axis,
        Axis("logical block"),
        tuple(one for one in series if len(one.x)),
        height=300,
        note=note.strip(),
    )


def _table(
    study: Study, order: Orders, busiest: npt.NDArray[np.uint64], lun: npt.NDArray[np.uint64]
) -> Table:
    headings = (
        Heading("LUN", Align.NUMBER),
        Heading("Commands", Align.NUMBER),
        Heading("Reads", Align.NUMBER),
        Heading("Mean transfer", Align.NUMBER),
        Heading("Blocks touched", Align.NUMBER, "From the lowest to the highest block, not all between."),
        Heading("Sequential as sent", Align.NUMBER, "Commands that continue the one before in CmdSN order."),
        Heading("As they arrived", Align.NUMBER, "In the order in which they came to the target."),
        Heading("As delivered", Align.NUMBER, "After waiting for lower CmdSNs: what the device saw."),
    )
    is_read = study.is_direction("read")[order.task]
    moved = study.requests.transferred_bytes[order.task]
    rows = []
    for unit in busiest[:LISTED]:
        mine = lun == unit
        place = int(order.unit[np.flatnonzero(mine)[0]])
        rows.append(
            (
                Cell(study.lun_name(int(unit)), float(unit)),
                count_cell(int(mine.sum())),
                share_cell(float(is_read[mine].mean())),
                size_cell(float(moved[mine].mean())),
                count_cell(int(order.end[mine].max() - order.begin[mine].min())),
                share_cell(order.share(order.sent, place)),
                share_cell(order.share(order.arrived, place)),
                share_cell(order.share(order.delivered, place)),
            )
        )
    codes = {int(unit): code for code, unit in enumerate(np.unique(study.timeline.values("tasks", "lun")))}
    keys = tuple({"lun": codes[int(unit)]} for unit in busiest[:LISTED])
    return Table("pattern", "Sequentiality by logical unit", headings, tuple(rows), row_keys=keys)

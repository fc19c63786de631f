"""Latency against transfer size: what of it grows with the data, and what every command pays.

Decides which transfers are taken together. Commands that move less than a block, as inquiries do, and
unanswered ones are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.measures import percentile
from analyzer.report.blocks import Align, Axis, AxisKind, Cell, Figure, Heading, Series, Shape, Table
from analyzer.report.cells import count_cell, time_cell
from analyzer.report.study import Study
from analyzer.report.words import plural, size

Int64s = npt.NDArray[np.int64]
LISTED = 40
SMALLEST_BYTES = 512
_CURVE_COMMANDS = 5
"""Fewer commands of a class make no point of a curve."""
_WAYS = (("read", "reads", "read"), ("write", "writes", "write"))


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Completed commands of one operation whose data lie between two powers of two, the upper included."""

    operation: int
    """Code of the operation."""
    direction: str
    smallest_bytes: int
    largest_bytes: int
    latency_ns: Int64s

    @property
    def label(self) -> str:
        """The size, or from where to where."""
        if self.smallest_bytes == self.largest_bytes:
            return size(self.largest_bytes)
        return f"{size(self.smallest_bytes)} to {size(self.largest_bytes)}"


def size_classes(study: Study) -> list[SizeClass]:
    """The classes in order of operation and size."""
    requests = study.requests
    moved = requests.transferred_bytes
    rows = np.flatnonzero(requests.is_completed & (moved >= SMALLEST_BYTES))
    # 4096 belongs with what is above 2048: the class is the power of two that is not smaller.
    powers = np.ceil(np.log2(moved[rows])).astype(np.int64)
    keys = requests.operation.codes[rows].astype(np.int64) * 64 + powers
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    found = []
    for mine in np.split(rows[order], borders) if len(rows) else []:
        first = int(mine[0])
        found.append(
            SizeClass(
                int(requests.operation.codes[first]),
                requests.direction.names[requests.direction.codes[first]],
                int(moved[mine].min()),
                int(moved[mine].max()),
                requests.latency_ns[mine],
            )
        )
    return found


def size_blocks(study: Study) -> tuple[Figure | Table, ...]:
    """The curves, where one way of moving data came in several sizes, and the table; nothing without data."""
    classes = size_classes(study)
    if not classes:
        return ()
    series = _curves(classes)
    return (_figure(series), _table(study, classes)) if series else (_table(study, classes),)


def _curves(classes: list[SizeClass]) -> tuple[Series, ...]:
    series = []
    for direction, name, color in _WAYS:
        by_size: dict[int, list[Int64s]] = {}
        for one in classes:
            if one.direction == direction:
                by_size.setdefault((one.largest_bytes - 1).bit_length(), []).append(one.latency_ns)
        latencies = [(power, np.concatenate(parts)) for power, parts in sorted(by_size.items())]
        latencies = [(power, found) for power, found in latencies if len(found) >= _CURVE_COMMANDS]
        if len(latencies) < 2:
            continue
        sizes = np.array([2.0**power / 1024 for power, _ in latencies])
        for share, word, dash in ((50, "median", "solid"), (99, "p99", "dash")):
            values = np.array([max(1.0, percentile(found, share)) / 1e6 for _, found in latencies])
            series.append(Series(f"{name}, {word}", Shape.LINE, color, sizes, values, dash=dash))
    return tuple(series)


def _figure(series: tuple[Series, ...]) -> Figure:
    sizes = sorted({float(one) for each in series for one in each.x})
    return Figure(
        "latency-by-size",
        "Latency by transfer size: level is what every command pays, rising is what its data cost",
        "Median and 99th percentile of latency against transfer size, reads and writes apart, both axes "
        "logarithmic. The table below has the numbers.",
        Axis(
            "transfer size, up to",
            kind=AxisKind.LOG,
            ticks=tuple((one, size(1024 * one)) for one in sizes),
        ),
        Axis("latency", "ms", AxisKind.LOG),
        series,
        height=300,
        note="All sessions and logical units, whatever the filter.",
    )


def _table(study: Study, classes: list[SizeClass]) -> Table:
    headings = (
        Heading("Operation"),
        Heading("Transfer", Align.NUMBER, "Sizes between two powers of two are taken together."),
        Heading("Commands", Align.NUMBER),
        Heading("Mean", Align.NUMBER),
        Heading("p50", Align.NUMBER),
        Heading("p90", Align.NUMBER),
        Heading("p99", Align.NUMBER),
        Heading("Slowest", Align.NUMBER),
    )
    most = sorted(classes, key=lambda one: -len(one.latency_ns))[:LISTED]
    chosen = {id(one) for one in most}
    shown = [one for one in classes if id(one) in chosen]
    rows = tuple(
        (
            Cell(
                study.requests.operation.names[one.operation], study.requests.operation.names[one.operation]
            ),
            Cell(one.label, float(one.largest_bytes)),
            count_cell(len(one.latency_ns)),
            time_cell(float(one.latency_ns.mean())),
            *(time_cell(percentile(one.latency_ns, share)) for share in (50, 90, 99)),
            time_cell(float(one.latency_ns.max())),
        )
        for one in shown
    )
    left_out = len(classes) - len(shown)
    note = (
        f"Completed commands of {SMALLEST_BYTES} bytes and more, of all sessions and logical units, whatever "
        "the filter."
    )
    note += f" {plural(left_out, 'rarer size')} left out." if left_out else ""
    keys = tuple({"operation": one.operation} for one in shown)
    return Table(
        "latency-by-size", "Latency by operation and transfer size", headings, rows, note=note, row_keys=keys
    )

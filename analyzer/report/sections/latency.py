"""How long commands took: the distribution by operation, over time, and its percentiles as a table.

Decides which operations get a curve. Unanswered commands have no latency and are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from analyzer.comparison.request_columns import RequestColumns
from analyzer.measures import percentile
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
from analyzer.report.latency_by_size import size_blocks
from analyzer.report.palette import series_color
from analyzer.report.sampling import keep, spread_ranks
from analyzer.report.sections.commands import task_hover
from analyzer.report.study import Study
from analyzer.report.words import count, duration, plural

LIMIT = 12_000
_HEAT_COLUMNS = 160
_CELLS_PER_DECADE = 12
_CURVES = 6
_CURVE_POINTS = 400
_CURVE_COMMANDS = 10
"""Fewer make no distribution."""
LATENCY_AXIS = Axis("latency", "ms", AxisKind.LOG)
SHARE_AXIS = Axis("commands within", "%", range=(0.0, 101.0))


def build(study: Study) -> Section:
    """Curves, heat map, the cloud over time, and the tables by operation and by size."""
    question = "How long did commands take?"
    overall = study.recorded.overall
    if not overall["completed"]:
        return Section("latency", "Latency", question, "No command was completed.")
    slowest = int(np.argmax(np.where(study.requests.is_completed, study.requests.latency_ns, -1)))
    operation = study.requests.operation
    answer = (
        f"Half within {duration(overall['latency_ns_p50'])}, 90{chr(0x202F)}% within "
        f"{duration(overall['latency_ns_p90'])}, 99{chr(0x202F)}% within "
        f"{duration(overall['latency_ns_p99'])}; the slowest, {operation.names[operation.codes[slowest]]} of "
        f"task {slowest}, took {duration(overall['latency_ns_max'])}."
    )
    return Section(
        "latency",
        "Latency",
        question,
        answer,
        (_curves(study), _heat(study), _cloud(study), _table(study), *size_blocks(study)),
    )


def distribution(
    name: str,
    color: str,
    latency_ns: npt.NDArray[np.int64],
    dash: str = "solid",
    keys: Mapping[str, int] | None = None,
) -> Series:
    """The cumulative distribution: latency in ms against the percent of requests within it."""
    ordered = np.sort(latency_ns)
    places = spread_ranks(len(ordered), _CURVE_POINTS)
    return Series(
        name,
        Shape.LINE,
        color,
        np.maximum(ordered[places], 1) / 1e6,
        100.0 * (places + 1) / max(1, len(ordered)),
        dash=dash,
        keys=keys or {},
    )


def completed_latency_ns(requests: RequestColumns) -> npt.NDArray[np.int64]:
    """The latencies of the completed requests."""
    return requests.latency_ns[requests.is_completed]


def _curves(study: Study) -> Figure:
    shown = [
        part for part in study.recorded.by_operation if (part.measures["completed"] or 0) >= _CURVE_COMMANDS
    ]
    shown = shown[:_CURVES] or list(study.recorded.by_operation[:_CURVES])
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    series = []
    for place, part in enumerate(shown):
        mine = study.requests.where(study.requests.operation.codes == part.index)
        number = plural(part.measures["completed"] or 0, "command")
        series.append(
            distribution(
                f"{part.label}, {number}",
                series_color(place),
                completed_latency_ns(mine),
                dashes[place],
                {"operation": part.index or 0},
            )
        )
    left_out = len(study.recorded.by_operation) - len(shown)
    return Figure(
        "latency-distribution",
        "Latency by operation: the further left and the steeper, the better; the tail is what users feel",
        "Cumulative distribution of latency for the most frequent operations, on a logarithmic axis. "
        "The table below has its percentiles.",
        LATENCY_AXIS,
        SHARE_AXIS,
        tuple(series),
        height=340,
        note=f"{plural(left_out, 'rarer operation')} in the table only." if left_out > 0 else "",
        sum="latency",
    )


def heat_cells(
    at: npt.NDArray[np.float64],
    latency_ms: npt.NDArray[np.float64],
    width: float,
    stratum: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cells that hold any of n commands: left edge in s, lower edge in ms, stratum, and their number.

    Cells are ``width`` wide from 0, and a decade of latency is ``_CELLS_PER_DECADE`` high; each stratum has
    its own.
    """
    column = np.floor(at / width).astype(np.int64)
    row = np.floor(np.log10(latency_ms) * _CELLS_PER_DECADE).astype(np.int64)
    cells, counts = np.unique(np.stack([column, row, stratum]), axis=1, return_counts=True)
    return cells[0] * width, 10.0 ** (cells[1] / _CELLS_PER_DECADE), cells[2], counts


def _heat(study: Study) -> Figure:
    done = study.requests.is_completed
    low, high = study.time_axis.range or (0.0, 1.0)
    width = (high - low) / _HEAT_COLUMNS
    at = study.seconds(study.requests.ready_ns[done])
    strata = study.strata
    stratum = np.zeros(len(at), np.int64) if strata is None else strata.of_task[done]
    x, y, of, counts = heat_cells(at, np.maximum(study.requests.latency_ns[done], 1) / 1e6, width, stratum)
    cells = Series(
        "commands",
        Shape.HEAT,
        "series-0",
        x,
        y,
        rank=counts.astype(np.float64),
        hover=() if strata is None else (Hover("", of, key="stratum"),),
        cell=(width, 10.0 ** (1 / _CELLS_PER_DECADE)),
    )
    return Figure(
        "latency-heat",
        "How many commands took how long, and when: a band is the normal, what leaves it is the trouble",
        "Number of commands by moment of issue and latency, as a heat map with a logarithmic latency axis.",
        study.time_axis,
        LATENCY_AXIS,
        (cells,),
        height=300,
        note=f"Every command is counted, in intervals of {duration(width * 1e9)}; the darker the more.",
    )


def _cloud(study: Study) -> Figure:
    done = np.flatnonzero(study.requests.is_completed)
    chosen = done[keep(study.requests.latency_ns[done], LIMIT)]
    series = []
    for connection in study.carrying_connections:
        mine = chosen[study.requests.path[chosen] == connection]
        latency = study.requests.latency_ns[mine]
        series.append(
            Series(
                study.connection_names[connection],
                Shape.POINTS,
                study.connection_colors[connection],
                study.seconds(study.requests.ready_ns[mine]),
                np.maximum(latency, 1) / 1e6,
                rank=latency.astype(np.float64),
                hover=task_hover(study, mine),
            )
        )
    note = ""
    if len(done) > LIMIT:
        note = (
            f"{count(LIMIT)} of {count(len(done))} commands are kept: the slowest {count(LIMIT // 4)} "
            "and an even choice of the others."
        )
    return Figure(
        "latency-over-time",
        "Latency over time: steps and towers show when something held commands back",
        "Latency of each command at the moment of its issue, on a logarithmic axis, coloured by connection.",
        study.time_axis,
        LATENCY_AXIS,
        tuple(one for one in series if len(one.x)),
        height=320,
        note=note,
    )


def _table(study: Study) -> Table:
    headings = (
        Heading("Operation"),
        Heading("Commands", Align.NUMBER, sum="requests"),
        Heading("Share", Align.NUMBER, sum="share"),
        Heading("Unanswered", Align.NUMBER, "Commands without a response in the capture.", "failed"),
        Heading("Mean", Align.NUMBER, sum="mean"),
        Heading("p50", Align.NUMBER, "Median latency.", "p50"),
        Heading("p90", Align.NUMBER, sum="p90"),
        Heading("p99", Align.NUMBER, sum="p99"),
        Heading("p99.9", Align.NUMBER, sum="p99.9"),
        Heading("Slowest", Align.NUMBER, sum="max"),
        Heading("p99 order wait", Align.NUMBER, "Wait at the target for lower CmdSNs."),
    )
    rows = []
    total = study.recorded.overall["requests"] or 1
    for part in study.recorded.by_operation:
        figures = part.measures
        latency = completed_latency_ns(study.requests.where(study.requests.operation.codes == part.index))
        failed = figures["failed"] or 0
        rows.append(
            (
                Cell(part.label, part.label),
                count_cell(figures["requests"]),
                share_cell((figures["requests"] or 0) / total),
                count_cell(failed, "bad" if failed else ""),
                time_cell(figures["latency_ns_mean"]),
                time_cell(figures["latency_ns_p50"]),
                time_cell(figures["latency_ns_p90"]),
                time_cell(figures["latency_ns_p99"]),
                time_cell(percentile(latency, 99.9) if len(latency) else None),
                time_cell(figures["latency_ns_max"]),
                time_cell(figures["order_wait_ns_p99"]),
            )
        )
    keys = tuple({"operation": part.index or 0} for part in study.recorded.by_operation)
    return Table("latency-by-operation", "Latency by operation", headings, tuple(rows), row_keys=keys)

"""What each connection had to do over time: commands outstanding, data moved, commands completed.

Rates are taken over the intervals of ``strata``. Outstanding commands are exact where the trace is small
enough to draw every change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Axis, Figure, Section, Series, Shape
from analyzer.report.strata import interval_edges
from analyzer.report.study import Study
from analyzer.report.words import count, duration, percent, rate, significant

_STEPS_LIMIT = 20_000
"""Of all connections together."""


def build(study: Study) -> Section:
    """Three figures over time."""
    question = "How was the work spread over the connections?"
    overall = study.recorded.overall
    if not overall["completed"] or overall["bytes_per_s"] is None:
        return Section("load", "Load", question, "No command was completed.")
    by_connection = study.recorded.by_connection
    total = sum(part.measures["completed"] or 0 for part in by_connection)
    shares = [100 * (part.measures["completed"] or 0) / total for part in by_connection]
    spread = (
        f"the busiest of {len(shares)} connections took {percent(max(shares))} of the commands, the idlest "
        f"{percent(min(shares))}"
        if len(shares) > 1
        else "one connection took all commands"
    )
    answer = (
        f"{rate(overall['bytes_per_s'])} and {significant(overall['iops'] or 0)} commands per second on "
        f"the mean, {significant(overall['outstanding_mean'] or 0)} outstanding; {spread}."
    )
    edges = interval_edges(study)
    return Section(
        "load",
        "Load",
        question,
        answer,
        (_outstanding(study), _throughput(study, edges), _completions(study, edges)),
    )


def outstanding_steps(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Moments at which the number in flight changes, in order, and the number from then on.

    ``begin`` and ``end`` have shape (n,). At one moment, ends count before begins.
    """
    times = np.concatenate([begin, end])
    steps = np.concatenate([np.ones(len(begin), np.int64), -np.ones(len(end), np.int64)])
    order = np.lexsort((steps, times))
    times, level = times[order], np.cumsum(steps[order])
    is_last = np.append(np.diff(times) != 0, True)
    return times[is_last], level[is_last]


def _width(edges: npt.NDArray[np.float64]) -> float:
    return float(edges[1] - edges[0])


def _outstanding(study: Study) -> Figure:
    series = []
    begins = study.requests.ready_ns
    ends = study.timeline.values("tasks", "ended_ns")
    is_thinned = False
    limit = max(200, _STEPS_LIMIT // max(1, len(study.carrying_connections)))
    for connection in study.carrying_connections:
        mine = study.requests.path == connection
        times, level = outstanding_steps(begins[mine], ends[mine])
        if len(times) > limit:
            is_thinned = True
            times, level = _highest(times, level, limit)
        series.append(
            Series(
                study.connection_names[connection],
                Shape.STEPS,
                study.connection_colors[connection],
                study.seconds(times),
                level.astype(np.float64),
                thickness=1.5,
                keys={"connection": connection},
            )
        )
    note = "Every change is drawn."
    if is_thinned:
        note = f"The largest and the smallest of {count(limit // 2)} equal intervals are drawn."
    return Figure(
        "outstanding",
        "Commands outstanding per connection: a level that stays up without completions is a stall",
        "Number of commands in flight on each connection over time, as steps.",
        study.time_axis,
        Axis("commands in flight"),
        tuple(series),
        height=280,
        note=f"{note} Under a filter, the mean of each interval.",
        sum="in_flight",
    )


def _highest(
    times: npt.NDArray[np.int64], level: npt.NDArray[np.int64], limit: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The highest and the lowest level of each of many runs of steps, in order of time."""
    runs = np.array_split(np.arange(len(times)), limit // 2)
    picked = np.unique(
        [place for run in runs for place in (run[np.argmax(level[run])], run[np.argmin(level[run])])]
    )
    return times[picked], level[picked]


def _throughput(study: Study, edges: npt.NDArray[np.float64]) -> Figure:
    return Figure(
        "throughput",
        "Data moved per connection: a curve below the others is a path that carries less",
        "Read and written data of completed commands per second on each connection, over time.",
        study.time_axis,
        Axis("throughput", "MB/s"),
        _rates(study, edges, study.requests.transferred_bytes / 1e6),
        height=280,
        note=f"By completion, in intervals of {duration(_width(edges) * 1e9)}.",
        sum="throughput",
    )


def _completions(study: Study, edges: npt.NDArray[np.float64]) -> Figure:
    return Figure(
        "completions",
        "Commands completed per connection: where all fall together, the target or the application paused",
        "Completed commands per second on each connection, over time.",
        study.time_axis,
        Axis("completions", "commands/s"),
        _rates(study, edges, np.ones(len(study.requests))),
        height=280,
        note=f"In intervals of {duration(_width(edges) * 1e9)}.",
        sum="completions",
    )


def _rates(
    study: Study, edges: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[Series, ...]:
    series = []
    at = study.seconds(study.requests.completed_ns)
    for connection in study.carrying_connections:
        mine = (study.requests.path == connection) & study.requests.is_completed
        sums, _ = np.histogram(at[mine], edges, weights=weights[mine])
        series.append(
            Series(
                study.connection_names[connection],
                Shape.STEPS,
                study.connection_colors[connection],
                edges,
                np.append(sums / _width(edges), 0.0),
                thickness=1.5,
                keys={"connection": connection},
            )
        )
    return tuple(series)

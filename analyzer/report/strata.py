"""Sums over the commands of each connection, logical unit and operation, so that a filter can act on sums.

The page holds single commands of a large recording only in part, but a sum over some strata is the sum over
all their commands. Decides the intervals of time and of latency that are summed over. Draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.report.life_parts import parts_of

if TYPE_CHECKING:
    from analyzer.report.study import Study

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

LIMIT = 120
"""With more strata the page would grow by more than they tell."""
CELLS_PER_DECADE = 48
"""Cells of latency: 5 % wide, so a percentile is known to 2.5 %."""
_MOST_CELLS = 19 * CELLS_PER_DECADE + 1
"""For any latency of 64 bits."""
_BINS = 400


@dataclass(frozen=True, slots=True)
class Strata:
    """s strata, ascending by connection, logical unit and operation; times are cut at ``edges``."""

    of_task: Int64s
    """The stratum of each task, shape (tasks,)."""
    connection: Int64s
    session: Int64s
    lun: Int64s
    """Numbers of ``Study.luns``."""
    operation: Int64s
    """Codes of the operations of the study's requests."""
    requests: Int64s
    completed: Int64s
    latency_ns: Float64s
    """Sum over the completed commands."""
    latency_ns_max: Int64s
    parts_ns: Float64s
    """Sums of the parts of a life in the order of ``life_parts.Parts.columns``, shape (s, 4)."""
    edges: Float64s
    """Seconds, shape (b + 1,)."""
    completions: Int64s
    """Commands completed in each interval, shape (s, b)."""
    moved_bytes: Int64s
    """Their data, shape (s, b)."""
    in_flight: Float64s
    """Commands in flight in each interval, on the mean, shape (s, b)."""
    cells: tuple[Int64s, Int64s, Int64s]
    """Stratum, cell and number of the completed commands by latency; a cell begins at
    ``10 ** (cell / CELLS_PER_DECADE)`` ns."""


def interval_edges(study: Study) -> Float64s:
    """The ends of the intervals that rates are taken over, in seconds.

    Of a round width, at most 400, and so few that one of a connection holds ten completions on the mean.
    """
    span = max((study.recorded.end_ns - study.begin_ns) / 1e9, 1e-6)
    each = study.requests.is_completed.sum() / max(1, len(study.carrying_connections))
    width = span / np.clip(each / 10, 20, _BINS)
    scale = float(10.0 ** np.floor(np.log10(width)))
    width = scale * next(step for step in (1, 2, 5, 10) if step * scale >= width * 0.999999)
    return np.arange(0, int(np.ceil(span / width)) + 1, dtype=np.float64) * width


def strata_of(study: Study) -> Strata | None:
    """The strata of a recording; None where there is no command, or there are too many strata."""
    if not study.tasks:
        return None
    requests = study.requests
    units, operations = len(study.luns[1]), len(requests.operation.names)
    key = (requests.path.astype(np.int64) * units + study.luns[0]) * operations + requests.operation.codes
    groups, first, of_task = np.unique(key, return_index=True, return_inverse=True)
    total = len(groups)
    if total > LIMIT:
        return None
    done = np.flatnonzero(requests.is_completed)
    latency, mine = requests.latency_ns[done], of_task[done]
    latest = np.zeros(total, np.int64)
    np.maximum.at(latest, mine, latency)
    edges = interval_edges(study)
    bins = len(edges) - 1
    interval = np.searchsorted(edges, study.seconds(requests.completed_ns[done]), side="right") - 1
    place = mine * bins + interval.clip(0, bins - 1)
    moved = np.bincount(place, requests.transferred_bytes[done], total * bins)
    cell = np.floor(np.log10(np.maximum(latency, 1)) * CELLS_PER_DECADE).astype(np.int64)
    cells, numbers = np.unique(mine * _MOST_CELLS + cell, return_counts=True)
    parts = parts_of(study).columns()
    return Strata(
        of_task,
        groups // (units * operations),
        study.timeline.values("tasks", "session_index")[first].astype(np.int64),
        groups // operations % units,
        groups % operations,
        np.bincount(of_task, minlength=total),
        np.bincount(mine, minlength=total),
        np.asarray(np.bincount(mine, latency, total), np.float64),
        latest,
        np.stack([np.bincount(mine, column, total) for column in parts], axis=1),
        edges,
        np.bincount(place, minlength=total * bins).reshape(total, bins),
        np.rint(moved).astype(np.int64).reshape(total, bins),
        _in_flight(study, of_task, total, edges),
        (cells // _MOST_CELLS, cells % _MOST_CELLS, numbers),
    )


def _in_flight(study: Study, of_task: Int64s, total: int, edges: Float64s) -> Float64s:
    begins = study.seconds(study.requests.ready_ns)
    ends = study.seconds(study.timeline.values("tasks", "ended_ns"))
    found = np.empty((total, len(edges) - 1))
    for stratum in range(total):
        mine = of_task == stratum
        spent = _passed(begins[mine], edges) - _passed(ends[mine], edges)
        found[stratum] = np.diff(spent) / np.diff(edges)
    return found.clip(0)


def _passed(since: Float64s, moments: Float64s) -> Float64s:
    """At each of the moments, the time passed since each of ``since`` that has come, summed."""
    ordered = np.sort(since)
    come = np.searchsorted(ordered, moments, side="right")
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    return np.asarray(come * moments - sums[come])

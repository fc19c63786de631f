"""Which tasks were without a response at a moment, on given connections.

Decides what counts as open: sent, and neither answered nor ended before. Keeps tasks sorted by connection,
so that a question costs what the connections asked for hold, not what the capture holds.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from analyzer.scratch import Scratch
from analyzer.timeline import task_tracker as field
from analyzer.timeline.task_ends import TaskEnds
from analyzer.timeline.task_table import TaskColumns

Int64s = npt.NDArray[np.int64]


class OpenTasks:
    """Answers which tasks connections held at a time."""

    def __init__(self, tasks: TaskColumns, ends: TaskEnds, connections: int, scratch: Scratch) -> None:
        """``connections`` is how many there are in all."""
        self._tasks, self._ends = tasks, ends
        first, last = tasks.matrix[:, field.FIRST_CONNECTION], tasks.matrix[:, field.CONNECTION]
        moved = np.flatnonzero(first != last)
        holder = scratch.moved(np.concatenate([first, last[moved]]))
        order = scratch.moved(np.argsort(holder, kind="stable"))
        rows = scratch.moved(np.concatenate([np.arange(len(tasks), dtype=np.int64), moved]))
        self._rows = scratch.moved(rows[order])
        self._begins = np.searchsorted(scratch.moved(holder[order]), np.arange(connections + 1))

    def held_by(self, connections: Iterable[int]) -> Int64s:
        """All tasks that these connections carried or took over, rising, each once."""
        parts = [self._rows[self._begins[number] : self._begins[number + 1]] for number in connections]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def at(self, connections: Iterable[int], at_ns: int) -> Int64s:
        """Tasks of these connections that were open at ``at_ns``."""
        held = self.held_by(connections)
        tasks, ended_ns = self._tasks, self._ends.ended_ns[held]
        is_open = (tasks.command_ns[held] <= at_ns) & (ended_ns >= at_ns)
        # What was answered at that very moment was answered.
        is_open &= ~(tasks.is_answered[held] & (tasks.response_ns[held] <= at_ns))
        return held[is_open]

"""What became of the commands that a lost connection, a reset or a stall held.

Decides which commands a lost connection held and how each went on: reassigned, sent again under its CmdSN
or as a new command, aborted, answered after all, or lost. Does not decide why; that is the incident's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import ConnectionColumns, PduColumns
from analyzer.iscsi.opcodes import Opcode
from analyzer.timeline import task_tracker as field
from analyzer.timeline.open_tasks import OpenTasks
from analyzer.timeline.reissues import RESET_WAITS_NS
from analyzer.timeline.task_ends import ABORTED, TaskEnds
from analyzer.timeline.task_management import TASK_REASSIGN, TaskManagement
from analyzer.timeline.task_table import TaskColumns
from analyzer.timeline.task_tracker import TrackedTasks

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Found = TypeVar("Found")

REASSIGNED, RETRIED, REISSUED, ABORTED_FATE, ANSWERED, LOST = (
    "reassigned",
    "retried",
    "reissued",
    "aborted",
    "answered",
    "lost",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """One row of the task_fates table before it has its incident."""

    task: int
    fate: str
    issued_ns: int
    is_same_path: bool | None = None
    again_task: int | None = None
    again_connection: int | None = None
    again_ns: int | None = None
    completed_ns: int | None = None


class FateFinder:
    """Answers what became of tasks; built once, asked for each incident."""

    def __init__(
        self,
        pdus: PduColumns,
        opcodes: npt.NDArray[np.uint8],
        connections: ConnectionColumns,
        tracked: TrackedTasks,
        tasks: TaskColumns,
        ends: TaskEnds,
        open_tasks: OpenTasks,
        retry_of: Int32s,
        unused: Int64s,
        functions: list[TaskManagement],
    ) -> None:
        """``unused`` are tasks whose answers were lost on the way to who asked."""
        self._tasks, self._ends, self._open = tasks, ends, open_tasks
        self._paths = list(
            zip(
                connections.initiator_address,
                connections.target_address,
                connections.target_port.tolist(),
                strict=True,
            )
        )
        self._again: dict[int, list[int]] = {}
        for again in np.flatnonzero(retry_of >= 0).tolist():
            self._again.setdefault(int(retry_of[again]), []).append(again)
        self._root = retry_of
        # An answer that nobody acknowledged was unused only if the work was done again.
        self._unused: set[int] = set()
        for task in unused.tolist():
            root = int(retry_of[task]) if retry_of[task] >= 0 else task
            if self._again.get(root, [task])[-1] > task:
                self._unused.add(task)
        self._moves: dict[int, list[tuple[int, int, int, bool]]] = {}
        self._left: dict[int, set[int]] = {}
        for pdu in np.flatnonzero(tracked.moved_from >= 0).tolist():
            task, left = int(tracked.pdu_task[pdu]), int(tracked.moved_from[pdu])
            is_retry = bool(opcodes[pdu] == Opcode.SCSI_COMMAND)
            move = (int(pdus.time_ns[pdu]), left, int(pdus.connection_index[pdu]), is_retry)
            self._moves.setdefault(task, []).append(move)
            self._left.setdefault(left, set()).add(task)
        self._asked: dict[int, int] = {}
        for function in functions:
            if function.function == TASK_REASSIGN and tracked.pdu_task[function.pdu] >= 0:
                self._asked.setdefault(int(tracked.pdu_task[function.pdu]), function.at_ns)

    def held_by(self, connection: int, failed_ns: int, closed_ns: int) -> Int64s:
        """Tasks that ``connection`` held between its first silence and its end, and so took down with it."""
        own = self._open.held_by([connection])
        tasks = self._tasks
        is_last = tasks.matrix[own, field.CONNECTION] == connection
        not_answered = ~tasks.is_answered[own] | (tasks.response_ns[own] > closed_ns)
        is_held = not_answered & (tasks.command_ns[own] <= closed_ns)
        is_held &= self._ends.ended_ns[own] >= failed_ns
        is_held = is_last & (is_held | np.isin(own, list(self._unused)))
        left = np.array(sorted(self._left.get(connection, ())), np.int64)
        left = left[tasks.command_ns[left] <= closed_ns]
        return np.union1d(own[is_held], left)

    def is_same_path(self, one: int, other: int) -> bool:
        """Whether two connections run between the same two addresses."""
        return self._paths[one] == self._paths[other]

    def fates(self, members: Iterable[int], since_ns: int) -> list[Fate]:
        """The fate of each task from ``since_ns`` on."""
        return [self._fate(task, since_ns) for task in members]

    def _fate(self, task: int, since_ns: int) -> Fate:
        tasks = self._tasks
        root = int(self._root[task]) if self._root[task] >= 0 else task
        issued_ns = int(tasks.command_ns[root])
        held_on = int(tasks.matrix[task, field.FIRST_CONNECTION])
        later = [one for one in self._again.get(root, ()) if tasks.command_ns[one] > tasks.command_ns[task]]
        again = _first_since(since_ns, [(int(tasks.command_ns[one]), one) for one in later])
        if again is not None:
            place = int(tasks.matrix[again, field.FIRST_CONNECTION])
            return Fate(
                task, REISSUED, issued_ns, self._paths[place] == self._paths[held_on], again, place,
                int(tasks.command_ns[again]), self._completed_ns(self._again[root][-1]),
            )  # fmt: skip
        move = _first_since(since_ns, [(move[0], move) for move in self._moves.get(task, ())])
        if move is not None:
            at_ns, left, place, is_retry = move
            asked_ns = self._asked.get(task, at_ns)
            return Fate(
                task, RETRIED if is_retry else REASSIGNED, issued_ns, self._paths[place] == self._paths[left],
                None, place, at_ns if is_retry else min(asked_ns, at_ns), self._completed_ns(task),
            )  # fmt: skip
        if self._ends.end[task] == ABORTED:
            return Fate(task, ABORTED_FATE, issued_ns)
        completed_ns = self._completed_ns(task)
        return Fate(task, LOST if completed_ns is None else ANSWERED, issued_ns, completed_ns=completed_ns)

    def _completed_ns(self, task: int) -> int | None:
        if not self._tasks.is_answered[task] or task in self._unused:
            return None
        return int(self._tasks.response_ns[task])


def _first_since(since_ns: int, moments: list[tuple[int, Found]]) -> Found | None:
    """The first of ``moments`` from a failure on, else the last that its reset may have come behind."""
    behind = [found for at_ns, found in moments if at_ns >= since_ns]
    before = [found for at_ns, found in moments if since_ns - RESET_WAITS_NS <= at_ns < since_ns]
    return next(iter(behind[:1] or before[-1:]), None)

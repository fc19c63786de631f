"""Requests as plain columns, recorded or replayed alike: what every measure is taken of.

Decides which column of a timeline stands for which column of an outcome, so that both are
measured by the same words. Does not know what a measure is, and reads no packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.measures import measure
from analyzer.tables.folder import Outcome, TableFolder, Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Rows = Bools | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Categories:
    """One category column: ``codes`` of shape (n,) name entries of ``names``."""

    codes: npt.NDArray[np.int32]
    names: tuple[str, ...]

    def where(self, rows: Rows) -> Categories:
        """Some of the rows: where a mask is true, or those of the given indexes."""
        return Categories(self.codes[rows], self.names)

    def is_word(self, word: str, rows: Rows | slice = slice(None)) -> Bools:
        """Which of the rows hold one word."""
        code = self.names.index(word) if word in self.names else -1
        return np.asarray(self.codes[rows] == code, np.bool_)


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """n requests, every array of shape (n,).

    Of a recording, a request is ready when its command was seen, and waits for order as long as
    the timeline says; of an outcome, it waits from its arrival to its release by the gate.
    ``completed_ns``, ``latency_ns`` and ``order_wait_ns`` hold nothing where ``is_completed`` is false.
    """

    task_index: npt.NDArray[np.int64]
    """-1 where the request stands for no task."""
    ready_ns: Int64s
    completed_ns: Int64s
    is_completed: Bools
    latency_ns: Int64s
    order_wait_ns: Int64s
    transferred_bytes: Int64s
    operation: Categories
    direction: Categories
    path: npt.NDArray[np.int32]
    """Connection of a recording, path of an outcome; -1 where it never had one."""

    def __len__(self) -> int:
        return len(self.ready_ns)

    def where(self, rows: Rows) -> RequestColumns:
        """Some of the requests: where a mask is true, or those of the given indexes."""
        return RequestColumns(
            self.task_index[rows],
            self.ready_ns[rows],
            self.completed_ns[rows],
            self.is_completed[rows],
            self.latency_ns[rows],
            self.order_wait_ns[rows],
            self.transferred_bytes[rows],
            self.operation.where(rows),
            self.direction.where(rows),
            self.path[rows],
        )

    def measures(self, rows: Rows | slice = slice(None)) -> dict[str, float | None]:
        """Every measure of ``analyzer.measures`` by name, of all or of some of the requests.

        None where there is no such figure. Data of bidirectional commands counts as read: the timeline has
        one count for both ways.
        """
        moved, is_completed = self.transferred_bytes[rows], self.is_completed[rows]
        written = int(moved.sum(where=is_completed & self.direction.is_word("write", rows)))
        read = int(moved.sum(where=is_completed)) - written
        del moved  # Of some of millions of requests it is a copy.
        return measure(
            ready_ns=self.ready_ns[rows],
            completed_ns=self.completed_ns[rows],
            is_completed=is_completed,
            order_wait_ns=self.order_wait_ns[rows],
            read_bytes=read,
            written_bytes=written,
        )


def recorded_requests(timeline: Timeline) -> RequestColumns:
    """The tasks of a timeline as requests, in order of task."""
    is_completed = ~timeline.is_null("tasks", "response_ns")
    return RequestColumns(
        task_index=timeline.values("tasks", "task_index").astype(np.int64, copy=False),
        ready_ns=timeline.values("tasks", "command_ns"),
        completed_ns=timeline.values("tasks", "response_ns", 0),
        is_completed=is_completed,
        latency_ns=timeline.values("tasks", "latency_ns", 0),
        order_wait_ns=timeline.values("tasks", "order_wait_ns"),
        transferred_bytes=timeline.values("tasks", "transferred_bytes"),
        operation=categories(timeline, "tasks", "operation"),
        direction=categories(timeline, "tasks", "direction"),
        path=timeline.values("tasks", "connection_index"),
    )


def replayed_requests(outcome: Outcome, *, as_recorded: bool = False) -> RequestColumns:
    """The requests of an outcome, in order of request.

    With ``as_recorded`` as a recorder would have seen them: ready when the command left, not when it was
    asked for.
    """
    arrived = outcome.values("requests", "arrived_ns", 0)
    released = outcome.values("requests", "released_ns", 0)
    ready, completed = outcome.values("requests", "ready_ns"), outcome.values("requests", "completed_ns", 0)
    latency = "seen_latency_ns" if as_recorded else "latency_ns"
    if as_recorded:
        ready = np.where(completed > 0, completed - outcome.values("requests", latency, 0), ready)
    has_gate_times = ~(outcome.is_null("requests", "arrived_ns") | outcome.is_null("requests", "released_ns"))
    return RequestColumns(
        task_index=outcome.values("requests", "task_index", -1).astype(np.int64, copy=False),
        ready_ns=ready,
        completed_ns=completed,
        is_completed=outcome.values("requests", "end") == "completed",
        latency_ns=outcome.values("requests", latency, 0),
        order_wait_ns=np.where(has_gate_times, released - arrived, 0),
        transferred_bytes=outcome.values("requests", "transferred_bytes"),
        operation=categories(outcome, "requests", "operation"),
        direction=categories(outcome, "requests", "direction"),
        path=outcome.values("requests", "path_index", -1),
    )


def replayed_part(recorded: RequestColumns, outcome: Outcome) -> RequestColumns:
    """Those recorded requests that the outcome replays: all of them where it names no task."""
    replayed = outcome.values("requests", "task_index", -1)
    named = replayed[replayed >= 0]
    if not len(named):
        return recorded
    return recorded.where(np.isin(recorded.task_index, named))


def categories(folder: TableFolder, table: str, column: str) -> Categories:
    """A category column without nulls as codes and names."""
    names, codes = folder.categories(table, column)
    return Categories(codes, names)

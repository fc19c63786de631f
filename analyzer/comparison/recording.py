"""What a recording measures, whole and in parts: the figures that every replay is held against.

Decides which parts are measured (operation, connection, session). Prints nothing and knows no
replay; the values are plain data for the terminal, the page and tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analyzer.comparison.request_columns import RequestColumns, categories, recorded_requests
from analyzer.tables.folder import Timeline


@dataclass(frozen=True, slots=True)
class PartMeasures:
    """The measures of one part of the recording. ``index`` is the row it is named after, if any."""

    label: str
    index: int | None
    measures: dict[str, float | None]


@dataclass(frozen=True)
class RecordedMeasures:
    """All that can be measured of one timeline; parts are measured when first asked for."""

    timeline: Timeline
    requests: RequestColumns
    begin_ns: int
    """The first packet, or the first command where no file says; ns since the Unix epoch."""
    end_ns: int

    @cached_property
    def overall(self) -> dict[str, float | None]:
        """The measures of all tasks."""
        return self.requests.measures()

    @cached_property
    def by_operation(self) -> tuple[PartMeasures, ...]:
        """One part for each operation, most frequent first."""
        operation = self.requests.operation
        parts = _parts(self.requests, operation.codes, operation.names)
        return tuple(sorted(parts, key=lambda part: -(part.measures["requests"] or 0)))

    @cached_property
    def by_connection(self) -> tuple[PartMeasures, ...]:
        """One part for each connection that carried commands, in order."""
        return _parts(self.requests, self.requests.path, _names(self.timeline, "connections", "connection"))

    @cached_property
    def by_session(self) -> tuple[PartMeasures, ...]:
        """One part for each session that had commands, in order."""
        sessions = self.timeline.values("tasks", "session_index")
        return _parts(self.requests, sessions, _names(self.timeline, "sessions", "session"))

    @cached_property
    def ends(self) -> dict[str, int]:
        """Tasks by the way they ended."""
        ends = categories(self.timeline, "tasks", "end")
        counts = np.bincount(ends.codes, minlength=len(ends.names))
        return {name: int(count) for name, count in zip(ends.names, counts, strict=True) if count}

    def of_connection(self, index: int) -> dict[str, float | None]:
        """The measures of one connection alone."""
        return self.requests.measures(np.flatnonzero(self.requests.path == index))


def recorded_measures(timeline: Timeline) -> RecordedMeasures:
    """Measure the tasks of a timeline; a recording without tasks has counts of zero and no other figure."""
    begin_ns, end_ns = recorded_span_ns(timeline)
    return RecordedMeasures(timeline, recorded_requests(timeline), begin_ns, end_ns)


def recorded_span_ns(timeline: Timeline) -> tuple[int, int]:
    """First and last moment of the recording: of its packets, else of its tasks, else zeros."""
    firsts = timeline.values("captures", "first_ns", 0)[~timeline.is_null("captures", "first_ns")]
    lasts = timeline.values("captures", "last_ns", 0)[~timeline.is_null("captures", "last_ns")]
    if not len(firsts):
        firsts = timeline.values("tasks", "command_ns")
        lasts = timeline.values("tasks", "ended_ns")
    if not len(firsts):
        return 0, 0
    return int(firsts.min()), int(lasts.max())


def _names(timeline: Timeline, table: str, word: str) -> tuple[str, ...]:
    return tuple(f"{word} {index}" for index in range(timeline.arrow[table].num_rows))


def _parts(
    requests: RequestColumns, codes: npt.NDArray[np.int32], names: tuple[str, ...]
) -> tuple[PartMeasures, ...]:
    """The measures of each code that occurs; codes below zero belong to no part."""
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    rows = np.split(order, starts[1:])
    return tuple(
        PartMeasures(names[code], int(code), requests.measures(mine))
        for code, mine in zip(present, rows, strict=False)
        if code >= 0
    )

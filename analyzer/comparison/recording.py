"""What a recording measures, whole and in parts: the figures that every replay is held against.

Decides which parts are measured (operation, connection, session). Prints nothing and knows no
replay; the values are plain data for the terminal, the page and tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.comparison.request_columns import RequestColumns, recorded_requests
from analyzer.tables.folder import Timeline


@dataclass(frozen=True, slots=True)
class PartMeasures:
    """The measures of one part of the recording. ``index`` is the row it is named after, if any."""

    label: str
    index: int | None
    measures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class RecordedMeasures:
    """All that was measured of one timeline. Times are ns since the Unix epoch."""

    begin_ns: int
    """The first packet, or the first command where no file says."""
    end_ns: int
    overall: dict[str, float | None]
    by_operation: tuple[PartMeasures, ...]
    """Most frequent first."""
    by_connection: tuple[PartMeasures, ...]
    by_session: tuple[PartMeasures, ...]
    ends: dict[str, int]
    """Tasks by the way they ended."""


def recorded_measures(timeline: Timeline) -> RecordedMeasures:
    """Measure the tasks of a timeline; a recording without tasks has counts of zero and no other figure."""
    requests = recorded_requests(timeline)
    begin_ns, end_ns = recorded_span_ns(timeline)
    operations = _parts(requests, requests.operation.codes, requests.operation.names)
    sessions = timeline.values("tasks", "session_index")
    ends, counts = np.unique(timeline.values("tasks", "end").astype(str), return_counts=True)
    return RecordedMeasures(
        begin_ns=begin_ns,
        end_ns=end_ns,
        overall=requests.measures(),
        by_operation=tuple(sorted(operations, key=lambda part: -(part.measures["requests"] or 0))),
        by_connection=_parts(requests, requests.path, _names(timeline, "connections", "connection")),
        by_session=_parts(requests, sessions, _names(timeline, "sessions", "session")),
        ends={str(end): int(count) for end, count in zip(ends, counts, strict=True)},
    )


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
    present = np.unique(codes[codes >= 0])
    return tuple(
        PartMeasures(names[code], int(code), requests.where(codes == code).measures()) for code in present
    )

"""A timeline as a Perfetto trace: every command a slice on its connection, every event a mark.

Decides tracks and arguments. A session is a track, below it lie its connections; a connection has as many
tracks of one name as it had commands in flight at once, since slices of one track may not overlap.
Times are those of the capture, in ns since the Unix epoch. Field numbers are of Perfetto's
``protos/perfetto/trace`` (``trace_packet``, ``clock_snapshot``, ``interned_data``, ``track_event``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.export.interface import Exported, Exporter, whole_file
from analyzer.export.protobuf import (
    close_message,
    message,
    number,
    open_message,
    put_number,
    text,
)
from analyzer.lanes import stack
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]

# Trace and TracePacket
PACKET = 1
CLOCK_SNAPSHOT, TIMESTAMP, SEQUENCE, TRACK_EVENT, INTERNED, SEQUENCE_FLAGS, TRACK = 6, 8, 10, 11, 12, 13, 60
STATE_CLEARED, NEEDS_STATE = 1, 2
# TrackEvent
ANNOTATION, TYPE, NAME_ID, TRACK_ID, NAME = 4, 9, 10, 11, 23
BEGIN, END, INSTANT = 1, 2, 3
# DebugAnnotation
ANNOTATION_NAME_ID, UNSIGNED_VALUE, TEXT_VALUE = 1, 3, 6
# InternedData
EVENT_NAMES, ANNOTATION_NAMES = 2, 3
# TrackDescriptor
TRACK_UUID, TRACK_NAME, TRACK_PARENT = 1, 2, 5

REALTIME, BOOTTIME = 1, 6
"""Clocks of Perfetto; slices are on the second unless they say otherwise."""

ARGUMENTS = ("task", "lba", "bytes", "latency_ns", "order_wait_ns", "packet", "status")
_NOTHING = -1
_SLICE_BYTES = 400
"""More than a slice can take: seven annotations of at most 24 bytes and two events of at most 60."""
_TASKS_AT_A_TIME = 50_000
_SESSION_UUID, _CONNECTION_UUID, _LANE_UUID, _EVENTS_UUID = 1 << 20, 1 << 30, 1 << 40, 1
_DETAIL = len(ARGUMENTS) + 1


@njit(cache=True, nogil=True)
def put_slices(
    buffer: npt.NDArray[np.uint8],
    begins: Int64s,
    ends: Int64s,
    track: Int64s,
    name: Int64s,
    arguments: npt.NDArray[np.int64],
) -> int:
    """Write the beginning and the end of n slices behind one another; gives the bytes written.

    ``arguments`` has shape (n, len(ARGUMENTS)) with -1 for none. Packets of one time keep the order
    of the file, so a slice without length begins before it ends.
    """
    at = 0
    for place in range(len(begins)):
        packet = open_message(buffer, at, PACKET)
        at = put_number(buffer, packet, TIMESTAMP, begins[place])
        at = put_number(buffer, at, SEQUENCE, 1)
        at = put_number(buffer, at, SEQUENCE_FLAGS, NEEDS_STATE)
        event = open_message(buffer, at, TRACK_EVENT)
        at = put_number(buffer, event, TYPE, BEGIN)
        at = put_number(buffer, at, TRACK_ID, track[place])
        at = put_number(buffer, at, NAME_ID, name[place] + 1)
        for argument in range(arguments.shape[1]):
            value = arguments[place, argument]
            if value >= 0:
                annotation = open_message(buffer, at, ANNOTATION)
                at = put_number(buffer, annotation, ANNOTATION_NAME_ID, argument + 1)
                at = put_number(buffer, at, UNSIGNED_VALUE, value)
                at = close_message(buffer, annotation, at)
        at = close_message(buffer, event, at)
        at = close_message(buffer, packet, at)
        packet = open_message(buffer, at, PACKET)
        at = put_number(buffer, packet, TIMESTAMP, ends[place])
        at = put_number(buffer, at, SEQUENCE, 1)
        event = open_message(buffer, at, TRACK_EVENT)
        at = put_number(buffer, event, TYPE, END)
        at = put_number(buffer, at, TRACK_ID, track[place])
        at = close_message(buffer, event, at)
        at = close_message(buffer, packet, at)
    return at


def write(timeline: Timeline, place: Path) -> Exported:
    """Write the trace of a timeline."""
    tasks = timeline.arrow["tasks"].num_rows
    lane = lanes(timeline)
    with whole_file(place) as file:
        file.write(_head(timeline, lane))
        for part in _slices(timeline, lane):
            file.write(part)
        for part in _events(timeline):
            file.write(part)
    events = timeline.arrow["events"].num_rows
    return Exported(
        place, f"{tasks:,} slices and {events:,} marks", ("Open it in the Perfetto UI (ui.perfetto.dev).",)
    )


def lanes(timeline: Timeline) -> Int64s:
    """The lane of each task on its connection, shape (tasks,): no two tasks of one lane overlap."""
    begins, ends = timeline.values("tasks", "command_ns"), timeline.values("tasks", "ended_ns")
    connection = timeline.values("tasks", "connection_index")
    chosen = np.zeros(len(begins), np.int64)
    for one in np.unique(connection):
        mine = np.flatnonzero(connection == one)
        mine = mine[np.argsort(begins[mine], kind="stable")]
        # A task may not end before it begins, whatever the clock of a capture did.
        chosen[mine] = stack(begins[mine], np.maximum(begins[mine], ends[mine]), len(mine))
    return chosen


def _packet(*parts: bytes) -> bytes:
    return message(PACKET, number(SEQUENCE, 1), *parts)


def _head(timeline: Timeline, lane: Int64s) -> bytes:
    """The clock, the names used by slices, and the tracks."""
    starts = timeline.values("tasks", "command_ns")
    now = int(starts.min()) if len(starts) else 0
    clocks = [message(1, number(1, clock), number(2, now)) for clock in (REALTIME, BOOTTIME)]
    names = [
        message(EVENT_NAMES, number(1, place + 1), text(2, name))
        for place, name in enumerate(_operations(timeline)[0])
    ]
    names += [
        message(ANNOTATION_NAMES, number(1, place + 1), text(2, name))
        for place, name in enumerate((*ARGUMENTS, "detail"))
    ]
    parts = [
        _packet(message(CLOCK_SNAPSHOT, *clocks)),
        _packet(number(SEQUENCE_FLAGS, STATE_CLEARED), message(INTERNED, *names)),
        _track(_EVENTS_UUID, "events"),
    ]
    for row in timeline.arrow["sessions"].select(["session_index", "initiator_name"]).to_pylist():
        index = row["session_index"]
        parts.append(_track(_SESSION_UUID + index, f"session {index} {row['initiator_name'] or ''}".strip()))
    connection = timeline.values("tasks", "connection_index")
    for row in timeline.arrow["connections"].select(["connection_index", "session_index", "cid"]).to_pylist():
        index, session = row["connection_index"], row["session_index"]
        name = f"connection {index}" + ("" if row["cid"] is None else f", CID {row['cid']}")
        parent = None if session is None else _SESSION_UUID + session
        parts.extend(
            _track(_lane_uuid(index, int(one)), name, parent) for one in np.unique(lane[connection == index])
        )
    return b"".join(parts)


def _lane_uuid(connection: int, lane: int) -> int:
    return _LANE_UUID + (connection << 32) + lane


def _track(uuid: int, name: str, parent: int | None = None) -> bytes:
    above = b"" if parent is None else number(TRACK_PARENT, parent)
    return _packet(message(TRACK, number(TRACK_UUID, uuid), text(TRACK_NAME, name), above))


def _operations(timeline: Timeline) -> tuple[list[str], Int64s]:
    names, codes = np.unique(timeline.values("tasks", "operation").astype(str), return_inverse=True)
    return names.tolist(), codes.astype(np.int64)


def _slices(timeline: Timeline, lane: Int64s) -> Iterator[bytes]:
    begins = timeline.values("tasks", "command_ns")
    ends = np.maximum(begins, timeline.values("tasks", "ended_ns"))
    order = np.argsort(begins, kind="stable")
    connection = timeline.values("tasks", "connection_index").astype(np.int64)
    track = _LANE_UUID + (connection << 32) + lane
    _, name = _operations(timeline)
    lba = timeline.values("tasks", "lba", 0)
    arguments = np.stack(
        [
            timeline.values("tasks", "task_index").astype(np.int64),
            np.where(
                timeline.is_null("tasks", "lba") | (lba >= 1 << 63),
                _NOTHING,
                (lba & (2**63 - 1)).astype(np.int64),
            ),
            timeline.values("tasks", "transferred_bytes"),
            timeline.values("tasks", "latency_ns", _NOTHING),
            timeline.values("tasks", "order_wait_ns"),
            timeline.values("tasks", "command_packet"),
            np.where(
                timeline.is_null("tasks", "status"),
                _NOTHING,
                timeline.values("tasks", "status", 0).astype(np.int64),
            ),
        ],
        axis=1,
    )
    buffer = np.empty(_TASKS_AT_A_TIME * _SLICE_BYTES, np.uint8)
    for first in range(0, len(order), _TASKS_AT_A_TIME):
        part = order[first : first + _TASKS_AT_A_TIME]
        size = put_slices(buffer, begins[part], ends[part], track[part], name[part], arguments[part])
        yield buffer[:size].tobytes()


def _events(timeline: Timeline) -> Iterator[bytes]:
    """One mark per event, on a track of their own."""
    columns = timeline.arrow["events"].select(["at_ns", "kind", "detail"]).to_pydict()
    for at_ns, kind, detail in zip(columns["at_ns"], columns["kind"], columns["detail"], strict=True):
        yield _packet(
            number(TIMESTAMP, max(0, at_ns)),
            number(SEQUENCE_FLAGS, NEEDS_STATE),
            message(
                TRACK_EVENT,
                number(TYPE, INSTANT),
                number(TRACK_ID, _EVENTS_UUID),
                text(NAME, kind),
                message(ANNOTATION, number(ANNOTATION_NAME_ID, _DETAIL), text(TEXT_VALUE, detail)),
            ),
        )


EXPORTER = Exporter("perfetto", ".perfetto-trace", "A trace for the Perfetto UI: commands as slices.", write)

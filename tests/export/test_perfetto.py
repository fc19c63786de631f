"""The trace read with the format's own definitions: a slice per task, nothing overlapping, names whole."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

import analyzer
from analyzer.export import perfetto
from analyzer.tables.folder import Timeline
from tests.made import BEGIN_NS, make_timeline, null_where
from tests.real import capture_path
from tests.report.described import with_events
from tests.report.test_render import HOSTILE


def read(timeline: Timeline, tmp_path: Path) -> Trace:
    place = tmp_path / "made.perfetto-trace"
    perfetto.write(timeline, place)
    return Trace.FromString(place.read_bytes())


def slices(trace: Trace) -> list[tuple[int, int, int, str, dict[str, int]]]:
    """(track, begin, end, name, arguments) of every slice, pairing on each track as Perfetto does."""
    names, arguments = {}, {}
    for packet in trace.packet:
        names |= {entry.iid: entry.name for entry in packet.interned_data.event_names}
        arguments |= {entry.iid: entry.name for entry in packet.interned_data.debug_annotation_names}
    packets = [packet for packet in trace.packet if packet.HasField("track_event")]
    packets.sort(key=lambda packet: packet.timestamp)
    open_on: dict[int, list] = defaultdict(list)
    found = []
    for packet in packets:
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            values = {arguments[one.name_iid]: one.uint_value for one in event.debug_annotations}
            open_on[event.track_uuid].append((packet.timestamp, names[event.name_iid], values))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begin, name, values = open_on[event.track_uuid].pop()
            assert not open_on[event.track_uuid], "slices of one track overlap"
            found.append((event.track_uuid, begin, packet.timestamp, name, values))
    assert not any(open_on.values()), "a slice never ends"
    return found


def test_every_task_of_a_real_capture_is_one_slice(tmp_path: Path):
    """As many slices as tasks, each from command to end with its name, LBA and wait."""
    timeline = analyzer.analyze(capture_path("mcs-2conn-rr-mtu1500-tgt"))
    found = slices(read(timeline, tmp_path))
    tasks = timeline.tasks
    assert len(found) == len(tasks)
    by_task = {values["task"]: (begin, end, name, values) for _, begin, end, name, values in found}
    assert set(by_task) == set(tasks["task_index"])
    for row in tasks.itertuples():
        begin, end, name, values = by_task[row.task_index]
        assert (begin, end, name) == (row.command_ns, row.ended_ns, row.operation)
        assert values["order_wait_ns"] == row.order_wait_ns
        assert values["bytes"] == row.transferred_bytes
        assert values.get("lba") == (None if pd.isna(row.lba) else row.lba)


def test_a_slice_lies_on_its_connection_below_its_session(tmp_path: Path):
    timeline = make_timeline(tasks=60, sessions=2, connections=2)
    trace = read(timeline, tmp_path)
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")
    }
    for track, _, _, _, values in slices(trace):
        connection = int(timeline.values("tasks", "connection_index")[values["task"]])
        assert tracks[track].name.startswith(f"connection {connection},")
        assert tracks[tracks[track].parent_uuid].name.startswith(f"session {connection // 2} ")


def test_slices_without_length_begin_before_they_end(tmp_path: Path):
    """Also where the next command of the lane begins at that very moment."""
    at = BEGIN_NS + np.array([0, 0, 5, 5, 5])
    timeline = make_timeline(
        tasks=5, connections=1, command_ns=at, response_ns=at, ended_ns=at, latency_ns=np.zeros(5, np.int64)
    )
    assert len(slices(read(timeline, tmp_path))) == 5


def test_what_is_not_known_is_no_argument(tmp_path: Path):
    nothing = null_where(np.zeros(3, np.uint64), np.ones(3, bool))
    timeline = make_timeline(tasks=3, lba=nothing, status=null_where(np.zeros(3, np.uint8), np.ones(3, bool)))
    for _, _, _, _, values in slices(read(timeline, tmp_path)):
        assert "lba" not in values
        assert "status" not in values
        assert values["latency_ns"] > 0


def test_events_are_marks_and_hostile_texts_stay_texts(tmp_path: Path):
    timeline = with_events(
        make_timeline(tasks=2, initiator_name=HOSTILE),
        [{"kind": "connection-lost", "detail": HOSTILE, "at_ns": BEGIN_NS + 7}],
    )
    trace = read(timeline, tmp_path)
    (mark,) = [p for p in trace.packet if p.track_event.type == TrackEvent.TYPE_INSTANT]
    assert mark.timestamp == BEGIN_NS + 7
    assert mark.track_event.name == "connection-lost"
    assert mark.track_event.debug_annotations[0].string_value == HOSTILE
    assert any(HOSTILE in packet.track_descriptor.name for packet in trace.packet)


def test_an_empty_timeline_is_a_valid_trace(tmp_path: Path):
    assert slices(read(make_timeline(tasks=0), tmp_path)) == []


def test_the_compiled_writer_writes_what_the_plain_one_does():
    """Largest values included, within the room that a slice is given."""
    arguments = np.array([[2**63 - 1] * 7, [-1] * 7, [0, 1, 127, 128, 300, -1, 2]], np.int64)
    times = np.array([2**63 - 1, 5, 0])
    columns = (times, times, np.array([2**62, 1, 2]), np.array([0, 1, 300]), arguments)
    compiled, plain = np.zeros(3 * 400, np.uint8), np.zeros(3 * 400, np.uint8)
    size = perfetto.put_slices(compiled, *columns)
    assert size == perfetto.put_slices.py_func(plain, *columns)
    assert np.array_equal(compiled, plain)
    assert (
        perfetto.put_slices(np.zeros(400, np.uint8), *(column[:1] for column in columns))
        <= perfetto._SLICE_BYTES
    )


@pytest.mark.parametrize("part", [1, 7, 50])
def test_parts_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int):
    timeline = make_timeline(tasks=50)
    whole = read(timeline, tmp_path)
    monkeypatch.setattr(perfetto, "_TASKS_AT_A_TIME", part)
    assert read(timeline, tmp_path) == whole

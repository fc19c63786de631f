"""What is counted while a recording goes on is what the finished recording holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.byte_order import Bytes
from analyzer.capture.packets import Packets
from analyzer.capture.reader import CaptureReader
from analyzer.decoders.live import LiveCounter, LiveFigures, with_arrivals
from analyzer.decoders.native import decode
from analyzer.decoders.pipeline import Pipeline
from analyzer.decoders.snap_length import WHOLE, header_snap_length
from analyzer.diagnostics import DiagnosticLog
from tests.captures import Conversation, cut, dialogue, packets_of, pcap
from tests.real import capture_bytes

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def batch_of(path: Path) -> tuple[Bytes, Packets, int]:
    """The only batch of a small capture, kept beyond its reader."""
    reader = CaptureReader(path, 0, DiagnosticLog())
    batches = [(b.chunk.copy(), b.packets.copy(), b.packet_count) for b in reader.batches()]
    reader.source.close()
    assert len(batches) == 1
    return batches[0]


@QUICK
@given(data=st.data())
def test_settled_rows_are_all_rows(tmp_path: Path, data: st.DataObject) -> None:
    """Invariant: taking settled rows out at any moments changes neither them nor what is decoded later."""
    said = dialogue(6, header_digest=data.draw(st.booleans()), sizes=(300, 7, 1200))
    packets = packets_of(Conversation(), said.segments(Conversation(), (data.draw(st.integers(20, 400)),)))
    lost = data.draw(st.sets(st.integers(3, len(packets) - 1), max_size=4))
    packets = [packet for number, packet in enumerate(packets) if number not in lost]
    if data.draw(st.booleans()):
        packets = cut(packets, 130)
    path = tmp_path / "made.pcap"
    path.write_bytes(pcap(packets))
    expected = decode([path])
    chunk, batch, count = batch_of(path)
    pipeline, found, at = Pipeline(), [], 0
    while at < count:
        step = data.draw(st.integers(1, 25))
        part = np.zeros_like(batch)
        part[: min(step, count - at)] = batch[at : at + min(step, count - at)]
        pipeline.take(chunk, part, min(step, count - at), at + 1, 0)
        at += step
        found.append(pipeline.take_settled())
    pipeline.finish()
    # What is still held keeps its data segment, moved to the front.
    kept = pipeline.frames.rows[: int(pipeline.frames.ledger[0].rows)]
    for row in kept[kept["is_void"] == 0]:
        where = np.flatnonzero((expected.pdus.headers == row["header"]).all(axis=1))
        begin = int(row["segment_offset"]) + int(row["ahs_bytes"])
        segment = pipeline.frames.segments[begin : begin + int(row["segment_bytes"])].tobytes()
        assert segment in {expected.pdus.segment(int(place)) for place in where}
    rows = np.concatenate([*found, kept])
    rows = rows[rows["is_void"] == 0]
    order = np.lexsort((np.arange(len(rows)), rows["packet"], rows["time_ns"]))
    assert sorted(header.tobytes() for header in rows["header"][order]) == sorted(
        header.tobytes() for header in expected.pdus.headers
    )
    assert (rows["time_last_ns"][order] == expected.pdus.time_last_ns).all()


def test_figures_of_a_real_recording(tmp_path: Path) -> None:
    """Commands, data, task management and order waits of two connections of one session, by its truth."""
    path = tmp_path / "reorder.pcapng"
    path.write_bytes(capture_bytes("mcs-4conn-reorder-tgt"))
    chunk, batch, count = batch_of(path)
    pipeline = Pipeline()
    counter = LiveCounter(pipeline)
    for at in range(0, count, 37):
        part = np.zeros_like(batch)
        step = min(37, count - at)
        part[:step] = batch[at : at + step]
        pipeline.take(chunk, part, step, at + 1, 0)
        figures = counter.figures()
        assert 0 <= figures.outstanding <= 64
        assert figures.connections <= 4
    capture = decode([path])
    opcodes = capture.pdus.headers[:, 0] & 0x3F
    is_command = opcodes == 0x01
    assert figures.commands == int(is_command.sum())
    assert figures.completions == figures.commands
    assert figures.outstanding == 0
    assert figures.data_bytes > 500_000
    # Slow and plain: a command waited where any lower CmdSN was seen behind it.
    numbers = [int.from_bytes(header[24:28].tobytes(), "big") for header in capture.pdus.headers[is_command]]
    expected = sum(any(later < number for later in numbers[at:]) for at, number in enumerate(numbers))
    assert figures.order_waits == expected > 20


def test_nothing_is_counted_of_nothing() -> None:
    """An idle line gives zeros."""
    assert LiveCounter(Pipeline()).figures() == LiveFigures()


def test_order_waits_across_calls_wraps_and_retries() -> None:
    """A low CmdSN that comes late, over the wrap, and one that is sent again."""
    order, waits = with_arrivals(None, np.array([0xFFFFFFFE, 1, 2], np.int64))
    assert waits == 0
    order, waits = with_arrivals(order, np.array([0xFFFFFFFF, 0], np.int64))
    assert waits == 2
    order, waits = with_arrivals(order, np.array([1, 3], np.int64))
    assert waits == 0


def test_snap_length_is_found_by_a_sample(tmp_path: Path) -> None:
    """Headers at the front of packets allow a short one; headers anywhere allow none."""
    offloaded = tmp_path / "offloaded.pcapng"
    offloaded.write_bytes(capture_bytes("mcs-2conn-rr-tgt"))
    assert 192 < header_snap_length(offloaded, 10_000) <= 1024
    short = tmp_path / "short.pcap"
    short.write_bytes(pcap([]))
    assert header_snap_length(short, 10_000) == WHOLE
    said = dialogue(30, sizes=(5000,))
    wire = {
        side: b"".join(said.wire(n) for n, (sender, _) in enumerate(said.pdus) if sender == side)
        for side in (0, 1)
    }
    conversation = Conversation()
    segments = (
        conversation.open()
        + conversation.send(0, wire[0], (16_000,))
        + conversation.send(1, wire[1], (20_000,))
    )
    anywhere = tmp_path / "anywhere.pcap"
    anywhere.write_bytes(pcap(packets_of(conversation, segments)))
    assert header_snap_length(anywhere, 10_000) == WHOLE

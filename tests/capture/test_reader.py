"""Containers and compression: every format gives the packets written, and bad files one clear line."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.capture.reader import CaptureReader, in_time_order
from analyzer.capture.sources import CaptureSource
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError
from tests.captures import (
    RAW_IP,
    START_NS,
    Packet,
    block,
    cut,
    enhanced_packet,
    interface,
    pcap,
    pcapng,
    section,
)

PACKETS = [Packet(START_NS + 1000 * number, bytes([number]) * (40 + 97 * number)) for number in range(40)]

Row = tuple[int, int, bytes, int]


def rows_of(packets: list[Packet], link_type: int = 1) -> list[Row]:
    return [
        (
            packet.time_ns,
            link_type,
            packet.kept,
            len(packet.data) if packet.original is None else packet.original,
        )
        for packet in packets
    ]


def read(path: Path, chunk_bytes: int = 8 << 20) -> tuple[list[Row], DiagnosticLog]:
    diagnostics = DiagnosticLog()
    reader = CaptureReader(path, 0, diagnostics)
    rows: list[Row] = []
    try:
        for batch in reader.batches(chunk_bytes=chunk_bytes):
            assert batch.first_packet == len(rows) + 1
            for packet in batch.packets[: batch.packet_count]:
                at = int(packet.offset)
                content = batch.chunk[at : at + int(packet.captured)].tobytes()
                rows.append((int(packet.time_ns), int(packet.link_type), content, int(packet.original)))
    finally:
        reader.source.close()
    return rows, diagnostics


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "capture"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap(tmp_path: Path, big_endian: bool, nanoseconds: bool) -> None:
    """Both byte orders and both time units."""
    content = pcap(PACKETS, big_endian=big_endian, nanoseconds=nanoseconds, link_type=RAW_IP)
    assert read(written(tmp_path, content))[0] == rows_of(PACKETS, RAW_IP)


@pytest.mark.parametrize("big_endian", [False, True])
def test_pcapng(tmp_path: Path, big_endian: bool) -> None:
    """Both byte orders."""
    assert read(written(tmp_path, pcapng(PACKETS, big_endian=big_endian)))[0] == rows_of(PACKETS)


def test_pcapng_sections_and_interfaces(tmp_path: Path) -> None:
    """A second section of the other byte order has interfaces of its own; unknown blocks are passed over."""
    first, second, third, fourth = PACKETS[:4]
    content = (
        pcapng([first])
        + block(0x0BAD, b"unknown")
        + interface(link_type=RAW_IP)
        + enhanced_packet(second, second.time_ns, number=1)
        + section(big_endian=True)
        + interface(link_type=113, big_endian=True)
        + enhanced_packet(third, third.time_ns, big_endian=True)
        + block(3, struct.pack(">I", len(fourth.data)) + fourth.data, big_endian=True)
    )
    rows, diagnostics = read(written(tmp_path, content))
    # A simple packet has no time; it takes that of the packet before it.
    last = (third.time_ns, 113, fourth.data, len(fourth.data))
    assert rows == rows_of([first]) + rows_of([second], RAW_IP) + rows_of([third], 113) + [last]
    assert not len(diagnostics)


@pytest.mark.parametrize(
    ("resolution", "ticks", "offset_s", "expected_ns"),
    [
        (9, 1_700_000_000_123_456_789, 0, 1_700_000_000_123_456_789),
        (6, 1_700_000_000_123_456, 0, 1_700_000_000_123_456_000),
        (3, 1_700_000_000_123, 7, 1_700_000_007_123_000_000),
        (12, 17_000_000_123_456_789, -5, 17_000_000_123_456 - 5_000_000_000),
        (0x80 | 20, (1_700_000_000 << 20) | (1 << 19), 0, 1_700_000_000_500_000_000),
        (0x80 | 32, (1_600_000_000 << 32) | (1 << 31), 3, 1_600_000_003_500_000_000),
    ],
)
def test_pcapng_time_resolution(
    tmp_path: Path, resolution: int, ticks: int, offset_s: int, expected_ns: int
) -> None:
    """if_tsresol as a power of ten or of two, and if_tsoffset."""
    content = section() + interface(resolution=resolution, offset_s=offset_s)
    content += enhanced_packet(PACKETS[0], ticks)
    assert read(written(tmp_path, content))[0][0][0] == expected_ns


def test_drops_are_reported(tmp_path: Path) -> None:
    """Interface statistics are totals: the last block of an interface counts."""

    def statistics(drops: int) -> bytes:
        return block(5, struct.pack("<IIIHHQHH", 0, 0, 0, 5, 8, drops, 0, 0))

    content = pcapng(PACKETS[:2]) + statistics(3) + statistics(8)
    _, diagnostics = read(written(tmp_path, content))
    assert [(entry.kind.code, entry.count) for entry in diagnostics] == [("packets-dropped-by-recorder", 8)]


@pytest.mark.parametrize(
    ("compress", "name"),
    [(gzip.compress, "gzip"), (lambda data: zstandard.ZstdCompressor().compress(data), "zstd")],
)
def test_compressed(tmp_path: Path, compress: Callable[[bytes], bytes], name: str) -> None:
    """gzip and zstd are recognised by their first bytes, also several members in a row."""
    content = pcapng(PACKETS)
    half = len(content) // 2
    path = written(tmp_path, compress(content[:half]) + compress(content[half:]))
    assert read(path)[0] == rows_of(PACKETS)
    source = CaptureSource(path)
    source.close()
    assert source.compression == name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunk_bytes=st.integers(24, 3000),
    snap=st.integers(1, 4000),
    is_next=st.booleans(),
    end=st.integers(0, 10_000),
)
def test_any_chunks_and_any_end(tmp_path: Path, chunk_bytes: int, snap: int, is_next: bool, end: int) -> None:
    """Invariant: the size of chunks changes nothing; a file cut anywhere gives all packets before the cut."""
    packets = cut(PACKETS[:12], snap)
    content = pcapng(packets) if is_next else pcap(packets)
    keep = max(40, len(content) - end)
    rows, diagnostics = read(written(tmp_path, content[:keep]), chunk_bytes)
    assert rows == rows_of(packets)[: len(rows)]
    is_whole = keep == len(content)
    assert (len(rows) == len(packets)) or not is_whole
    if is_whole:
        assert not len(diagnostics)


def test_cut_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    """A record that ends early is cut; one with an impossible length is damaged."""
    content = pcap(PACKETS)
    rows, diagnostics = read(written(tmp_path, content[:-1]))
    assert (len(rows), [entry.kind.code for entry in diagnostics]) == (39, ["capture-cut"])
    broken = content[:24] + content[24:32] + b"\xff\xff\xff\x7f" + content[36:]
    rows, diagnostics = read(written(tmp_path, broken))
    assert (rows, [entry.kind.code for entry in diagnostics]) == ([], ["capture-damaged"])
    packed = gzip.compress(pcap(PACKETS * 50))
    rows, diagnostics = read(written(tmp_path, packed[: len(packed) // 2]))
    assert [entry.kind.code for entry in diagnostics] == ["capture-cut"]
    assert rows == rows_of(PACKETS * 50)[: len(rows)]
    assert len(rows) > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just some notes\n", "is no packet capture"),
        (b"", "is empty"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "ends inside the pcap file header"),
        (b"\x1f\x8b" + b"garbage" * 20, "the gzip data are damaged"),
        (b"\x28\xb5\x2f\xfd" + b"garbage" * 20, "the zstd data are damaged"),
        (gzip.compress(b"text", mtime=0), "is no packet capture"),
        (gzip.compress(b"", mtime=0), "holds nothing"),
    ],
)
def test_what_is_no_capture_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    """Each names the file and what is wrong with it."""
    path = written(tmp_path, content)
    with pytest.raises(UnusableInputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    """They are refused before anything is read."""
    with pytest.raises(UnusableInputError, match="no such file"):
        CaptureReader(tmp_path / "absent.pcap", 0, DiagnosticLog())
    with pytest.raises(UnusableInputError, match="is a directory"):
        CaptureReader(tmp_path, 0, DiagnosticLog())


def test_files_come_in_order_of_their_first_packet(tmp_path: Path) -> None:
    """As a rotated set must, however it was named."""
    paths = []
    for name, packet in (("a", PACKETS[5]), ("b", PACKETS[1]), ("c", PACKETS[3])):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(pcap([packet]))
    assert in_time_order(paths, [0, 0, 0]) == [1, 2, 0]
    assert in_time_order(paths, [0, 0, -PACKETS[3].time_ns]) == [2, 1, 0]


def test_large_packets_cross_chunks(tmp_path: Path) -> None:
    """Super-packets of an offload engine are far larger than a chunk may be."""
    packets = [Packet(START_NS, np.arange(200_000, dtype=np.uint32).tobytes()), PACKETS[0]]
    assert read(written(tmp_path, pcap(packets)), 10_000)[0] == rows_of(packets)

"""Capture files as batches of packets: the one door of this layer.

Recognises the format, carries records that two chunks share, and says what was wrong with a file.
Adding a format is one class in a file of its own (see ``pcap.py``) and one line in ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from analyzer.byte_order import Bytes
from analyzer.capture.growing import GrowingSource
from analyzer.capture.packets import (
    WALK_CHUNK_DONE,
    WALK_DAMAGED,
    WALK_DECLARATION,
    Packets,
    empty_batch,
)
from analyzer.capture.pcap import PcapFormat
from analyzer.capture.pcapng import PcapngFormat
from analyzer.capture.sources import CARRY_BYTES, CHUNK_BYTES, CaptureSource
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError

FORMATS = (PcapFormat, PcapngFormat)

_HEAD_BYTES = 4096


class Batch(NamedTuple):
    """Packets of one chunk; valid until the next batch is asked for."""

    chunk: Bytes
    packets: Packets
    packet_count: int
    first_packet: int
    """Number of the first of them in its file, counted from 1."""


class CaptureReader:
    """Reads one source. Raises UnusableInputError where it is no capture."""

    def __init__(
        self,
        source: str | Path | GrowingSource,
        file_index: int,
        diagnostics: DiagnosticLog,
        *,
        is_hashed: bool = True,
    ) -> None:
        """Opens the source and nothing more; what is imperfect goes to ``diagnostics``."""
        self.source: CaptureSource | GrowingSource = (
            source if isinstance(source, GrowingSource) else CaptureSource(source, is_hashed=is_hashed)
        )
        self.file_index = file_index
        self.packets = 0
        self.format = ""
        self._diagnostics = diagnostics

    def batches(
        self, progress: Callable[[int], None] | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[Batch]:
        """All packets in file order. ``progress`` is told the stored bytes read so far."""
        capture: PcapFormat | PcapngFormat | None = None
        packets = empty_batch()
        carry = b""
        skip = 0
        offset = 0  # of the byte at ``position`` in the (decompressed) file, for messages
        for chunk, size in self.source.chunks(chunk_bytes):
            start = CARRY_BYTES - len(carry)
            chunk[start:CARRY_BYTES] = memoryview(carry)
            position, end = start, CARRY_BYTES + size
            if capture is None:
                capture = self._recognise(bytes(chunk[position : min(end, position + _HEAD_BYTES)]))
                skip = capture.header_bytes
            while True:
                step = min(skip, end - position)
                position, skip, offset = position + step, skip - step, offset + step
                count, behind, why = capture.walk(chunk, position, end, packets)
                offset += behind - position
                if count:
                    yield Batch(chunk, packets, count, self.packets + 1)
                    self.packets += count
                position = min(behind, end)
                skip = behind - position
                if why == WALK_DECLARATION and isinstance(capture, PcapngFormat):
                    used = capture.declare(chunk, position)
                    position, offset = position + used, offset + used
                    if not used:
                        why = WALK_DAMAGED
                if why == WALK_DAMAGED:
                    self._emit("capture-damaged", f"record at byte {offset}")
                    return
                if why == WALK_CHUNK_DONE:
                    break
            carry = bytes(chunk[position:end])
            if progress is not None:
                progress(self.source.bytes_read)
        self._end(capture, len(carry) or skip, offset)

    def _recognise(self, head: bytes) -> PcapFormat | PcapngFormat:
        for kind in FORMATS:
            if kind.recognises(head):
                self.format = kind.name
                return kind(head, self.source.name)
        raise UnusableInputError("is no packet capture (pcap or pcapng)", source=self.source.name)

    def _end(self, capture: PcapFormat | PcapngFormat | None, left_over: int, offset: int) -> None:
        fault = self.source.fault
        if capture is None:
            raise UnusableInputError(fault or "holds nothing", source=self.source.name)
        if fault:
            self._emit("capture-cut" if "early" in fault else "capture-damaged", fault)
        elif left_over:
            self._emit("capture-cut", f"record at byte {offset} is not whole")
        if capture.dropped_packets > 0:
            self._emit("packets-dropped-by-recorder", "", capture.dropped_packets)

    def _emit(self, code: str, detail: str, count: int = 1) -> None:
        self._diagnostics.emit(
            code,
            detail,
            count=count,
            file_index=self.file_index,
            packet=self.packets + 1 if count == 1 else None,
        )


def in_time_order(sources: Sequence[str | Path], clock_offsets_ns: Sequence[int]) -> list[int]:
    """Indexes of ``sources`` by the time of their first packet; files without packets come first.

    ``clock_offsets_ns`` are added to the times of each.
    """
    if len(sources) < 2:
        return list(range(len(sources)))
    firsts = [
        _first_time_ns(source) + offset_ns
        for source, offset_ns in zip(sources, clock_offsets_ns, strict=True)
    ]
    return sorted(range(len(sources)), key=lambda index: (firsts[index], index))


def _first_time_ns(source: str | Path) -> int:
    reader = CaptureReader(source, 0, DiagnosticLog(), is_hashed=False)
    if reader.source.size_bytes is None:
        # A pipe cannot be read twice.
        reader.source.close()
        raise UnusableInputError(
            "a pipe can only be read alone, not with other files", source=reader.source.name
        )
    batches = reader.batches(chunk_bytes=64 << 10)
    try:
        for batch in batches:
            return int(batch.packets["time_ns"][0])
        return 0
    finally:
        batches.close()  # type: ignore[attr-defined]
        reader.source.close()

"""The second opinion: the same PDU columns by Wireshark's dissector, driven through pyshark.

Framing, reassembly and the recognition of PDUs are Wireshark's alone; header bytes are taken from
the buffers it shows, so that both decoders are compared on equal terms. It sees single TCP streams,
needs the ports named, judges no digest and counts no loss. pyshark runs in XML mode: its JSON and
EK modes lose PDUs where a frame holds several. It is several thousand times slower than the native
decoder, and meant for captures of a few megabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.decoders.decoded import (
    DIGEST_NONE,
    END_FIN,
    END_OPEN,
    END_RESET,
    QUALITY_WHOLE,
    CaptureFile,
    ConnectionColumns,
    DecodedCapture,
    HoleColumns,
    PduColumns,
)
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError
from analyzer.iscsi.headers import HEADER_BYTES, OPCODE_MASK
from analyzer.iscsi.opcodes import Opcode

DEFAULT_PORT = 3260
PREFERENCES = {
    "tcp.reassemble_out_of_order": "TRUE",
    # Wireshark drops PDUs above 256 KiB unless told otherwise.
    "iscsi.bogus_pdu_max_data_len": "16777215",
}
KEPT_SEGMENTS = frozenset(
    {
        Opcode.LOGIN_REQUEST,
        Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_REQUEST,
        Opcode.TEXT_RESPONSE,
        Opcode.SCSI_RESPONSE,
        Opcode.REJECT,
        Opcode.ASYNC_MESSAGE,
        Opcode.NOP_OUT,
        Opcode.NOP_IN,
    }
)
TARGET_OPCODE_BIT = 0x20
SEGMENT_LIMIT_BYTES = 16384
_LONGEST_END_S = 10
_DIGEST_BYTES = 8
"""Of header and data together, which may lie between two PDUs."""


@dataclass(slots=True)
class _Stream:
    """One TCP stream as far as Wireshark tells of it."""

    ends: dict[bool, tuple[str, int]]
    """Address and port of the initiator (False) and the target (True), known from the first PDU."""
    opened_ns: int
    last_ns: int
    first_seen_from: tuple[str, int]
    handshake_seen: bool = False
    end: int = END_OPEN
    ended_ns: int = 0
    ended_by: tuple[str, int] | None = None
    packets: int = 0
    largest_segment_bytes: int = 0
    retransmissions: int = 0
    has_header_digest: bool = False
    has_data_digest: bool = False
    begun: dict[tuple[str, int], dict[int, tuple[int, bytes]]] = field(default_factory=dict)
    """By sender and the sequence number behind them: packets, and their bytes of a PDU under way."""
    taken: dict[tuple[str, int], int] = field(default_factory=dict)
    """By sender, the sequence number behind the last whole PDU."""


@dataclass(slots=True)
class _Found:
    """PDUs in the order Wireshark shows them."""

    streams: dict[tuple[int, int], _Stream] = field(default_factory=dict)
    headers: list[bytes] = field(default_factory=list)
    segments: list[tuple[bytes, bytes]] = field(default_factory=list)
    first: list[tuple[int, int]] = field(default_factory=list)
    """(time_ns, packet) of the first byte."""
    last_ns: list[int] = field(default_factory=list)
    stream: list[tuple[int, int]] = field(default_factory=list)
    file_index: list[int] = field(default_factory=list)


def decode(
    sources: Sequence[str | Path],
    *,
    ports: Sequence[int] = (),
    clock_offsets_ns: Sequence[int] = (),
    progress: Callable[[int, int | None], None] | None = None,
) -> DecodedCapture:
    """Decode capture files with Wireshark; ``ports`` and 3260 are dissected as iSCSI.

    ``clock_offsets_ns`` are added to the times of each source; none for clocks that agree. ``progress``
    gets (bytes done, bytes in all), file by file. Raises UnusableInputError where tshark is missing, does not
    take a file, or a source is no file.
    """
    found = _Found()
    diagnostics = DiagnosticLog()
    files = []
    sizes = [_size_of(source) for source in sources]
    offsets_ns = list(clock_offsets_ns) or [0] * len(sources)
    for file_index, source in enumerate(sources):
        offset_ns = offsets_ns[file_index]
        # In a thread of its own, pyshark's event loop stands no other in the way (a notebook runs one).
        with ThreadPoolExecutor(1) as apart:
            reading = apart.submit(_read_file, found, file_index, Path(source), ports, offset_ns, diagnostics)
            packets, first_ns, last_ns = reading.result()
        files.append(
            CaptureFile(
                file_index=file_index,
                name=str(source),
                format=_format_of(Path(source)),
                compression=_compression_of(Path(source)),
                size_bytes=sizes[file_index],
                sha256=None,
                packets=packets,
                tcp_packets=packets,
                cut_packets=0,
                first_ns=first_ns,
                last_ns=last_ns,
                clock_offset_ns=offset_ns,
            )
        )
        if progress is not None:
            progress(sum(sizes[: file_index + 1]), sum(sizes))
    if not found.headers:
        diagnostics.emit("no-iscsi")
    keys = [key for key, stream in found.streams.items() if stream.ends]
    keys.sort(key=lambda key: found.streams[key].opened_ns)
    number = {key: index for index, key in enumerate(keys)}
    return DecodedCapture(
        files=tuple(files),
        pdus=_pdu_columns(found, number),
        connections=_connection_columns([found.streams[key] for key in keys]),
        holes=_no_holes(),
        diagnostics=diagnostics,
        decoder=f"wireshark {_tshark_version()}",
        notes={"ports": sorted({DEFAULT_PORT, *ports})},
    )


class _TsharkFailedError(Exception):
    """What tshark said before it ended with an exit code other than 0."""


def _read_file(
    found: _Found,
    file_index: int,
    path: Path,
    ports: Sequence[int],
    offset_ns: int,
    diagnostics: DiagnosticLog,
) -> tuple[int, int | None, int | None]:
    """Take in every TCP packet of one file; gives their number and the first and last time.

    Where tshark comes as far as some packet, what it says is a diagnostic, and else it takes no such file.
    """
    packet_times: dict[int, int] = {}
    number = None
    try:
        for packet in _tcp_packets(path, sorted({DEFAULT_PORT, *ports})):
            number = int(packet.number)
            at_ns = _nanoseconds(str(packet.frame_info.time_epoch)) + offset_ns
            packet_times[number] = at_ns
            _take_packet(found, file_index, packet, number, at_ns, packet_times)
    except _TsharkFailedError as failure:
        if number is None:
            raise UnusableInputError(f"tshark does not take this file: {failure}", source=str(path)) from None
        code = "capture-cut" if "cut short" in str(failure) else "tshark-failed"
        diagnostics.emit(code, str(failure), file_index=file_index, packet=number)
    times = packet_times.values()
    return len(packet_times), min(times, default=None), max(times, default=None)


def _tcp_packets(path: Path, ports: Sequence[int]) -> Iterator[Any]:
    """Every TCP packet of a file as pyshark objects; nothing is kept behind.

    Raises _TsharkFailedError behind the last of them where tshark did not take the file to its end.
    """
    import pyshark
    from pyshark.capture.capture import TSharkCrashException
    from pyshark.tshark.tshark import TSharkNotFoundException

    with warnings.catch_warnings():
        # pyshark still asks asyncio for things that newer Pythons deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            capture = pyshark.FileCapture(
                str(path),
                display_filter="tcp",
                decode_as={f"tcp.port=={port}": "iscsi" for port in ports},
                override_prefs=PREFERENCES,
                keep_packets=False,
            )
        except TSharkNotFoundException:
            raise UnusableInputError("the wireshark decoder needs tshark, which is not installed") from None
        ended: list[int] = []
        capture._cleanup_subprocess = functools.partial(
            _end_process, capture, ended, capture._cleanup_subprocess
        )
        try:
            yield from capture
        except TSharkCrashException:
            # It ended before pyshark came to read from it.
            ended.append(1)
        finally:
            try:
                capture.close()
            finally:
                capture.eventloop.close()
        if any(ended):
            raise _TsharkFailedError(capture._last_error_line or "it says nothing")


async def _end_process(
    capture: Any, ended: list[int], cleanup: Callable[[Any], Awaitable[None]], process: Any
) -> None:
    """Let a tshark that wrote all it had end by itself, and add its exit code to ``ended``; else kill it.

    pyshark's own ``cleanup`` always kills first, and for that ``subprocess`` looks whether it ended already:
    where it did, asyncio finds no exit code any more, says 255 instead, and pyshark calls it a crash.
    """
    capture._running_processes.discard(process)
    if capture._eof_reached:
        with contextlib.suppress(TimeoutError):
            ended.append(await asyncio.wait_for(process.wait(), _LONGEST_END_S))
            return
    await cleanup(process)


def _take_packet(
    found: _Found, file_index: int, packet: Any, number: int, at_ns: int, packet_times: dict[int, int]
) -> None:
    tcp = next(layer for layer in packet.layers if layer.layer_name == "tcp")
    ip = next(layer for layer in packet.layers if layer.layer_name in ("ip", "ipv6"))
    sender = (_shown(ip, f"{ip.layer_name}.src"), int(_shown(tcp, "tcp.srcport")))
    receiver = (_shown(ip, f"{ip.layer_name}.dst"), int(_shown(tcp, "tcp.dstport")))
    key = (file_index, int(_shown(tcp, "tcp.stream")))
    stream = found.streams.get(key)
    if stream is None:
        stream = found.streams[key] = _Stream({}, at_ns, at_ns, sender)
    _take_segment(stream, tcp, sender, at_ns)

    payload = _raw(tcp, "tcp.payload")
    in_packet = (int(tcp.get_field("tcp.payload").pos), payload) if payload else (0, b"")
    begun = stream.begun.setdefault(sender, {})
    sequence = int(_shown(tcp, "tcp.seq"))
    reassembled = _Reassembled([])
    is_whole = False
    for layer in packet.layers:
        if layer.layer_name == "DATA" and layer.get_field("tcp.reassembled.data") is not None:
            reassembled = _Reassembled.shown_by(layer)
        if layer.layer_name != "iscsi" or layer.get_field("iscsi.opcode") is None:
            continue
        place = int(layer.get_field("iscsi.opcode").pos)
        begin, buffer = in_packet
        if place < begin and not reassembled.parts:
            # Where the SCSI dissector finds data cut short, tshark leaves the reassembled bytes out.
            reassembled = _Reassembled.put_together(
                begun, stream.taken.get(sender, 0), sequence, (number, payload)
            )
        frame = number
        if reassembled.holds(place):
            begin, buffer, frame = 0, reassembled.content, reassembled.packet_at(place)
        pdu = buffer[place - begin :]
        if len(pdu) < HEADER_BYTES:
            continue
        reassembled.take(place, pdu)
        is_whole = True
        is_from_target = bool(pdu[0] & TARGET_OPCODE_BIT)
        if not stream.ends:
            stream.ends = {is_from_target: sender, not is_from_target: receiver}
        stream.has_header_digest |= layer.get_field("iscsi.headerdigest32") is not None
        stream.has_data_digest |= layer.get_field("iscsi.datadigest32") is not None
        found.headers.append(pdu[:HEADER_BYTES])
        found.segments.append(_kept_segment(pdu, stream.has_header_digest))
        found.first.append((packet_times.get(frame, at_ns), frame))
        found.last_ns.append(at_ns)
        found.stream.append(key)
        found.file_index.append(file_index)
    segment_data = _raw(tcp, "tcp.segment_data")
    end = sequence + len(payload)
    if is_whole:
        begun.clear()
        is_rest = segment_data != payload
        stream.taken[sender] = end - len(segment_data) if is_rest else end
    if segment_data and end > stream.taken.get(sender, 0):
        begun.setdefault(end, (number, segment_data))


class _Reassembled:
    """Bytes that tshark put together from several packets, and how far its PDUs were taken from them."""

    def __init__(self, parts: list[tuple[int, bytes]]) -> None:
        """``parts`` are packets and what each brought, in order of the stream."""
        self.parts = parts
        self.content = b"".join(part for _, part in parts)
        self._taken = 0

    @staticmethod
    def shown_by(layer: Any) -> _Reassembled:
        """As tshark lists it."""
        content = _raw(layer, "tcp.reassembled.data")
        return _Reassembled(
            [
                (int(part.show), content[int(part.pos) : int(part.pos) + int(part.size)])
                for part in layer.get_field("tcp.segment").all_fields
            ]
        )

    @staticmethod
    def put_together(
        begun: dict[int, tuple[int, bytes]], taken: int, sequence: int, last: tuple[int, bytes]
    ) -> _Reassembled:
        """From the packets between ``taken`` and the last, which begins with ``sequence``."""
        parts = [last]
        while sequence > taken and sequence in begun:
            parts.insert(0, begun[sequence])
            sequence -= len(parts[0][1])
        return _Reassembled(parts)

    def holds(self, place: int) -> bool:
        """Whether a PDU shown at ``place`` lies here; else it lies in the packet itself."""
        return self._taken <= place < len(self.content) and place - self._taken <= _DIGEST_BYTES

    def take(self, place: int, pdu: bytes) -> None:
        """A PDU with its data lies at ``place``."""
        if self.holds(place):
            length = int.from_bytes(pdu[5:8], "big")
            self._taken = place + HEADER_BYTES + 4 * pdu[4] + length + -length % 4

    def packet_at(self, place: int) -> int:
        """The packet that brought the byte at ``place``."""
        for packet, part in self.parts:
            if place < len(part):
                return packet
            place -= len(part)
        raise AssertionError("the place lies behind the end")


def _take_segment(stream: _Stream, tcp: Any, sender: tuple[str, int], at_ns: int) -> None:
    stream.last_ns = max(stream.last_ns, at_ns)
    stream.packets += 1
    stream.largest_segment_bytes = max(stream.largest_segment_bytes, int(_shown(tcp, "tcp.len")))
    stream.handshake_seen |= _is_set(tcp, "tcp.flags.syn")
    stream.retransmissions += tcp.get_field("tcp.analysis.retransmission") is not None
    is_reset = _is_set(tcp, "tcp.flags.reset")
    is_fin = _is_set(tcp, "tcp.flags.fin")
    is_reset_after_own_fin = is_reset and stream.end == END_FIN and stream.ended_by == sender
    if (stream.end == END_OPEN and (is_reset or is_fin)) or is_reset_after_own_fin:
        stream.end = END_RESET if is_reset else END_FIN
        stream.ended_ns, stream.ended_by = at_ns, sender


def _kept_segment(pdu: bytes, has_header_digest: bool) -> tuple[bytes, bytes]:
    """AHS and, for the kinds that are kept, the data segment without padding."""
    ahs_end = HEADER_BYTES + 4 * pdu[4]
    ahs = pdu[HEADER_BYTES:ahs_end]
    if pdu[0] & OPCODE_MASK not in KEPT_SEGMENTS:
        return ahs, b""
    begin = ahs_end + (4 if has_header_digest else 0)
    length = int.from_bytes(pdu[5:8], "big")
    return ahs, pdu[begin : begin + min(length, SEGMENT_LIMIT_BYTES)]


def _pdu_columns(found: _Found, number: dict[tuple[int, int], int]) -> PduColumns:
    count = len(found.headers)
    time_ns = np.array([first[0] for first in found.first], np.int64)
    packet = np.array([first[1] for first in found.first], np.int64)
    file_index = np.array(found.file_index, np.int32)
    order = np.lexsort((np.arange(count), packet, file_index, time_ns))
    headers = np.frombuffer(b"".join(found.headers), np.uint8).reshape(count, HEADER_BYTES)[order]
    kept = [found.segments[index] for index in order]
    sizes = np.array([len(ahs) + len(data) for ahs, data in kept], np.int64)
    return PduColumns(
        headers=np.ascontiguousarray(headers),
        time_ns=time_ns[order],
        time_last_ns=np.array(found.last_ns, np.int64)[order],
        packet=packet[order],
        file_index=file_index[order],
        connection_index=np.array([number[key] for key in found.stream], np.int32)[order],
        from_target=(headers[:, 0] & TARGET_OPCODE_BIT) != 0,
        header_digest=np.full(count, DIGEST_NONE, np.uint8),
        data_digest=np.full(count, DIGEST_NONE, np.uint8),
        quality=np.full(count, QUALITY_WHOLE, np.uint8),
        segment_offset=np.cumsum(sizes) - sizes,
        ahs_bytes=np.array([len(ahs) for ahs, _ in kept], np.int32),
        segment_bytes=np.array([len(data) for _, data in kept], np.int32),
        segments=np.frombuffer(b"".join(ahs + data for ahs, data in kept), np.uint8),
        is_complete=np.ones(count, bool),
    )


def _connection_columns(streams: list[_Stream]) -> ConnectionColumns:
    count = len(streams)
    return ConnectionColumns(
        initiator_address=[stream.ends[False][0] for stream in streams],
        initiator_port=np.array([stream.ends[False][1] for stream in streams], np.uint16),
        target_address=[stream.ends[True][0] for stream in streams],
        target_port=np.array([stream.ends[True][1] for stream in streams], np.uint16),
        opened_ns=np.array([stream.opened_ns for stream in streams], np.int64),
        last_ns=np.array([stream.last_ns for stream in streams], np.int64),
        ended_ns=np.array([stream.ended_ns or stream.last_ns for stream in streams], np.int64),
        end=np.array([stream.end for stream in streams], np.uint8),
        end_from_target=np.array([stream.ended_by == stream.ends[True] for stream in streams], bool),
        handshake_seen=np.array([stream.handshake_seen for stream in streams], bool),
        packets=np.array([stream.packets for stream in streams], np.int64),
        retransmitted_segments=np.array([stream.retransmissions for stream in streams], np.int64),
        lost_bytes=np.zeros(count, np.int64),
        rtt_ns_min=np.zeros(count, np.int64),
        target_side_rtt_ns_min=np.zeros(count, np.int64),
        initiator_side_rtt_ns_min=np.zeros(count, np.int64),
        queue_to_target_bytes=np.full(count, -1, np.int64),
        queue_from_target_bytes=np.full(count, -1, np.int64),
        largest_segment_bytes=np.array([stream.largest_segment_bytes for stream in streams], np.int64),
        header_digest=np.array([stream.has_header_digest for stream in streams], bool),
        data_digest=np.array([stream.has_data_digest for stream in streams], bool),
    )


def _no_holes() -> HoleColumns:
    return HoleColumns(
        connection_index=np.zeros(0, np.int32),
        from_target=np.zeros(0, bool),
        at_ns=np.zeros(0, np.int64),
        file_index=np.zeros(0, np.int32),
        packet=np.zeros(0, np.int64),
        lost_bytes=np.zeros(0, np.int64),
        framing_kept=np.zeros(0, bool),
    )


def _shown(layer: Any, name: str) -> str:
    """The value of a field as Wireshark shows it."""
    return str(layer.get_field(name).show)


def _is_set(layer: Any, name: str) -> bool:
    """A flag: tshark 4.0 shows 1 and 0, later ones True and False."""
    return _shown(layer, name) in ("1", "True")


def _raw(layer: Any, name: str) -> bytes:
    """The bytes of a field; empty where the layer has none."""
    found = layer.get_field(name)
    return b"" if found is None else bytes.fromhex(found.raw_value or "")


def _nanoseconds(epoch: str) -> int:
    """Exact nanoseconds of ``seconds.fraction``, the form of tshark 4.0, or of its ISO form since 4.2."""
    if "T" in epoch:
        stamp, fraction = epoch.rstrip("Z").split(".")
        return int(np.datetime64(stamp, "s").astype(np.int64)) * 1_000_000_000 + int(
            fraction[:9].ljust(9, "0")
        )
    seconds, _, fraction = epoch.partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


def _size_of(source: str | Path) -> int:
    try:
        if str(source) == "-":
            raise UnusableInputError("the wireshark decoder reads files only", source="-")
        return Path(source).stat().st_size
    except OSError as error:
        raise UnusableInputError(f"cannot be read: {error.strerror}", source=str(source)) from None


def _format_of(path: Path) -> str:
    return "pcapng" if ".pcapng" in path.name else "pcap"


def _compression_of(path: Path) -> str:
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix, "none")


def _tshark_version() -> str:
    from pyshark.tshark.tshark import get_tshark_version

    return str(get_tshark_version())

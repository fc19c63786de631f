"""The native decoder: capture files in, PDU columns out, in one streaming pass.

Opens the sources in order of time, drives the pipeline over them, and turns its records into the
columns of ``decoded``; says in diagnostics what the capture lacks. Reads no byte of a packet itself.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.capture.packets import empty_batch
from analyzer.capture.reader import FORMATS, CaptureReader, in_time_order
from analyzer.decoders.clock_bounds import ClockBound, bounds_of_sightings
from analyzer.decoders.decoded import (
    DIGEST_BAD,
    QUALITY_INFERRED,
    CaptureFile,
    ConnectionColumns,
    DecodedCapture,
    HoleColumns,
    PduColumns,
)
from analyzer.decoders.pipeline import Pipeline
from analyzer.decoders.row_columns import TAKEN_OVER, RowColumns, fill
from analyzer.decoders.row_store import ROWS_IN_MEMORY, RowStore
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError
from analyzer.iscsi.frames import (
    DIGEST_ON,
    HEADER,
    ORIGIN_ASSUMED,
    PHASE_JOINED,
    ROW,
)
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.iscsi.inference import infer, with_inferred
from analyzer.iscsi.opcodes import OPCODE_NAMES, name_of
from analyzer.iscsi.recognition import INITIATOR, TARGET
from analyzer.network.connections import CONNECTION_COUNT, SIDE_UNKNOWN
from analyzer.network.segments import (
    COUNT_CUT,
    COUNT_FRAGMENT,
    COUNT_HEADER_CUT,
    COUNT_TCP,
    COUNT_UNKNOWN_LINK,
)
from analyzer.network.sightings import first_sightings
from analyzer.scratch import Scratch

NAME = "native"

Int64s = npt.NDArray[np.int64]
Progress = Callable[[int, int | None], None]

_PDU_COLUMNS: tuple[tuple[str, npt.DTypeLike, tuple[int, ...]], ...] = (
    ("headers", np.uint8, (HEADER_BYTES,)),
    *((name, ROW[name], ()) for name in TAKEN_OVER),
    ("connection_index", np.int32, ()),
    ("from_target", np.bool_, ()),
    ("quality", np.uint8, ()),
    ("is_complete", np.bool_, ()),
)

_MAPPED_IPV4_HIGH_HALF = 0xFFFF
_SEQUENCE_NUMBERS = 1 << 32

_ANY_HEAD = {
    "pcap": bytes.fromhex("d4c3b2a1") + bytes(20),
    "pcapng": bytes.fromhex("0a0d0d0a1c0000004d3c2b1a") + bytes(16),
}
# A TCP SYN over IPv4 over Ethernet: enough to reach every kernel.
_OPENING_PACKET = bytes.fromhex(
    "00" * 12 + "0800" + "4500002800000000400600007f0000017f000001"
) + bytes.fromhex("c0000cbc" + "00" * 8 + "5002" + "00" * 6)


def prepare(*, has_several_clocks: bool = False, is_stages_only: bool = False) -> None:
    """Compile every kernel, or load it from the cache, by decoding a tiny recording.

    ``has_several_clocks``: also what several files need. ``is_stages_only`` leaves out the formats, of which
    most recordings need one, and what is needed at the end alone.
    """
    packets = empty_batch()
    chunk = np.frombuffer(bytearray(_OPENING_PACKET), np.uint8)
    packets[0].link_type, packets[0].captured, packets[0].original = 1, len(chunk), len(chunk)
    pipeline = Pipeline(has_several_clocks=has_several_clocks)
    pipeline.take(chunk, packets, 1, 1, 0)
    if not is_stages_only:
        for kind in FORMATS:
            kind(_ANY_HEAD[kind.name], "").walk(chunk, 0, 0, packets)
        pipeline.finish()


def nothing_decoded() -> DecodedCapture:
    """What ``decode`` gives for captures without a packet: every column with its type and no entry."""
    store = RowStore()
    pipeline = Pipeline(store=store)
    pipeline.finish()
    result = _Result(pipeline, store, DiagnosticLog())
    return DecodedCapture(
        (), result.pdus, result.connections, result.holes, DiagnosticLog(), NAME, {"ports": []}
    )


def decode(
    sources: Sequence[str | Path],
    *,
    ports: Sequence[int] = (),
    clock_offsets_ns: Sequence[int] = (),
    progress: Progress | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> DecodedCapture:
    """All PDUs of the captures ``sources``, which are taken as parts of one recording.

    ``ports`` are TCP ports on which iSCSI is expected; it is found on others too. ``clock_offsets_ns`` are
    added to the times of each source; none for clocks that agree. ``progress`` is told the
    bytes read and the bytes there are (None for a pipe). Raises UnusableInputError for a source that is
    no capture; whatever else is imperfect becomes a diagnostic of the result. More than ``rows_in_memory``
    PDUs lie in files, and take memory only while they are looked at.
    """
    if not sources:
        raise UnusableInputError("no capture file was given")
    began = time.perf_counter()
    diagnostics = DiagnosticLog()
    offsets_ns = list(clock_offsets_ns) or [0] * len(sources)
    with closing(RowStore(rows_in_memory)) as store:
        pipeline = Pipeline(ports, has_several_clocks=len(sources) > 1, store=store)
        files = _decode_files(sources, offsets_ns, pipeline, diagnostics, progress)
        pipeline.finish()
        result = _Result(pipeline, store, diagnostics)
    if not len(result.connections):
        diagnostics.emit("no-iscsi")
    notes = {"ports": list(ports), "decode_s": round(time.perf_counter() - began, 3)}
    return DecodedCapture(
        tuple(files[index] for index in sorted(files)),
        result.pdus,
        result.connections,
        result.holes,
        diagnostics,
        NAME,
        notes,
        tuple(result.clock_bounds),
        result.scratch,
    )


def _decode_files(
    sources: Sequence[str | Path],
    offsets_ns: Sequence[int],
    pipeline: Pipeline,
    diagnostics: DiagnosticLog,
    progress: Progress | None,
) -> dict[int, CaptureFile]:
    sizes = [_size_of(source) for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    done = 0
    files: dict[int, CaptureFile] = {}
    for file_index in in_time_order(sources, offsets_ns):
        base = done

        def tell(read: int, base: int = base) -> None:
            if progress is not None:
                progress(base + read, total)

        source, offset_ns = sources[file_index], offsets_ns[file_index]
        files[file_index] = _decode_file(source, file_index, offset_ns, pipeline, diagnostics, tell)
        done = base + (sizes[file_index] or 0)
    return files


def _size_of(source: str | Path) -> int | None:
    path = Path(source)
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def _decode_file(
    source: str | Path,
    file_index: int,
    offset_ns: int,
    pipeline: Pipeline,
    diagnostics: DiagnosticLog,
    progress: Callable[[int], None],
) -> CaptureFile:
    reader = CaptureReader(source, file_index, diagnostics)
    before = pipeline.counts.copy()
    first_ns: int | None = None
    last_ns: int | None = None
    try:
        for batch in reader.batches(progress):
            times = batch.packets["time_ns"][: batch.packet_count]
            times += offset_ns
            low, high = int(times.min()), int(times.max())
            first_ns = low if first_ns is None else min(first_ns, low)
            last_ns = high if last_ns is None else max(last_ns, high)
            pipeline.take(batch.chunk, batch.packets, batch.packet_count, batch.first_packet, file_index)
        sha256 = reader.source.sha256()
    finally:
        reader.source.close()
    counts = pipeline.counts - before
    for code, item in (
        ("snaplen-cut", COUNT_CUT),
        ("link-type-unknown", COUNT_UNKNOWN_LINK),
        ("ip-fragment", COUNT_FRAGMENT),
        ("tcp-header-cut", COUNT_HEADER_CUT),
    ):
        if counts[item]:
            diagnostics.emit(code, count=int(counts[item]), file_index=file_index)
    return CaptureFile(
        file_index=file_index,
        name=reader.source.name,
        format=reader.format,
        compression=reader.source.compression,
        size_bytes=reader.source.size_bytes,
        sha256=sha256,
        packets=reader.packets,
        tcp_packets=int(counts[COUNT_TCP]),
        cut_packets=int(counts[COUNT_CUT]),
        first_ns=first_ns,
        last_ns=last_ns,
        clock_offset_ns=offset_ns,
    )


class _Result:
    """The records of a finished pipeline as columns, connections numbered anew in order of appearance."""

    def __init__(self, pipeline: Pipeline, store: RowStore, diagnostics: DiagnosticLog) -> None:
        self._store = store
        self.scratch = Scratch(is_used=store.is_written)
        self._frames = pipeline.frames
        self._has_cut_packets = bool(pipeline.counts[COUNT_CUT])
        self._diagnostics = diagnostics
        count = int(pipeline.table.counters[CONNECTION_COUNT])
        all_connections = pipeline.table.connections[:count]
        pairs = self._frames.streams[0 : 2 * count : 2]
        accepted = np.flatnonzero((pairs["is_accepted"] == 1) & (all_connections["is_used"] == 1))
        accepted = accepted[np.lexsort((accepted, all_connections["first_ns"][accepted]))]
        self._accepted = accepted
        self._number = np.full(count, -1, np.int32)
        self._number[accepted] = np.arange(len(accepted), dtype=np.int32)
        self._target_side = self._find_target_sides(all_connections, accepted)
        self._is_target_stream = np.zeros(2 * count, np.bool_)
        self._is_target_stream[2 * accepted + self._target_side] = True
        self.connections = self._connection_columns(pipeline, accepted)
        self.pdus = self._pdu_columns()
        self.holes = self._hole_columns()
        self.clock_bounds = self._clock_bounds(pipeline)
        self._report_connections(pipeline)
        self._report_pdus()
        if pipeline.left_out:
            diagnostics.emit("too-many-connections", "packets left out", count=pipeline.left_out)
        if pipeline.given_up:
            diagnostics.emit("reorder-window-exceeded", count=pipeline.given_up)

    def _find_target_sides(self, connections: npt.NDArray[np.void], accepted: Int64s) -> Int64s:
        """The side that sent responses; where none is known, the one that did not open the connection."""
        roles = self._frames.streams["role"]
        role_0, role_1 = roles[2 * accepted], roles[2 * accepted + 1]
        opener = connections["opener"][accepted]
        by_opener = np.where(opener == SIDE_UNKNOWN, 1, 1 - opener)
        is_one = (role_1 == TARGET) | (role_0 == INITIATOR)
        is_zero = (role_0 == TARGET) | (role_1 == INITIATOR)
        sides: Int64s = np.where(is_one, 1, np.where(is_zero, 0, by_opener)).astype(np.int64)
        return sides

    def _connection_columns(self, pipeline: Pipeline, accepted: Int64s) -> ConnectionColumns:
        found = pipeline.table.connections[accepted]
        target = self._target_side
        initiator = 1 - target
        streams = pipeline.table.streams
        both = streams[2 * accepted], streams[2 * accepted + 1]
        pairs = self._frames.streams[2 * accepted]
        rtt, target_side_rtt, initiator_side_rtt = _round_trips(found, both, initiator)
        return ConnectionColumns(
            initiator_address=_addresses(found, initiator),
            initiator_port=_of_side(found, "port", initiator).astype(np.uint16),
            target_address=_addresses(found, target),
            target_port=_of_side(found, "port", target).astype(np.uint16),
            opened_ns=found["first_ns"].copy(),
            last_ns=found["last_ns"].copy(),
            ended_ns=np.where(found["end"] == 0, found["last_ns"], found["ended_ns"]),
            end=found["end"].astype(np.uint8),
            end_from_target=found["end_side"] == target,
            handshake_seen=(found["syn_ns"] > 0) | (found["syn_ack_ns"] > 0),
            packets=found["packets"].copy(),
            retransmitted_segments=both[0]["retransmitted"] + both[1]["retransmitted"],
            lost_bytes=both[0]["lost_bytes"] + both[1]["lost_bytes"],
            rtt_ns_min=rtt,
            target_side_rtt_ns_min=target_side_rtt,
            initiator_side_rtt_ns_min=initiator_side_rtt,
            queue_to_target_bytes=np.where(target == 0, both[0]["overtaken"], both[1]["overtaken"]),
            queue_from_target_bytes=np.where(target == 0, both[1]["overtaken"], both[0]["overtaken"]),
            largest_segment_bytes=np.maximum(both[0]["largest"], both[1]["largest"]),
            header_digest=pairs["header_digest"] == DIGEST_ON,
            data_digest=pairs["data_digest"] == DIGEST_ON,
        )

    def _pdu_columns(self) -> PduColumns:
        store, count = self._store, len(self._store)
        blocks = store.in_order_of_time()
        if self._has_cut_packets:
            rows = self._with_inferred(self._of_accepted(store.in_order_of_framing()))
            order = np.lexsort((rows["packet"], rows["file_index"], rows["time_ns"]))
            blocks, count = iter([(rows, order)]), len(rows)
        columns = {name: self.scratch.empty((count, *shape), kind) for name, kind, shape in _PDU_COLUMNS}
        done = 0
        for rows, order in blocks:
            done = fill(RowColumns(**columns), done, rows, order, self._number, self._is_target_stream)
            self.scratch.let_go()
        return PduColumns(
            **{name: column[:done] for name, column in columns.items()}, segments=store.segments
        )

    def _of_accepted(self, rows: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Those of connections that speak iSCSI."""
        if not len(rows):
            return rows
        accepted: npt.NDArray[np.void] = rows[self._number[rows["stream"] >> 1] >= 0]
        return accepted

    def _with_inferred(self, rows: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """``rows`` and those that follow from what surrounds missing headers."""
        pairs = self._frames.streams[np.arange(len(self._frames.streams)) & ~1]
        header_digest = pairs["header_digest"] == DIGEST_ON
        data_digest = pairs["data_digest"] == DIGEST_ON
        holes = self._store.holes
        has_hole = np.zeros(len(self._frames.streams), np.bool_)
        has_hole[holes["stream"]] = True
        has_hole[holes["stream"] ^ 1] = True
        # Where packets are missing too, a command or an R2T nobody saw could be the one that was answered.
        inferred = infer(rows, ~has_hole, header_digest, data_digest)
        return with_inferred(rows, inferred) if inferred else rows

    def _hole_columns(self) -> HoleColumns:
        holes = self._store.holes
        connection = self._number[holes["stream"] >> 1] if len(holes) else np.zeros(0, np.int32)
        kept = np.flatnonzero(connection >= 0)
        kept = kept[np.argsort(holes["at_ns"][kept], kind="stable")]
        holes = holes[kept]
        return HoleColumns(
            connection_index=connection[kept],
            from_target=self._is_target_stream[holes["stream"]],
            at_ns=holes["at_ns"].copy(),
            file_index=holes["file_index"].astype(np.int32),
            packet=holes["packet"].copy(),
            lost_bytes=holes["lost_bytes"].copy(),
            framing_kept=holes["is_framing_kept"] == 1,
        )

    def _clock_bounds(self, pipeline: Pipeline) -> list[ClockBound]:
        """By sightings of iSCSI connections in which no sequence number came twice."""
        if pipeline.sightings is None:
            return []
        rows = first_sightings(pipeline.sightings)
        sent = pipeline.table.streams["next_position"].reshape(-1, 2).max(axis=1)
        is_usable = sent < _SEQUENCE_NUMBERS
        is_usable[: len(self._number)] &= self._number >= 0
        return bounds_of_sightings(rows[is_usable[rows["connection"]]])

    def _report_connections(self, pipeline: Pipeline) -> None:
        for number in np.flatnonzero(self._is_notable(pipeline)).tolist():
            index = int(self._accepted[number])
            found = pipeline.table.connections[index]
            pair = self._frames.streams[2 * index]
            place: dict[str, Any] = {"connection_index": number, "file_index": int(found.file_index)}
            first = {**place, "packet": int(found.first_packet), "at_ns": int(found.first_ns)}
            if pair.phase == PHASE_JOINED:
                self._diagnostics.emit("capture-starts-late", **first)
            if pair.digest_origin == ORIGIN_ASSUMED:
                words = [
                    f"{name} {'CRC32C' if value == DIGEST_ON else 'None'}"
                    for name, value in (
                        ("HeaderDigest", pair.header_digest),
                        ("DataDigest", pair.data_digest),
                    )
                ]
                self._diagnostics.emit("digest-assumed", ", ".join(words), **first)
            if found.copies:
                self._diagnostics.emit("mirror-duplicates", count=int(found.copies), **place)
            both = (2 * index, 2 * index + 1)
            if not all(pipeline.table.streams[stream].segments for stream in both):
                self._diagnostics.emit("one-direction-only", **first)
            for stream in both:
                self._report_stream(stream, place)

    def _is_notable(self, pipeline: Pipeline) -> npt.NDArray[np.bool_]:
        """Which of the accepted connections have anything to report; of thousands few have."""
        pairs = self._frames.streams[2 * self._accepted]
        is_notable = (pairs["phase"] == PHASE_JOINED) | (pairs["digest_origin"] == ORIGIN_ASSUMED)
        is_notable |= pipeline.table.connections["copies"][self._accepted] > 0
        for stream in (2 * self._accepted, 2 * self._accepted + 1):
            states = self._frames.streams[stream]
            is_notable |= pipeline.table.streams["segments"][stream] == 0
            is_notable |= (states["headers_lost"] > 0) | (states["resynchronised"] > 0)
            is_notable |= (states["row"] >= 0) | ((states["state"] == HEADER) & (states["have"] > 0))
        notable: npt.NDArray[np.bool_] = is_notable
        return notable

    def _report_stream(self, stream: int, place: dict[str, Any]) -> None:
        state = self._frames.streams[stream]
        sender = "from the target" if self._is_target_stream[stream] else "from the initiator"
        first = {**place, "packet": int(state.first_lost_packet), "at_ns": int(state.first_lost_ns)}
        self._report_unfinished(state, sender, place)
        if state.headers_lost:
            self._diagnostics.emit("pdu-header-lost", sender, count=int(state.headers_lost), **first)
        if state.resynchronised:
            self._diagnostics.emit("resynchronised", sender, count=int(state.resynchronised), **first)

    def _report_unfinished(self, state: Any, sender: str, place: dict[str, Any]) -> None:
        """The PDU inside of which a stream ended, if it did; nothing of a direction that was not recorded."""
        if not state.is_open:
            return
        if state.row >= 0:
            row = self._frames.rows[state.row]
            name = name_of(OPCODE_NAMES, int(state.opcode))
            seen = f"{int(state.position - row.position):,} of {_wire_bytes(state):,} bytes"
            at = {"packet": int(row.packet), "at_ns": int(row.time_ns), "file_index": int(row.file_index)}
            if not row.is_void:
                self._diagnostics.emit("pdu-incomplete", f"{name} {sender}, {seen}", **{**place, **at})
        elif state.state == HEADER and state.is_confirmed and state.have:
            at = {"packet": int(state.begin_packet), "at_ns": int(state.begin_ns)}
            seen = f"{int(state.have)} of {HEADER_BYTES} bytes"
            self._diagnostics.emit("pdu-incomplete", f"a header {sender}, {seen}", **place, **at)

    def _report_pdus(self) -> None:
        holes, pdus = self.holes, self.pdus
        for number in np.unique(holes.connection_index).tolist():
            of_connection = np.flatnonzero(holes.connection_index == number)
            at = int(of_connection[0])
            self._diagnostics.emit(
                "capture-lost-bytes",
                f"{int(holes.lost_bytes[of_connection].sum())} bytes",
                count=len(of_connection),
                connection_index=number,
                file_index=int(holes.file_index[at]),
                packet=int(holes.packet[at]) or None,
                at_ns=int(holes.at_ns[at]),
            )
        inferred, counts = np.unique(
            pdus.connection_index[pdus.quality == QUALITY_INFERRED], return_counts=True
        )
        for number, count in zip(inferred.tolist(), counts.tolist(), strict=True):
            self._diagnostics.emit("pdu-inferred", connection_index=number, count=count)
        for code, column in (
            ("header-digest-error", pdus.header_digest),
            ("data-digest-error", pdus.data_digest),
        ):
            for row in np.flatnonzero(column == DIGEST_BAD).tolist():
                self._diagnostics.emit(
                    code,
                    connection_index=int(pdus.connection_index[row]),
                    file_index=int(pdus.file_index[row]),
                    packet=int(pdus.packet[row]),
                    at_ns=int(pdus.time_ns[row]),
                )


def _wire_bytes(state: Any) -> int:
    """Length of the PDU under way with padding and digests."""
    data = int(state.data_bytes)
    digests = int(state.has_header_digest == DIGEST_ON) + int(data > 0 and state.has_data_digest == DIGEST_ON)
    return HEADER_BYTES + int(state.ahs_bytes) + data + -data % 4 + 4 * digests


def _of_side(connections: npt.NDArray[np.void], field: str, side: Int64s) -> Int64s:
    values: Int64s = np.where(side == 0, connections[f"{field}_0"], connections[f"{field}_1"])
    return values


def _round_trips(
    connections: npt.NDArray[np.void], sides: tuple[Any, Any], initiator: Int64s
) -> tuple[Int64s, Int64s, Int64s]:
    """The smallest round trip of each connection, and its parts towards target and initiator; 0 = not seen.

    The handshake shows both parts: SYN to SYN-ACK is that of the answering side, SYN-ACK to ACK that of the
    side that opened.
    """
    is_whole = (connections["syn_ns"] > 0) & (connections["syn_ack_ns"] > connections["syn_ns"])
    to_answerer = np.where(is_whole, connections["syn_ack_ns"] - connections["syn_ns"], 0)
    to_opener = np.where(is_whole, np.maximum(connections["rtt_ns"] - to_answerer, 0), 0)
    is_opener = connections["opener"] == initiator
    data_to_target = np.where(initiator == 0, sides[0]["rtt_ns"], sides[1]["rtt_ns"])
    data_to_initiator = np.where(initiator == 0, sides[1]["rtt_ns"], sides[0]["rtt_ns"])
    has_both = (data_to_target > 0) & (data_to_initiator > 0)
    data = np.where(has_both, data_to_target + data_to_initiator, 0)
    return (
        _smaller_seen(connections["rtt_ns"], data),
        _smaller_seen(np.where(is_opener, to_answerer, to_opener), data_to_target),
        _smaller_seen(np.where(is_opener, to_opener, to_answerer), data_to_initiator),
    )


def _smaller_seen(one: Int64s, other: Int64s) -> Int64s:
    """The smaller of two times of which 0 stands for not seen."""
    values: Int64s = np.where((one > 0) & (other > 0), np.minimum(one, other), np.maximum(one, other))
    return values


def _addresses(connections: npt.NDArray[np.void], side: Int64s) -> list[str]:
    highs, lows = _of_side(connections, "high", side).tolist(), _of_side(connections, "low", side).tolist()
    return [_address(high, low) for high, low in zip(highs, lows, strict=True)]


def _address(high: int, low: int) -> str:
    low &= (1 << 64) - 1
    if high == 0 and low >> 32 == _MAPPED_IPV4_HIGH_HALF:
        return str(ipaddress.IPv4Address(low & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(((high & ((1 << 64) - 1)) << 64) | low))

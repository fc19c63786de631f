"""From batches of packets to PDU rows: the stages of the native decoder, one behind the other.

Each stage is a compiled loop over columns that the stage before it filled: packets to segments
(``network.segments``), segments to runs of stream bytes (``network.ordering``), runs to PDUs
(``iscsi.framing``). This file joins them and makes room; it decides nothing about bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, wide
from analyzer.capture.packets import PACKETS_PER_BATCH, Packets
from analyzer.compilation import njit
from analyzer.decoders.row_store import RowStore
from analyzer.iscsi.frames import IGNORED, KEPT_LIMIT, Frames, Record, no_frames, settled_rows, with_room
from analyzer.iscsi.framing import finish_stream as finish_framing
from analyzer.iscsi.framing import open_stream, passes_through_data, take_bytes, take_gap
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.network.connections import (
    CONNECTION_COUNT,
    GIVEN_UP,
    LEFT_OUT,
    empty_table,
    grown,
    release,
    room_for_connections,
)
from analyzer.network.ordering import ORDER_NEEDS_STORE, ORDERED_ALL, finish_all, order
from analyzer.network.segments import COUNTS, dissect, empty_segments
from analyzer.network.sightings import Sightings, no_sightings, note_segments
from analyzer.network.waiting import (
    RUN_BYTES,
    RUN_OPENED,
    compacted,
    drop_waiting,
    nothing_waiting,
    take_runs,
)

ISCSI_PORTS = (3260, 860)
"""The ports that IANA gave to iSCSI: a hint, never a proof."""

CONNECTIONS_LIMIT = 1 << 16

_ROWS_STEP = 32_768
_SEGMENT_BYTES_STEP = 4 << 20
_HOLES_STEP = 4096


@njit(cache=True, nogil=True)
def _is_hinted(connections: npt.NDArray[np.void], index: int, ports: npt.NDArray[np.int64]) -> bool:
    connection = connections[index]
    is_hinted = False
    for port in ports:
        is_hinted |= connection.port_0 == port or connection.port_1 == port
    return is_hinted


@njit(cache=True, nogil=True)
def _note_hole(hole: Record, run: Record, is_framing_kept: bool) -> None:
    hole.stream, hole.at_ns, hole.file_index, hole.packet = (
        run.stream,
        run.time_ns,
        run.file_index,
        run.packet,
    )
    hole.lost_bytes, hole.is_framing_kept = run.gap, wide(is_framing_kept)


@njit(cache=True, nogil=True)
def _frame_runs(
    runs: npt.NDArray[np.void],
    first: int,
    count: int,
    chunk: Bytes,
    store: Bytes,
    connections: npt.NDArray[np.void],
    ports: npt.NDArray[np.int64],
    frames: Frames,
) -> int:
    """Frame runs ``first`` to ``count``: the first one for which there was no room."""
    streams, rows, segments, holes = frames.streams, frames.rows, frames.segments, frames.holes
    ledger = frames.ledger[0]
    for position in range(first, count):
        run = runs[position]
        index = run.stream
        stream = streams[index]
        if passes_through_data(stream, run.length, run.gap + run.cut + run.kind, run.ready_ns):
            continue
        if (
            ledger.rows + run.length // HEADER_BYTES + 3 > len(rows)
            or ledger.segment_bytes + run.length + 3 * KEPT_LIMIT > len(segments)
            or ledger.holes >= len(holes)
        ):
            return position
        peer, pair = streams[index ^ 1], streams[index & ~1]
        if run.kind != RUN_BYTES:
            is_hinted = _is_hinted(connections, index >> 1, ports)
            open_stream(stream, peer, pair, run.kind == RUN_OPENED, is_hinted)
        if run.gap > 0:
            is_kept = take_gap(rows, stream, pair, run.gap, run.time_ns, run.packet)
            _note_hole(holes[ledger.holes], run, is_kept)
            ledger.holes += 1
        if run.length > 0:
            data = store if run.is_stored else chunk
            take_bytes(
                rows,
                segments,
                ledger,
                index,
                stream,
                peer,
                data,
                run.offset,
                run.offset + run.length,
                run.time_ns,
                run.ready_ns,
                run.packet,
                run.file_index,
            )
        if run.cut > 0:
            stream.last_ns = run.ready_ns
            take_gap(rows, stream, pair, run.cut, run.time_ns, run.packet)
    return count


@njit(cache=True, nogil=True)
def _finish_streams(frames: Frames, end: int) -> None:
    for index in range(end):
        stream = frames.streams[index]
        if stream.is_open:
            finish_framing(frames.rows, stream, frames.streams[index ^ 1], frames.streams[index & ~1])


class Pipeline:
    """The state of all stages; files of one call follow one another through it."""

    def __init__(
        self,
        ports: Sequence[int] = (),
        *,
        has_several_clocks: bool = False,
        store: RowStore | None = None,
    ) -> None:
        """``ports`` lower the evidence needed, as the well-known ports do.

        ``has_several_clocks``: the files may come from several recorders; ``sightings`` are kept then.
        ``store`` takes the rows; without one they stay in ``frames``.
        """
        self.store = store
        self.table = empty_table(2 * PACKETS_PER_BATCH)
        self.waiting = nothing_waiting()
        self.frames = no_frames(2 * len(self.table.connections))
        self.counts = np.zeros(COUNTS, np.int64)
        self.sightings: Sightings | None = no_sightings() if has_several_clocks else None
        self._segments = empty_segments()
        self._ports = np.array([*ISCSI_PORTS, *ports], np.int64)

    @property
    def left_out(self) -> int:
        """Packets of connections for which there was no room."""
        return int(self.table.counters[LEFT_OUT])

    @property
    def given_up(self) -> int:
        """Times that more bytes waited for their turn than are kept."""
        return int(self.table.counters[GIVEN_UP])

    def take(self, chunk: Bytes, packets: Packets, count: int, first_packet: int, file_index: int) -> None:
        """All stages over ``count`` packets that lie in ``chunk``."""
        found = dissect(chunk, packets, count, self._segments, self.counts)
        self._make_room_for_connections(found)
        row = 0
        while True:
            row, why = order(
                chunk,
                first_packet,
                file_index,
                self._segments,
                row,
                found,
                self.table,
                self.waiting,
            )
            self._frame(chunk)
            if why == ORDERED_ALL:
                break
            if why == ORDER_NEEDS_STORE:
                self.waiting = compacted(self.waiting)
        if self.sightings is not None:
            note_segments(self.sightings, self._segments, found, self.table, file_index)
        if self.store is not None:
            self.store.take_many(self.frames, 2 * int(self.table.counters[CONNECTION_COUNT]))

    def take_settled(self) -> npt.NDArray[np.void]:
        """The rows that will not change any more, in the order in which they were framed; they are forgotten.

        Rows of PDUs under way, and those that wait to be borne out, stay. Kept data segments go with the
        rows, so only headers can be read from what is given. For decodings without an end.
        """
        return settled_rows(self.frames, 2 * int(self.table.counters[CONNECTION_COUNT]))[0]

    def finish(self) -> None:
        """Nothing more comes: hand on what waits, settle what is open."""
        nothing = np.zeros(0, np.uint8)
        streams = 2 * int(self.table.counters[CONNECTION_COUNT])
        index = 0
        while index < streams:
            index = finish_all(self.table, self.waiting, index)
            self._frame(nothing)
        _finish_streams(self.frames, streams)
        if self.store is not None:
            self.store.finish(self.frames)

    def _frame(self, chunk: Bytes) -> None:
        count = take_runs(self.waiting)
        done = 0
        while done < count:
            done = _frame_runs(
                self.waiting.runs,
                done,
                count,
                chunk,
                self.waiting.store,
                self.table.connections,
                self._ports,
                self.frames,
            )
            if done < count:
                length = int(self.waiting.runs[done].length)
                self.frames = with_room(
                    self.frames,
                    len(self.frames.streams),
                    length // HEADER_BYTES + _ROWS_STEP,
                    length + 3 * KEPT_LIMIT + _SEGMENT_BYTES_STEP,
                    _HOLES_STEP,
                )
        known = 2 * int(self.table.counters[CONNECTION_COUNT])
        is_ignored = self.frames.streams["state"][:known] == IGNORED
        self.table.connections["is_ignored"][: known // 2] = is_ignored[0::2] & is_ignored[1::2]

    def _make_room_for_connections(self, needed: int) -> None:
        """Room for a connection per segment: by growing, or by letting go of the oldest that are no iSCSI."""
        if room_for_connections(self.table) >= needed:
            return
        if len(self.table.connections) < CONNECTIONS_LIMIT:
            self.table = grown(self.table)
            self.frames = with_room(self.frames, 2 * len(self.table.connections), 0, 0, 0)
            return
        count = int(self.table.counters[CONNECTION_COUNT])
        connections = self.table.connections[:count]
        is_needless = (self.frames.streams["is_accepted"][0 : 2 * count : 2] == 0) & (
            connections["is_used"] == 1
        )
        needless = np.flatnonzero(is_needless)
        if not len(needless):
            return
        oldest = needless[np.argsort(connections["last_ns"][needless], kind="stable")][
            : (len(needless) + 1) // 2
        ]
        for index in oldest.tolist():
            for stream in (2 * index, 2 * index + 1):
                drop_waiting(self.waiting.nodes, self.waiting.ledger[0], self.table.streams[stream])
            self.frames.streams["is_open"][2 * index : 2 * index + 2] = 0
        rows = self.frames.rows[: int(self.frames.ledger[0].rows)]
        rows["is_void"][np.isin(rows["stream"] >> 1, oldest)] = 1
        if self.store is not None:
            self.store.forget(oldest)
        release(self.table, oldest)

"""The compiled way of one batch of packets through all stages, as far as there is room.

Packets to segments (``network.segments``), segments to runs of stream bytes (``network.ordering``), runs to
PDUs (``iscsi.framing``): one call for all three, since a thread that computes gives up the interpreter and
has to wait for it after each call. Room is made by the caller; what a byte means is decided in the stages.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, wide
from analyzer.capture.packets import Packets
from analyzer.compilation import njit
from analyzer.iscsi.frames import IGNORED, KEPT_LIMIT, Frames, Record
from analyzer.iscsi.framing import finish_stream as finish_framing
from analyzer.iscsi.framing import open_stream, passes_through_data, take_bytes, take_gap
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.network.connections import ConnectionTable, room_for_connections
from analyzer.network.ordering import (
    ORDER_NEEDS_RUNS,
    ORDER_NEEDS_STORE,
    ORDERED_ALL,
    finish_all,
    order,
)
from analyzer.network.segments import Segments, dissect
from analyzer.network.waiting import RUN_BYTES, RUN_OPENED, Waiting

ALL_DONE, NEEDS_CONNECTIONS, NEEDS_STORE, NEEDS_ROWS = range(4)
"""Why the way ended: all went through, or room is needed for connections, waiting bytes, or PDUs."""

PROGRESS = np.dtype(
    (
        np.record,
        [
            ("is_begun", "i8"),  # the packets have become segments
            ("segments", "i8"),
            ("next_segment", "i8"),
            ("why", "i8"),  # the last answer of ``order``
            ("runs", "i8"),
            ("next_run", "i8"),
            ("next_stream", "i8"),  # of those that are finished
        ],
    )
)

Progress = npt.NDArray[np.void]
"""Shape (1,), a record of PROGRESS: how far one batch has come."""


def nothing_done() -> Progress:
    """The progress of a batch of which nothing was done yet."""
    progress = np.zeros(1, PROGRESS)
    progress[0].why = ORDER_NEEDS_RUNS
    return progress


@njit(cache=True, nogil=True)
def advance(
    chunk: Bytes,
    packets: Packets,
    count: int,
    first_packet: int,
    file_index: int,
    segments: Segments,
    counts: npt.NDArray[np.int64],
    table: ConnectionTable,
    waiting: Waiting,
    frames: Frames,
    ports: npt.NDArray[np.int64],
    progress: Progress,
) -> int:
    """Take the first ``count`` packets on from where ``progress`` says: why it ended.

    After NEEDS_CONNECTIONS it goes on with the room there is; packets of connections without any are counted.
    """
    mark = progress[0]
    if not mark.is_begun:
        mark.is_begun = 1
        mark.segments = dissect(chunk, packets, count, segments, counts)
        if room_for_connections(table) < mark.segments:
            return NEEDS_CONNECTIONS
    while True:
        if not _frame_runs(mark, chunk, table, waiting, frames, ports):
            return NEEDS_ROWS
        if mark.why == ORDERED_ALL:
            return ALL_DONE
        if mark.why == ORDER_NEEDS_STORE:
            mark.why = ORDER_NEEDS_RUNS
            return NEEDS_STORE
        mark.next_segment, mark.why = order(
            chunk, first_packet, file_index, segments, mark.next_segment, mark.segments, table, waiting
        )
        _take_runs(mark, waiting)


@njit(cache=True, nogil=True)
def finish(
    chunk: Bytes,
    table: ConnectionTable,
    waiting: Waiting,
    frames: Frames,
    ports: npt.NDArray[np.int64],
    progress: Progress,
    streams: int,
) -> int:
    """Nothing more comes: hand on what the first ``streams`` keep back, settle what is open."""
    mark = progress[0]
    while _frame_runs(mark, chunk, table, waiting, frames, ports):
        if mark.next_stream >= streams:
            _settle(frames, streams)
            return ALL_DONE
        mark.next_stream = finish_all(table, waiting, mark.next_stream)
        _take_runs(mark, waiting)
    return NEEDS_ROWS


@njit(cache=True, nogil=True)
def _take_runs(mark: Record, waiting: Waiting) -> None:
    ledger = waiting.ledger[0]
    mark.next_run, mark.runs = 0, ledger.runs
    ledger.runs = 0


@njit(cache=True, nogil=True)
def _settle(frames: Frames, end: int) -> None:
    for index in range(end):
        stream = frames.streams[index]
        if stream.is_open:
            finish_framing(frames.rows, stream, frames.streams[index ^ 1], frames.streams[index & ~1])


@njit(cache=True, nogil=True)
def _is_hinted(connection: Record, ports: npt.NDArray[np.int64]) -> bool:
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
    mark: Record,
    chunk: Bytes,
    table: ConnectionTable,
    waiting: Waiting,
    frames: Frames,
    ports: npt.NDArray[np.int64],
) -> bool:
    """Frame the runs that were taken: false where there was no room for the next one."""
    runs, store, connections = waiting.runs, waiting.store, table.connections
    streams, rows, segments, holes = frames.streams, frames.rows, frames.segments, frames.holes
    ledger = frames.ledger[0]
    for position in range(mark.next_run, mark.runs):
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
            mark.next_run = position
            return False
        peer, pair, connection = streams[index ^ 1], streams[index & ~1], connections[index >> 1]
        if run.kind != RUN_BYTES:
            open_stream(stream, peer, pair, run.kind == RUN_OPENED, _is_hinted(connection, ports))
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
        connection.is_ignored = wide(stream.state == IGNORED and peer.state == IGNORED)
    mark.next_run = mark.runs
    return True

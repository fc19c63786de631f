"""What is handed on by reassembly, and what waits for its turn: runs, and early segments with their bytes.

A run is a stretch of stream bytes in order, perhaps behind a gap. Segments that came too early lie in a
list per stream and their bytes in one store. When a byte is given up is decided in ``ordering``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, wide
from analyzer.compilation import njit
from analyzer.network.segments import Record

WAITING_SEGMENTS_LIMIT = 16_384
WAITING_BYTES_LIMIT = 32 << 20
STORE_BYTES = 64 << 20
NODES = 65_536
RUNS = 2 * WAITING_SEGMENTS_LIMIT + 8192

SEQUENCE_MASK = 0xFFFFFFFF
RUN_BYTES = 0
RUN_OPENED = 1
"""The stream begins, with its first byte."""
RUN_JOINED = 2
"""The stream begins somewhere in its middle."""

RUN = np.dtype(
    (
        np.record,
        [
            ("stream", "i8"),
            ("kind", "i8"),  # RUN_*
            ("is_stored", "i8"),  # whether the bytes lie in the store instead of the chunk
            ("offset", "i8"),
            ("length", "i8"),  # bytes at hand
            ("gap", "i8"),  # bytes before them that were lost
            ("cut", "i8"),  # bytes behind them that the snap length cut off
            ("time_ns", "i8"),
            ("ready_ns", "i8"),  # when these bytes and all before them had come
            ("packet", "i8"),
            ("file_index", "i8"),
        ],
    )
)

Runs = npt.NDArray[np.void]
Nodes = npt.NDArray[np.void]

_NODE = np.dtype(
    (
        np.record,
        [
            ("next", "i8"),
            ("stream", "i8"),  # -1 = free
            ("position", "i8"),
            ("captured", "i8"),
            ("length", "i8"),
            ("offset", "i8"),  # in the store
            ("time_ns", "i8"),
            ("packet", "i8"),
            ("file_index", "i8"),
        ],
    )
)

_LEDGER = np.dtype(
    (
        np.record,
        [
            ("runs", "i8"),  # made and not yet taken
            ("store_bytes", "i8"),  # used from the beginning, holes included
            ("nodes", "i8"),  # ever used
            ("free_node", "i8"),  # head of the list of free ones; -1 = none
            ("waiting", "i8"),  # segments that wait, in all streams
            ("is_compact", "i8"),  # the store has just been compacted
        ],
    )
)


class Waiting(NamedTuple):
    """Segments that came before their turn, the bytes of them, and the runs that are handed on."""

    nodes: npt.NDArray[np.void]
    store: Bytes
    runs: npt.NDArray[np.void]
    ledger: npt.NDArray[np.void]
    """Shape (1,)."""


def nothing_waiting() -> Waiting:
    """No segment waits."""
    ledger = np.zeros(1, _LEDGER)
    ledger[0].free_node = -1
    return Waiting(np.zeros(NODES, _NODE), np.empty(STORE_BYTES, np.uint8), np.zeros(RUNS, RUN), ledger)


def take_runs(waiting: Waiting) -> int:
    """How many runs stand in ``waiting.runs``; they count as taken, and must be used before more are made."""
    count = int(waiting.ledger[0].runs)
    waiting.ledger[0].runs = 0
    return count


def compacted(waiting: Waiting) -> Waiting:
    """The same, with the store's holes closed. Only when all runs were taken and used."""
    store = np.empty_like(waiting.store)
    ledger = waiting.ledger[0]
    ledger.store_bytes = _copy_waiting(waiting.nodes, int(ledger.nodes), waiting.store, store)
    ledger.is_compact = 1
    return waiting._replace(store=store)


@njit(cache=True, nogil=True)
def _copy_waiting(nodes: npt.NDArray[np.void], count: int, old: Bytes, new: Bytes) -> int:
    used = wide(0)
    for index in range(count):
        node = nodes[index]
        if node.stream >= 0:
            for byte in range(node.captured):
                new[used + byte] = old[node.offset + byte]
            node.offset = used
            used += node.captured
    return used


@njit(cache=True, nogil=True)
def emit(
    runs: Runs,
    ledger: Record,
    kind: int,
    stream: int,
    is_stored: int,
    offset: int,
    length: int,
    gap: int,
    cut: int,
    time_ns: int,
    packet: int,
    file_index: int,
) -> None:
    """Make a run; there is room for it. ``gap`` bytes before it are lost, ``cut`` behind it unrecorded."""
    run = runs[ledger.runs]
    ledger.runs += 1
    run.stream, run.kind, run.is_stored, run.offset, run.length = stream, kind, is_stored, offset, length
    run.gap, run.cut, run.time_ns, run.ready_ns = gap, cut, time_ns, time_ns
    run.packet, run.file_index = packet, file_index


@njit(cache=True, nogil=True)
def advance(stream: Record, size: int) -> None:
    """Bytes of the stream have been handed on, or given up."""
    stream.next_position += size
    stream.next_sequence = (stream.next_sequence + size) & SEQUENCE_MASK


@njit(cache=True, nogil=True)
def _free_node(nodes: Nodes, ledger: Record, index: int) -> None:
    node = nodes[index]
    node.stream = -1
    node.next = ledger.free_node
    ledger.free_node = index
    ledger.waiting -= 1


@njit(cache=True, nogil=True)
def drop_waiting(nodes: Nodes, ledger: Record, stream: Record) -> None:
    """Forget what waits in a stream whose bytes nobody wants."""
    while stream.waiting_head >= 0:
        head = stream.waiting_head
        stream.waiting_head = nodes[head].next
        _free_node(nodes, ledger, head)
    stream.waiting_tail, stream.waiting_count, stream.waiting_bytes = -1, 0, 0


@njit(cache=True, nogil=True)
def drain(
    nodes: Nodes, runs: Runs, ledger: Record, index: int, stream: Record, limit: int, ready_ns: int
) -> None:
    """Hand on what waits and is in turn, giving up missing bytes before position ``limit``.

    ``ready_ns`` is the time of the segment that brought what was missing, or 0 where none did.
    """
    while stream.waiting_head >= 0:
        head = stream.waiting_head
        node = nodes[head]
        gap = min(node.position, limit) - stream.next_position
        if node.position > stream.next_position:
            if gap <= 0:
                return
            stream.lost_bytes += gap
            advance(stream, gap)
            if node.position > stream.next_position:
                emit(
                    runs,
                    ledger,
                    RUN_BYTES,
                    index,
                    0,
                    0,
                    0,
                    gap,
                    0,
                    node.time_ns,
                    node.packet,
                    node.file_index,
                )
                return
        else:
            gap = wide(0)
        stale = min(stream.next_position - node.position, node.length)
        fresh = node.length - stale
        at_hand = max(node.captured - stale, 0)
        if fresh > 0:
            emit(
                runs,
                ledger,
                RUN_BYTES,
                index,
                1,
                node.offset + min(stale, node.captured),
                at_hand,
                gap,
                fresh - at_hand,
                node.time_ns,
                node.packet,
                node.file_index,
            )
            runs[ledger.runs - 1].ready_ns = max(node.time_ns, ready_ns)
            advance(stream, fresh)
        stream.waiting_head = node.next
        if node.next < 0:
            stream.waiting_tail = -1
        stream.waiting_count -= 1
        stream.waiting_bytes -= node.captured
        _free_node(nodes, ledger, head)


@njit(cache=True, nogil=True)
def _find_predecessor(nodes: Nodes, stream: Record, position: int) -> int:
    """The last waiting segment that begins at or before ``position``; -1 where there is none."""
    if stream.waiting_tail >= 0 and nodes[stream.waiting_tail].position <= position:
        return stream.waiting_tail
    before = wide(-1)
    index = stream.waiting_head
    while index >= 0 and nodes[index].position <= position:
        before = index
        index = nodes[index].next
    return before


@njit(cache=True, nogil=True)
def keep_waiting(
    nodes: Nodes,
    store: Bytes,
    ledger: Record,
    chunk: Bytes,
    index: int,
    stream: Record,
    position: int,
    offset: int,
    captured: int,
    length: int,
    time_ns: int,
    packet: int,
    file_index: int,
) -> None:
    """Put a segment that came too early in its place, unless its bytes wait already."""
    before = _find_predecessor(nodes, stream, position)
    if before >= 0 and nodes[before].position + nodes[before].length >= position + length:
        stream.retransmitted += 1
        return
    if ledger.free_node >= 0:
        new = ledger.free_node
        ledger.free_node = nodes[new].next
    else:
        new = ledger.nodes
        ledger.nodes += 1
    ledger.waiting += 1
    node = nodes[new]
    node.stream, node.position, node.captured, node.length = index, position, captured, length
    node.time_ns, node.packet, node.file_index = time_ns, packet, file_index
    node.offset = ledger.store_bytes
    for byte in range(captured):
        store[node.offset + byte] = chunk[offset + byte]
    ledger.store_bytes += captured
    if before < 0:
        node.next = stream.waiting_head
        stream.waiting_head = new
    else:
        node.next = nodes[before].next
        nodes[before].next = new
    if node.next < 0:
        stream.waiting_tail = new
    stream.waiting_count += 1
    stream.waiting_bytes += captured


@njit(cache=True, nogil=True)
def has_waiting_room(nodes: Nodes, store: Bytes, ledger: Record, captured: int) -> bool:
    """Whether one more segment with so many bytes can wait."""
    has_node = ledger.free_node >= 0 or ledger.nodes < len(nodes)
    return has_node and ledger.store_bytes + captured <= len(store)

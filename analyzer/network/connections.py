"""TCP connections: one record per connection and two per pair of streams, found by their addresses.

A connection is kept under its two ends in a fixed order, so both directions find it; *side* 0 is the
end that sorts first. Stream ``2 * connection + side`` is what that side sends. A new connection
between the same ends takes the place of the old one in the table, whose records stay. What
makes a connection new is decided in ``ordering``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import wide
from analyzer.compilation import njit
from analyzer.network.segments import RST, Record

SIDE_UNKNOWN = -1
END_OPEN, END_FIN, END_RESET = range(3)

CONNECTION = np.dtype(
    (
        np.record,
        [
            ("high_0", "i8"),  # address of side 0, then of side 1
            ("low_0", "i8"),
            ("high_1", "i8"),
            ("low_1", "i8"),
            ("port_0", "i8"),
            ("port_1", "i8"),
            ("is_used", "i8"),
            ("is_ignored", "i8"),  # set from above: its bytes are not wanted
            ("first_ns", "i8"),
            ("last_ns", "i8"),
            ("ended_ns", "i8"),
            ("end", "i8"),  # END_*
            ("end_side", "i8"),
            ("opener", "i8"),  # side that sent the SYN
            ("syn_ns", "i8"),
            ("syn_ack_ns", "i8"),
            ("rtt_ns", "i8"),  # of the handshake; 0 = not seen
            ("packets", "i8"),  # copies apart
            ("copies", "i8"),  # packets that stand in the capture more than once
            ("file_index", "i8"),  # of the first packet
            ("last_file", "i8"),  # of the last packet that was no copy
            ("first_packet", "i8"),
        ],
    )
)

STREAM = np.dtype(
    (
        np.record,
        [
            ("is_known", "i8"),  # whether next_* are set
            ("initial_sequence", "i8"),  # of the SYN; -1 = not seen
            ("next_position", "i8"),  # bytes of the stream handed on so far
            ("next_sequence", "i8"),  # sequence number of that byte
            ("acknowledged", "i8"),  # position the peer has acknowledged
            (
                "missing_since",
                "i8",
            ),  # packets of the connection when bytes were first known missing; -1 = none
            ("waiting_head", "i8"),  # list of segments that came too early; -1 = empty
            ("waiting_tail", "i8"),
            ("waiting_count", "i8"),
            ("waiting_bytes", "i8"),
            ("fin_position", "i8"),  # -1 = no FIN seen
            ("segments", "i8"),  # with payload
            ("retransmitted", "i8"),
            ("lost_bytes", "i8"),
            ("largest", "i8"),
            ("timed_position", "i8"),  # whose acknowledgement is timed; -1 = none
            ("timed_ns", "i8"),
            ("timed_behind", "i8"),  # position that the peer's own stream had then
            ("rtt_ns", "i8"),  # smallest from data to acknowledgement; 0 = not seen
            (
                "overtaken",
                "i8",
            ),  # most that the peer sent between data and its acknowledgement; -1 = not seen
        ],
    )
)

# Items of the counters that all connections share.
CONNECTION_COUNT, LEFT_OUT, FREE_COUNT, GIVEN_UP, COUNTERS = range(5)


RECENT = 4096
_COPY_NS = 10_000_000
"""A mirror port's copy follows sooner; TCP does not send again within this (RFC 6298 section 2.4)."""


class ConnectionTable(NamedTuple):
    """All connections: records, streams, the hash table over them, and slots that may be used again."""

    connections: npt.NDArray[np.void]
    streams: npt.NDArray[np.void]
    slots: npt.NDArray[np.int32]
    """Open addressing; 0 = empty, else connection + 1. Never more than half full."""
    free: npt.NDArray[np.int64]
    """Stack of connections to be used again."""
    counters: npt.NDArray[np.int64]
    recent: npt.NDArray[np.int64]
    """Shape (RECENT, 2): what a segment said, as one number, and its time; by that number."""


def empty_table(capacity: int) -> ConnectionTable:
    """A table for ``capacity`` connections, a power of two."""
    return ConnectionTable(
        np.zeros(capacity, CONNECTION),
        np.zeros(2 * capacity, STREAM),
        np.zeros(4 * capacity, np.int32),
        np.zeros(capacity, np.int64),
        np.zeros(COUNTERS, np.int64),
        np.zeros((RECENT, 2), np.int64),
    )


def grown(table: ConnectionTable) -> ConnectionTable:
    """The same connections in a table twice as large."""
    larger = empty_table(2 * len(table.connections))
    larger.connections[: len(table.connections)] = table.connections
    larger.streams[: len(table.streams)] = table.streams
    larger.free[: len(table.free)] = table.free
    larger.counters[:] = table.counters
    larger.recent[:] = table.recent
    enter_all(larger)
    return larger


@njit(cache=True, nogil=True)
def room_for_connections(table: ConnectionTable) -> int:
    """How many connections can still be made."""
    return len(table.connections) - table.counters[CONNECTION_COUNT] + table.counters[FREE_COUNT]


@njit(cache=True, nogil=True)
def mix(a: int, b: int) -> int:
    """Two non-negative numbers below 2**31 to one, without leaving 64 bits."""
    value = ((a ^ 0x2545F491) * 0x9E3779B1) ^ (b * 0x85EBCA6B)
    return (value ^ (value >> 29)) & 0x7FFFFFFF


@njit(cache=True, nogil=True)
def _hash(high_0: int, low_0: int, high_1: int, low_1: int, port_0: int, port_1: int) -> int:
    value = mix((port_0 << 15) ^ port_1, low_0 & 0x7FFFFFFF)
    value = mix(value, low_1 & 0x7FFFFFFF)
    if high_0 | high_1:
        value = mix(value, (low_0 >> 32) & 0x7FFFFFFF)
        value = mix(value, (low_1 >> 32) & 0x7FFFFFFF)
        value = mix(value, high_0 & 0x7FFFFFFF)
        value = mix(value, high_1 & 0x7FFFFFFF)
    return value


@njit(cache=True, nogil=True)
def is_copy(recent: npt.NDArray[np.int64], stream: int, segment: Record) -> bool:
    """Whether the same packet was recorded a moment ago: all it says, its IP identification and its checksum.

    A segment that TCP sends again has another identification, and comes later. Resets are never called
    copies: a host answers every late segment with the same one, without an identification.
    """
    if segment.control_bits & RST:
        return False
    numbers = mix(segment.sequence & 0x7FFFFFFF, segment.acknowledgement & 0x7FFFFFFF)
    rest = mix(
        segment.mark & 0x7FFFFFFF,
        ((stream << 24) ^ (segment.length << 8) ^ segment.control_bits) & 0x7FFFFFFF,
    )
    key = (numbers << 31) | rest
    entry = recent[key & (RECENT - 1)]
    is_known = entry[0] == key and abs(segment.time_ns - entry[1]) < _COPY_NS
    entry[0], entry[1] = key, segment.time_ns
    return is_known


@njit(cache=True, nogil=True)
def side_of_sender(segment: Record) -> int:
    """0 where the sender of the segment sorts before the receiver, else 1."""
    if segment.source_high != segment.target_high:
        return wide(segment.source_high > segment.target_high)
    if segment.source_low != segment.target_low:
        return wide(segment.source_low > segment.target_low)
    return wide(segment.source_port > segment.target_port)


@njit(cache=True, nogil=True)
def _place(
    connections: npt.NDArray[np.void],
    slots: npt.NDArray[np.int32],
    high_0: int,
    low_0: int,
    high_1: int,
    low_1: int,
    port_0: int,
    port_1: int,
) -> int:
    """The slot that holds the connection of these ends, or the empty one where it would stand."""
    mask = len(slots) - 1
    place = _hash(high_0, low_0, high_1, low_1, port_0, port_1) & mask
    while slots[place]:
        known = connections[slots[place] - 1]
        if (
            known.low_0 == low_0
            and known.low_1 == low_1
            and known.port_0 == port_0
            and known.port_1 == port_1
            and known.high_0 == high_0
            and known.high_1 == high_1
        ):
            return place
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True)
def place_of(
    connections: npt.NDArray[np.void], slots: npt.NDArray[np.int32], segment: Record, side: int
) -> int:
    """The slot for the connection of a segment that ``side`` sent."""
    s = segment
    high_0, low_0, port_0 = s.source_high, s.source_low, s.source_port
    high_1, low_1, port_1 = s.target_high, s.target_low, s.target_port
    if side:
        high_0, high_1 = high_1, high_0
        low_0, low_1 = low_1, low_0
        port_0, port_1 = port_1, port_0
    return _place(connections, slots, high_0, low_0, high_1, low_1, port_0, port_1)


@njit(cache=True, nogil=True)
def make_connection(table: ConnectionTable, place: int, segment: Record, side: int) -> int:
    """A fresh connection for the segment, put at ``place``: its number, or -1 where there is no room."""
    counters = table.counters
    if counters[FREE_COUNT]:
        counters[FREE_COUNT] -= 1
        index = table.free[counters[FREE_COUNT]]
    elif counters[CONNECTION_COUNT] < len(table.connections):
        index = counters[CONNECTION_COUNT]
        counters[CONNECTION_COUNT] += 1
    else:
        counters[LEFT_OUT] += 1
        return -1
    table.slots[place] = index + 1
    new = table.connections[index]
    if side:
        new.high_0, new.low_0 = segment.target_high, segment.target_low
        new.high_1, new.low_1 = segment.source_high, segment.source_low
        new.port_0, new.port_1 = segment.target_port, segment.source_port
    else:
        new.high_0, new.low_0 = segment.source_high, segment.source_low
        new.high_1, new.low_1 = segment.target_high, segment.target_low
        new.port_0, new.port_1 = segment.source_port, segment.target_port
    new.is_used, new.is_ignored = 1, 0
    new.first_ns, new.last_ns, new.ended_ns = segment.time_ns, segment.time_ns, segment.time_ns
    new.end, new.end_side, new.opener = END_OPEN, 0, SIDE_UNKNOWN
    new.syn_ns, new.syn_ack_ns, new.rtt_ns, new.packets, new.copies = 0, 0, 0, 0, 0
    for stream in (2 * index, 2 * index + 1):
        reset_stream(table.streams[stream])
    return index


@njit(cache=True, nogil=True)
def reset_stream(stream: Record) -> None:
    """A stream of which nothing is known."""
    stream.is_known, stream.initial_sequence = 0, -1
    stream.next_position, stream.next_sequence = 0, 0
    stream.acknowledged, stream.missing_since = 0, -1
    stream.waiting_head, stream.waiting_tail = -1, -1
    stream.waiting_count, stream.waiting_bytes = 0, 0
    stream.fin_position, stream.segments = -1, 0
    stream.retransmitted, stream.lost_bytes, stream.largest = 0, 0, 0
    stream.timed_position, stream.timed_ns, stream.rtt_ns = -1, 0, 0
    stream.timed_behind, stream.overtaken = 0, -1


@njit(cache=True, nogil=True)
def enter_all(table: ConnectionTable) -> None:
    """Fill the hash table anew; of connections between the same ends the youngest is found."""
    slots, connections = table.slots, table.connections
    slots[:] = 0
    for index in range(table.counters[CONNECTION_COUNT]):
        c = connections[index]
        if not c.is_used:
            continue
        place = _place(connections, slots, c.high_0, c.low_0, c.high_1, c.low_1, c.port_0, c.port_1)
        if slots[place] == 0 or connections[slots[place] - 1].first_ns <= c.first_ns:
            slots[place] = index + 1


def release(table: ConnectionTable, indexes: npt.NDArray[np.int64]) -> None:
    """Let go of connections whose records nobody needs, and of their places."""
    table.connections["is_used"][indexes] = 0
    count = int(table.counters[FREE_COUNT])
    table.free[count : count + len(indexes)] = indexes
    table.counters[FREE_COUNT] = count + len(indexes)
    enter_all(table)

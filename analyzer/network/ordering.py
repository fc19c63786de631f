"""TCP reassembly: segments in the order of the file become runs of bytes in the order of each stream.

A run may follow a gap: bytes that never came. Bytes are given up as lost by the recorder once the
peer has acknowledged them and ``PATIENCE_PACKETS`` more packets of the connection have passed (files
are not in order of time), when more waits than is kept, or at the end. The first copy of a byte counts.
Works by sequence numbers alone (RFC 9293 section 3.4); what the bytes mean is not known here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, wide
from analyzer.compilation import njit
from analyzer.network.connections import (
    CONNECTION_COUNT,
    END_FIN,
    END_OPEN,
    END_RESET,
    GIVEN_UP,
    ConnectionTable,
    is_copy,
    make_connection,
    place_of,
    side_of_sender,
)
from analyzer.network.segments import ACK, FIN, RST, SYN, Record, Segments
from analyzer.network.waiting import (
    RUN_BYTES,
    RUN_JOINED,
    RUN_OPENED,
    SEQUENCE_MASK,
    WAITING_BYTES_LIMIT,
    WAITING_SEGMENTS_LIMIT,
    Nodes,
    Runs,
    Waiting,
    advance,
    drain,
    drop_waiting,
    emit,
    has_waiting_room,
    keep_waiting,
)

PATIENCE_PACKETS = 64
_FAR = 1 << 62
_OLDEST_STEP = -(1 << 26)
"""A step further back than any TCP window reaches is a step forward over lost bytes."""

# Why ``order`` stopped.
ORDERED_ALL, ORDER_NEEDS_RUNS, ORDER_NEEDS_STORE = range(3)


@njit(cache=True, nogil=True)
def _step(stream: Record, sequence: int) -> int:
    """From the next byte of the stream to ``sequence``, 32-bit wrap undone."""
    step = ((sequence - stream.next_sequence + 0x80000000) & SEQUENCE_MASK) - 0x80000000
    if step < _OLDEST_STEP:
        step += 1 << 32
    return step


@njit(cache=True, nogil=True)
def _begin_stream(
    runs: Runs, ledger: Record, index: int, stream: Record, sequence: int, flags: int, time_ns: int
) -> None:
    kind = RUN_JOINED
    if flags & SYN:
        kind = RUN_OPENED
        stream.initial_sequence = sequence
        sequence = (sequence + 1) & SEQUENCE_MASK
    stream.is_known = 1
    stream.next_sequence = sequence
    emit(runs, ledger, kind, index, 0, 0, 0, 0, 0, time_ns, 0, 0)


@njit(cache=True, nogil=True)
def _take_payload(
    nodes: Nodes,
    store: Bytes,
    runs: Runs,
    ledger: Record,
    chunk: Bytes,
    segment: Record,
    index: int,
    stream: Record,
    packet: int,
    file_index: int,
    counters: npt.NDArray[np.int64],
) -> None:
    offset, captured, length = segment.offset, segment.captured, segment.length
    time_ns, sequence = segment.time_ns, segment.sequence
    if segment.control_bits & SYN:
        sequence = (sequence + 1) & SEQUENCE_MASK
    step = _step(stream, sequence)
    stream.segments += 1
    stream.largest = max(stream.largest, length)
    if step < 0:
        if not (step == -1 and length == 1):  # that is how a keep-alive looks
            stream.retransmitted += 1
            stream.timed_position = -1
        stale = min(-step, length)
        offset += min(stale, captured)
        captured = max(captured - stale, 0)
        length -= stale
        step += stale
        if length <= 0:
            return
    if step > 0 and (
        stream.waiting_count >= WAITING_SEGMENTS_LIMIT
        or stream.waiting_bytes + captured > WAITING_BYTES_LIMIT
        or not has_waiting_room(nodes, store, ledger, captured)
    ):
        counters[GIVEN_UP] += 1
        target = stream.next_position + step
        drain(nodes, runs, ledger, index, stream, target, wide(0))
        step = target - stream.next_position
        if step > 0:
            stream.lost_bytes += step
            emit(runs, ledger, RUN_BYTES, index, 0, 0, 0, step, 0, time_ns, packet, file_index)
            advance(stream, step)
            step = wide(0)
        elif step < 0:
            return
    if step > 0:
        keep_waiting(
            nodes,
            store,
            ledger,
            chunk,
            index,
            stream,
            stream.next_position + step,
            offset,
            captured,
            length,
            time_ns,
            packet,
            file_index,
        )
        return
    emit(
        runs, ledger, RUN_BYTES, index, 0, offset, captured, 0, length - captured, time_ns, packet, file_index
    )
    advance(stream, length)
    if stream.timed_position < 0:
        stream.timed_position, stream.timed_ns = stream.next_position, time_ns
    if stream.waiting_head >= 0:
        drain(nodes, runs, ledger, index, stream, wide(0), time_ns)


@njit(cache=True, nogil=True)
def _take_acknowledgement(
    stream: Record, acknowledgement: int, sent: int, packets: int, time_ns: int
) -> None:
    """The peer of ``stream`` says up to where it has received it, having ``sent`` so much before."""
    step = _step(stream, acknowledgement)
    position = stream.next_position + step
    if stream.fin_position >= 0:
        position = min(position, stream.fin_position)
    if step < 1 << 30 and position > stream.acknowledged:
        stream.acknowledged = position
    if 0 <= stream.timed_position <= stream.acknowledged:
        elapsed = time_ns - stream.timed_ns
        if elapsed > 0 and (stream.rtt_ns == 0 or elapsed < stream.rtt_ns):
            stream.rtt_ns = elapsed
        stream.overtaken = max(stream.overtaken, sent - stream.timed_behind)
        stream.timed_position = -1
    if stream.acknowledged <= stream.next_position:
        stream.missing_since = -1
    elif stream.missing_since < 0:
        stream.missing_since = packets


@njit(cache=True, nogil=True)
def _note_flags(connection: Record, side: int, flags: int, time_ns: int) -> None:
    if flags & SYN:
        if flags & ACK:
            connection.opener = 1 - side
            connection.syn_ack_ns = time_ns
        else:
            connection.opener = side
            connection.syn_ns = time_ns
    elif (
        connection.rtt_ns == 0
        and connection.syn_ns
        and connection.syn_ack_ns
        and side == connection.opener
        and time_ns > connection.syn_ns
    ):
        connection.rtt_ns = time_ns - connection.syn_ns
    if flags & RST:
        if connection.end == END_OPEN or (connection.end == END_FIN and connection.end_side == side):
            connection.end, connection.end_side, connection.ended_ns = END_RESET, side, time_ns
    elif flags & FIN and connection.end == END_OPEN:
        connection.end, connection.end_side, connection.ended_ns = END_FIN, side, time_ns


@njit(cache=True, nogil=True)
def _is_new(stream: Record, flags: int, sequence: int) -> bool:
    """Whether a SYN opens another connection than the one known between these ends (RFC 9293 section 3.5)."""
    if not flags & SYN:
        return False
    if stream.initial_sequence >= 0:
        return stream.initial_sequence != sequence
    return stream.is_known == 1


@njit(cache=True, nogil=True)
def _finish_stream(
    connection: Record, stream: Record, nodes: Nodes, runs: Runs, ledger: Record, index: int
) -> bool:
    """Hand on all that waits and count what was acknowledged yet never seen: false if runs lack room."""
    if ledger.runs + stream.waiting_count + 2 > len(runs):
        return False
    drain(nodes, runs, ledger, index, stream, wide(_FAR), wide(0))
    missing = stream.acknowledged - stream.next_position
    # One byte more may be the sequence number of a FIN that was not recorded.
    if stream.is_known and missing > 1:
        stream.lost_bytes += missing
        emit(
            runs, ledger, RUN_BYTES, index, 0, 0, 0, missing, 0, connection.last_ns, 0, connection.file_index
        )
        advance(stream, missing)
    return True


@njit(cache=True, nogil=True)
def finish_all(table: ConnectionTable, waiting: Waiting, first: int) -> int:
    """Finish every stream from number ``first`` on: the first one that found no room for its runs."""
    connections, streams = table.connections, table.streams
    nodes, runs, ledger = waiting.nodes, waiting.runs, waiting.ledger[0]
    count = 2 * table.counters[CONNECTION_COUNT]
    for index in range(first, count):
        connection = connections[index >> 1]
        if not connection.is_used or connection.is_ignored:
            continue
        if not _finish_stream(connection, streams[index], nodes, runs, ledger, index):
            return index
    return count


@njit(cache=True, nogil=True)
def _follows(stream: Record, segment: Record) -> bool:
    """Whether a segment holds the next bytes of a stream in which nothing waits: nearly all do."""
    return (
        stream.is_known == 1
        and stream.waiting_head < 0
        and segment.sequence == stream.next_sequence
        and segment.control_bits & SYN == 0
    )


@njit(cache=True, nogil=True)
def _hand_on(run: Record, index: int, stream: Record, segment: Record, packet: int, file_index: int) -> None:
    """The payload of a segment that follows is a run as it is."""
    length = segment.length
    run.stream, run.kind, run.is_stored, run.offset, run.length = (
        index,
        RUN_BYTES,
        0,
        segment.offset,
        segment.captured,
    )
    run.gap, run.cut = 0, length - segment.captured
    run.time_ns, run.ready_ns = segment.time_ns, segment.time_ns
    run.packet, run.file_index = packet, file_index
    stream.segments += 1
    stream.largest = max(stream.largest, length)
    advance(stream, length)
    if stream.timed_position < 0:
        stream.timed_position, stream.timed_ns = stream.next_position, segment.time_ns


@njit(cache=True, nogil=True)
def _is_late(stream: Record, packets: int) -> bool:
    return stream.missing_since >= 0 and packets - stream.missing_since > PATIENCE_PACKETS


@njit(cache=True, nogil=True)
def _give_up_missing(
    nodes: Nodes, runs: Runs, ledger: Record, index: int, stream: Record, packets: int
) -> None:
    """What the peer has acknowledged and is still missing was lost by the recorder."""
    drain(nodes, runs, ledger, index, stream, stream.acknowledged, wide(0))
    stream.missing_since = -1 if stream.acknowledged <= stream.next_position else packets


@njit(cache=True, nogil=True)
def _note_time(connection: Record, time_ns: int) -> None:
    connection.packets += 1
    if time_ns > connection.last_ns:
        connection.last_ns = time_ns
    elif time_ns < connection.first_ns:
        connection.first_ns = time_ns


@njit(cache=True, nogil=True)
def _is_old(stream: Record, peer: Record, segment: Record) -> bool:
    """Whether a segment says nothing new: of two files that overlap in time, the second begins with such."""
    if not stream.is_known or segment.control_bits & SYN:
        return bool(segment.sequence == stream.initial_sequence)
    if segment.length:
        return _step(stream, segment.sequence) + segment.length <= 0
    behind = peer.next_position + _step(peer, segment.acknowledgement)
    return peer.is_known == 1 and behind <= peer.acknowledged


@njit(cache=True, nogil=True)
def order(
    chunk: Bytes,
    first_packet: int,
    file_index: int,
    segments: Segments,
    first: int,
    count: int,
    table: ConnectionTable,
    waiting: Waiting,
) -> tuple[int, int]:
    """Turn segments ``first`` to ``count`` into runs: (first segment not done, ORDER*).

    There must be room in ``table`` for a connection per segment, or some are left out.
    """
    connections, streams, slots, counters = table.connections, table.streams, table.slots, table.counters
    nodes, store, runs, ledger = waiting.nodes, waiting.store, waiting.runs, waiting.ledger[0]
    if ledger.waiting == 0:
        ledger.store_bytes = 0
    for row in range(first, count):
        segment = segments[row]
        side = side_of_sender(segment)
        place = place_of(connections, slots, segment, side)
        packet = first_packet + segment.packet
        flags, length = segment.control_bits, segment.length
        found = wide(slots[place]) - 1
        waits = wide(0)
        if found >= 0:
            waits = streams[2 * found].waiting_count + streams[2 * found + 1].waiting_count
        if ledger.runs + waits + 8 > len(runs):
            return row, ORDER_NEEDS_RUNS
        if ledger.store_bytes + segment.captured > len(store) and not ledger.is_compact:
            return row, ORDER_NEEDS_STORE
        if found >= 0 and _is_new(streams[2 * found + side], flags, segment.sequence):
            for old in (2 * found, 2 * found + 1):
                _finish_stream(connections[found], streams[old], nodes, runs, ledger, old)
            found = wide(-1)
        if found < 0:
            found = make_connection(table, place, segment, side)
            if found < 0:
                continue
            connections[found].file_index, connections[found].first_packet = file_index, packet
            connections[found].last_file = file_index
        connection = connections[found]
        if is_copy(table.recent, 2 * found + side, segment) or (
            file_index != connection.last_file
            and segment.time_ns < connection.last_ns
            and _is_old(streams[2 * found + side], streams[2 * found + (1 - side)], segment)
        ):
            connection.copies += 1
            continue
        connection.last_file = file_index
        _note_time(connection, segment.time_ns)
        if flags & (SYN | FIN | RST) or connection.rtt_ns == 0:
            _note_flags(connection, side, flags, segment.time_ns)
        if connection.is_ignored:
            drop_waiting(nodes, ledger, streams[2 * found])
            drop_waiting(nodes, ledger, streams[2 * found + 1])
            continue
        index = 2 * found + side
        stream, peer = streams[index], streams[index ^ 1]
        # A lone byte may be a keep-alive, whose number is one too low to begin with.
        if not stream.is_known and (length > 1 or flags & SYN):
            _begin_stream(runs, ledger, index, stream, segment.sequence, flags, segment.time_ns)
        sent, was_timed = stream.next_position, stream.timed_position >= 0
        if length and _follows(stream, segment):
            _hand_on(runs[ledger.runs], index, stream, segment, packet, file_index)
            ledger.runs += 1
        elif length and stream.is_known:
            _take_payload(
                nodes, store, runs, ledger, chunk, segment, index, stream, packet, file_index, counters
            )
        if stream.timed_position >= 0 and not was_timed:
            stream.timed_behind = peer.next_position
        if flags & FIN and stream.is_known and stream.fin_position < 0:
            behind = (segment.sequence + length) & SEQUENCE_MASK
            stream.fin_position = stream.next_position + _step(stream, behind)
        if flags & ACK and peer.is_known:
            _take_acknowledgement(peer, segment.acknowledgement, sent, connection.packets, segment.time_ns)
        if _is_late(stream, connection.packets):
            _give_up_missing(nodes, runs, ledger, index, stream, connection.packets)
        if _is_late(peer, connection.packets):
            _give_up_missing(nodes, runs, ledger, index ^ 1, peer, connection.packets)
    ledger.is_compact = 0
    return count, ORDERED_ALL

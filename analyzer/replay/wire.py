"""What bytes take on a link: PDUs into a TCP stream, the stream into packets, packets into time.

A direction of a link sends first in, first out. Bytes handed over at once travel as one stream
of full packets, so the time of its last byte follows from arithmetic and no event per packet is needed.
What TCP adds to one connection is not known here (connections.py).
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function, engine_step
from analyzer.replay.state import BIN_NS, FAR_NS, LOG_EVENTS, LOG_TRANSFERS, NOTHING, Int64s, World

EXACT_BYTES = 1 << 29  # 8e9 times this still fits 63 bits


@engine_function
def pdu_stream_bytes(data_bytes: int, segment_bytes: int, header_bytes: int, digest_bytes: int) -> int:
    """Bytes of the fewest PDUs that carry ``data_bytes``, none longer than ``segment_bytes`` of data.

    One PDU without data where there is none. Data is padded to four bytes (RFC 7143 section 11.2.2).
    """
    if data_bytes <= 0:
        return header_bytes
    full = (data_bytes - 1) // segment_bytes
    last = data_bytes - full * segment_bytes
    padded = full * ((segment_bytes + 3) & ~3) + ((last + 3) & ~3)
    return (full + 1) * (header_bytes + digest_bytes) + padded


@engine_function
def sending_ns(wire_bytes: int, rate_bps: int) -> int:
    """Nanoseconds that ``wire_bytes`` take at ``rate_bps``, rounded up; 0 for the rate 0."""
    if rate_bps == 0:
        return 0
    chunks = wire_bytes // EXACT_BYTES
    rest = wire_bytes - chunks * EXACT_BYTES
    ns = (rest * 8_000_000_000 + rate_bps - 1) // rate_bps
    if chunks > 0:
        ns += chunks * ((EXACT_BYTES * 8_000_000_000 + rate_bps - 1) // rate_bps)
    return ns


@engine_step
def transmit(world: World, owner: int, direction: int, now: int, stream_bytes: int, data_bytes: int) -> int:
    """Hand ``stream_bytes`` to a direction at ``now``; gives the time at which the last of them arrives.

    Behind bytes of the same connection (``owner``) that still wait, they first fill the last packet of
    those: TCP knows no PDUs. A header that fits there arrives with it, its own few bytes for nothing: so a
    command reaches the target together with the end of the data before it, as one packet brings both.

    Behind an idle time a token bucket lets up to its size go at once and is paid later; where packets
    are paid for after they have left (as Linux tbf with a bucket of one packet was measured to do), the
    last one arrives its own time earlier. A wire has neither. ``data_bytes`` of the stream are SCSI data.

    A direction that is down takes it by its halted clock, and delivers it so much beyond all times.
    """
    link = world.links[direction]
    far = NOTHING
    if link.halted_ns >= 0:
        now = link.halted_ns
        far = FAR_NS
    filling = filling_bytes(link, owner, now, stream_bytes)
    rest = stream_bytes - filling
    packets = (rest + link.segment_bytes - 1) // link.segment_bytes
    wire_bytes = stream_bytes + packets * link.packet_overhead_bytes
    duration = sending_ns(wire_bytes, link.rate_bps)
    if link.packets_per_ack > 0:
        owe_acknowledgements(world.links, direction, stream_bytes)
        if packets > 0:
            wire_bytes, duration = with_acknowledgements(link, now, wire_bytes, duration)
    begun = max(now, link.free_ns)
    free = begun + duration
    link.free_ns = free
    link.busy_ns += duration
    link.wire_bytes += wire_bytes
    link.packets += packets
    link.tail_room_bytes -= filling
    if packets > 0:
        last_bytes = rest - (packets - 1) * link.segment_bytes
        link.tail_owner = owner
        link.tail_room_bytes = link.segment_bytes - last_bytes
        link.tail_begins_ns = free - sending_ns(last_bytes + link.packet_overhead_bytes, link.rate_bps)
    moves_tail = packets > 0 or data_bytes > 0
    if moves_tail:
        link.tail_left_ns = link.tail_begins_ns if link.is_postpaid else free - link.credit_ns
    if duration > 0 and far == 0:
        note_usage(world, direction, begun, free)
    delivered: int = max(now, link.tail_left_ns) + link.delay_ns + far
    log = world.log
    row = log[0, LOG_TRANSFERS]
    log[0, LOG_TRANSFERS] += 1
    if row < log[0, 3 + LOG_TRANSFERS]:
        entry = log[1 + log[0, 3 + LOG_EVENTS] + row]
        entry[0] = direction
        entry[1] = now
        entry[2] = free
        entry[3] = delivered - far
        entry[4] = wire_bytes
        entry[5] = data_bytes
        entry[6] = begun
        entry[7] = moves_tail
    return delivered


@engine_function
def filling_bytes(link: Any, owner: int, now: int, stream_bytes: int) -> int:
    """How many of ``stream_bytes`` handed over at ``now`` go in the last packet of those that still wait."""
    if link.tail_owner == owner and now < min(link.tail_begins_ns, link.tail_left_ns):
        return int(min(stream_bytes, link.tail_room_bytes))
    return 0


@engine_step
def owe_acknowledgements(links: Any, direction: int, stream_bytes: int) -> None:
    """The other direction will have to carry an empty packet for every few full ones of these.

    A few bytes alone are acknowledged with what comes back: TCP need not answer at once before every second
    full segment (RFC 5681 section 4.2).
    """
    back = links[direction ^ 1]
    each = max(1, back.packets_per_ack * links[direction].segment_bytes)
    back.unacknowledged_bytes += stream_bytes
    count = back.unacknowledged_bytes // each
    back.unacknowledged_bytes -= count * each
    back.ack_debt_bytes += count * back.packet_overhead_bytes
    back.ack_debt_ns += sending_ns(count * back.packet_overhead_bytes, back.rate_bps)


@engine_step
def with_acknowledgements(link: Any, now: int, wire_bytes: int, duration: int) -> tuple[int, int]:
    """What is sent now and how long, with the acknowledgements for which there was no idle time before.

    A packet that leaves at once also acknowledges the little for which none of its own is due.
    """
    idle_ns = max(0, now - link.free_ns)
    if link.ack_debt_ns > idle_ns:
        share = link.ack_debt_bytes * (link.ack_debt_ns - idle_ns) // link.ack_debt_ns
        wire_bytes += share
        duration += sending_ns(share, link.rate_bps)
    link.ack_debt_ns = 0
    link.ack_debt_bytes = 0
    if link.free_ns <= now:
        link.unacknowledged_bytes = 0
    return wire_bytes, duration


@engine_step
def note_usage(world: World, direction: int, begun: int, free: int) -> None:
    """Add the time from ``begun`` to ``free`` to the spans it lies in."""
    bins = world.busy_ns.shape[1]
    if free > bins * world.counters[BIN_NS]:
        widen(world.busy_ns, world.counters, free)
    width = world.counters[BIN_NS]
    place = begun // width
    while begun < free:
        until = min(free, (place + 1) * width)
        world.busy_ns[direction, min(place, bins - 1)] += until - begun
        begun = until
        place += 1


@engine_function
def widen(busy_ns: Int64s, counters: Int64s, free: int) -> None:
    """Double the spans until ``free`` lies in one."""
    bins = busy_ns.shape[1]
    while free > bins * counters[BIN_NS]:
        counters[BIN_NS] *= 2
        for row in range(busy_ns.shape[0]):
            for place in range(bins // 2):
                busy_ns[row, place] = busy_ns[row, 2 * place] + busy_ns[row, 2 * place + 1]
            for place in range(bins // 2, bins):
                busy_ns[row, place] = 0

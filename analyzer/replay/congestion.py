"""What TCP lets out of a connection: a congestion window, and acknowledgements that wait behind data.

Hosts keep packets below TCP, in the queue of the interface; an acknowledgement lines up behind those of its
own connection. A full queue is filled again when half of it has left: Linux counts the up to 64 KiB that it
hands down in one go until the last packet of them has left (TCP small queues). Where both directions are full
an acknowledgement comes back late, and a sender whose window is used up stops with bytes at hand. The window
is that of Linux: ten segments at first (RFC 6928), doubled with each round trip until round trips grow
(HyStart, Ha and Rhee 2011), then as CUBIC without a known maximum. Losses do not change it. Works packet by
packet, so only where more than the first window was seen to queue, or is said to, or where a window is to
begin anew behind an idle time (RFC 5681 section 4.1).

When a packet enters the queue depends on what the other direction has sent by then. So it is worked out no
further than to the present: what cannot be known yet is estimated from below, and looked at again when due.
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function, engine_step
from analyzer.replay.state import END, ENTERED, FAR_NS, FLIGHTS, FROM_TARGET, LEFT, NEVER, NOTHING, World
from analyzer.replay.wire import sending_ns

# RFC 6928: a connection begins, and restarts after an idle time, with ten segments.
INITIAL_WINDOW_SEGMENTS = 10
# tcp_cubic of Linux: HyStart looks at windows from 16 segments on, at eight round trips, one for each
# acknowledgement, and calls them late by an eighth of the shortest one, but by 4 ms at least and 16 at most.
HYSTART_LOW_WINDOW = 16
HYSTART_SAMPLES = 8
HYSTART_LEAST_NS, HYSTART_MOST_NS = 4_000_000, 16_000_000
# tcp_cubic of Linux: without a known maximum a segment more for 20 acknowledged.
ACKNOWLEDGED_PER_SEGMENT = 20


@engine_function
def begin_window(lane: Any) -> None:
    """The window of a new connection, of which nothing is under way, or of one behind an idle time."""
    lane.acknowledged = lane.packets
    lane.window_segments = INITIAL_WINDOW_SEGMENTS
    lane.used_up_until = lane.counted = lane.is_past_slow_start = 0
    lane.least_round_trip_ns = FAR_NS


@engine_function
def write(
    world: World, path: int, from_target: int, now: int, at: int, stream_bytes: int, fits_in_last: bool
) -> int:
    """Write bytes that the link alone would deliver at ``at``; gives when they are there at the earliest.

    What may enter the queue at once leaves it as the link has it, but for what went late before it; what
    ``fits_in_last`` comes with the last packet, which waits for the link yet.
    """
    advance(world, path, now)
    index = 2 * path + from_target
    lane = world.lanes[index]
    link = world.links[direction_of(world, path, from_target)]
    is_waiting = lane.written_bytes > lane.sent_bytes
    lane.written_bytes += stream_bytes
    if fits_in_last and lane.packets > 0 and not is_waiting:
        lane.sent_bytes += stream_bytes
        world.flights[index, END, (lane.packets - 1) % FLIGHTS] = lane.sent_bytes
    elif not is_waiting:
        if 0 < lane.idle_restart_ns < now - last(world, index, LEFT):
            begin_window(lane)
        lane.entered_ns = max(now, lane.entered_ns)
        while next_entry_ns(world, path, from_target) <= now:
            behind_ns = packets_ns(link, lane.written_bytes - lane.sent_bytes - link.segment_bytes)
            enter(world, path, from_target, now, max(now, at - link.delay_ns - behind_ns))
    return int(max(at, earliest_ns(world, path, from_target, int(lane.written_bytes))))


@engine_function
def held_until_ns(world: World, path: int, from_target: int, position: int, now: int) -> int:
    """When the bytes before ``position`` are there, at the earliest; no later than ``now`` if they are.

    What a connection before this one had written is not held.
    """
    if position > world.lanes[2 * path + from_target].written_bytes:
        return now
    advance(world, path, now)
    return int(earliest_ns(world, path, from_target, position))


@engine_function
def advance(world: World, path: int, until_ns: int) -> None:
    """Let all packets of both directions enter their queues that may by ``until_ns``, in order of time."""
    while True:
        there = next_entry_ns(world, path, NOTHING)
        back = next_entry_ns(world, path, FROM_TARGET)
        if min(there, back) > until_ns:
            break
        # The other direction enters nothing before that, so what this one waits for is certain.
        if there <= back:
            enter(world, path, NOTHING, there, NEVER)
        else:
            enter(world, path, FROM_TARGET, back, NEVER)


@engine_function
def next_entry_ns(world: World, path: int, from_target: int) -> int:
    """When the next packet of a direction may enter its queue at the earliest; FAR_NS where there is none."""
    index = 2 * path + from_target
    lane = world.lanes[index]
    if lane.written_bytes == lane.sent_bytes:
        return int(FAR_NS)
    at = lane.entered_ns
    full = lane.packets - lane.queue_packets
    if full >= 0 and at < world.flights[index, LEFT, full % FLIGHTS]:
        at = world.flights[index, LEFT, (full + lane.queue_packets // 2) % FLIGHTS]
    if lane.window_segments < FLIGHTS and lane.packets - lane.acknowledged >= lane.window_segments:
        at = max(at, acknowledged_ns(world, path, from_target, lane.acknowledged))
    return int(at)


@engine_function
def enter(world: World, path: int, from_target: int, at: int, by_link_ns: int) -> None:
    """A packet enters the queue, and leaves as the link has it where that is given, else by the rate."""
    index = 2 * path + from_target
    lane = world.lanes[index]
    link = world.links[direction_of(world, path, from_target)]
    per_ack = max(1, world.links[direction_of(world, path, FROM_TARGET - from_target)].packets_per_ack)
    while lane.acknowledged < lane.packets and lane.window_segments < FLIGHTS:
        back_ns = acknowledged_ns(world, path, from_target, lane.acknowledged)
        if back_ns > at:
            break
        grow(lane, back_ns - world.flights[index, ENTERED, lane.acknowledged % FLIGHTS], per_ack)
        lane.acknowledged += 1
    if lane.window_segments >= FLIGHTS:
        lane.acknowledged = lane.packets
    size = min(lane.written_bytes - lane.sent_bytes, link.segment_bytes)
    each_ns = packets_ns(link, size)
    behind_ns = last(world, index, LEFT) + each_ns
    if by_link_ns == NEVER:
        left = max(behind_ns, at if link.is_postpaid or link.credit_ns > 0 else at + each_ns)
        lane.is_late = 1
    else:
        left = max(by_link_ns, behind_ns) if lane.is_late else by_link_ns
        lane.is_late = left > by_link_ns
    place = lane.packets % FLIGHTS
    lane.packets += 1
    lane.sent_bytes += size
    lane.entered_ns = at
    world.flights[index, ENTERED, place] = at
    world.flights[index, LEFT, place] = left
    world.flights[index, END, place] = lane.sent_bytes
    if lane.packets - lane.acknowledged >= lane.window_segments:
        lane.used_up_until = lane.packets


@engine_function
def acknowledged_ns(world: World, path: int, from_target: int, packet: int) -> int:
    """When the acknowledgement of a packet is back: behind what had entered the queue of the other side."""
    other = 2 * path + (FROM_TARGET - from_target)
    at = world.flights[2 * path + from_target, LEFT, packet % FLIGHTS]
    at += world.links[direction_of(world, path, from_target)].delay_ns
    end = world.lanes[other].packets
    begin = max(0, end - FLIGHTS)
    ahead = first_beyond(world.flights[other, ENTERED], begin, end, at + 1)
    if ahead > begin:
        at = max(at, world.flights[other, LEFT, (ahead - 1) % FLIGHTS])
    return int(at + world.links[direction_of(world, path, FROM_TARGET - from_target)].delay_ns)


@engine_function
def earliest_ns(world: World, path: int, from_target: int, position: int) -> int:
    """When the bytes before ``position`` are there: certain where they are in the queue, else no later."""
    index = 2 * path + from_target
    lane = world.lanes[index]
    link = world.links[direction_of(world, path, from_target)]
    if position <= lane.sent_bytes:
        begin = max(0, lane.packets - FLIGHTS)
        packet = first_beyond(world.flights[index, END], begin, lane.packets, position)
        return int(world.flights[index, LEFT, packet % FLIGHTS] + link.delay_ns)
    ahead_ns = packets_ns(link, position - lane.sent_bytes)
    if link.is_postpaid or link.credit_ns > 0:
        ahead_ns = max(0, ahead_ns - packets_ns(link, link.segment_bytes))
    begun_ns = max(next_entry_ns(world, path, from_target), last(world, index, LEFT))
    return int(begun_ns + ahead_ns + link.delay_ns)


@engine_function
def packets_ns(link: Any, stream_bytes: int) -> int:
    """What the packets of so many bytes take on a link; nothing for none or less."""
    if stream_bytes <= 0:
        return 0
    packets = (stream_bytes + link.segment_bytes - 1) // link.segment_bytes
    return int(sending_ns(stream_bytes + packets * link.packet_overhead_bytes, link.rate_bps))


@engine_function
def first_beyond(values: Any, begin: int, end: int, least: int) -> int:
    """The first of packets ``begin`` to ``end``, whose values grow, with at least that one, or ``end``."""
    while begin < end:
        middle = (begin + end) // 2
        if values[middle % FLIGHTS] < least:
            begin = middle + 1
        else:
            end = middle
    return int(begin)


@engine_step
def last(world: World, index: int, what: int) -> int:
    """What is known of the latest packet of a direction; 0 where there was none."""
    packets = world.lanes[index].packets
    return int(world.flights[index, what, (packets - 1) % FLIGHTS]) if packets > 0 else 0


@engine_step
def direction_of(world: World, path: int, from_target: int) -> int:
    """The link direction that a direction of a path uses."""
    return int(world.paths[path].link_from if from_target else world.paths[path].link_to)


@engine_function
def grow(lane: Any, round_trip_ns: int, per_ack: int) -> None:
    """One packet more is acknowledged: open the window, where it is what limits (RFC 7661)."""
    lane.least_round_trip_ns = min(lane.least_round_trip_ns, round_trip_ns)
    is_used_up = lane.acknowledged < lane.used_up_until
    if not lane.is_past_slow_start:
        outstanding = lane.packets - lane.acknowledged
        if is_used_up or 2 * outstanding >= lane.window_segments:
            lane.window_segments += 1
        allowed_ns = min(HYSTART_MOST_NS, max(HYSTART_LEAST_NS, lane.least_round_trip_ns // 8))
        is_late = round_trip_ns >= lane.least_round_trip_ns + allowed_ns
        lane.counted = lane.counted + 1 if is_late and lane.window_segments >= HYSTART_LOW_WINDOW else 0
        if lane.counted >= HYSTART_SAMPLES * per_ack:
            lane.is_past_slow_start = 1
            lane.counted = 0
    elif is_used_up:
        lane.counted += 1
        if lane.counted >= ACKNOWLEDGED_PER_SEGMENT:
            lane.window_segments += 1
            lane.counted = 0

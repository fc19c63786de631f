"""What TCP lets out of a connection: a congestion window, and acknowledgements that wait behind data.

Hosts keep packets below TCP, in the queue of the interface; an acknowledgement lines up behind those of its
own connection. Where both directions are full it comes back late, and a sender whose window is used up
stops with bytes at hand. The window is that of Linux: ten segments at first (RFC 6928), doubled with each
round trip until round trips grow (HyStart, Ha and Rhee 2011), then as CUBIC without a known maximum. Losses
do not change it. Works packet by packet, so only where such a queue was seen or is given, or a window is to
begin anew behind an idle time (RFC 5681 section 4.1).
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function, engine_step
from analyzer.replay.state import ENTERED, FAR_NS, FLIGHTS, FROM_TARGET, LEFT, World
from analyzer.replay.wire import sending_ns

# RFC 6928: a connection begins, and restarts after an idle time, with ten segments.
INITIAL_WINDOW_SEGMENTS = 10
# tcp_cubic of Linux: HyStart looks at windows from 16 segments on, at eight round trips, and calls them late
# by an eighth of the shortest one, but by 4 ms at least and 16 at most.
HYSTART_LOW_WINDOW = 16
HYSTART_SAMPLES = 8
HYSTART_LEAST_NS, HYSTART_MOST_NS = 4_000_000, 16_000_000
# tcp_cubic of Linux: without a known maximum a segment more for 20 acknowledged.
ACKNOWLEDGED_PER_SEGMENT = 20


@engine_function
def let_out(
    world: World, path: int, from_target: int, now: int, at: int, packets: int, stream_bytes: int
) -> int:
    """When bytes that the link alone would deliver at ``at`` are there, their ``packets`` let out by TCP.

    Without packets they came in the one before. Each enters the queue below TCP when the window has room and
    the queue too. What enters late leaves as the rate allows; all else as the link has it.
    """
    index = 2 * path + from_target
    lane = world.lanes[index]
    link = world.links[world.paths[path].link_from if from_target else world.paths[path].link_to]
    entered, left = now, now * 0
    if lane.packets > 0:
        entered = max(now, world.flights[index, ENTERED, (lane.packets - 1) % FLIGHTS])
        left = world.flights[index, LEFT, (lane.packets - 1) % FLIGHTS]
    if packets == 0:
        return int(max(at, left + link.delay_ns))
    if 0 < lane.idle_restart_ns < now - left:
        begin_window(lane)
    each_ns = sending_ns(stream_bytes // packets + link.packet_overhead_bytes, link.rate_bps)
    least_ns = 0 if link.is_postpaid or link.credit_ns > 0 else each_ns
    for ahead in range(packets - 1, -1, -1):
        entered = wait_for_window(world, path, from_target, entered)
        if lane.packets >= lane.queue_packets:
            entered = max(entered, world.flights[index, LEFT, (lane.packets - lane.queue_packets) % FLIGHTS])
        by_link = max(now, at - link.delay_ns - ahead * each_ns)
        possible = entered + least_ns if entered > now else by_link
        if lane.is_late:
            possible = max(possible, left + each_ns)
        left = max(possible, by_link)
        lane.is_late = left > by_link
        world.flights[index, ENTERED, lane.packets % FLIGHTS] = entered
        world.flights[index, LEFT, lane.packets % FLIGHTS] = left
        lane.packets += 1
    return int(left + link.delay_ns)


@engine_function
def begin_window(lane: Any) -> None:
    """The window of a new connection, of which nothing is under way, or of one behind an idle time."""
    lane.acknowledged = lane.packets
    lane.window_segments = INITIAL_WINDOW_SEGMENTS
    lane.used_up_until = lane.counted = lane.is_past_slow_start = 0
    lane.least_round_trip_ns = FAR_NS


@engine_step
def wait_for_window(world: World, path: int, from_target: int, now: int) -> int:
    """Take the acknowledgements that are back by ``now``; give the time from which one packet more may go."""
    index = 2 * path + from_target
    lane = world.lanes[index]
    while lane.acknowledged < lane.packets and lane.window_segments < FLIGHTS:
        at = acknowledged_ns(world, path, from_target, lane.acknowledged)
        if at > now and lane.packets - lane.acknowledged < lane.window_segments:
            break
        now = max(now, at)
        grow(lane, at - world.flights[index, ENTERED, lane.acknowledged % FLIGHTS])
        lane.acknowledged += 1
    if lane.window_segments >= FLIGHTS:
        lane.acknowledged = lane.packets
    if lane.packets + 1 - lane.acknowledged >= lane.window_segments:
        lane.used_up_until = lane.packets + 1
    return int(now)


@engine_function
def acknowledged_ns(world: World, path: int, from_target: int, packet: int) -> int:
    """When the acknowledgement of a packet is back: behind what had entered the queue of the other side."""
    there = world.links[world.paths[path].link_from if from_target else world.paths[path].link_to]
    back = world.links[world.paths[path].link_to if from_target else world.paths[path].link_from]
    index = 2 * path + from_target
    other = 2 * path + (FROM_TARGET - from_target)
    at = world.flights[index, LEFT, packet % FLIGHTS] + there.delay_ns
    end = world.lanes[other].packets
    low, high = max(0, end - FLIGHTS), end
    first = low
    while low < high:
        middle = (low + high) // 2
        if world.flights[other, ENTERED, middle % FLIGHTS] <= at:
            low = middle + 1
        else:
            high = middle
    if low > first:
        at = max(at, world.flights[other, LEFT, (low - 1) % FLIGHTS])
    return int(at + back.delay_ns)


@engine_function
def grow(lane: Any, round_trip_ns: int) -> None:
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
        if lane.counted >= HYSTART_SAMPLES:
            lane.is_past_slow_start = 1
            lane.counted = 0
    elif is_used_up:
        lane.counted += 1
        if lane.counted >= ACKNOWLEDGED_PER_SEGMENT:
            lane.window_segments += 1
            lane.counted = 0

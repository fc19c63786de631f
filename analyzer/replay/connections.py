"""What TCP adds to a link for one direction of a connection: windows, jitter, loss.

Everything here can only make bytes later, and never lets them overtake bytes of the same direction. Chance
comes from the seed, the direction and a count alone, so it is the same in every run and process.
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function, engine_step
from analyzer.replay.congestion import write
from analyzer.replay.event_queue import EventQueue, mark, post
from analyzer.replay.state import FAR_NS, SEED, World
from analyzer.replay.wire import sending_ns, transmit

# RFC 5681 section 3.2: a loss with at least three segments behind it is repaired in one round trip.
DUPLICATES_NEEDED = 3
SMALLEST_TIMEOUT_NS = 200_000_000
CHANCES = 1 << 30
POSITIVE = (1 << 62) - 1


@engine_function
def send(world: World, path: int, from_target: int, now: int, stream_bytes: int, data_bytes: int) -> int:
    """Write bytes to one direction of a connection; gives when the last of them is read at the other end."""
    by = world.paths[path]
    direction = by.link_from if from_target else by.link_to
    packets = world.links[direction].packets
    at: int = transmit(world, 2 * path + from_target, direction, now, stream_bytes, data_bytes)
    lane = world.lanes[2 * path + from_target]
    if not lane.is_plain and at < FAR_NS:
        if lane.is_windowed:
            fits_in_last = world.links[direction].packets == packets
            at = write(world, path, from_target, now, at, stream_bytes, fits_in_last)
        at = slowed(world, lane, 2 * path + from_target, now, at, stream_bytes)
    return at


@engine_function
def deliver(
    world: World,
    queue: EventQueue,
    path: int,
    from_target: int,
    now: int,
    stream_bytes: int,
    data_bytes: int,
    kind: int,
    request: int,
    value: int,
    number: int,
) -> None:
    """Write bytes to one direction of a connection, and post what happens when the last of them is read."""
    at = send(world, path, from_target, now, stream_bytes, data_bytes)
    post(queue, at, kind, request, value, number)
    lane = world.lanes[2 * path + from_target]
    if lane.is_windowed and at < FAR_NS:
        mark(queue, lane.written_bytes)


@engine_step
def slowed(world: World, lane: Any, index: int, now: int, at: int, stream_bytes: int) -> int:
    """When bytes that the link would deliver at ``at`` are read, with all that TCP adds."""
    if lane.rate_bps > 0:
        lane.free_ns = max(now, lane.free_ns) + sending_ns(stream_bytes, lane.rate_bps)
        at = max(at, lane.free_ns - lane.credit_ns)
    if lane.jitter_ns > 0:
        at += drawn(world, lane, index) * lane.jitter_ns // CHANCES
    if lane.loss_per_billion > 0:
        packets = (stream_bytes + lane.segment_bytes - 1) // lane.segment_bytes
        at += repair_ns(world, lane, index, packets)
    lane.arrives_ns = max(at, lane.arrives_ns)
    return int(lane.arrives_ns)


@engine_step
def repair_ns(world: World, lane: Any, index: int, packets: int) -> int:
    """What the losses among ``packets`` cost: a round trip each time, or a timeout near the end."""
    cost = 0
    for packet in range(packets):
        if drawn(world, lane, index) * 1_000_000_000 < lane.loss_per_billion * CHANCES:
            lane.lost += 1
            if packets - packet > DUPLICATES_NEEDED:
                cost += lane.round_trip_ns
            else:
                cost += max(SMALLEST_TIMEOUT_NS, 2 * lane.round_trip_ns)
    return int(cost)


@engine_function
def drawn(world: World, lane: Any, index: int) -> int:
    """The next chance of a direction, evenly from 0 to below ``CHANCES``."""
    number = (int(lane.numbers_drawn) << 12) + int(index) + 1
    lane.numbers_drawn += 1
    mixed = (number * 0x1E3779B97F4A7C15 + int(world.counters[SEED]) * 0x2545F4914F6CDD1D) & POSITIVE
    mixed = ((mixed ^ (mixed >> 31)) * 0x3FB5D329728EA185) & POSITIVE
    mixed = ((mixed ^ (mixed >> 27)) * 0x01DADEF4BC2DD44D) & POSITIVE
    return int(mixed ^ (mixed >> 33)) & (CHANCES - 1)

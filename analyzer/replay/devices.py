"""The logical unit: which task may start when, in what order a device takes them, and how long it serves.

Task attributes follow SAM-5 (HEAD OF QUEUE starts at once, ORDERED when all older tasks have ended, SIMPLE
when no older ORDERED task is left). Knows no connection; what it is done with is answered elsewhere.
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function, engine_step, int64
from analyzer.replay.event_queue import EventQueue, post
from analyzer.replay.state import (
    HEAD_OF_QUEUE,
    NEVER,
    NONE,
    NOTHING,
    ORDERED,
    SERVICE_ENDS,
    STAGE_QUEUED,
    STAGE_REFUSED,
    STAGE_SENT,
    TASK_SET_TURN,
    World,
)


@engine_step
def task_set_of(world: World, request: int) -> int:
    """The task set of a request: of its logical unit, or of its logical unit and nexus."""
    place: int = int64(world.requests[request].device_index)
    devices = len(world.devices)
    if len(world.task_sets) > devices:
        place += int64(world.paths[world.progress[request].path].nexus) * devices
    return place


@engine_step
def has_room(world: World, request: int) -> bool:
    """Whether the logical unit takes one more command."""
    device = world.devices[world.requests[request].device_index]
    return bool(device.depth == 0 or device.present < device.depth)


@engine_step
def enter(world: World, request: int) -> None:
    """A command that passed the gate belongs to the logical unit from now on."""
    device = world.devices[world.requests[request].device_index]
    device.present += 1
    if not device.is_ordering:
        return
    tasks = world.task_sets[task_set_of(world, request)]
    done = world.progress[request]
    done.next_in_set = NONE
    done.previous_in_set = tasks.last
    if tasks.last == NONE:
        tasks.first = request
    else:
        world.progress[tasks.last].next_in_set = request
    tasks.last = request
    if world.requests[request].attribute == ORDERED:
        tasks.ordered += 1


@engine_step
def leave(world: World, queue: EventQueue, now: int, request: int) -> None:
    """A task has ended; others may start for that."""
    device = world.devices[world.requests[request].device_index]
    device.present -= 1
    if not device.is_ordering:
        return
    index = task_set_of(world, request)
    tasks = world.task_sets[index]
    done = world.progress[request]
    if done.previous_in_set == NONE:
        tasks.first = done.next_in_set
    else:
        world.progress[done.previous_in_set].next_in_set = done.next_in_set
    if done.next_in_set == NONE:
        tasks.last = done.previous_in_set
    else:
        world.progress[done.next_in_set].previous_in_set = done.previous_in_set
    if world.requests[request].attribute == ORDERED:
        tasks.ordered -= 1
    look_for_next(world, queue, now, index)


@engine_step
def look_for_next(world: World, queue: EventQueue, now: int, index: int) -> None:
    """Let a task set find the next task that may start, unless it is about to."""
    tasks = world.task_sets[index]
    if not tasks.is_turning and tasks.first != NONE:
        tasks.is_turning = 1
        post(queue, now, TASK_SET_TURN, index, NOTHING, NOTHING)


@engine_step
def serve_if_whole(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Hand a request to its device once it passed the gate, all its data is in, and its turn has come."""
    asked, done = world.requests[request], world.progress[request]
    if done.stage == STAGE_SENT or done.stage == STAGE_REFUSED or done.received_bytes < asked.write_bytes:
        return
    device = world.devices[asked.device_index]
    if not device.is_ordering or asked.attribute == HEAD_OF_QUEUE:
        to_device(world, queue, now, request)
    else:
        look_for_next(world, queue, now, task_set_of(world, request))


@engine_step
def task_set_turn(world: World, queue: EventQueue, now: int, index: int) -> None:
    """Start the first task that may, and look again; stop where none may."""
    tasks = world.task_sets[index]
    tasks.is_turning = 0
    request = tasks.first
    while request != NONE:
        asked, done = world.requests[request], world.progress[request]
        has_begun = done.started_ns != NEVER or done.stage == STAGE_QUEUED
        is_whole = done.received_bytes >= asked.write_bytes
        if asked.attribute == ORDERED and (has_begun or done.previous_in_set != NONE or not is_whole):
            # The first of all may start; what comes behind an ORDERED task waits for its end.
            return
        if not has_begun and asked.attribute != HEAD_OF_QUEUE:
            if is_whole:
                to_device(world, queue, now, request)
                look_for_next(world, queue, now, index)
                return
            if tasks.is_restricted:
                return
        request = int64(done.next_in_set)


@engine_function
def to_device(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The device begins with the request, or puts it into its queue."""
    device = world.devices[world.requests[request].device_index]
    done = world.progress[request]
    if device.servers == 0 or device.busy < device.servers:
        begin_service(world, queue, now, request)
        return
    done.stage = STAGE_QUEUED
    if device.queue_first == NONE:
        device.queue_first = request
        device.queue_last = request
    elif world.requests[request].attribute == HEAD_OF_QUEUE:
        done.next_in_queue = device.queue_first
        device.queue_first = request
    else:
        world.progress[device.queue_last].next_in_queue = request
        device.queue_last = request


@engine_step
def begin_service(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The device takes a request."""
    asked = world.requests[request]
    device = world.devices[asked.device_index]
    device.busy += 1
    done = world.progress[request]
    done.started_ns = now
    done.served_ns = serving_ns(device, asked, now)
    post(queue, now + done.served_ns, SERVICE_ENDS, request, NOTHING, NOTHING)


@engine_step
def serving_ns(device: Any, asked: Any, now: int) -> int:
    """How long the device takes: its own time, the medium, and a seek where the sequence is broken.

    Reads of what was read ahead, and writes for which the cache has room, take only the time of the
    cache. Reading ahead itself costs nothing here; the cache is emptied at the rate of the medium, at
    once where that is 0 (no limit).
    """
    moved = asked.read_bytes + asked.write_bytes
    taken: int = asked.service_ns
    if device.bytes_per_s > 0:
        taken += moved * 1_000_000_000 // device.bytes_per_s
    if asked.blocks <= 0:
        return taken
    first, end = asked.lba, asked.lba + asked.blocks
    if asked.read_bytes > 0 and device.ahead_first_lba <= first and end <= device.ahead_end_lba:
        device.cache_hits += 1
        device.ahead_end_lba = max(device.ahead_end_lba, end + device.read_ahead_blocks)
        device.next_lba = max(device.next_lba, end)
        return int(device.cached_ns)
    is_broken = first != device.next_lba and device.next_lba >= 0
    if asked.write_bytes > 0 and device.write_cache_bytes > 0:
        emptied = (now - device.dirty_at_ns) * device.bytes_per_s // 1_000_000_000
        dirty = max(0, device.dirty_bytes - emptied) + moved
        device.dirty_bytes = dirty
        device.dirty_at_ns = now
        if dirty <= device.write_cache_bytes or device.bytes_per_s == 0:
            device.cache_hits += 1
            return int(device.cached_ns)
        excess = dirty - device.write_cache_bytes
        return int(device.cached_ns + excess * 1_000_000_000 // device.bytes_per_s)
    if is_broken:
        device.broken_sequences += 1
        taken += device.seek_ns
    elif asked.read_bytes > 0 and device.read_ahead_blocks > 0:
        device.ahead_first_lba = first
        device.ahead_end_lba = end + device.read_ahead_blocks
    device.next_lba = end
    return int(taken)


@engine_step
def next_of_device(world: World, queue: EventQueue, now: int, index: int) -> None:
    """A server is free: take the next request, in order of arrival, or the nearest one ahead."""
    device = world.devices[index]
    if device.queue_first == NONE:
        return
    before = NONE
    if device.is_sorting:
        before = nearest_ahead(world, device)
    request = device.queue_first if before == NONE else int64(world.progress[before].next_in_queue)
    taken = world.progress[request]
    if before == NONE:
        device.queue_first = taken.next_in_queue
    else:
        world.progress[before].next_in_queue = taken.next_in_queue
    if device.queue_last == request:
        device.queue_last = before
    taken.next_in_queue = NONE
    begin_service(world, queue, now, request)


@engine_step
def nearest_ahead(world: World, device: Any) -> int:
    """The one before the request with the lowest address from where the device is, else the lowest of all.

    NONE where that is the first of the queue. A HEAD OF QUEUE task at the front goes first.
    """
    if world.requests[device.queue_first].attribute == HEAD_OF_QUEUE:
        return NONE
    best_before = NONE
    best_lba = world.requests[device.queue_first].lba
    is_best_ahead = best_lba >= device.next_lba
    before = int64(device.queue_first)
    request = int64(world.progress[before].next_in_queue)
    while request != NONE:
        lba = world.requests[request].lba
        is_ahead = lba >= device.next_lba
        is_better = lba < best_lba if is_ahead == is_best_ahead else is_ahead
        if is_better:
            best_before, is_best_ahead, best_lba = before, is_ahead, lba
        before = request
        request = int64(world.progress[request].next_in_queue)
    return best_before

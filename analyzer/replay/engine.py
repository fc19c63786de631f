"""The event loop: takes the first event, lets the initiator or the target act on it, until nothing is left.

One event has one handler; what follows from it is posted as further events. The loop decides
nothing of its own and can be left and entered again, for progress to be shown and for the queue to
grow. It runs compiled, or as plain Python with NUMBA_DISABLE_JIT=1 to the same result, event by
event.
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, int64
from analyzer.replay.event_queue import FREE, SIZE, EventQueue, take
from analyzer.replay.initiator import answer_r2t, complete, learn_window, make_ready, send_solicited
from analyzer.replay.policies.interface import Choose
from analyzer.replay.state import (
    COMMAND_ARRIVES,
    DATA_ARRIVES,
    DATA_DUE,
    DIGEST,
    ENDED,
    EVENTS,
    GRANT,
    LOG_EVENTS,
    NOW_NS,
    PAUSED,
    QUEUE_FULL,
    R2T_ARRIVES,
    READY,
    SERVICE_ENDS,
    STATUS_ARRIVES,
    WRONG_PATH,
    World,
)
from analyzer.replay.target import command_arrives, data_arrives, grant, service_ends

DIGEST_MASK = (1 << 62) - 1
DIGEST_FACTOR = 1_000_003


@engine_function
def run_events(choose: Choose, world: World, queue: EventQueue, reserve: int, budget: int) -> int:
    """Work off events until none is left (ENDED) or ``budget`` of them are done (PAUSED).

    QUEUE_FULL where fewer than ``reserve`` slots are free, which is the most that one event may post;
    WRONG_PATH where the policy named no usable path for the request of the last event.
    """
    remaining = budget
    while queue.counters[SIZE] > 0:
        if queue.counters[FREE] < reserve:
            return QUEUE_FULL
        if remaining == 0:
            return PAUSED
        remaining -= 1
        now, kind, slot = take(queue)
        request = queue.subject[slot]
        value = queue.value[slot]
        number = queue.number[slot]
        note_event(world, now, kind, request)
        if kind == STATUS_ARRIVES:
            complete(world, queue, now, request)
            learn_window(world, queue, now, int64(world.progress[request].path), number)
        elif kind == READY:
            if not make_ready(choose, world, queue, now, request):
                return WRONG_PATH
        elif kind == COMMAND_ARRIVES:
            command_arrives(world, queue, now, request)
        elif kind == SERVICE_ENDS:
            service_ends(world, queue, now, request)
        elif kind == DATA_ARRIVES:
            data_arrives(world, queue, now, request, value)
        elif kind == R2T_ARRIVES:
            answer_r2t(world, queue, now, request, value)
            learn_window(world, queue, now, int64(world.progress[request].path), number)
        elif kind == DATA_DUE:
            send_solicited(world, queue, now, request, value)
        elif kind == GRANT:
            grant(world, queue, now, request)
    return ENDED


@engine_function
def note_event(world: World, now: int, kind: int, request: int) -> None:
    """Count the event, take it into the digest, and write it down where there is room."""
    counters = world.counters
    mixed = (int(counters[DIGEST]) * DIGEST_FACTOR) & DIGEST_MASK
    mixed ^= int(now)
    mixed = (mixed * DIGEST_FACTOR) & DIGEST_MASK
    counters[DIGEST] = mixed ^ (int(request) << 3) ^ int(kind)
    counters[NOW_NS] = now
    counters[EVENTS] += 1
    row = world.log.used[LOG_EVENTS]
    world.log.used[LOG_EVENTS] += 1
    if row < len(world.log.events):
        world.log.events[row, 0] = now
        world.log.events[row, 1] = kind
        world.log.events[row, 2] = request

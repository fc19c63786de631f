"""The event loop: takes the first event, lets the initiator or the target act on it, until nothing is left.

One event has one handler; what follows from it is posted as further events. The loop decides
nothing of its own and can be left and entered again, for progress to be shown and for the queue to
grow. It runs compiled, or as plain Python with NUMBA_DISABLE_JIT=1 to the same result, event by
event.
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, engine_step, int64
from analyzer.replay.congestion import held_until_ns
from analyzer.replay.devices import task_set_turn
from analyzer.replay.event_queue import FREE, SIZE, EventQueue, mark, post, take
from analyzer.replay.initiator import (
    answer_r2t,
    ask_next,
    learn_window,
    make_ready,
    send_command,
    send_solicited,
    take_status,
)
from analyzer.replay.policies.interface import Rules
from analyzer.replay.state import (
    ANSWER_DUE,
    CALL,
    CALLED,
    COMMAND_ARRIVES,
    CONNECTION_READS,
    DATA_ARRIVES,
    DATA_DUE,
    DIGEST,
    ENDED,
    EVENTS,
    GATE_TIMEOUT,
    GRANT,
    LOG_EVENTS,
    NEXT_DUE,
    NONE,
    NOW_NS,
    PAUSED,
    QUEUE_FULL,
    R2T_ARRIVES,
    REACHED,
    READY,
    SEND_DUE,
    SERVICE_ENDS,
    STATUS_ARRIVES,
    TASK_SET_TURN,
    WRONG_PATH,
    World,
)
from analyzer.replay.target import (
    answer,
    gate_timeout,
    grant,
    reaches_target,
    service_ends,
)

DIGEST_MASK = (1 << 62) - 1
DIGEST_FACTOR = 1_000_003


@engine_function
def run_events(
    rules: Rules, world: World, queue: EventQueue, reserve: int, budget: int, until_ns: int
) -> int:
    """Work off events until none is left (ENDED), ``budget`` are done (PAUSED) or ``until_ns`` is REACHED.

    QUEUE_FULL where fewer than ``reserve`` slots are free, which is the most that one event may post;
    WRONG_PATH where the policy named no usable path for the request of the last event; CALLED behind an
    event that recovery has to know of.
    """
    remaining = budget
    while queue.counters[SIZE] > 0:
        if queue.counters[FREE] < reserve:
            return QUEUE_FULL
        if queue.at_ns[0] >= until_ns:
            return REACHED
        if remaining == 0:
            return PAUSED
        remaining -= 1
        now, kind, slot = take(queue)
        request = queue.subject[slot]
        value = queue.value[slot]
        number = queue.number[slot]
        if queue.position[slot] > 0 and is_held(world, queue, now, kind, request, slot):
            continue
        note_event(world, now, kind, request)
        if kind == STATUS_ARRIVES:
            take_status(rules, world, queue, now, request, value)
            learn_window(world, queue, now, int64(world.progress[request].path), number)
        elif kind == READY:
            if not make_ready(rules, world, queue, now, request):
                return WRONG_PATH
        elif kind == NEXT_DUE:
            if not ask_next(rules, world, queue, now, request):
                return WRONG_PATH
        elif kind in (COMMAND_ARRIVES, DATA_ARRIVES, CONNECTION_READS):
            reaches_target(world, queue, now, kind, request, value)
        elif kind == SERVICE_ENDS:
            service_ends(world, queue, now, request)
        elif kind == R2T_ARRIVES:
            answer_r2t(world, queue, now, request, value)
            learn_window(world, queue, now, int64(world.progress[request].path), number)
        elif kind == DATA_DUE:
            send_solicited(world, queue, now, request, value)
        elif kind == GRANT:
            grant(world, queue, now, request)
        elif kind == ANSWER_DUE:
            answer(world, queue, now, request)
        elif kind == SEND_DUE:
            send_command(world, queue, now, request)
        elif kind == TASK_SET_TURN:
            task_set_turn(world, queue, now, request)
        elif kind == GATE_TIMEOUT:
            gate_timeout(world, queue, now, request, value)
        if world.counters[CALL] != NONE:
            return CALLED
    return ENDED


@engine_step
def is_held(world: World, queue: EventQueue, now: int, kind: int, request: int, slot: int) -> bool:
    """Whether TCP has not let out yet what an event waits for; it then is due later."""
    from_target = int64(kind in (STATUS_ARRIVES, R2T_ARRIVES))
    position = queue.position[slot]
    at = held_until_ns(world, int64(world.progress[request].path), from_target, position, now)
    if at > now:
        post(queue, at, kind, request, queue.value[slot], queue.number[slot])
        mark(queue, position)
    return bool(at > now)


@engine_step
def note_event(world: World, now: int, kind: int, request: int) -> None:
    """Count the event, take it into the digest, and write it down where there is room."""
    counters = world.counters
    mixed = (int(counters[DIGEST]) * DIGEST_FACTOR) & DIGEST_MASK
    mixed ^= int(now)
    mixed = (mixed * DIGEST_FACTOR) & DIGEST_MASK
    counters[DIGEST] = mixed ^ (int(request) << 3) ^ int(kind)
    counters[NOW_NS] = now
    counters[EVENTS] += 1
    log = world.log
    row = log[0, LOG_EVENTS]
    log[0, LOG_EVENTS] += 1
    if row < log[0, 3 + LOG_EVENTS]:
        log[1 + row, 0] = now
        log[1 + row, 1] = kind
        log[1 + row, 2] = request

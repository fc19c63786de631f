"""The queue of coming events: a binary heap with one written order, and nothing about what events mean.

Events are ordered by ``(at_ns, kind, sequence)``: at one time the kind decides (its number is its
priority), then the order in which they were posted. The heap holds the time and one packed key;
what an event carries lies still in slots, so that a sift moves two numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.replay.compiled import engine_function, engine_step

Int64s = npt.NDArray[np.int64]

SLOT_BITS = 22
SEQUENCE_BITS = 37
SLOT_MASK = (1 << SLOT_BITS) - 1
KIND_SHIFT = SLOT_BITS + SEQUENCE_BITS
MAX_SLOTS = 1 << SLOT_BITS

SIZE, SEQUENCE, FREE = 0, 1, 2


class EventQueue(NamedTuple):
    """Arrays of shape (capacity,) but for ``counters`` (3,): events held, events ever posted, free slots.

    ``at_ns`` and ``key`` are the heap; a key packs kind, sequence and slot. ``free`` is a stack of free
    slots; ``subject``, ``value`` and ``number`` are what the event in a slot carries, ``position`` the bytes
    of a connection that it waits for, 0 for none. A slot may be kept out of the heap for later;
    ``next_kept`` chains such slots.
    """

    at_ns: Int64s
    key: Int64s
    free: Int64s
    subject: Int64s
    value: Int64s
    number: Int64s
    position: Int64s
    next_kept: Int64s
    counters: Int64s


def empty_queue(capacity: int) -> EventQueue:
    """A queue for at most ``capacity`` events. Raises ValueError beyond ``MAX_SLOTS``."""
    if not 0 < capacity <= MAX_SLOTS:
        raise ValueError(f"a queue of {capacity} events; at most {MAX_SLOTS}")
    free = np.arange(capacity - 1, -1, -1, dtype=np.int64)
    at_ns, key, subject, value, number, position, next_kept = (np.zeros(capacity, np.int64) for _ in range(7))
    counters = np.array([0, 0, capacity], np.int64)
    return EventQueue(at_ns, key, free, subject, value, number, position, next_kept, counters)


def grown(queue: EventQueue, capacity: int) -> EventQueue:
    """The same events in a larger queue."""
    larger = empty_queue(capacity)
    held = len(queue.at_ns)
    for name in ("at_ns", "key", "subject", "value", "number", "position", "next_kept"):
        getattr(larger, name)[:held] = getattr(queue, name)
    free = int(queue.counters[FREE])
    added = capacity - held
    larger.free[:added] = np.arange(capacity - 1, held - 1, -1)
    larger.free[added : added + free] = queue.free[:free]
    larger.counters[:] = (queue.counters[SIZE], queue.counters[SEQUENCE], free + added)
    return larger


@engine_function
def post(queue: EventQueue, at_ns: int, kind: int, subject: int, value: int, number: int) -> None:
    """Put an event into the queue; the caller has made sure that a slot is free."""
    counters = queue.counters
    counters[FREE] -= 1
    slot = queue.free[counters[FREE]]
    queue.subject[slot] = subject
    queue.value[slot] = value
    queue.number[slot] = number
    queue.position[slot] = 0
    key = (kind << KIND_SHIFT) | (counters[SEQUENCE] << SLOT_BITS) | slot
    counters[SEQUENCE] += 1
    place = counters[SIZE]
    counters[SIZE] += 1
    while place > 0:
        above = (place - 1) >> 1
        above_ns = queue.at_ns[above]
        if above_ns < at_ns or (above_ns == at_ns and queue.key[above] < key):
            break
        queue.at_ns[place] = above_ns
        queue.key[place] = queue.key[above]
        place = above
    queue.at_ns[place] = at_ns
    queue.key[place] = key


@engine_step
def mark(queue: EventQueue, position: int) -> None:
    """The event that was posted last waits for the bytes before ``position`` of its connection."""
    queue.position[queue.free[queue.counters[FREE]]] = position


@engine_function
def take(queue: EventQueue) -> tuple[int, int, int]:
    """Remove the first event: its time, kind and slot. The slot stays readable until the next ``post``."""
    counters = queue.counters
    first_ns = queue.at_ns[0]
    first_key = queue.key[0]
    counters[SIZE] -= 1
    size = counters[SIZE]
    last_ns = queue.at_ns[size]
    last_key = queue.key[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        other = below + 1
        if other < size and (
            queue.at_ns[other] < queue.at_ns[below]
            or (queue.at_ns[other] == queue.at_ns[below] and queue.key[other] < queue.key[below])
        ):
            below = other
        below_ns = queue.at_ns[below]
        if last_ns < below_ns or (last_ns == below_ns and last_key < queue.key[below]):
            break
        queue.at_ns[place] = below_ns
        queue.key[place] = queue.key[below]
        place = below
    if size > 0:
        queue.at_ns[place] = last_ns
        queue.key[place] = last_key
    slot = first_key & SLOT_MASK
    queue.free[counters[FREE]] = slot
    counters[FREE] += 1
    return first_ns, first_key >> KIND_SHIFT, slot


@engine_function
def keep(queue: EventQueue, kind: int, subject: int, value: int) -> int:
    """Keep an event out of the heap; gives its slot. The caller has made sure that one is free."""
    counters = queue.counters
    counters[FREE] -= 1
    slot: int = queue.free[counters[FREE]]
    queue.subject[slot] = subject
    queue.value[slot] = value
    queue.number[slot] = kind
    queue.next_kept[slot] = -1
    return slot


@engine_function
def let_go(queue: EventQueue, slot: int) -> None:
    """Free a slot that was kept."""
    queue.free[queue.counters[FREE]] = slot
    queue.counters[FREE] += 1

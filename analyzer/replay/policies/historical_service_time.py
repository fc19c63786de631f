"""The path whose past service times promise the earliest end: dm-multipath's historical-service-time.

Each path keeps an average service time in fixed point (10 fractional bits of a nanosecond). How much
a sample weighs depends on the measured time itself, by a table of 64 buckets of 2^24 ns. Memory: the
list of paths, the table, then average, latest end and time of staleness of each path.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.policies.interface import (
    Completion,
    Int64s,
    Option,
    PathRequest,
    PathStates,
    Policy,
    is_longer_unused,
    mark_used,
)

FRACTION_BITS = 10
ONE = 1 << FRACTION_BITS
HALF = ONE >> 1
BUCKETS = 64
BUCKET_SHIFT = 24
# Largest average: its products with a weight or with 1024 commands stay below 63 bits.
LARGEST = 1 << 52
MANY_COMMANDS = 1024
BASE_WEIGHT, THRESHOLD, CLOCK_NS = 0, 1, 2


@njit(cache=True, nogil=True)
def fixed_power(base: int, exponent: int) -> int:
    """``base ** exponent`` in 10-bit fixed point, rounded after each squaring and each product."""
    result = ONE
    while exponent > 0:
        if exponent & 1:
            result = (result * base + HALF) >> FRACTION_BITS
        base = (base * base + HALF) >> FRACTION_BITS
        exponent >>= 1
    return result


@njit(cache=True, nogil=True)
def begin(paths: int, memory: Int64s, base_weight: int) -> None:
    """Fill the table of weights and the averages, which begin at one nanosecond."""
    table = 1 + paths
    for bucket in range(BUCKETS - 1):
        memory[table + bucket] = fixed_power(base_weight, bucket + 1)
    memory[table + BUCKETS - 1] = 0
    for path in range(paths):
        memory[table + BUCKETS + path] = ONE


@njit(cache=True, nogil=True)
def compared(path: int, other: int, paths: PathStates, memory: Int64s, now: int, threshold: int) -> int:
    """Negative where ``path`` is better, positive where ``other`` is, 0 for a tie."""
    count = len(paths.is_usable)
    averages = 1 + count + BUCKETS
    mean_1, mean_2 = memory[averages + path], memory[averages + other]
    stale_1 = memory[averages + 2 * count + path]
    stale_2 = memory[averages + 2 * count + other]
    commands_1, commands_2 = paths.outstanding[path], paths.outstanding[other]
    if max(mean_1, mean_2) <= threshold * min(mean_1, mean_2):
        return int(commands_1 - commands_2)
    is_idle_1, is_idle_2 = commands_1 == 0, commands_2 == 0
    if (is_idle_1 and is_idle_2) or (is_idle_1 and stale_1 < now) or (is_idle_2 and stale_2 < now):
        return int(int(is_idle_2) * stale_1 - int(is_idle_1) * stale_2)
    if commands_1 == commands_2:
        is_second_better = mean_1 > mean_2
    else:
        if commands_1 >= MANY_COMMANDS or commands_2 >= MANY_COMMANDS:
            mean_1 >>= FRACTION_BITS
            mean_2 >>= FRACTION_BITS
        is_second_better = (1 + commands_1) * mean_1 > (1 + commands_2) * mean_2
    if (stale_2 if is_second_better else stale_1) < now:
        return int(commands_1 - commands_2)
    return 1 if is_second_better else -1


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path that compares best, the head of the list among equals."""
    count = len(paths.is_usable)
    if memory[1 + count] == 0 and memory[1 + count + BUCKETS] == 0:
        begin(count, memory, int(options[BASE_WEIGHT]))
    best = -1
    # The order of the scan matters, since the comparison is not transitive: from the head of the list.
    position = np.int64(-1)
    for _ in range(count):
        path = -1
        for candidate in range(count):
            place = memory[1 + candidate] * count + candidate
            is_next = place > position
            if is_next and (path < 0 or is_longer_unused(memory, candidate, path)):
                path = candidate
        if path < 0:
            break
        position = memory[1 + path] * count + path
        if paths.is_usable[path] and (
            best < 0 or compared(path, best, paths, memory, request.now_ns, int(options[THRESHOLD])) < 0
        ):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


def finish(
    completion: Completion, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]
) -> int:
    """Take the time since the latest of submission and previous end into the average of the path.

    ``clock_ns`` cuts submission times to whole ticks, as bio-based maps did before kernel 5.18.
    """
    count = len(paths.is_usable)
    table = 1 + count
    average = table + BUCKETS + completion.path
    begun = completion.dispatched_ns
    clock_ns = int(options[CLOCK_NS])
    if clock_ns > 0:
        begun -= begun % clock_ns
    service = max(0, completion.now_ns - max(begun, memory[average + count]))
    weight = memory[table + min(service >> BUCKET_SHIFT, BUCKETS - 1)]
    sample = min(service, LARGEST >> FRACTION_BITS) << FRACTION_BITS
    memory[average] = (memory[average] * weight + sample * (ONE - weight) + HALF) >> FRACTION_BITS
    memory[average + count] = completion.now_ns
    valid = 0
    for path in range(count):
        valid += int(paths.is_usable[path] != 0)
    memory[average + 2 * count] = completion.now_ns + valid * (memory[average] >> FRACTION_BITS)
    return 0


def memory_words(paths: int) -> int:
    """The list of paths, the table of weights, and three words for each path."""
    return 1 + paths + BUCKETS + 3 * paths


POLICY = Policy(
    name="historical-service-time",
    sentence="The path whose average of past service times promises the earliest end.",
    source="Linux drivers/md/dm-ps-historical-service-time.c 0.1.1",
    choose=choose,
    finish=finish,
    aliases=("hst",),
    options=(
        Option("base_weight", 972.0, "Weight of the past in 1/1024; 972 is about 0.95.", maximum=1023),
        Option(
            "threshold",
            0.0,
            "Averages nearer to each other than by this factor are left out: commands decide.",
            maximum=1000,
        ),
        Option(
            "clock_ns",
            0.0,
            "Ticks in which submission times are counted; bio maps before kernel 5.18: a jiffy, 1 to 10 ms.",
        ),
    ),
    memory_words=memory_words,
)

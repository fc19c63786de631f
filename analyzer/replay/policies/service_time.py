"""The path that would be done with the request first, by its bytes in flight and its relative throughput."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.policies.interface import (
    TIES,
    TIES_BY_USE,
    Int64s,
    Option,
    PathRequest,
    PathStates,
    Policy,
    is_longer_unused,
    mark_used,
)

# The kernel halves sizes seven times before they could overflow when multiplied by a throughput of 100.
SHIFT = 7
LARGE_BYTES = 0xFFFF_FFFF_FFFF_FFFF >> SHIFT


@njit(cache=True, nogil=True)
def compared(bytes_1: int, throughput_1: int, bytes_2: int, throughput_2: int, incoming: int) -> int:
    """Negative where the first path is better, positive where the second is, 0 for a tie.

    (bytes in flight + incoming) / throughput decides, without dividing; throughput 0 is used only
    when nothing else is usable.
    """
    if throughput_1 == throughput_2:
        return int(bytes_1 > bytes_2) - int(bytes_1 < bytes_2)
    by_throughput = int(throughput_2 > throughput_1) - int(throughput_2 < throughput_1)
    if bytes_1 == bytes_2 or throughput_1 == 0 or throughput_2 == 0:
        return by_throughput
    full_1, full_2 = bytes_1 + incoming, bytes_2 + incoming
    if full_1 >= LARGE_BYTES or full_2 >= LARGE_BYTES:
        full_1 >>= SHIFT
        full_2 >>= SHIFT
    time_1 = np.uint64(full_1) * np.uint64(throughput_2)
    time_2 = np.uint64(full_2) * np.uint64(throughput_1)
    if time_1 == time_2:
        return by_throughput
    return int(time_1 > time_2) - int(time_1 < time_2)


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path that is better than all others; the head of the list among equals.

    multipathd gives every path the same throughput; then the incoming size cancels and the bytes
    in flight decide.
    """
    best = -1
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        if best < 0:
            best = path
            continue
        order = compared(
            paths.outstanding_bytes[path],
            paths.value[path],
            paths.outstanding_bytes[best],
            paths.value[best],
            request.data_bytes,
        )
        is_tie = order == 0 and options[0] == TIES_BY_USE
        if order < 0 or (is_tie and is_longer_unused(memory, path, best)):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="service-time",
    sentence="The path with the fewest outstanding bytes for its relative throughput.",
    source="Linux drivers/md/dm-ps-service-time.c 0.3.0",
    choose=choose,
    aliases=("st",),
    options=(
        TIES,
        Option(
            "throughput",
            1.0,
            "Relative throughput of each path, 0 for last resort; multipathd gives none.",
            maximum=100,
            is_per_path=True,
        ),
    ),
)

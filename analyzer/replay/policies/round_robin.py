"""The paths in turn, one request each, or several as old kernels did."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import (
    Int64s,
    Option,
    PathRequest,
    PathStates,
    Policy,
    is_longer_unused,
    mark_used,
)

LEGACY_REPEAT_COUNT = 1


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path at the head of the list, which then moves to the tail.

    Up to kernel 4.5 dm-multipath stayed on a path for its repeat count; later kernels take every
    repeat count as 1. The last two words of the memory are the path stayed on and the requests left.
    """
    count = len(paths.is_usable)
    stays = memory[count + 1]
    if memory[count + 2] > 0 and paths.is_usable[stays]:
        memory[count + 2] -= 1
        return int(stays)
    best = -1
    for path in range(count):
        if paths.is_usable[path] and (best < 0 or is_longer_unused(memory, path, best)):
            best = path
    if best < 0:
        return -1
    memory[count + 1] = best
    memory[count + 2] = int(options[LEGACY_REPEAT_COUNT]) - 1
    return mark_used(memory, best)


def memory_words(paths: int) -> int:
    """The list of paths, the path stayed on, and how often yet."""
    return paths + 3


POLICY = Policy(
    name="round-robin",
    sentence="The paths in turn, one request each.",
    source="Linux drivers/md/dm-ps-round-robin.c 1.2.0: the head of the list moves to its tail",
    choose=choose,
    aliases=("rr",),
    options=(
        Option(
            "repeat_count",
            1.0,
            "rr_min_io_rq of multipath.conf; kernels since 4.6 read any value as 1, so it changes nothing.",
            minimum=1,
        ),
        Option(
            "legacy_repeat_count",
            1.0,
            "Requests in a row on one path, as kernels before 4.6 had it (rr_min_io, then 1000 by default).",
            minimum=1,
        ),
    ),
    memory_words=memory_words,
)

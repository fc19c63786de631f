"""The paths in turn, one request each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, PathRequest, PathStates, Policy, mark_used


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path at the head of the list, which then moves to the tail."""
    best = -1
    for path in range(len(paths.is_usable)):
        if paths.is_usable[path] and (best < 0 or memory[1 + path] < memory[1 + best]):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="round-robin",
    sentence="The paths in turn, one request each.",
    source="Linux drivers/md/dm-ps-round-robin.c 1.2.0: the head of the list moves to its tail",
    choose=choose,
    aliases=("rr",),
)

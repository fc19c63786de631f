"""The path with the fewest outstanding bytes, as dm-multipath does without path weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import (
    TIES,
    TIES_BY_USE,
    Int64s,
    PathRequest,
    PathStates,
    Policy,
    mark_used,
)


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path with the fewest bytes in flight.

    The kernel compares (bytes in flight + incoming) / relative throughput. multipathd gives all
    paths the same throughput, so the incoming size cancels and the bytes in flight decide.
    """
    best = -1
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        if (
            best < 0
            or paths.outstanding_bytes[path] < paths.outstanding_bytes[best]
            or (
                paths.outstanding_bytes[path] == paths.outstanding_bytes[best]
                and options[0] == TIES_BY_USE
                and memory[1 + path] < memory[1 + best]
            )
        ):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="service-time",
    sentence="The path with the fewest outstanding bytes.",
    source="Linux drivers/md/dm-ps-service-time.c 0.3.0 with equal relative throughput",
    choose=choose,
    aliases=("st",),
    options=(TIES,),
)

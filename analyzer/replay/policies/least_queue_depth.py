"""The path with the fewest outstanding commands."""

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
    """The usable path with the fewest commands that were given to it and have not completed.

    A command counts from the choice to its status, also while it waits for data or for lower CmdSNs.
    """
    best = -1
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        if (
            best < 0
            or paths.outstanding[path] < paths.outstanding[best]
            or (
                paths.outstanding[path] == paths.outstanding[best]
                and options[0] == TIES_BY_USE
                and memory[1 + path] < memory[1 + best]
            )
        ):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="least-queue-depth",
    sentence="The path with the fewest outstanding commands.",
    source="Linux drivers/md/dm-ps-queue-length.c 0.2.0; Microsoft Least Queue Depth (ties unsaid)",
    choose=choose,
    aliases=("queue-length", "lqd"),
    options=(TIES,),
)

"""The path with the fewest outstanding blocks."""

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
    is_longer_unused,
    mark_used,
)

BLOCK_BYTES = 512


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path with the fewest blocks of 512 bytes in flight."""
    best = -1
    fewest = 0
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        blocks = (paths.outstanding_bytes[path] + BLOCK_BYTES - 1) // BLOCK_BYTES
        is_tie = best >= 0 and blocks == fewest and options[0] == TIES_BY_USE
        if best < 0 or blocks < fewest or (is_tie and is_longer_unused(memory, path, best)):
            best = path
            fewest = blocks
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="least-blocks",
    sentence="The path with the fewest outstanding blocks.",
    source="Microsoft VDS_LBP_LEAST_BLOCKS (ties unsaid)",
    choose=choose,
    options=(TIES,),
)

"""The path of least weight."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import (
    Int64s,
    Option,
    PathRequest,
    PathStates,
    Policy,
    no_memory,
)


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path with the least weight, the lowest number among equals."""
    best = -1
    for path in range(len(paths.is_usable)):
        if paths.is_usable[path] and (best < 0 or paths.value[path] < paths.value[best]):
            best = path
    return best


POLICY = Policy(
    name="weighted-paths",
    sentence="The path with the least weight; the next least when it fails.",
    source="Microsoft VDS_LBP_WEIGHTED_PATHS (equal weights unsaid: the lowest number)",
    choose=choose,
    options=(Option("weights", 0.0, "The weight of each path.", is_per_path=True),),
    memory_words=no_memory,
)

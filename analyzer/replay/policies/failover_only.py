"""One path carries everything; the next is used only when it fails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, PathRequest, PathStates, Policy, no_memory


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path with the lowest number, or -1."""
    for path in range(len(paths.is_usable)):
        if paths.is_usable[path]:
            return path
    return -1


POLICY = Policy(
    name="failover-only",
    sentence="The first usable path; all others stand by.",
    source="Microsoft MPIO Fail Over Only; path_grouping_policy failover of multipath.conf(5)",
    choose=choose,
    aliases=("active-passive",),
    memory_words=no_memory,
)

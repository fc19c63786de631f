"""One path carries everything; the next is used only when it fails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, Option, PathRequest, PathStates, Policy

FAILBACK_IMMEDIATE = 0.0


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The usable path with the lowest number, or the one used last while it works; -1 for none."""
    latest = memory[0] - 1
    if options[0] != FAILBACK_IMMEDIATE and latest >= 0 and paths.is_usable[latest]:
        return int(latest)
    for path in range(len(paths.is_usable)):
        if paths.is_usable[path]:
            memory[0] = path + 1
            return path
    return -1


def memory_words(paths: int) -> int:
    """The path used last."""
    return 1 + 0 * paths


POLICY = Policy(
    name="failover-only",
    sentence="The first usable path; all others stand by.",
    source="Microsoft MPIO Fail Over Only; path_grouping_policy failover of multipath.conf(5)",
    choose=choose,
    aliases=("active-passive",),
    options=(
        Option(
            "failback",
            "immediate",
            "Back to the first path once it works again (VMW_PSP_FIXED), or not (manual: VMW_PSP_MRU).",
            choices=("immediate", "manual"),
        ),
    ),
    memory_words=memory_words,
)

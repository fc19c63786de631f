"""One path for each logical unit, where commands may not be reordered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, PathRequest, PathStates, Policy, no_memory


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The path with the number of the logical unit modulo the paths, or the next usable one."""
    count = len(paths.is_usable)
    for step in range(count):
        path = int((request.lun + step) % count)
        if paths.is_usable[path]:
            return path
    return -1


POLICY = Policy(
    name="order-safe",
    sentence="All commands of a logical unit keep to one path, logical units take turns.",
    source="SAM-5 task attributes: order among ORDERED tasks is kept within one nexus only",
    choose=choose,
    memory_words=no_memory,
)

"""A path for each region of blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, Option, PathRequest, PathStates, Policy, no_memory


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The path with the number of the region modulo the paths, or the next usable one."""
    count = len(paths.is_usable)
    region = request.lba >> int(options[0])
    for step in range(count):
        path = int((region + step) % count)
        if paths.is_usable[path]:
            return path
    return -1


POLICY = Policy(
    name="logical-block",
    sentence="Each region of 2^region_size blocks has its path; regions take turns.",
    source="Solaris scsi_vhci load-balance=logical-block (region-size 18)",
    choose=choose,
    options=(Option("region_size", 18.0, "Power of two of the blocks in a region.", maximum=62),),
    memory_words=no_memory,
)

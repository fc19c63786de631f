"""Reads over all paths, writes over one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import (
    Int64s,
    PathRequest,
    PathStates,
    Policy,
    is_longer_unused,
    mark_used,
)


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """For a write the first usable path; for a read the one with the fewest commands, longest unused."""
    best = -1
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        if best < 0 or (
            request.is_write == 0
            and (
                paths.outstanding[path] < paths.outstanding[best]
                or (
                    paths.outstanding[path] == paths.outstanding[best]
                    and is_longer_unused(memory, path, best)
                )
            )
        ):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="active-read",
    sentence="Reads take the path with the fewest commands; all writes take one path, so their order stays.",
    source="FreeBSD gmultipath(8) Active/Read (-R)",
    choose=choose,
)

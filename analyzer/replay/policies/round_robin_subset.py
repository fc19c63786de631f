"""The primary paths in turn; the others only when no primary path is left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import (
    Int64s,
    Option,
    PathRequest,
    PathStates,
    Policy,
    is_longer_unused,
    mark_used,
)


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The longest unused of the usable primary paths, else of the usable others."""
    best = -1
    for path in range(len(paths.is_usable)):
        if not paths.is_usable[path]:
            continue
        is_first_primary = best >= 0 and paths.value[path] != 0 and paths.value[best] == 0
        is_of_its_kind = best >= 0 and (paths.value[path] != 0) == (paths.value[best] != 0)
        if best < 0 or is_first_primary or (is_of_its_kind and is_longer_unused(memory, path, best)):
            best = path
    return mark_used(memory, best) if best >= 0 else -1


POLICY = Policy(
    name="round-robin-subset",
    sentence="The primary paths in turn; standby paths in turn when all primary ones failed.",
    source="Microsoft VDS_LBP_ROUND_ROBIN_WITH_SUBSET (MSDSM's default for ALUA arrays)",
    choose=choose,
    aliases=("rrws",),
    options=(
        Option(
            "primary",
            1.0,
            "1 for a primary path, 0 for a standby path, for each.",
            maximum=1,
            is_per_path=True,
        ),
    ),
)

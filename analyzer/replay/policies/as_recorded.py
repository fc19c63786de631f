"""Each request takes the path that its task took in the recording."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, PathRequest, PathStates, Policy, no_memory


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The recorded path, counted over the paths of the topology where it has fewer."""
    return request.recorded_path % len(paths.outstanding)


POLICY = Policy(
    name="as-recorded",
    sentence="The path that the task took in the recording.",
    source="the capture itself",
    choose=choose,
    memory_words=no_memory,
)

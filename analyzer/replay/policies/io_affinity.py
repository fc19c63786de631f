"""A path for each processor: who submits decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, Option, PathRequest, PathStates, Policy, no_memory

PROCESSORS, NODES = 0, 1


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The path of the submitting processor; if it failed, one of the same node, then any.

    A recording knows no processors: every stream of requests stays on one, streams in turn. Processor
    ``i`` of P has path ``i % paths`` and lies on node ``i * nodes // P``.
    """
    count = len(paths.is_usable)
    processors = int(options[PROCESSORS])
    if processors == 0:
        processors = count
    nodes = min(int(options[NODES]), processors)
    mine = request.stream % processors
    if paths.is_usable[mine % count]:
        return int(mine % count)
    node = mine * nodes // processors
    found = -1
    for processor in range(processors):
        path = processor % count
        if paths.is_usable[path]:
            if processor * nodes // processors == node:
                return path
            if found < 0:
                found = path
    return found


POLICY = Policy(
    name="io-affinity",
    sentence="The path that belongs to the submitting processor.",
    source="Linux drivers/md/dm-ps-io-affinity.c",
    choose=choose,
    options=(
        Option("processors", 0.0, "How many processors submit; 0: one for each path.", maximum=4096),
        Option("nodes", 1.0, "NUMA nodes that they lie on, in order.", minimum=1, maximum=4096),
    ),
    memory_words=no_memory,
)

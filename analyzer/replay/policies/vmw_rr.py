"""One path until so many requests or bytes went over it, then the next: VMware's round robin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Int64s, Option, PathRequest, PathStates, Policy

LIMITS, IOPS, BYTES = 0, 1, 2
BY_BOTH, BY_IOPS, BY_BYTES = 0.0, 1.0, 2.0
PATH, REQUESTS, BYTES_USED = 0, 1, 2


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """The path in use until a limit is reached or it fails, then the next usable one by number."""
    count = len(paths.is_usable)
    path = memory[PATH] % count
    is_full = (options[LIMITS] != BY_BYTES and memory[REQUESTS] >= options[IOPS]) or (
        options[LIMITS] != BY_IOPS and memory[BYTES_USED] >= options[BYTES]
    )
    if is_full or not paths.is_usable[path]:
        memory[REQUESTS] = 0
        memory[BYTES_USED] = 0
        steps = 0
        path = (path + 1) % count
        while not paths.is_usable[path]:
            path = (path + 1) % count
            steps += 1
            if steps > count:
                return -1
        memory[PATH] = path
    memory[REQUESTS] += 1
    memory[BYTES_USED] += request.data_bytes
    return int(path)


def memory_words(paths: int) -> int:
    """The path in use, and what went over it."""
    return 3 + 0 * paths


POLICY = Policy(
    name="vmw-rr",
    sentence="One path until a number of requests or bytes, then the next.",
    source="VMware VMW_PSP_RR, esxcli storage nmp psp roundrobin deviceconfig (iops=1000, bytes=10485760)",
    choose=choose,
    options=(
        Option(
            "limits", "rr", "Which limits count: both (rr), or one of them.", choices=("rr", "iops", "bytes")
        ),
        Option("iops", 1000.0, "Requests until the next path.", minimum=1),
        Option("bytes", 10_485_760.0, "Bytes until the next path.", minimum=1),
    ),
    memory_words=memory_words,
)

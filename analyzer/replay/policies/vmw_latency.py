"""The path of least measured latency, measured anew from time to time: VMware's latency policy.

Every evaluation time a number of sampling requests goes down each path in turn; until the next one the
path with the least average latency, its pending requests counted, takes all. How exactly pending
requests count is not published: here an average is multiplied by the commands that would then be on the path.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.policies.interface import Completion, Int64s, Option, PathRequest, PathStates, Policy

SAMPLING, EVALUATION_MS = 0, 1
BEGUN, IS_BEGUN, WORDS_BEFORE_PATHS = 0, 1, 2


def choose(request: PathRequest, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]) -> int:
    """While a path lacks samples the one with fewest; else the least latency times commands.

    For each path the memory keeps samples sent, samples back, and their summed latency.
    """
    count = len(paths.is_usable)
    if memory[IS_BEGUN] == 0 or request.now_ns - memory[BEGUN] >= options[EVALUATION_MS] * 1e6:
        memory[:] = 0
        memory[IS_BEGUN] = 1
        memory[BEGUN] = request.now_ns
    sent, back, summed = WORDS_BEFORE_PATHS, WORDS_BEFORE_PATHS + count, WORDS_BEFORE_PATHS + 2 * count
    fewest = -1
    best = -1
    least = 0.0
    for path in range(count):
        if not paths.is_usable[path]:
            continue
        if memory[sent + path] < options[SAMPLING] and (
            fewest < 0 or memory[sent + path] < memory[sent + fewest]
        ):
            fewest = path
        expected = memory[summed + path] / max(memory[back + path], 1) * (paths.outstanding[path] + 1)
        if best < 0 or expected < least:
            best = path
            least = expected
    if fewest >= 0:
        memory[sent + fewest] += 1
        return fewest
    return best


def finish(
    completion: Completion, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]
) -> int:
    """Take the latencies of the sampling requests down; those of the time before do not count."""
    count = len(paths.is_usable)
    back = WORDS_BEFORE_PATHS + count + completion.path
    if completion.dispatched_ns >= memory[BEGUN] and memory[back] < options[SAMPLING]:
        memory[back] += 1
        memory[back + count] += completion.now_ns - completion.dispatched_ns
    return 0


def memory_words(paths: int) -> int:
    """When the evaluation began, and three words for each path."""
    return WORDS_BEFORE_PATHS + 3 * paths


POLICY = Policy(
    name="vmw-latency",
    sentence="The path with the least latency in the latest sampling, pending requests counted.",
    source="VMware VMW_PSP_RR policy=latency (samplingIosPerPath 16, latencyEvalTime 30000 ms)",
    choose=choose,
    finish=finish,
    options=(
        Option("sampling_ios", 16.0, "Sampling requests for each path.", minimum=1, maximum=160),
        Option("evaluation_ms", 30_000.0, "Time from one sampling to the next.", minimum=1),
    ),
    memory_words=memory_words,
)

"""How fast the replay is: 4 KiB random reads per second, against SimPy, over all cores, and at length.

    python -m benchmarks.replay_speed [REQUESTS] [--long]

Prints the time of compiling (the first run) or loading (later runs) the engine and of compiling one more
policy; one line for each scenario (time of the process, so that other work on the machine counts little);
the ratio to the same system in SimPy; twelve scenarios one after the other and over all cores; and with
``--long`` ten million requests with the memory that they took.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from analyzer.replay.made import WIRE, made_network, made_workload
from analyzer.replay.rules import compiled
from analyzer.replay.run import prepare, run, world_of
from analyzer.replay.scenario import LinkModel
from analyzer.replay.state import EVENTS, World, fresh_log
from analyzer.replay.words import scenario_of
from analyzer.replay.workload import Workload
from benchmarks.simpy_twin import completion_times

SCENARIOS = (
    "single/-",
    "mcs:2/round-robin",
    "mcs:2/least-queue-depth",
    "mpio:2/service-time",
    "mpio:4/round-robin",
    "mpio:4/historical-service-time",
)
TWELVE = tuple(
    f"{topology}:{paths}/{policy}"
    for topology in ("mcs", "mpio")
    for paths in (2, 4)
    for policy in ("round-robin", "least-queue-depth", "service-time")
)
TEN_GIGABIT = WIRE.model_copy(update={"rate_to_target_bps": 10**10, "rate_from_target_bps": 10**10})
OWN_POLICY = "def choose(request, paths, memory, options):\n    return request.lba % len(paths.is_usable)\n"
SIMPY_REQUESTS = 20_000
LONG = 10_000_000


def workload_of(requests: int) -> Workload:
    """Random reads of 4 KiB, served in 50 to 150 us."""
    random = np.random.default_rng(1)
    return made_workload(
        requests,
        read_bytes=4096,
        lba=random.integers(0, 1 << 32, requests),
        service_ns=random.integers(50_000, 150_000, requests),
    )


def played(words: str, workload: Workload, link: LinkModel = TEN_GIGABIT) -> tuple[World, float]:
    """One replay at depth 64, and the seconds of this thread that the run itself took."""
    scenario = scenario_of(words, pacing="depth:64")
    network = made_network(scenario, (link,), read_segment_bytes=262_144)
    world = world_of(scenario, workload, network, fresh_log())
    begun = time.thread_time()
    run(world, scenario)
    return world, time.thread_time() - begun


def own_policy_seconds() -> float:
    """What a user's own policy takes until it can run."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mine.py"
        place.write_text(OWN_POLICY)
        begun = time.perf_counter()
        compiled(scenario_of(f"mcs:2/{place}").declared_policy)
        return time.perf_counter() - begun


def against_simpy() -> float:
    """How many times as fast as SimPy the engine is on the same system."""
    link = TEN_GIGABIT.model_copy(
        update={"mtu_bytes": 1 << 20, "packet_overhead_bytes": 0, "header_in_mtu_bytes": 0}
    )
    workload = workload_of(SIMPY_REQUESTS * 10)
    ours = played("mcs:2/round-robin", workload, link)[1] / len(workload)
    begun = time.process_time()
    completion_times(
        4096,
        workload.service_ns[:SIMPY_REQUESTS],
        depth=64,
        links=2,
        rate_bps=10**10,
        delay_ns=link.delay_to_target_ns or 0,
    )
    return (time.process_time() - begun) / SIMPY_REQUESTS / ours


def main(requests: int, *, is_long: bool) -> None:
    """Measure and print."""
    begun = time.perf_counter()
    prepare(SCENARIOS)
    print(f"engine ready after {time.perf_counter() - begun:.2f} s")
    print(f"a policy of one's own ready after {own_policy_seconds():.2f} s")
    workload = workload_of(requests)
    for words in SCENARIOS:
        world, seconds = played(words, workload)
        events = int(world.counters[EVENTS])
        print(f"{words:32s} {requests / seconds:12,.0f} requests/s {events / seconds:12,.0f} events/s")
    print(f"{against_simpy():.0f} times as fast as SimPy")
    prepare(TWELVE)
    begun = time.perf_counter()
    for words in TWELVE:
        played(words, workload)
    alone = time.perf_counter() - begun
    begun, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda words: played(words, workload)[1], TWELVE))
    together, used = time.perf_counter() - begun, time.process_time() - used
    print(
        f"12 scenarios of {requests:,} requests: {alone:.1f} s one after the other, {together:.1f} s "
        f"together ({used / together:.1f} of {os.cpu_count()} cores used)"
    )
    if is_long:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.perf_counter()
        played("mcs:2/round-robin", workload_of(LONG))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{LONG:,} requests in {time.perf_counter() - begun:.1f} s, peak {after / 1e6:.2f} GB "
            f"({before / 1e6:.2f} GB before): {max(0, after - before) * 1024 / LONG:.0f} bytes each"
        )


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdecimal()]
    main(numbers[0] if numbers else 1_000_000, is_long="--long" in sys.argv[1:])

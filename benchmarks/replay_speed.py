"""How fast the replay is: requests per second for 4 KiB random reads over two MC/S connections.

Prints the time of compiling (the first run) or loading (later runs) the engine, then one line for
each scenario. Run with ``python -m benchmarks.replay_speed [REQUESTS]``; time is that of the
process, so that other work on the machine counts little.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from analyzer.replay.made import WIRE, made_network, made_workload
from analyzer.replay.run import prepare, run, world_of
from analyzer.replay.state import EVENTS, fresh_log
from analyzer.replay.words import scenario_of

SCENARIOS = (
    "single/-",
    "mcs:2/round-robin",
    "mcs:2/least-queue-depth",
    "mpio:2/service-time",
    "mpio:4/round-robin",
)
TEN_GIGABIT = WIRE.model_copy(update={"rate_to_target_bps": 10**10, "rate_from_target_bps": 10**10})


def main(requests: int) -> None:
    """Measure and print."""
    begun = time.perf_counter()
    prepare(SCENARIOS)
    print(f"engine ready after {time.perf_counter() - begun:.2f} s")
    random = np.random.default_rng(1)
    workload = made_workload(
        requests,
        read_bytes=4096,
        lba=random.integers(0, 1 << 32, requests),
        service_ns=random.integers(50_000, 150_000, requests),
    )
    for words in SCENARIOS:
        scenario = scenario_of(words, pacing="depth:64")
        network = made_network(scenario, (TEN_GIGABIT,), read_segment_bytes=262_144)
        world = world_of(scenario, workload, network, fresh_log())
        begun = time.process_time()
        run(world, scenario)
        seconds = time.process_time() - begun
        print(
            f"{words:28s} {requests / seconds:12,.0f} requests/s "
            f"{int(world.counters[EVENTS]) / seconds:12,.0f} events/s"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

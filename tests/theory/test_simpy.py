"""Another simulator, written from the description alone, comes to the same times."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from tests.replay.played import ideal_link, played

simpy_twin = pytest.importorskip("benchmarks.simpy_twin", reason="SimPy is an extra (bench)")


@pytest.mark.parametrize(("depth", "links"), [(1, 1), (7, 2), (32, 2), (16, 3)])
def test_simpy_sees_the_same_completions_to_the_nanosecond(depth, links):
    count, rate, delay = 3000, 10**9, 20_000
    service = np.random.default_rng(depth).integers(10_000, 500_000, count)
    workload = made_workload(count, read_bytes=4096, service_ns=service)
    world = played(
        workload,
        f"mcs:{links}/round-robin",
        (ideal_link(rate, delay),),
        pacing=f"depth:{depth}",
        read_segment_bytes=65536,
    )
    twin = simpy_twin.completion_times(4096, service, depth=depth, links=links, rate_bps=rate, delay_ns=delay)
    assert world.progress.completed_ns.tolist() == twin.tolist()

"""The engine reduced to one server is a queue that theory knows."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from tests.replay.played import ideal_link, played

REQUESTS = 100_000
SERVICE_NS = 100_000
NOTHING = ideal_link(0)


def served(service_ns, load, *, servers=1):
    random = np.random.default_rng(11)
    gaps = random.exponential(SERVICE_NS / (load * servers), REQUESTS)
    workload = made_workload(
        REQUESTS, read_bytes=512, service_ns=service_ns, issued_ns=np.cumsum(gaps).astype(np.int64)
    )
    return played(workload, "single/-", (NOTHING,), pacing="recorded", target={"servers": servers})


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_constant_service_waits_as_long_as_the_m_d_1_queue_says(load):
    """Pollaczek-Khinchine: mean wait = load / (2 (1 - load)) service times."""
    world = served(SERVICE_NS, load)
    wait = (world.progress.started_ns - world.progress.ready_ns).mean()
    assert wait == pytest.approx(load / (2 * (1 - load)) * SERVICE_NS, rel=0.05)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_exponential_service_waits_as_long_as_the_m_m_1_queue_says(load):
    """Mean time in the system = 1 / (1 - load) service times."""
    service = np.random.default_rng(12).exponential(SERVICE_NS, REQUESTS).astype(np.int64)
    world = served(service, load)
    stay = (world.progress.completed_ns - world.progress.ready_ns).mean()
    assert stay == pytest.approx(SERVICE_NS / (1 - load), rel=0.06)


def test_two_servers_wait_as_long_as_the_m_m_2_queue_says():
    """Erlang C for two servers: mean wait = load^2 / (1 - load^2) service times."""
    service = np.random.default_rng(13).exponential(SERVICE_NS, REQUESTS).astype(np.int64)
    world = served(service, 0.7, servers=2)
    wait = (world.progress.started_ns - world.progress.ready_ns).mean()
    assert wait == pytest.approx(0.49 / 0.51 * SERVICE_NS, rel=0.06)


def test_little_s_law_holds():
    """Requests in flight, counted at random moments, are arrival rate times mean stay."""
    world = served(SERVICE_NS, 0.7)
    ready, completed = world.progress.ready_ns, world.progress.completed_ns
    begin, end = int(ready.min()), int(completed.max())
    moments = np.random.default_rng(14).integers(begin, end, 200_000)
    in_flight = np.searchsorted(np.sort(ready), moments, side="right") - np.searchsorted(
        np.sort(completed), moments, side="right"
    )
    rate = REQUESTS / (end - begin)
    assert in_flight.mean() == pytest.approx(rate * (completed - ready).mean(), rel=0.02)


def test_a_saturated_link_serves_its_rate():
    """Open loop beyond the rate of the link: the link is busy throughout."""
    workload = made_workload(5000, read_bytes=65536, issued_ns=np.arange(5000) * 10_000)
    link = ideal_link(10**9)
    world = played(workload, "single/-", (link,), pacing="recorded", read_segment_bytes=65536)
    assert world.progress.completed_ns.max() == 5000 * (65536 + 48) * 8 + 48 * 8

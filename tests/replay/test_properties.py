"""Invariant: whatever is asked of whatever paths, every request ends once and no rule is broken."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.replay.made import made_workload
from analyzer.replay.policies import POLICIES
from analyzer.replay.scenario import LinkModel
from tests.replay.played import played

LENGTHS = st.sampled_from([0, 1, 511, 512, 4096, 8192, 65536, 65537, 262_144, 1_000_003])
LINKS = st.builds(
    LinkModel,
    rate_to_target_bps=st.sampled_from([0, 10**6, 10**9, 10**11]),
    rate_from_target_bps=st.sampled_from([0, 10**6, 10**9]),
    delay_to_target_ns=st.sampled_from([0, 1, 50_000, 5_000_000]),
    delay_from_target_ns=st.sampled_from([0, 7, 50_000]),
    mtu_bytes=st.sampled_from([576, 1500, 9000]),
    bucket_bytes=st.sampled_from([0, 2000]),
    is_postpaid=st.booleans(),
    packets_per_ack=st.sampled_from([0, 2]),
    jitter_ns=st.sampled_from([0, 0, 70_000]),
    loss_per_billion=st.sampled_from([0, 0, 1_000_000]),
    queue_to_target_bytes=st.sampled_from([0, 0, 1, 30_000]),
    queue_from_target_bytes=st.sampled_from([0, 0, 150_000]),
    window_bytes=st.sampled_from([0, 0, 65536]),
    idle_restart_ns=st.sampled_from([0, 0, 1_000_000]),
)
TARGETS = st.fixed_dictionaries(
    {
        "gate": st.sampled_from(["in-order", "none", "istgt", "spdk"]),
        "window": st.integers(1, 9),
        "window_follows": st.sampled_from(["arrival", "completion"]),
        "servers": st.integers(0, 3),
        "depth": st.sampled_from([0, 0, 3]),
        "attributes": st.sampled_from(["as-timed", "honoured"]),
        "task_sets": st.sampled_from(["shared", "per-nexus"]),
        "reordering": st.sampled_from(["unrestricted", "restricted"]),
        "scheduler": st.sampled_from(["arrival", "sorting"]),
        "seek_ns": st.sampled_from([0, 3_000_000]),
        "bytes_per_s": st.sampled_from([0, 50_000_000]),
        "read_ahead_blocks": st.sampled_from([0, 256]),
        "write_cache_bytes": st.sampled_from([0, 100_000]),
    }
)
AGREED = st.fixed_dictionaries(
    {
        "header_bytes": st.sampled_from([48, 52]),
        "digest_bytes": st.sampled_from([0, 4]),
        "immediate_bytes": st.sampled_from([0, 512, 8192]),
        "first_burst_bytes": st.sampled_from([8192, 65536]),
        "max_burst_bytes": st.sampled_from([512, 16384, 262_144]),
        "max_outstanding_r2t": st.integers(1, 4),
        "is_initial_r2t": st.booleans(),
        "read_segment_bytes": st.sampled_from([512, 8191, 65536]),
        "write_segment_bytes": st.sampled_from([512, 8192]),
    }
)


@st.composite
def workloads(draw):
    count = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = np.array(draw(st.lists(LENGTHS, min_size=count, max_size=count)))
    is_read = random.random(count) < draw(st.floats(0, 1))
    predecessor = np.full(count, -1)
    free = list(range(count))
    for request in range(1, count):
        chosen = free[random.integers(0, len(free))] if random.random() < 0.8 else -1
        if 0 <= chosen < request:
            predecessor[request] = chosen
            free.remove(chosen)
    return made_workload(
        count,
        read_bytes=np.where(is_read, lengths, 0),
        write_bytes=np.where(is_read, 0, lengths),
        service_ns=random.integers(0, draw(st.sampled_from([1, 10_000_000])), count),
        grant_ns=random.integers(0, 2, count) * 10_000,
        turnaround_ns=random.integers(0, 2, count) * 20_000,
        issued_ns=np.sort(random.integers(0, draw(st.sampled_from([1, 10_000_000])), count)),
        think_ns=random.integers(0, draw(st.sampled_from([1, 1_000_000])), count),
        predecessor=predecessor,
        recorded_path=random.integers(0, 5, count),
        lun_index=random.integers(0, 3, count),
        is_immediate=random.random(count) < 0.1,
        attribute=np.where(random.random(count) < 0.7, 0, random.integers(0, 3, count)),
        has_own_status=random.random(count) < 0.2,
        sense_bytes=random.integers(0, 20, count),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    workload=workloads(),
    topology=st.sampled_from(
        [
            "mcs:1",
            "mcs:2",
            "mcs:4",
            "mpio:1",
            "mpio:3",
            "mpio:2xmcs:2",
            "bond:2:layer3+4xmpio:3",
            "bond:3xmcs:2",
        ]
    ),
    policy=st.sampled_from([policy.name for policy in POLICIES]),
    pacing=st.sampled_from(["closed", "recorded", "depth:1", "depth:7"]),
    links=st.lists(LINKS, min_size=1, max_size=4),
    target=TARGETS,
    agreed=AGREED,
)
def test_every_request_ends_once_and_no_rule_is_broken(
    workload, topology, policy, pacing, links, target, agreed
):
    played(workload, f"{topology}/{policy}", tuple(links), pacing=pacing, target=target, **agreed)

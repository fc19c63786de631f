"""A fixed set of replays and the fingerprint of all that happened in them, event by event.

Run as a program it prints the fingerprint, so that another process, compiled or not, can be compared.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from analyzer.replay.made import made_workload
from analyzer.replay.scenario import LinkModel
from analyzer.replay.state import DIGEST, LOG_EVENTS, logged
from tests.replay.played import ideal_link, played

LINKS = (
    ideal_link(40_000_000, 10_000, bucket_bytes=2000, jitter_ns=50_000, mtu_bytes=1500, packets_per_ack=2),
    ideal_link(
        20_000_000, 5_000, mtu_bytes=1500, queue_to_target_bytes=9_000, queue_from_target_bytes=90_000
    ),
    ideal_link(10_000_000, 300_000, is_postpaid=True, loss_per_billion=2_000_000, idle_restart_ns=10**7),
)
WORDS = (
    "single/-",
    "mcs:2/round-robin",
    "mcs:2/least-queue-depth(ties=lowest-path)",
    "mpio:2/service-time",
    "mpio:3/failover-only",
    "mcs:2/as-recorded",
    "mpio:4/historical-service-time(threshold=2)",
    "mpio:2xmcs:2/service-time(throughput=3:1)+vmw-latency(sampling_ios=2,evaluation_ms=5)",
    "bond:4:layer3+4xmpio:4/round-robin(legacy_repeat_count=3)",
)
TARGETS: tuple[dict[str, Any], ...] = (
    {"servers": 3, "window": 6, "window_follows": "completion"},
    {
        "gate": "istgt",
        "servers": 1,
        "depth": 5,
        "attributes": "honoured",
        "scheduler": "sorting",
        "seek_ns": 2_000_000,
        "bytes_per_s": 40_000_000,
        "write_cache_bytes": 300_000,
        "read_ahead_blocks": 512,
    },
    {"gate": "spdk", "reordering": "restricted"},
)


def fingerprints(links: tuple[LinkModel, ...] = LINKS) -> list[str]:
    """Give a digest of every event and every time of each replay."""
    random = np.random.default_rng(7)
    count = 60
    is_read = random.random(count) < 0.6
    length = random.integers(0, 200_000, count)
    predecessor = np.where(np.arange(count) < 9, -1, np.arange(count) - 9)
    workload = made_workload(
        count,
        read_bytes=np.where(is_read, length, 0),
        write_bytes=np.where(is_read, 0, length),
        service_ns=random.integers(0, 3_000_000, count),
        grant_ns=random.integers(0, 50_000, count),
        turnaround_ns=random.integers(0, 2, count) * 30_000,
        issued_ns=np.arange(count) * 1000,
        think_ns=random.integers(0, 100_000, count),
        predecessor=predecessor,
        recorded_path=random.integers(0, 2, count),
        lun_index=random.integers(0, 3, count),
        lba=random.integers(0, 5, count) * 128,
        attribute=random.integers(0, 3, count),
        is_immediate=random.random(count) < 0.05,
        has_own_status=random.random(count) < 0.2,
        sense_bytes=18,
    )
    found = []
    for number, words in enumerate(WORDS):
        for pacing in ("closed", "recorded", "depth:5"):
            world = played(
                workload,
                words,
                links,
                pacing=pacing,
                events=5000,
                target=TARGETS[number % len(TARGETS)],
                is_initial_r2t=False,
                immediate_bytes=4096,
                first_burst_bytes=16384,
                max_burst_bytes=65536,
                max_outstanding_r2t=2,
            )
            hashed = hashlib.sha256(np.ascontiguousarray(logged(world.log, LOG_EVENTS)).tobytes())
            for name in ("path", "cmd_sn", "arrived_ns", "released_ns", "started_ns", "completed_ns"):
                hashed.update(np.ascontiguousarray(world.progress[name]).tobytes())
            found.append(f"{words} {pacing} {int(world.counters[DIGEST]):x} {hashed.hexdigest()}")
    return found


if __name__ == "__main__":
    print("\n".join(fingerprints()))

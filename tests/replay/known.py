"""Runs of a recorded what-if, replayed from what is known about them: no capture, no calibration.

Known are the list of commands, the links (token buckets of one packet, MTU 1500), what was negotiated, the
queue depth and the latency of the device. Of the rest of the host one value is assumed for all runs.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.replay.made import made_workload
from analyzer.replay.scenario import LinkModel
from analyzer.replay.state import World
from analyzer.replay.words import scenario_of
from tests.replay.played import played_in

# The README of the recordings: 0.02 to 0.06 ms for a handshake, 0.02 to 0.1 ms in the target.
ONE_WAY_NS = 10_000
SERVICE_NS = 40_000
POLICIES = {
    "rr": "round-robin",
    "lqd": "least-queue-depth(ties=lowest-path)",
    "st": "service-time(ties=lowest-path)",
}


def truth_of(folder: Path, name: str) -> dict[str, Any]:
    """Give the parameters and the measured outcome of one run."""
    truth: dict[str, Any] = json.loads((folder / f"{name}.result.json").read_text())
    return truth


def replayed(folder: Path, name: str, repeat: int = 0) -> World:
    """Replay a run from its parameters, all checkers on.

    In a ``repeat`` the assumed time of the target is drawn for each command, from 0.02 to 0.06 ms.
    """
    truth = truth_of(folder, name)
    with gzip.open(folder / f"{name}.r1.commands.csv.gz", "rt") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
    is_read = np.array([row["dir"] == "R" for row in rows])
    length = np.array([int(row["bytes"]) for row in rows])
    device = truth["device_latency_ms"]
    latency_ns = np.where(is_read, device["read"], device["write"]) * 1_000_000
    assumed_ns = np.full(len(rows), SERVICE_NS)
    if repeat:
        assumed_ns += np.random.default_rng(repeat).integers(-SERVICE_NS // 2, SERVICE_NS // 2, len(rows))
    workload = made_workload(
        len(rows),
        read_bytes=np.where(is_read, length, 0),
        write_bytes=np.where(is_read, 0, length),
        lba=[int(row["lba"]) for row in rows],
        service_ns=(latency_ns + assumed_ns).astype(np.int64),
    )
    topology, paths = truth["topology"], truth["paths"]
    words = "single/-" if paths == 1 else f"{topology}:{paths}/{POLICIES[truth['policy']]}"
    agreed = truth["negotiated"]
    has_immediate = agreed["ImmediateData"] == "Yes"
    return played_in(
        scenario_of(words, pacing=f"depth:{truth['workload_parameters']['queue_depth']}"),
        workload,
        tuple(token_bucket(link["rate_mbit"]) for link in truth["links"]),
        read_segment_bytes=65536,
        write_segment_bytes=8192,
        immediate_bytes=8192 if has_immediate else 0,
        first_burst_bytes=int(agreed["FirstBurstLength"]),
        max_burst_bytes=int(agreed["MaxBurstLength"]),
        is_initial_r2t=agreed["InitialR2T"] == "Yes",
        window=128,
    )


def token_bucket(rate_mbit: int) -> LinkModel:
    """One link of the recordings: tbf counts Ethernet frames, and lets a packet go before it is paid."""
    return LinkModel(
        rate_to_target_bps=rate_mbit * 10**6,
        rate_from_target_bps=rate_mbit * 10**6,
        delay_to_target_ns=ONE_WAY_NS,
        delay_from_target_ns=ONE_WAY_NS,
        mtu_bytes=1500,
        packet_overhead_bytes=66,
        is_postpaid=True,
        packets_per_ack=2,
    )

"""Predictions against the same workload really run: from the recording of one link to other schedulers.

The recordings lie beside the checkout; without them there is nothing to compare with, and the tests say so.
Everything is taken from the capture but what it cannot know: the rate of a link
it did not use.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import analyzer
from tests.real import MORE_CAPTURES

RECORDED = MORE_CAPTURES.parent / "whatif"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recordings in {RECORDED}")

POLICIES = {
    "rr": "round-robin",
    "lqd": "least-queue-depth(ties=lowest-path)",
    "st": "service-time(ties=lowest-path)",
}
# Workloads whose commands wait for a device or for a link without token bucket effects.
PREDICTED = [
    "W3-mcs2-rr",
    "W5-mpio2-st",
    "W5-asym-mcs2-rr",
    "W5-asym-mpio2-lqd",
    "W5u-mcs2-lqd",
    "W5u-asym-mcs2-lqd",
    "W5u-asym-mcs2-rr",
    "W6-mcs2-rr",
    "W6-mpio2-lqd",
    "W6-mpio4-rr",
    "W6-asym-mpio2-rr",
    "W9-mcs2-lqd",
    "W9-asym-mpio2-rr",
]


def truth_of(name):
    return json.loads(Path(RECORDED / f"{name}.result.json").read_text())


def words_of(config):
    topology, policy = config.removeprefix("asym-").split("-")
    return f"{topology[:-1]}:{topology[-1]}/{POLICIES[policy]}"


@pytest.fixture(scope="module")
def recordings():
    read = {}

    def timeline_of(workload):
        if workload not in read:
            read[workload] = analyzer.analyze(RECORDED / f"{workload}-single.pcapng.zst")
        return read[workload]

    return timeline_of


@pytest.mark.parametrize("name", PREDICTED)
def test_one_link_predicts_the_others(recordings, name):
    """IOPS within 6 % and path shares within 0.05 of the measured median.

    What was measured is the median of three repeats, so the share is that of the replay and its repeats.
    """
    workload, config = name.split("-", 1)
    truth = truth_of(name)
    other = {"rate_to_target_bps": 10_000_000, "rate_from_target_bps": 10_000_000}
    outcome = analyzer.replay(
        recordings(workload),
        words_of(config),
        links=[{} if link["rate_mbit"] == 40 else other for link in truth["links"]],
    )
    data = outcome.requests[outcome.requests.direction != "none"]
    seconds = (data.completed_ns.max() - data.ready_ns.min()) / 1e9
    assert len(data) / seconds == pytest.approx(truth["median"]["iops"], rel=0.06)
    share = next(
        row["median"]
        for row in outcome.arrow["metrics"].to_pylist()
        if row["metric"] == "path_0_request_share"
    )
    assert share == pytest.approx(truth["median"]["share_commands_path0"], abs=0.05)

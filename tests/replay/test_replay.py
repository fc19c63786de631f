"""From a timeline to an outcome: its tables, its manifest, and how near the baseline comes to recordings."""

from __future__ import annotations

import json

import numpy as np
import pytest

import analyzer
from analyzer.comparison.baseline import baseline_error
from analyzer.errors import UnusableInputError
from analyzer.replay.policies import POLICIES
from analyzer.tables.folder import Outcome
from tests.made import make_timeline, null_where
from tests.real import capture_path

SCENARIOS = [
    "as-recorded",
    "single/-",
    *(f"{topology}:2/{policy.name}" for topology in ("mcs", "mpio") for policy in POLICIES),
    "mpio:2xmcs:2/least-queue-depth+round-robin",
    "bond:2:balance-rr/-",
    "bond:4:layer3+4xmpio:4/service-time",
]


@pytest.fixture(scope="module")
def timeline():
    return make_timeline(tasks=300, connections=2, depth=8)


@pytest.mark.parametrize("words", SCENARIOS)
@pytest.mark.parametrize("pacing", ["closed", "recorded", "depth:4"])
def test_every_scenario_completes_every_task(timeline, words, pacing):
    outcome = analyzer.replay(timeline, words, pacing=pacing)
    assert outcome.label == words
    assert set(outcome.requests.end) == {"completed"}
    assert sorted(outcome.requests.task_index) == list(range(300))
    assert outcome.paths.requests.sum() == 300
    waits = outcome.requests.released_ns - outcome.requests.arrived_ns
    assert "mcs" in words or words == "as-recorded" or not waits.any()


def test_an_outcome_says_what_it_rests_on_and_survives_a_folder(timeline, tmp_path):
    outcome = analyzer.replay(timeline, "mpio/service-time", seed=5)
    manifest = outcome.manifest
    assert manifest["label"] == "mpio:2/service-time"
    assert manifest["loop"] == "closed"
    assert manifest["linked_requests"] == 292
    assert "8 requests are kept outstanding" in manifest["assumptions"][0]
    assert all(value["rests_on"] for value in manifest["calibration"])
    again = Outcome.read(outcome.write(tmp_path / "outcome"))
    assert json.loads(json.dumps(again.manifest))["scenario"] == manifest["scenario"]
    assert again.requests.equals(outcome.requests)


def test_the_metrics_name_shares_utilisation_and_window_waits(timeline):
    outcome = analyzer.replay(timeline, "mcs:2/round-robin")
    metrics = dict(zip(outcome.metrics.metric, outcome.metrics.value, strict=True))
    assert metrics["path_0_request_share"] == metrics["path_1_request_share"] == 0.5
    assert metrics["completed"] == 300
    assert metrics["window_waited"] == 0


def test_the_same_seed_gives_the_same_outcome(timeline):
    first, second = (analyzer.replay(timeline, "mcs:2/service-time", seed=1) for _ in range(2))
    assert first.manifest["digest"] == second.manifest["digest"]
    assert first.requests.equals(second.requests)


def test_links_can_be_given_instead_of_taken_from_the_capture(timeline):
    slow = {"rate_to_target_bps": 10**6, "rate_from_target_bps": 10**6}
    outcome = analyzer.replay(timeline, "mcs:2/round-robin", links=[{}, slow])
    assert outcome.paths.rate_to_target_bps.tolist()[1] == 10**6
    assert outcome.requests.latency_ns.max() > 30_000_000


def test_re_issues_are_left_out_and_unanswered_commands_kept():
    is_re_issue = np.arange(20) == 7
    unanswered = np.arange(20) == 3
    made = make_timeline(tasks=20)
    timeline = make_timeline(
        tasks=20,
        retry_of_task_index=null_where(np.zeros(20, np.int32), ~is_re_issue),
        response_ns=null_where(made.values("tasks", "response_ns"), unanswered),
        latency_ns=null_where(made.values("tasks", "latency_ns"), unanswered),
    )
    outcome = analyzer.replay(timeline, "single/-")
    assert sorted(outcome.requests.task_index) == [task for task in range(20) if task != 7]
    text = " ".join(outcome.manifest["assumptions"])
    assert "1 re-issues" in text
    assert "1 commands without a recorded response" in text


def test_a_timeline_without_commands_is_unusable():
    with pytest.raises(UnusableInputError, match="no SCSI command"):
        analyzer.replay(make_timeline(tasks=0), "single/-")


def test_a_fault_of_a_link_that_there_is_not_is_told_by_name(timeline):
    with pytest.raises(UnusableInputError, match="there are links 0 to 0"):
        analyzer.replay(timeline, "single/-", faults=["down,link=1,at=1s"])


@pytest.mark.parametrize(
    "name",
    [
        "mcs-2conn-rr-tgt",
        "mcs-2conn-rr-mtu1500-tgt",
        "mcs-2conn-unsolicited-tgt",
        "mcs-2conn-digest-both-tgt",
        "mpio-2sess-rr-tgt",
        "mcs-2conn-rr-lio",
    ],
)
def test_the_baseline_reproduces_real_recordings(name):
    """As recorded, with everything taken from the capture: throughput within 5 %, p99 within 15 %."""
    timeline = analyzer.analyze(capture_path(name))
    error = baseline_error(analyzer.replay(timeline, "as-recorded"), timeline)
    assert abs(error.error_percent("iops")) < 5
    assert abs(error.error_percent("latency_ns_p50")) < 10
    assert abs(error.error_percent("latency_ns_p99")) < 15


@pytest.mark.parametrize("name", ["mcs-kill-erl2-reassign-lio", "mcs-4conn-one-stalls-tgt", "tmf-mcs-tgt"])
@pytest.mark.parametrize("words", ["as-recorded", "mcs/round-robin", "mpio/least-queue-depth", "single/-"])
def test_recordings_of_failures_replay_without_them(name, words):
    """Commands that were lost, retried or aborted are asked for once each and all complete."""
    timeline = analyzer.analyze(capture_path(name))
    outcome = analyzer.replay(timeline, words)
    first_attempts = timeline.is_null("tasks", "retry_of_task_index").sum()
    assert len(outcome.requests) == first_attempts
    assert set(outcome.requests.end) == {"completed"}


@pytest.mark.parametrize(
    ("begin", "said"), [("with-command", "ends writes that wait for their data too"), ("with-data", "as tgt")]
)
def test_a_replay_that_sends_a_function_says_what_it_does_to_writes_without_their_data(timeline, begin, said):
    fault, target = "portal,link=1,at=1ms", {"tasks_begin": begin}

    def assumed(recovery):
        found = analyzer.replay(
            timeline, "mpio:2/round-robin", faults=[fault], recovery=recovery, target=target, repeats=0
        )
        return " ".join(found.manifest["assumptions"])

    assert said in assumed("linux-multipath,hold=0s,cleanup=lun-reset")
    assert "wait for their data" not in assumed("linux-multipath,hold=0s")
    assert "all its data is in" not in assumed("linux-multipath,hold=0s")

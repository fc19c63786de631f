"""Repeats of a replay: reproducible, around the prediction, and no wider than chance makes them."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.comparison.compare import compared
from analyzer.comparison.model_error import UNSEEN_PERCENT
from analyzer.replay.repeats import repeats_of
from analyzer.replay.run import replay_all
from analyzer.tables.folder import Outcome
from tests.made import make_timeline
from tests.real import capture_path

POLICIES = ["as-recorded", "mcs:2/round-robin", "mpio:2/least-queue-depth"]
GIGABIT = {"rate_to_target_bps": 10**9, "rate_from_target_bps": 10**9}


@pytest.fixture(scope="module")
def recording():
    return analyzer.analyze(capture_path("mcs-2conn-rr-tgt"))


@pytest.fixture(scope="module")
def outcomes(recording):
    return replay_all(recording, POLICIES, seed=5)


def reads(count, **columns):
    """Give a timeline of reads alone, all on one kind of device."""
    return make_timeline(
        tasks=count,
        direction=["read"] * count,
        operation=["READ(10)"] * count,
        immediate_bytes=np.zeros(count, np.int64),
        data_in_count=np.ones(count, np.int32),
        **columns,
    )


def metrics_of(outcome):
    return {row["metric"]: row for row in outcome.arrow["metrics"].to_pylist()}


def relative_width(outcome, name):
    row = metrics_of(outcome)[name]
    return (row["high"] - row["low"]) / row["value"]


def test_the_same_seed_gives_the_same_repeats(recording, outcomes):
    again = replay_all(recording, POLICIES, seed=5)
    for first, second in zip(outcomes, again, strict=True):
        assert first.arrow["repeats"].equals(second.arrow["repeats"])
        assert first.arrow["metrics"].equals(second.arrow["metrics"])
        assert first.manifest["repeats"] == second.manifest["repeats"]
    other = analyzer.replay(recording, POLICIES[1], seed=6)
    assert not other.arrow["repeats"].equals(outcomes[1].arrow["repeats"])


def test_one_replay_alone_repeats_as_among_others(recording, outcomes):
    alone = analyzer.replay(recording, POLICIES[1], seed=5)
    assert alone.arrow["metrics"].equals(outcomes[1].arrow["metrics"])
    assert len({outcome.manifest["repeats"]["draws"] for outcome in (*outcomes, alone)}) == 1


def test_every_interval_holds_its_prediction(recording, outcomes):
    comparison = compared(outcomes, recording)
    shown = 0
    for place, outcome in enumerate(outcomes):
        for name, row in metrics_of(outcome).items():
            if row["value"] is not None:
                assert row["low"] <= row["value"] <= row["high"], name
        for row in comparison.rows:
            ends, value = comparison.interval(row.measure.name, place), row.values[place]
            if ends is not None and value is not None:
                shown += 1
                assert ends[0] <= value <= ends[1], row.measure.name
            found = comparison.difference(row.measure.name, place)
            if found.percent is not None:
                assert found.low_percent <= found.percent <= found.high_percent
    assert shown > 30


def test_intervals_are_kept_in_the_folder(tmp_path, outcomes):
    read = [Outcome.read(one.write(tmp_path / str(place))) for place, one in enumerate(outcomes)]
    assert compared(read).interval("iops", 1) == compared(outcomes).interval("iops", 1)


def test_what_depends_on_no_chance_has_no_width():
    """Links and service given, a fixed depth: nothing is left to be drawn."""
    outcome = analyzer.replay(
        reads(300), "mcs:2/round-robin", pacing="depth:4", target={"service_ns": 500_000}, links=GIGABIT
    )
    assert outcome.manifest["repeats"]["count"] == 18
    for name, row in metrics_of(outcome).items():
        assert row["low"] == row["value"] == row["high"], name
    (comparison,) = [compared([outcome])]
    assert comparison.interval("requests", 0) == (300, 300)


def test_counts_have_no_width_where_times_have_one(outcomes):
    rows = metrics_of(outcomes[1])
    assert rows["requests"]["low"] == rows["requests"]["high"]
    assert rows["path_0_request_share"]["low"] == rows["path_0_request_share"]["high"]
    assert rows["iops"]["low"] < rows["iops"]["high"]


def test_more_requests_narrow_the_interval():
    """Sixteen times as many: about a quarter of the width, so surely less than half."""
    few, many = (analyzer.replay(reads(count), "mcs:2/round-robin") for count in (200, 3200))
    assert relative_width(many, "iops") < relative_width(few, "iops") / 2


def test_pairs_of_the_same_draws_differ_less_than_others():
    """What makes one repeat slow makes its pair slow too; unpaired, that counts as difference."""
    outcomes = replay_all(reads(400), ["as-recorded", "mcs:2/round-robin"], repeats=30)
    paired = compared(outcomes).difference("iops", 1)
    outcomes[1].manifest["repeats"] = {**outcomes[1].manifest["repeats"], "draws": "others"}
    unpaired = compared(outcomes).difference("iops", 1)
    # Beyond what the model errs in any case.
    doubt = 2 * UNSEEN_PERCENT["iops"]
    width = paired.high_percent - paired.low_percent - doubt
    assert width < (unpaired.high_percent - unpaired.low_percent - doubt) / 2


def test_a_faulty_replay_is_repeated_with_its_fault(recording):
    outcome = analyzer.replay(
        recording, "mpio:2/round-robin", faults=["down,link=1,at=50%"], recovery="linux-multipath", repeats=3
    )
    row = metrics_of(outcome)["longest_gap_ns"]
    assert row["low"] > 10**9, "each repeat stands still as long as the timers hold it"
    assert outcome.arrow["repeats"].num_rows == 3 * outcome.arrow["metrics"].num_rows


def test_without_repeats_there_is_no_interval(recording):
    outcome = analyzer.replay(recording, "single/-", repeats=0)
    assert outcome.arrow["repeats"].num_rows == 0
    assert all(row["low"] is None and row["high"] is None for row in metrics_of(outcome).values())
    comparison = compared([outcome], recording)
    assert comparison.interval("iops", 0) is None
    assert comparison.meaning == ""


@pytest.mark.parametrize(
    ("asked", "requests", "count"),
    [(None, 800, 18), (None, 50_000, 6), (None, 1_000_000, 3), (8, 1_000_000, 8), (0, 10, 0), (None, 0, 18)],
)
def test_long_recordings_are_repeated_less_often(asked, requests, count):
    assert repeats_of(asked, requests) == count

"""A recorded failover replayed: the fault at the recorded moment, the timers as recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest

import analyzer
from analyzer.errors import UnusableInputError
from tests.real import capture_path

NEAR_NS = 300_000_000


@pytest.fixture(scope="module")
def recorded():
    """One link of two went down under dm-multipath with service-time: NOP 1 + 2 s, recovery timer 5 s."""
    return analyzer.analyze(*(capture_path(f"fo-linkdown-st.link{link}") for link in (1, 2)))


def test_it_is_noticed_held_and_repeated_as_recorded(recorded):
    incident = recorded.arrow["incidents"].to_pylist()[0]
    begin = int(recorded.values("tasks", "command_ns").min())
    failed = incident["failed_ns"]
    outcome = analyzer.replay(
        recorded,
        "mpio:2/service-time",
        faults=[f"black-hole,link=0,at={failed - begin}ns,for=10.5s"],
        recovery="as-recorded",
    )
    found = outcome.arrow["incidents"].to_pylist()[0]
    assert found["detected_by"] == incident["detected_by"] == "nop-timeout"
    for moment in ("detected_ns", "hold_to_ns", "first_retry_ns"):
        after = found[moment] - found["failed_ns"]
        assert after == pytest.approx(incident[moment] - failed, abs=NEAR_NS), moment
    assert found["stall_ns"] == pytest.approx(incident["stall_ns"], abs=NEAR_NS)
    # The other path was kept busy: the recording has 0.27 s without a completion.
    assert found["gap_ns"] == pytest.approx(270_000_000, abs=100_000_000)
    assert found["retried_other_path"] > 0
    assert found["failed"] == 0


def test_the_story_stands_in_the_outcome(recorded, tmp_path):
    outcome = analyzer.replay(
        recorded, "mcs:2/round-robin", faults=["reset,link=1,at=50%"], recovery="lio-mcs-erl2", neighbours=1
    )
    outcome.write(tmp_path / "outcome")
    again = analyzer.Outcome.read(tmp_path / "outcome")
    found = again.arrow["incidents"].to_pylist()[0]
    steps = [step["what"] for step in json.loads(found["steps"])]
    assert steps[:3] == ["fault", "detected", "hold"]
    kinds = set(again.arrow["events"].column("kind").to_pylist())
    assert {"connection-lost", "request-reassigned", "path-reinstated"} <= kinds
    requests = again.arrow["requests"]
    made = np.asarray(requests.column("initiator_index")) == 1
    assert made.sum() == len(made) // 2
    assert requests.column("task_index").null_count == made.sum()
    assert requests.column("reassign_count").to_numpy().sum() == found["reassigned"] > 0


def test_timers_as_recorded_want_a_recorded_failover():
    with pytest.raises(UnusableInputError, match="shows no lost connection"):
        analyzer.replay(
            analyzer.analyze(capture_path("mcs-2conn-rr-tgt")),
            "mpio:2/round-robin",
            faults=["reset,link=0,at=50%"],
            recovery="as-recorded",
        )

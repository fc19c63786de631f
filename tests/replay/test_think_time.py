"""An application that is known not to think: what lies between completion and next request is latency."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.errors import UnusableInputError
from analyzer.replay.given import given_by
from tests.made import make_timeline
from tests.real import capture_path

RECORDED = "W6-asym-mcs2-rr"
NONE = given_by(["think_time=none"])


@pytest.fixture(scope="module")
def recording():
    """Sixteen outstanding at any time: the next of the list is asked for at any completion."""
    return analyzer.analyze(capture_path(RECORDED))


def chained(count=200, think_ns=30_000):
    """Reads one behind another: each is asked for ``think_ns`` behind the answer before it."""
    begin = np.arange(count) * 1_000_000 + 5_000_000
    return make_timeline(command_ns=begin, response_ns=begin + 1_000_000 - think_ns, lba=np.arange(count) * 8)


def of(outcome):
    """Ready, completion and latency, and the metrics by name."""
    columns = [outcome.values("requests", name, 0) for name in ("ready_ns", "completed_ns", "latency_ns")]
    return *columns, {row["metric"]: row["value"] for row in outcome.arrow["metrics"].to_pylist()}


@pytest.mark.parametrize("pacing", ["closed", "depth:4"])
def test_what_lies_between_a_completion_and_the_next_request_is_added_to_the_latency(recording, pacing):
    """Each completion is where the next request was asked for; what is told of the wire does not change."""
    known = analyzer.replay(recording, "mpio:2/round-robin", pacing=pacing, given=NONE, repeats=0)
    plain = analyzer.replay(recording, "mpio:2/round-robin", pacing=pacing, repeats=0)
    ready, completed, latency, figures = of(known)
    plain_ready, _, plain_latency, plain_figures = of(plain)
    assert np.array_equal(ready, plain_ready)
    assert np.array_equal(
        known.values("requests", "seen_latency_ns", 0), plain.values("requests", "seen_latency_ns", 0)
    )
    assert (latency == completed - ready).all()
    added = latency - plain_latency
    assert (added >= 0).all()
    assert (added > 0).mean() > 0.9
    assert figures["latency_ns_p50"] > plain_figures["latency_ns_p50"]
    assert figures["iops"] == plain_figures["iops"]
    # Of those that move data, so many are asked for first; every other was asked for at a completion.
    moves = known.values("requests", "transferred_bytes") > 0
    first = 4 if pacing == "depth:4" else 16
    asked = np.sort(ready[moves])[first + (0 if pacing == "closed" else 2) :]
    assert np.isin(asked, completed).mean() > 0.99


def test_a_chain_is_complete_where_it_goes_on():
    outcome = analyzer.replay(chained(), "single/-", given=NONE, repeats=0)
    ready, completed, latency, _ = of(outcome)
    assert np.array_equal(completed[:-1], ready[1:])
    assert (latency[:-1] == np.diff(ready)).all()
    text = " ".join(outcome.manifest["assumptions"])
    assert "said not to think" in text
    thought = next(one for one in outcome.manifest["calibration"] if one["key"] == "think_time")
    assert "given as the initiator's own time" in thought["rests_on"]


def test_an_open_loop_has_no_such_time():
    """Requests are asked for at their recorded times, whatever came before."""
    known = analyzer.replay(chained(), "single/-", pacing="recorded", given=NONE, repeats=0)
    plain = analyzer.replay(chained(), "single/-", pacing="recorded", repeats=0)
    assert np.array_equal(of(known)[2], of(plain)[2])
    assert "said not to think" not in " ".join(known.manifest["assumptions"])


def test_a_time_is_no_answer():
    with pytest.raises(UnusableInputError, match="think_time can be none") as found:
        given_by(["links.rate=1Mbps", "think_time=3ms"])
    assert found.value.place == "think_time=3ms"

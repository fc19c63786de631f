"""A part of a workload: whole in itself, where it was asked for, and replayed like the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.replay.calibration import calibration_of
from analyzer.replay.run import replay_from
from analyzer.replay.state import NONE
from analyzer.replay.words import scenario_of
from analyzer.replay.workload import excerpt_around
from tests.made import BEGIN_NS, make_timeline


def test_an_excerpt_is_the_requests_around_a_moment():
    """What waited for a request inside still does; what waited for one outside has a time of its own."""
    timeline = make_timeline(tasks=400)
    whole = calibration_of(timeline)
    middle_ns = int(timeline.values("tasks", "command_ns")[200])
    part = excerpt_around(whole.workload, middle_ns, 100)
    assert part.task.tolist() == list(range(150, 250))
    assert part.issued_ns[0] == 0
    assert (
        part.issued_ns + part.begin_ns == whole.workload.issued_ns[150:250] + whole.workload.begin_ns
    ).all()
    before = whole.workload.pacing.predecessor[150:250]
    inside = before >= 150
    assert 0 < inside.sum() < 100
    assert (part.pacing.predecessor[inside] == before[inside] - 150).all()
    assert (part.pacing.predecessor[~inside] == NONE).all()
    assert "Of 400 requests the 100 around" in part.assumptions[0]


@pytest.mark.parametrize(("moment_ns", "first"), [(BEGIN_NS, 0), (BEGIN_NS + 10**12, 300)])
def test_at_either_end_it_is_as_long(moment_ns: int, first: int):
    part = excerpt_around(calibration_of(make_timeline(tasks=400)).workload, moment_ns, 100)
    assert part.task.tolist() == list(range(first, first + 100))


def test_what_is_short_enough_stays_whole():
    whole = calibration_of(make_timeline(tasks=40)).workload
    assert excerpt_around(whole, BEGIN_NS, 40) is whole


def test_an_excerpt_replays_as_fast_as_the_whole():
    """A closed loop of eight: a quarter of it completes as many per second, but for its end."""
    timeline = make_timeline(tasks=4000)
    whole = calibration_of(timeline)
    middle_ns = int(timeline.values("tasks", "command_ns")[2000])
    rates = []
    part = replace(whole, workload=excerpt_around(whole.workload, middle_ns, 1000))
    for start in (whole, part):
        (outcome,) = replay_from(timeline, start, [scenario_of("mcs:2/round-robin")], repeats=0)
        metrics = outcome.arrow["metrics"].to_pylist()
        rates.append(next(row["value"] for row in metrics if row["metric"] == "iops"))
        assert outcome.arrow["requests"].num_rows == len(start.workload)
    assert rates[1] == pytest.approx(rates[0], rel=0.02)

"""Runs in which a link was really made to fail, predicted from the capture of one link that never did.

The recordings lie beside the checkout; without them there is nothing to compare with, and the tests say so.
"""

from __future__ import annotations

import pytest

import analyzer
from analyzer.replay.recorded_links import recorded_links
from analyzer.replay.service_times import service_times
from analyzer.replay.workload import workload_of
from benchmarks.accuracy.failovers import failovers_from
from benchmarks.accuracy.measured import runs_in
from tests.real import MORE_CAPTURES

RECORDED = MORE_CAPTURES.parent / "whatif"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recordings in {RECORDED}")
FAILING = ("W5u-fail-mcs2-rr-retry", "W5u-fail-mpio2-rr-retry", "W5u-fail-mpio2-rr-lunreset")


@pytest.fixture(scope="module")
def runs():
    return {run.name: run for run in runs_in(RECORDED)}


@pytest.fixture(scope="module")
def from_one_link(runs):
    source = runs["W5u-single"]
    found = failovers_from(source, analyzer.analyze(source.capture), [runs[name] for name in FAILING])
    return {prediction.run.name: prediction for prediction in found}


@pytest.mark.parametrize("name", FAILING)
def test_one_link_predicts_a_failover_over_two(from_one_link, name):
    """Writes of 64 KiB that all wait for the links: a quarter, and as many commands as were hit."""
    prediction = from_one_link[name]
    assert prediction.predicted("affected") == prediction.measured("affected")
    assert abs(prediction.error("iops")) < 3
    for figure in ("first", "last", "slowest"):
        assert abs(prediction.error(figure)) < 25, f"{figure}: {prediction.figures[figure]}"


def test_writes_outlive_a_reset_at_the_recorded_target(runs):
    """Of many small commands: the unit attention meets a write that waited for its data, as in the repeats.

    Where it met a command that was sent again, the last completion came half as late again.
    """
    source, run = runs["W6-single"], runs["W6-fail-mpio2-rr-lunreset"]
    (prediction,) = failovers_from(source, analyzer.analyze(source.capture), [run])
    assert prediction.predicted("affected") == prediction.measured("affected")
    for figure in ("first", "last", "slowest"):
        assert abs(prediction.error(figure)) < 15, f"{figure}: {prediction.figures[figure]}"


@pytest.mark.parametrize("name", FAILING)
def test_a_recorded_failover_shows_the_depth_of_its_application(runs, name):
    """What was sent again keeps its place until the last attempt is answered."""
    timeline = analyzer.analyze(runs[name].capture)
    links = recorded_links(timeline)
    workload = workload_of(timeline, links, service_times(timeline, links))
    assert workload.queue_depth.depth == runs[name].queue_depth

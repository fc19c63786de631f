"""Runs in which a link was really made to fail, predicted from the capture of one link that never did.

The recordings lie beside the checkout; without them there is nothing to compare with, and the tests say so.
"""

from __future__ import annotations

import numpy as np
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


MIXED = ("W6-fail-mcs2-rr-retry", "W6-fail-mpio2-rr-retry", "W6-fail-mpio2-rr-lunreset")


@pytest.fixture(scope="module")
def from_several(runs):
    """The failing runs of a mixed workload, each predicted from three captures."""
    found = [
        failovers_from(runs[source], analyzer.analyze(runs[source].capture), [runs[name] for name in MIXED])
        for source in ("W6-single", "W6-mcs2-rr", "W6-mpio2-rr")
    ]
    return {name: [one[number] for one in found] for number, name in enumerate(MIXED)}


@pytest.mark.parametrize("name", MIXED)
def test_many_small_commands_are_as_far_when_the_link_dies(from_several, name):
    """Which commands a reset hits changes every few milliseconds: the replay has to be as far as the run was.

    Without a congestion window, which stops data of writes while acknowledgements lie behind that of reads,
    it was 10 ms ahead and the first completion of MC/S a fifth too early. Of a LUN RESET the unit attention
    meets a write that waited for its data, as in the repeats; where it met a command that was sent again, the
    last completion came half as late again.
    """
    for prediction in from_several[name]:
        for figure in ("first", "last", "slowest"):
            assert abs(prediction.error(figure)) < 15, f"{figure}: {prediction.figures[figure]}"


@pytest.mark.parametrize("name", MIXED)
def test_as_many_commands_are_hit_as_in_the_repeats(from_several, name):
    """Repeats of MC/S had 4, 7 and 8 commands on the link, which the moments around the fault have too."""
    predicted = [number for one in from_several[name] for number in one.figures["affected"]]
    measured = [
        repeat["failover"]["affected_commands"] for repeat in from_several[name][0].run.truth["repeats"]
    ]
    assert min(predicted) <= min(measured)
    assert max(measured) <= max(predicted)
    if len(set(measured)) == 1:
        assert np.median(predicted) == measured[0]


@pytest.mark.parametrize("name", FAILING)
def test_a_recorded_failover_shows_the_depth_of_its_application(runs, name):
    """What was sent again keeps its place until the last attempt is answered."""
    timeline = analyzer.analyze(runs[name].capture)
    links = recorded_links(timeline)
    workload = workload_of(timeline, links, service_times(timeline, links))
    assert workload.queue_depth.depth == runs[name].queue_depth

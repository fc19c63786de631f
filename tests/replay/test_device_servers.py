"""How many commands a device serves at once, found in recordings of one queue depth and used at others."""

from __future__ import annotations

import heapq
import json

import numpy as np
import pytest

import analyzer
from analyzer.comparison.baseline import Fit, baseline_error
from analyzer.replay.calibrated import Confidence
from analyzer.replay.device_servers import device_servers, served_ns
from benchmarks.accuracy.predictions import figures_of
from tests.real import TRACES, capture_path

SERVICE_NS, JITTER_NS = 10_000_000, 2_000_000
RECORDED = "four-servers-depth-16"


def closed_loop(servers, depth, requests=400, jitter_ns=JITTER_NS, seed=5):
    """Arrivals, times at the device and services of a closed loop at a device that serves in order."""
    random = np.random.default_rng(seed)
    service = SERVICE_NS + random.integers(-jitter_ns, jitter_ns + 1, requests)
    free, open_until = [0] * servers, []
    arrived, took = np.zeros(requests, np.int64), np.zeros(requests, np.int64)
    for request in range(requests):
        if len(open_until) == depth:
            arrived[request] = heapq.heappop(open_until) + 50_000
        ended = max(arrived[request], heapq.heappop(free)) + service[request]
        heapq.heappush(free, ended)
        heapq.heappush(open_until, ended)
        took[request] = ended - arrived[request]
    return arrived, took, service


def found_in(arrived, took, is_exact=None, kind=None):
    count = len(arrived)
    exact = np.ones(count, bool) if is_exact is None else is_exact
    kinds = np.zeros(count, np.int64) if kind is None else kind
    return device_servers(arrived, took, exact, kinds, np.zeros(count, np.int64), 1)


@pytest.mark.parametrize("jitter_ns", [0, JITTER_NS])
@pytest.mark.parametrize("servers", [1, 2, 4, 7])
def test_the_number_of_servers_is_found_with_what_each_command_took(servers, jitter_ns):
    """Without jitter only the beginning of the run, where the queue is still short, tells the number."""
    arrived, took, service = closed_loop(servers, 16, jitter_ns=jitter_ns)
    found = found_in(arrived, took)
    value = found.values[0]
    assert value.value == servers
    assert value.low <= servers <= value.high
    assert value.key == "target.servers"
    assert np.abs(served_ns(arrived, took, servers) - service).max() == 0
    # Of seven jittering servers the queue shows less than the jitter: told, and not replayed unless given.
    is_sure = (servers, jitter_ns) != (7, JITTER_NS)
    assert value.confidence is (Confidence.HIGH if is_sure else Confidence.MEDIUM)
    assert found.servers == (servers if is_sure else 0,)
    assert (found.service_ns == (service if is_sure else took)).all()


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_a_device_that_no_command_waited_for_has_no_limit_but_a_lower_bound(depth):
    arrived, took, _ = closed_loop(8, depth)
    found = found_in(arrived, took)
    assert found.servers == (0,)
    assert (found.values[0].value, found.values[0].low, found.values[0].high) == (None, depth, None)
    assert found.values[0].confidence is Confidence.LOW
    assert (found.service_ns == took).all()


def test_a_few_known_times_say_nothing():
    arrived, took, _ = closed_loop(4, 16)
    is_exact = np.arange(len(took)) % 20 == 0
    assert found_in(arrived, took, is_exact).servers == (0,)


def test_chance_is_not_taken_for_a_queue():
    """Times that have nothing to do with each other: no number of servers makes them scatter less."""
    random = np.random.default_rng(8)
    arrived = np.cumsum(random.exponential(2_000_000, 400)).astype(np.int64)
    took = random.integers(2_000_000, 30_000_000, 400)
    assert found_in(arrived, took).servers == (0,)


def test_commands_of_other_devices_do_not_queue_with_each_other():
    first, second = closed_loop(2, 8, seed=1), closed_loop(5, 16, seed=2)
    arrived, took = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    device = np.repeat([0, 1], 400)
    found = device_servers(arrived, took, np.ones(800, bool), np.zeros(800, np.int64), device, 2)
    assert [value.value for value in found.values] == [2, 5]
    alone = np.concatenate([found_in(*one[:2]).service_ns for one in (first, second)])
    assert (found.service_ns == alone).all()


def test_compiled_and_uncompiled_are_alike():
    arrived, took, _ = closed_loop(3, 16)
    assert (served_ns(arrived, took, 3) == served_ns.py_func(arrived, took, 3)).all()


@pytest.fixture(scope="module")
def recording():
    return analyzer.analyze(capture_path(RECORDED))


def test_a_recording_at_depth_16_tells_the_four_threads_of_its_target(recording):
    outcome = analyzer.replay(recording, "as-recorded")
    values = {value["name"]: value for value in outcome.manifest["calibration"]}
    at_once = values["commands served at once, logical unit 0"]
    assert (at_once["value"], at_once["low"], at_once["high"]) == (4, 4, 4)
    assert values["median service time"]["value"] == pytest.approx(10_000_000, rel=0.05)
    assert "The device serves 4 requests at once" in " ".join(outcome.manifest["assumptions"])


@pytest.mark.parametrize("depth", [1, 4, 32])
def test_it_predicts_other_depths_as_they_were_measured(recording, depth):
    """The device was really run at those depths: 4 I/O threads of tgt, 10 ms a command."""
    result = json.loads((TRACES / "device" / f"four-servers-depth-{depth}.result.json").read_text())
    outcome = analyzer.replay(recording, "single/-", pacing=f"depth:{depth}")
    found = figures_of(outcome)
    assert found["iops"] == pytest.approx(result["median"]["iops"], rel=0.1)
    assert found["lat_p50_ms"] == pytest.approx(result["median"]["lat_p50_ms"], rel=0.1)


def test_a_depth_beyond_what_was_seen_is_named_before_it_is_believed():
    from tests.made import make_timeline

    timeline = make_timeline(tasks=120, connections=1, depth=4)
    deeper = analyzer.replay(timeline, "single/-", pacing="depth:16").manifest["assumptions"]
    assert any("whether it serves 16 at once is not known" in sentence for sentence in deeper)
    as_deep = analyzer.replay(timeline, "single/-", pacing="depth:4").manifest["assumptions"]
    assert not any("at once is not known" in sentence for sentence in as_deep)


def test_what_a_scenario_gives_goes_before_what_was_found(recording):
    unlimited = figures_of(analyzer.replay(recording, "single/-", target={"servers": 0}))
    limited = figures_of(analyzer.replay(recording, "single/-"))
    assert unlimited["iops"] > 2 * limited["iops"]


def test_the_baseline_of_another_depth_is_still_that_of_the_recording(recording):
    """The check of the model has to be driven as the recording was, whatever depth is asked about."""
    outcome = analyzer.replay(recording, "as-recorded", pacing="depth:4")
    assert outcome.manifest["pacing"] == "closed"
    error = baseline_error(outcome, recording)
    assert error.fit is Fit.GOOD, error.sentence

"""Runs that were really made are replayed under the topology and policy that they had."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analyzer.errors import UnusableInputError
from analyzer.replay.scenario import Topology as Replayed
from analyzer.replay.words import scenario_of
from benchmarks.accuracy import predictions
from benchmarks.accuracy.failovers import FailoverPrediction, fault_of, rankings, recovery_words
from benchmarks.accuracy.measured import Run, runs_in
from benchmarks.accuracy.predictions import Prediction
from benchmarks.lab.configuration import SHORT_POLICY_NAMES, Configuration, Link, Policy, Topology, Workload
from benchmarks.lab.results import result_of
from tests.lab.test_results import ITEMS, repeat, row


def measured(folder: Path, **changed: Any) -> Run:
    """One run as the lab writes it, read again; ``changed`` are keys of its file."""
    configuration = Configuration(workload=Workload(commands=4), links=(Link(), Link()))
    rows = [row(index, 0, 1000 * (index + 1), index % 2) for index in range(4)]
    result = result_of("W-x", configuration, ITEMS, [repeat(*rows)]) | changed
    (folder / "W-x.result.json").write_text(json.dumps(result))
    (run,) = runs_in(folder)
    return run


@pytest.mark.parametrize("topology", [Topology.MCS, Topology.MPIO])
@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("is_short", [True, False])
def test_every_policy_of_the_lab_is_replayed_as_itself(
    tmp_path: Path, topology: Topology, policy: Policy, is_short: bool
) -> None:
    name = SHORT_POLICY_NAMES[policy] if is_short else policy
    scenario = scenario_of(measured(tmp_path, topology=topology, policy=name).words)
    assert scenario.policy == policy
    assert scenario.topology is (Replayed.MCS if topology is Topology.MCS else Replayed.MPIO)
    assert scenario.link_count == 2
    # The initiators of all recordings choose the lower path where two are as good.
    has_ties = policy in (Policy.LEAST_QUEUE_DEPTH, Policy.SERVICE_TIME)
    assert scenario.policy_options == ({"ties": "lowest-path"} if has_ties else {})


def test_one_path_has_no_policy(tmp_path: Path) -> None:
    assert scenario_of(measured(tmp_path, topology="single", paths=1).words).topology is Replayed.SINGLE


def test_a_policy_that_is_not_known_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"W-x\.result\.json.*'dice' is none of"):
        _ = measured(tmp_path, policy="dice").words


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "flood"}, r"failover\.kind.*'flood' is none of reset, black-hole, link-down"),
        ({"method": "prayer"}, r"failover\.method.*'prayer' is none of mcs-retry"),
    ],
)
def test_a_failure_that_is_not_known_is_named_with_its_file(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    told = {"kind": "reset", "path": 0, "method": "mcs-retry"} | changed
    run = measured(tmp_path, repeats=[{"failover": told}])
    with pytest.raises(UnusableInputError, match=rf"W-x\.result\.json.*{said}"):
        _ = fault_of(run, 0), recovery_words(run)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"W-x"'])
def test_a_result_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "W-x.result.json").write_text(text)
    with pytest.raises(UnusableInputError, match=r"W-x\.result\.json: is no JSON"):
        runs_in(tmp_path)


@pytest.mark.parametrize(
    ("moments", "is_in"),
    [
        ((80.0, 120.0), True),
        ((60.0, 91.0), True),
        ((109.0, 120.0), True),
        ((60.0, 89.0), False),
        ((111.0, 120.0), False),
    ],
)
def test_a_failover_is_in_range_as_near_as_its_repeats_lie_apart(
    tmp_path: Path, moments: tuple[float, ...], is_in: bool
) -> None:
    figure = "failover_first_affected_completion_ms"
    run = measured(tmp_path, median={figure: 100.0}, spread_pct={figure: 10.0})
    assert FailoverPrediction("W-y", run, {"first": moments}).is_in_range("first") is is_in


def test_a_failing_run_is_ranked_among_the_others(tmp_path: Path) -> None:
    """It is slower than the healthy one by measure; a prediction that says otherwise is a wrong pair."""
    healthy = measured(tmp_path, median={"iops": 500.0}, spread_pct={"iops": 1.0})
    failing = measured(tmp_path, median={"iops": 300.0}, spread_pct={"iops": 1.0})
    predictions = (Prediction("W-one", healthy, {"iops": 480.0}, {}, ()),)
    source = SimpleNamespace(source=SimpleNamespace(name="W-one"), predictions=predictions)
    for expected, wrong in ((310.0, 0), (490.0, 1)):
        failovers = [
            FailoverPrediction("W-one", failing, {"iops": (1.0, expected, 900.0)}),
            FailoverPrediction("W-another", failing, {"iops": (900.0,)}),
        ]
        (found,) = rankings([source], failovers)  # type: ignore[list-item]
        assert (found.pairs, len(found.wrong)) == (1, wrong)


@pytest.mark.parametrize(("figure", "expected"), [(1.15, 1.15 * 0.94 / 1.11), (2.08, 2.08)])
def test_a_median_beside_a_gap_takes_nothing_from_repeats(
    monkeypatch: pytest.MonkeyPatch, figure: float, expected: float
) -> None:
    """Half of the commands take 0.9 to 1.2 ms, half 2.1: the next rank may be of the others."""
    told = {"value": 1.11e6, "median": 0.94e6, "low": 0.89e6, "high": 1.17e6}
    metrics = dict.fromkeys((*predictions.MEASURE_OF.values(), predictions.SHARE_METRIC), told)
    figures = dict.fromkeys((*predictions.MEASURE_OF, predictions.SHARE), 0.0) | {"lat_p50_ms": figure}
    monkeypatch.setattr(predictions, "figures_of", lambda _: figures)
    monkeypatch.setattr(predictions, "_metrics", lambda _: metrics)
    assert predictions._expected(SimpleNamespace())["lat_p50_ms"] == pytest.approx(expected)

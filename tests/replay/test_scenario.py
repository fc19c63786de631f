"""The words of --with and --pacing: what they mean, and how a mistake in them is told."""

from __future__ import annotations

import pytest

from analyzer.errors import UnusableInputError
from analyzer.replay.policies import POLICIES, POLICY_BY_NAME
from analyzer.replay.scenario import Pacing, Topology
from analyzer.replay.words import scenario_of


def test_words_become_a_scenario_and_are_its_label():
    scenario = scenario_of("mcs:2/round-robin", pacing="depth:8", seed=3)
    assert (scenario.topology, scenario.link_count, scenario.policy) == (Topology.MCS, 2, "round-robin")
    assert (scenario.pacing, scenario.depth, scenario.seed) == (Pacing.DEPTH, 8, 3)
    assert scenario.label == "mcs:2/round-robin"
    assert scenario.pacing_text == "depth:8"


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("single/-", "single/-"),
        ("single/round-robin", "single/round-robin"),
        ("as-recorded", "as-recorded"),
        ("mpio:4/queue-length", "mpio:4/least-queue-depth"),
        ("mpio:2/st(ties=lowest-path)", "mpio:2/service-time(ties=lowest-path)"),
    ],
)
def test_labels_name_policies_in_one_way(words, label):
    assert scenario_of(words).label == label


def test_only_the_recorded_topology_is_the_baseline():
    assert scenario_of("as-recorded").is_baseline
    assert not scenario_of("mcs:2/as-recorded").is_baseline


def test_choices_reach_a_policy_as_their_place():
    assert scenario_of("mpio:2/lqd").option_values == [0.0]
    assert scenario_of("mpio:2/lqd(ties=lowest-path)").option_values == [1.0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "not TOPOLOGY/POLICY"),
        ("mcs:2", "names no policy"),
        ("mcs:2/-", "names no policy"),
        ("ring:2/round-robin", "no topology 'ring'"),
        ("mcs:2/fastest", "no policy 'fastest'"),
        ("mcs:0/round-robin", "greater than or equal to 1"),
        ("mcs:65/round-robin", "less than or equal to 64"),
        ("single:2/-", "single has one link"),
        ("as-recorded:2", "takes no number"),
        ("as-recorded/round-robin", "takes no policy"),
        ("mcs:2/round-robin(iops=1)", "has no option 'iops'"),
        ("mcs:2/lqd(ties=best)", "one of least-recently-used, lowest-path"),
        ("mcs:2/lqd(ties", "not TOPOLOGY/POLICY"),
    ],
)
def test_a_mistake_in_the_words_is_one_line_that_names_it(words, told):
    with pytest.raises(UnusableInputError) as caught:
        scenario_of(words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pacing", ["depth", "depth:0", "depth:x", "open", "closed:2", "", "depth:99999999"])
def test_a_mistake_in_the_pacing_is_told(pacing):
    with pytest.raises(UnusableInputError, match="--pacing"):
        scenario_of("single/-", pacing=pacing)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"links": {"rate_to_target_bps": -1}}, "rate_to_target_bps"),
        ({"links": [{"speed": 1}]}, "speed"),
        ({"links": []}, "no link"),
        ({"target": {"gate": "none of these"}}, "gate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_mistake_in_a_value_names_its_key(given, place):
    with pytest.raises(UnusableInputError, match=place):
        scenario_of("single/-", **given)


def test_every_policy_has_one_name_a_sentence_and_a_source():
    names = [name for policy in POLICIES for name in (policy.name, *policy.aliases)]
    assert len(names) == len(set(names)) == len(POLICY_BY_NAME)
    for policy in POLICIES:
        assert policy.sentence.endswith(".")
        assert policy.source

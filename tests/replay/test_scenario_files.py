"""Scenario files: what they say becomes scenarios, a matrix all combinations, a mistake one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.errors import UnusableInputError
from analyzer.replay.quantities import bits_per_second, byte_count, nanoseconds, per_billion
from analyzer.replay.scenario import Pacing, Topology
from analyzer.replay.scenario_files import read_scenarios, schema
from tests.made import make_timeline

DOCS = Path(__file__).parents[2] / "docs"


def scenarios(tmp_path, text, **more):
    place = tmp_path / "what-if.toml"
    place.write_text(text)
    return read_scenarios(place, **more)


def test_a_file_says_all_that_a_scenario_holds(tmp_path):
    (one,) = scenarios(
        tmp_path,
        """
        [[scenario]]
        name = "slow WAN"
        with = "mpio:2xmcs:2/service-time+round-robin"
        pacing = "depth:8"
        seed = 4
        time_scale = 0.5
        processor = "2us"
        shared_links = true
        links = [
            { rate = "1Gbps", delay = "5ms", loss = "0.1%", window = "64KiB", jitter = "1ms" },
            { rate_to_target = "10Mbit/s", rate_from_target = 40000000, postpaid = true, mtu = 9000 },
            { queue = "2kB" },
        ]
        target = { gate = "istgt", servers = 2, service = "1ms", seek = "8ms", medium = "35MB/s" }
        negotiated = { max_outstanding_r2t = 16, initial_r2t = false }
        """,
    )
    assert (one.label, one.topology, one.connections) == ("slow WAN", Topology.MPIO, 2)
    assert (one.pacing, one.depth, one.seed, one.time_scale) == (Pacing.DEPTH, 8, 4, 0.5)
    assert (one.processor_ns, one.are_links_shared) == (2000, True)
    assert one.links[0].rate_to_target_bps == one.links[0].rate_from_target_bps == 10**9
    assert (one.links[0].delay_to_target_ns, one.links[0].loss_per_billion) == (5_000_000, 1_000_000)
    assert (one.links[0].window_bytes, one.links[0].jitter_ns) == (65536, 1_000_000)
    assert one.links[2].queue_to_target_bytes == one.links[2].queue_from_target_bytes == 2000
    assert (one.links[1].rate_to_target_bps, one.links[1].rate_from_target_bps) == (10**7, 4 * 10**7)
    assert (one.links[1].is_postpaid, one.links[1].mtu_bytes) == (True, 9000)
    assert (one.target.gate, one.target.service_ns, one.target.bytes_per_s) == ("istgt", 10**6, 35 * 10**6)
    assert (one.negotiated.max_outstanding_r2t, one.negotiated.initial_r2t) == (16, False)


def test_a_matrix_is_every_combination_each_with_a_label_of_its_own(tmp_path):
    found = scenarios(
        tmp_path,
        """
        [defaults]
        pacing = "depth:4"
        [[scenario]]
        with = "single/-"
        links = [{ delay = "1ms" }]
        matrix = { "links.rate" = ["1Gbps", "10Gbps"], with = ["mcs:2/rr", "mpio:2/st"] }
        [[scenario]]
        with = "single/-"
        pacing = "recorded"
        """,
        seed=9,
    )
    assert [(one.topology, one.links[0].rate_to_target_bps) for one in found[:4]] == [
        (Topology.MCS, 10**9),
        (Topology.MPIO, 10**9),
        (Topology.MCS, 10**10),
        (Topology.MPIO, 10**10),
    ]
    assert len({one.label for one in found}) == 5
    assert {one.links[0].delay_to_target_ns for one in found[:4]} == {1_000_000}
    assert [one.pacing for one in found] == [Pacing.DEPTH] * 4 + [Pacing.RECORDED]
    assert {one.seed for one in found} == {9}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no [[scenario]]"),
        ("x = ", "is no TOML"),
        ("[[scenario]]\n", "scenario 1.with"),
        ("[[scenario]]\nwith = 'mcs:2/fastest'", "no policy 'fastest'"),
        ("[[scenario]]\nwith = 'single/-'\nspeed = 1", "scenario 1.speed: there is no such key"),
        ("[[scenario]]\nwith = 'single/-'\npacing = 'depth'", "scenario 1.pacing"),
        ("[[scenario]]\nwith = 'single/-'\nlinks = [{ rate = '1Mbyte' }]", "scenario 1.links.0.rate"),
        ("[[scenario]]\nwith = 'single/-'\nlinks = [{ delay = 'soon' }]", "wants a number with its unit"),
        ("[[scenario]]\nwith = 'single/-'\nlinks = []", "scenario 1.links"),
        ("[[scenario]]\nwith = 'single/-'\ntarget = { gate = 'iet' }", "scenario 1.target.gate"),
        ("[[scenario]]\nwith = 'single/-'\nmatrix = { seed = 1 }", "scenario 1.matrix"),
        ("[[scenario]]\nwith = 'single/-'\nmatrix = { 'links.speed' = [1] }", "links.0.speed"),
        ("other = 1\n[[scenario]]\nwith = 'single/-'", "other"),
        ("[[scenario]]\nwith='single/-'\nmatrix = { seed = [" + "1," * 2000 + "] }", "more than 1000"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path, text, told):
    with pytest.raises(UnusableInputError) as caught:
        scenarios(tmp_path, text)
    assert "what-if.toml" in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UnusableInputError, match="cannot be read"):
        read_scenarios(tmp_path / "none.toml")


@given(st.text())
def test_any_text_is_scenarios_or_one_line(tmp_path_factory, text):
    """Invariant: what is no scenario file is refused in one line, whatever it is."""
    place = tmp_path_factory.mktemp("any") / "any.toml"
    place.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UnusableInputError, match=r"^[^\n]*$"):
        read_scenarios(place)


def test_quantities_are_whole_numbers_of_the_smallest_unit():
    assert [bits_per_second(text) for text in ("10Gbps", "40 Mbit/s", "9600", 5)] == [
        10**10,
        4 * 10**7,
        9600,
        5,
    ]
    assert [nanoseconds(text) for text in ("50us", "0.5ms", "2s", 7)] == [50_000, 500_000, 2 * 10**9, 7]
    assert [byte_count(text) for text in ("64KiB", "10MB", 1500)] == [65536, 10**7, 1500]
    assert [per_billion(text) for text in ("0.1%", 0.001)] == [10**6, 10**6]


def test_a_scenario_of_a_file_replays(tmp_path):
    (one,) = scenarios(tmp_path, "[[scenario]]\nname = 'x'\nwith = 'mcs:2/rr'\nlinks = [{ rate = '1Mbps' }]")
    outcome = analyzer.replay(make_timeline(tasks=50, connections=2, depth=4), one)
    assert outcome.label == "x"
    assert outcome.manifest["scenario"]["links"][0]["rate_to_target_bps"] == 10**6
    shares = outcome.frame("utilisation").busy_share
    assert shares.between(0, 1).all()
    assert shares.max() > 0.5


def test_the_schema_and_the_example_of_the_docs_are_those_of_the_models(tmp_path):
    assert json.loads((DOCS / "scenario.schema.json").read_text()) == schema()
    text = (DOCS / "scenarios.md").read_text().split("```toml\n")[1].split("```")[0]
    assert len(scenarios(tmp_path, text)) == 9

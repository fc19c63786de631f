"""Words of a command line or a matrix become configurations, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import WriteData
from benchmarks.lab.matrix import REFERENCE, configuration_from, read_matrix


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"paths": "single"}, "single"),
        ({"paths": "single/-"}, "single"),
        ({"paths": "mcs:2/least-queue-depth"}, "mcs2-lqd"),
        ({"paths": "mpio:4/round-robin"}, "mpio4-rr"),
        ({"paths": "mpio:2/service-time", "rates": ["40", "10"]}, "asym-mpio2-st"),
        ({"paths": "mcs:2", "fault": "reset:1@0.7"}, "fail-mcs2-rr-retry"),
        ({"paths": "mpio:2", "fault": "reset:1@0.7", "recovery": "lun-reset"}, "fail-mpio2-rr-lunreset"),
        ({"paths": "mpio:2", "fault": "black-hole:0@1"}, "fail-mpio2-rr-retry-blackhole"),
    ],
)
def test_names_are_those_of_the_reference_recordings(words: dict[str, Any], name: str) -> None:
    assert configuration_from(**words).name == name


def test_rates_may_differ_by_link_and_direction() -> None:
    links = configuration_from(paths="mcs:2", rates=["40/20", "10"]).links
    assert [(link.to_target_mbit, link.to_initiator_mbit) for link in links] == [(40, 20), (10, 10)]


def test_a_preset_brings_its_device_and_its_way_of_writing() -> None:
    assert configuration_from(workload="W9").device.read_ms == 10
    assert configuration_from(workload="W5u").writes is WriteData.UNSOLICITED


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"paths": "mcs:2/fastest"}, "--with: 'mcs:2/fastest' is not"),
        ({"paths": "mcs:9"}, "others 1 to 8"),
        ({"paths": "single:2"}, "single has 1 path"),
        ({"paths": "single", "fault": "reset:0@1"}, "needs a second path"),
        ({"paths": "mcs:2", "fault": "reset:2@1"}, "names path 2 of 2"),
        ({"paths": "mcs:2", "fault": "reset:1"}, "--fault: 'reset:1' is not"),
        ({"paths": "mcs:2", "fault": "reset:1@0"}, "--fault: 'reset:1@0' is not"),
        ({"paths": "mcs:2", "recovery": "lun-reset"}, "lun-reset is for mpio"),
        ({"paths": "mcs:2", "recovery": "prayer"}, "'prayer' is not a valid"),
        ({"paths": "mcs:2", "rates": ["1", "2", "3"]}, "3 rates for 2 links"),
        ({"rates": ["fast"]}, "'fast' is no rate"),
        ({"rates": ["0"]}, "greater than or equal to 0.1"),
        ({"workload": "W2"}, "'W2' is none of"),
        ({"workload": {"sizes": [100]}}, "a size is 100 bytes"),
        ({"workload": {"commands": 10**9}}, "less than or equal to 100000"),
        ({"workload": {"name": "../x"}}, "should match pattern"),
        ({"deadline_s": 1e9}, "less than or equal to 300"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_one_line(words: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnusableInputError, match=complaint) as caught:
        configuration_from(**words)
    assert "\n" not in str(caught.value)


def test_the_reference_matrix_can_be_read() -> None:
    repeats, configurations = read_matrix(REFERENCE)
    names = [f"{one.workload.name}-{one.name}" for one in configurations]
    assert repeats == 3
    assert len(names) == len(set(names))
    assert {"W1-single", "W6-mpio4-rr", "W9-asym-mpio2-st", "W6-fail-mpio2-rr-lunreset"} <= set(names)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "is no matrix"),
        ("repeats = 3", r"needs \[\[run\]\] tables"),
        ("repeats = 99\n[[run]]", "repeats from 1 to 20"),
        ('[[run]]\nwith = "mcs:2"\n[[run]]\nwith = ["single", "x"]', "run 2"),
        ("[[run]]\ncolour = 1", "run 1"),
        ("[[run]]\nwith = 5", "run 1"),
        ("run = [1]", "run 1"),
    ],
)
def test_a_matrix_that_is_none_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text(text)
    with pytest.raises(UnusableInputError, match=complaint) as caught:
        read_matrix(path)
    assert "\n" not in str(caught.value)

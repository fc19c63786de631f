"""A list of commands depends on nothing but its parameters, fits its unit, and can be read back."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Configuration, Workload
from benchmarks.lab.workload import PRESETS, make_items, read_items

WORKLOADS = st.builds(
    Workload,
    commands=st.integers(1, 300),
    sizes=st.lists(st.integers(1, 256).map(lambda blocks: 512 * blocks), min_size=1, max_size=4).map(tuple),
    read_ratio=st.floats(0, 1),
    is_sequential=st.booleans(),
    seed=st.integers(0, 1 << 32),
    lun_bytes=st.integers(1 << 20, 1 << 24),
)


@given(WORKLOADS)
@settings(max_examples=50, deadline=None)
def test_every_command_fits_the_unit_and_the_seed_decides(workload: Workload) -> None:
    items = make_items(workload)
    assert len(items) == workload.commands
    assert all(item.lba >= 0 and item.lba * 512 + item.length_bytes <= workload.lun_bytes for item in items)
    assert {item.length_bytes for item in items} <= set(workload.sizes)
    assert items == make_items(workload)


def test_sequential_commands_follow_each_other() -> None:
    items = make_items(PRESETS["W3"].workload)
    assert [item.lba for item in items[:3]] == [0, 128, 256]
    assert all(item.is_read for item in items)


def test_a_list_is_read_from_an_earlier_run(tmp_path: Path) -> None:
    path = tmp_path / "W.r1.commands.csv.gz"
    path.write_bytes(gzip.compress(b"index,lba,bytes,dir,path\n0,8,4096,R,0\n1,1024,512,W,1\n"))
    assert read_items(path, Configuration()) == [(8, 4096, True), (1024, 512, False)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lba,bytes,dir\n1,x,R\n", "no list of commands"),
        ("index\n1\n", "no list of commands"),
        ("lba,bytes,dir\n", "lists no command"),
        ("lba,bytes,dir\n0,100,R\n", "line 2: does not fit"),
        ("lba,bytes,dir\n0,512,R\n99999999999,512,R\n", "line 3: does not fit"),
    ],
)
def test_a_list_that_does_not_fit_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(UnusableInputError, match=complaint):
        read_items(path, Configuration())


def test_a_list_that_is_no_gzip_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(UnusableInputError, match="no list of commands"):
        read_items(path, Configuration())

"""Scratch arrays hold what is put into them, also once their pages were let go, and leave nothing behind."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import UnusableInputError
from analyzer.scratch import MAPPED_BYTES_LIMIT, STEP, Scratch, _mapped_bytes


def test_values_stay_when_pages_are_let_go() -> None:
    scratch = Scratch()
    column = scratch.empty((1000, 48), np.uint8)
    column[:] = np.arange(1000)[:, None] % 251
    scratch.let_go()
    assert (column[:, 47] == np.arange(1000) % 251).all()


def test_steps_cover_everything_once() -> None:
    count = 2 * STEP + 5
    assert [(step.start, step.stop) for step in Scratch().steps(count)] == [
        (0, STEP),
        (STEP, 2 * STEP),
        (2 * STEP, count),
    ]
    assert list(Scratch(is_used=False).steps(count)) == [slice(0, count)]
    assert list(Scratch().steps(0)) == [slice(0, 0)]


def test_few_pages_stay_in_the_process() -> None:
    before = _mapped_bytes()
    scratch = Scratch()
    column = scratch.empty(4 * MAPPED_BYTES_LIMIT, np.uint8)
    for step in scratch.steps(len(column)):
        column[step] = 1
        assert _mapped_bytes() < before + 2 * MAPPED_BYTES_LIMIT
    assert column[-1] == 1


@given(st.lists(st.integers(0, 3 * STEP), unique=True, max_size=50))
@settings(deadline=None)
def test_rows_gathered_in_steps_are_those_gathered_at_once(rows: list[int]) -> None:
    scratch = Scratch()
    column = scratch.empty((3 * STEP + 1, 2), np.int32)
    column[:] = np.arange(3 * STEP + 1)[:, None]
    ascending = np.array(sorted(rows), np.int64)
    assert (scratch.gathered(column, ascending) == column[ascending]).all()


def test_arrays_are_made_while_others_are_let_go() -> None:
    scratch = Scratch()
    kept = []

    def make() -> None:
        for number in range(400):
            column = scratch.empty(10, np.int64)
            column[:] = number
            if number % 2:
                kept.append(column)

    makers = [threading.Thread(target=make) for _ in range(3)]
    for maker in makers:
        maker.start()
    while any(maker.is_alive() for maker in makers):
        scratch.let_go()
    assert sorted(int(column[0]) for column in kept) == sorted(3 * list(range(1, 400, 2)))


def test_a_place_without_room_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", is_full)
    with pytest.raises(UnusableInputError, match="no room for 80 bytes"):
        Scratch().empty(10, np.int64)


def test_nothing_stays_behind_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    column = Scratch().empty(10, np.int64)
    column[:] = 7
    assert list(tmp_path.iterdir()) == []
    assert column.sum() == 70

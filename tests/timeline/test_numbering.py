"""Keys get numbers in order of first appearance, and are spread over the table however they differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.timeline.numbering import _slot, number_keys

BITS = 18
SLOTS = 1 << BITS


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 9), max_size=200))
def test_numbers_are_those_of_first_appearance(keys: list[int]) -> None:
    numbers, count = number_keys(np.array(keys, np.int64))
    firsts = list(dict.fromkeys(keys))
    assert count == len(firsts)
    assert numbers.tolist() == [firsts.index(key) for key in keys]


def test_more_keys_than_the_first_table_holds() -> None:
    keys = np.arange(50_000, dtype=np.int64) * 977
    numbers, count = number_keys(np.concatenate([keys, keys[::-1]]))
    assert count == len(keys)
    assert (numbers[: len(keys)] == np.arange(len(keys))).all()
    assert (numbers[len(keys) :] == np.arange(len(keys))[::-1]).all()


@pytest.mark.parametrize(("low", "high"), [(100_000, 1), (281, 449), (2, 50_000)])
def test_neighbouring_tags_of_many_sessions_meet_in_few_slots(low: int, high: int) -> None:
    """About as few share a slot as of keys thrown at random."""
    keys = [session << 32 | tag for session in range(high) for tag in range(low)]
    slots = {_slot(key, 32 - BITS, SLOTS - 1) for key in keys}
    by_chance = SLOTS * (1 - (1 - 1 / SLOTS) ** len(keys))
    assert len(slots) > 0.95 * by_chance

"""Serial arithmetic agrees with RFC 1982 everywhere, the wrap and the ambiguous distance included."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.serial_numbers import serial_difference, serial_less, serial_max, unwrap

numbers = st.integers(0, 2**32 - 1)
near = st.integers(1, 2**31 - 1)


@given(numbers, near)
def test_a_number_is_less_than_any_within_half_the_circle_after_it(start: int, step: int) -> None:
    later = (start + step) % 2**32
    assert serial_less(start, later)
    assert not serial_less(later, start)
    assert serial_max(start, later) == serial_max(later, start) == later
    assert serial_difference(later, start) == step
    assert serial_difference(start, later) == -step


@given(numbers)
def test_equal_and_opposite_numbers_are_not_less(number: int) -> None:
    opposite = (number + 2**31) % 2**32
    assert not serial_less(number, number)
    assert not serial_less(number, opposite)
    assert not serial_less(opposite, number)


@given(numbers, st.lists(st.integers(-(2**30), 2**30), max_size=50))
def test_unwrapping_keeps_every_step(start: int, steps: list[int]) -> None:
    true = np.cumsum(np.array([start, *steps], np.int64))
    wrapped = (true % 2**32).astype(np.uint32)
    assert (unwrap(wrapped) == true).all()


def test_unwrapping_relative_to_a_start_goes_on_where_the_start_left_off() -> None:
    assert unwrap(np.array([2, 3], np.uint32), start=2**32 + 2**32 - 1).tolist() == [2**33 + 2, 2**33 + 3]
    assert unwrap(np.zeros(0, np.uint32)).tolist() == []

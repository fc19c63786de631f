"""Which commands continue another, in the order given and as a target sorts them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sequentiality import continues, sorted_order

UNIT = np.zeros(6, np.int64)


def test_a_run_of_blocks_continues_but_for_its_first():
    begin = np.arange(6, dtype=np.int64) * 8
    assert continues(UNIT, begin, begin + 8).tolist() == [False, True, True, True, True, True]


def test_neighbours_changed_about_break_three_sequences():
    """0 1 3 2 4 5: two is behind three, so three, two and four begin anew."""
    begin = np.array([0, 1, 3, 2, 4, 5], np.int64) * 8
    assert continues(UNIT, begin, begin + 8).tolist() == [False, True, False, False, False, True]


def test_units_do_not_break_each_other():
    begin = np.array([0, 0, 8, 8, 16, 16], np.int64)
    assert continues(np.array([0, 1] * 3), begin, begin + 8).tolist() == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]


def test_sorting_mends_what_two_links_changed_about():
    begin = np.array([8, 0, 24, 16, 40, 32], np.int64)
    served = sorted_order(UNIT, begin, begin + 8, 2)
    assert begin[served].tolist() == [0, 8, 16, 24, 32, 40]


def test_with_one_command_queued_there_is_nothing_to_sort():
    begin = np.array([8, 0, 24, 16, 40, 32], np.int64)
    assert sorted_order(UNIT, begin, begin + 8, 1).tolist() == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=40), st.integers(1, 50))
def test_every_command_is_served_once_and_none_waits_out_of_the_queue(commands: list, queued: int):
    """Compiled as uncompiled; a command is served at the earliest when it is among those queued."""
    unit = np.array([one for one, _ in commands], np.int64)
    begin = np.array([one for _, one in commands], np.int64)
    served = sorted_order(unit, begin, begin + 1, queued)
    assert sorted(served.tolist()) == list(range(len(commands)))
    assert np.array_equal(served, sorted_order.py_func(unit, begin, begin + 1, queued))
    assert all(command < place + queued for place, command in enumerate(served.tolist()))

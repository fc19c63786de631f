"""Bars beside each other: the lowest free lane for each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.lanes import stack


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 200)), max_size=100),
    st.integers(1, 6),
)
def test_bars_of_one_row_do_not_overlap_unless_rows_run_out(spans: list[tuple[int, int]], slots: int):
    """The compiled stacking against its rule, checked bar by bar."""
    spans = sorted(spans)
    start = np.array([first for first, _ in spans], np.int64)
    end = start + np.array([length for _, length in spans], np.int64)
    rows = stack(start, end, slots)
    for bar in range(len(spans)):
        busy = {int(rows[other]) for other in range(bar) if end[other] > start[bar]}
        free = [row for row in range(slots) if row not in busy]
        assert rows[bar] == (free[0] if free else slots - 1)
    assert np.array_equal(rows, stack.py_func(start, end, slots))

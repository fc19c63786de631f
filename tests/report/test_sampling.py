"""What is left out of too many marks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.sampling import keep, spread_ranks


@given(st.lists(st.integers(0, 10**12), max_size=300), st.integers(8, 100))
def test_the_largest_is_always_kept(values: list[int], limit: int):
    """At most the limit, in order, with the highest rank among them."""
    rank = np.array(values, np.int64)
    kept = keep(rank, limit)
    assert len(kept) == min(len(values), limit)
    assert (np.diff(kept) > 0).all()
    if values:
        assert rank[kept].max() == rank.max()


def test_a_quarter_is_extremes_and_the_rest_spread():
    rank = np.zeros(10_000)
    rank[5_000:5_100] = np.arange(100) + 1
    kept = keep(rank, 400)
    assert set(range(5_000, 5_100)) <= set(kept.tolist())
    spread = kept[(kept < 5_000) | (kept >= 5_100)]
    assert len(kept) == 400
    assert np.diff(spread).max() < 200


@given(st.integers(0, 100_000), st.integers(4, 500))
def test_a_distribution_keeps_both_ends(total: int, limit: int):
    places = spread_ranks(total, limit)
    assert len(places) <= limit
    assert (np.diff(places) > 0).all()
    if total:
        assert places[0] == 0
        assert places[-1] == total - 1

"""What an interval promises: it holds the figure, has no width without chance, and keeps its level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.intervals import LEVEL, interval, middle, widened

FIGURES = st.floats(-1e12, 1e12, allow_nan=False)


@given(runs=st.lists(FIGURES, min_size=2, max_size=60), place=st.integers(0, 59))
def test_an_interval_holds_its_figure_be_it_the_middle_or_any_run(runs, place):
    for figure in (middle(np.array(runs)), runs[place % len(runs)]):
        low, high = interval(figure, np.array(runs))
        assert low <= figure <= high


@pytest.mark.parametrize("runs", [2, 4, 19, 51])
def test_without_chance_there_is_no_width(runs):
    assert interval(5.0, np.full(runs, 5.0)) == (5.0, 5.0)


def test_a_figure_of_one_run_alone_has_no_interval():
    assert interval(5.0, np.zeros(0)) is None
    assert interval(5.0, np.array([5.0, np.nan, np.nan])) is None
    assert interval(5.0, np.array([np.nan, 5.0, 5.0])) == (5.0, 5.0)


def test_the_middle_of_runs_is_their_median_without_those_that_lack_it():
    """Two regimes: what most runs show, not a mixture that none does."""
    assert middle(np.array([42.0, 54.0, np.nan, 54.0, 54.0, 42.0])) == 54.0
    assert middle(np.array([np.nan])) is None


@pytest.mark.parametrize("repeats", [3, 9, 18, 99])
def test_a_further_run_lies_inside_with_the_declared_level(repeats):
    """Of 4,000 normal runs, each with its own repeats, as many as declared; of ten, two more or fewer."""
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(4000):
        *runs, further = random.normal(100, 7, repeats + 2)
        low, high = interval(middle(np.array(runs)), np.array(runs))
        inside += low <= further <= high
    assert inside / 4000 == pytest.approx(LEVEL, abs=0.02)


def test_of_two_regimes_both_are_shown():
    """Runs that come out at 42 or 54: the interval goes from one to the other and no further."""
    runs = np.where(np.arange(19) % 3 == 0, 42.0, 54.0)
    assert interval(54.0, runs) == (42.0, 54.0)
    low, high = interval(54.0, runs[:7])
    assert low <= 42
    assert high >= 54


def test_both_ends_are_widened():
    assert widened((1.0, 2.0), 0.5) == (0.5, 2.5)

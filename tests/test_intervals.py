"""What an interval promises: it holds the figure, has no width without chance, and keeps its level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.intervals import LEVEL, interval, widened

FIGURES = st.floats(-1e12, 1e12, allow_nan=False)


@given(figure=FIGURES, repeats=st.lists(FIGURES, min_size=1, max_size=60))
def test_an_interval_holds_its_figure(figure, repeats):
    low, high = interval(figure, np.array(repeats))
    assert low <= figure <= high


@pytest.mark.parametrize("repeats", [1, 3, 18, 50])
def test_without_chance_there_is_no_width(repeats):
    assert interval(5.0, np.full(repeats, 5.0)) == (5.0, 5.0)


def test_a_figure_that_no_repeat_has_has_no_interval():
    assert interval(5.0, np.zeros(0)) is None
    assert interval(5.0, np.full(3, np.nan)) is None
    assert interval(5.0, np.array([np.nan, 5.0])) == (5.0, 5.0)


@pytest.mark.parametrize("repeats", [3, 9, 18, 99])
def test_a_further_run_lies_inside_with_the_declared_level(repeats):
    """Of 4,000 normal runs, each with its own repeats, as many as declared; of ten, two more or fewer."""
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(4000):
        figure, *others, further = random.normal(100, 7, repeats + 2)
        low, high = interval(figure, np.array(others))
        inside += low <= further <= high
    assert inside / 4000 == pytest.approx(LEVEL, abs=0.02)


def test_of_two_regimes_both_are_shown():
    """Runs that come out at 42 or 54: the interval goes from one to the other and no further."""
    repeats = np.where(np.arange(18) % 3 == 0, 42.0, 54.0)
    assert interval(54.0, repeats) == (42.0, 54.0)
    low, high = interval(54.0, repeats[:6])
    assert low <= 42
    assert high >= 54


def test_both_ends_are_widened():
    assert widened((1.0, 2.0), 0.5) == (0.5, 2.5)

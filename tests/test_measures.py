"""What is measured of requests is what a careful reader would count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.measures import MEASURES, longest_gap_ns, measure, percentile

requests = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 500), st.booleans()), max_size=30)


def figures_of(rows: list[tuple[int, int, bool]]) -> dict[str, float | None]:
    ready = np.array([row[0] for row in rows], np.int64)
    completed = ready + np.array([row[1] for row in rows], np.int64)
    done = np.array([row[2] for row in rows], bool)
    return measure(
        ready_ns=ready,
        completed_ns=completed,
        is_completed=done,
        order_wait_ns=np.zeros(len(rows), np.int64),
        read_bytes=512 * int(done.sum()),
        written_bytes=0,
    )


def test_three_requests_by_hand() -> None:
    figures = figures_of([(0, 1_000, True), (500, 1_000, True), (1_000, 9_000, False)])
    assert figures["requests"] == 3
    assert figures["completed"] == 2
    assert figures["failed"] == 1
    assert figures["duration_s"] == pytest.approx(1.5e-6)
    assert figures["iops"] == pytest.approx(2 / 1.5e-6)
    assert figures["read_bytes_per_s"] == pytest.approx(1024 / 1.5e-6)
    assert figures["latency_ns_mean"] == 1_000
    assert figures["outstanding_mean"] == pytest.approx(2_000 / 1_500)


def test_nothing_completed_gives_no_figure_rather_than_a_zero() -> None:
    figures = figures_of([(0, 5, False)])
    assert figures["iops"] is None
    assert figures["latency_ns_p99"] is None
    assert figures_of([])["requests"] == 0


@given(requests)
def test_every_declared_measure_is_answered_and_little_holds(rows: list[tuple[int, int, bool]]) -> None:
    figures = figures_of(rows)
    assert set(figures) == {item.name for item in MEASURES}
    if figures["iops"] and figures["outstanding_mean"]:
        latency = figures["latency_ns_mean"]
        assert latency is not None
        assert figures["outstanding_mean"] == pytest.approx(figures["iops"] * latency / 1e9)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=100), st.floats(1, 100))
def test_a_percentile_is_a_value_that_occurred(values: list[int], share: float) -> None:
    array = np.array(values, np.int64)
    found = percentile(array, share)
    assert found in values
    assert (array <= found).mean() * 100 >= share - 1e-9


def gap_by_hand(rows: list[tuple[int, int, bool]]) -> int:
    """Walk every nanosecond; slow and obvious."""
    finished = [start + duration for start, duration, done in rows if done]
    if not finished:
        return 0
    longest = current = 0
    for instant in range(max(finished) + 1):
        if instant in finished:
            longest, current = max(longest, current), 0
        flying = any(
            start <= instant and (not done or instant < start + duration) for start, duration, done in rows
        )
        current = current + 1 if flying else 0
    return longest


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.booleans()), max_size=8))
def test_the_longest_gap_agrees_with_walking_every_instant(rows: list[tuple[int, int, bool]]) -> None:
    ready = np.array([row[0] for row in rows], np.int64)
    completed = ready + np.array([row[1] for row in rows], np.int64)
    assert longest_gap_ns(ready, completed, np.array([row[2] for row in rows], bool)) == gap_by_hand(rows)

"""Which the target sent first, told from the order of R2Ts and data on one connection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.replay.answer_order import MOST_PAIRS
from analyzer.replay.grant_order import granted_in_order, pairs_of

COUNT, APART_NS = 100, 50_000_000


def near_each_other(grant_ns, service_ns, seed=5):
    """Pairs of a write and a read within 300 us; R2T and data go 20 ms later, as they were ready."""
    random = np.random.default_rng(seed)
    write = np.arange(1, COUNT + 1) * APART_NS
    read = write + random.integers(-300_000, 300_000, COUNT)
    is_data_first = read + service_ns < write + grant_ns
    arrived, r2t, data = (np.zeros(2 * COUNT, np.int64) for _ in range(3))
    arrived[0::2], arrived[1::2] = write, read
    r2t[0::2] = write + 20_000_000
    data[1::2] = r2t[0::2] + np.where(is_data_first, -1_000, 1_000)
    return np.zeros(2 * COUNT, np.int64), arrived, r2t, data


def moved(grant_ns, service_ns, seems_ns):
    """The wait before R2Ts as it comes out where it seems to be ``seems_ns``."""
    connection, arrived, r2t, data = near_each_other(grant_ns, service_ns)
    found = granted_in_order(
        np.full(2 * COUNT, seems_ns),
        r2t > 0,
        np.full(2 * COUNT, service_ns),
        data > 0,
        pairs_of(connection, arrived, r2t, data),
    )
    assert (found == found[0]).all()
    return int(found[0])


@pytest.mark.parametrize("seems_ns", [250_000, 400_000, 0])
def test_a_wait_that_contradicts_the_order_is_moved_until_it_does_not(seems_ns):
    """Truth is 100 us, with reads of 150 us: 20 of 100 leads lie within 30 us of the difference."""
    assert moved(100_000, 150_000, seems_ns) == pytest.approx(100_000, abs=20_000)


def test_a_wait_that_keeps_the_order_stays():
    assert moved(100_000, 150_000, 101_000) == 101_000


def test_no_wait_is_negative():
    """R2Ts always went first, even of writes that came 300 us behind the read."""
    assert moved(0, 1_000_000, 900_000) < 720_000
    assert moved(0, 100_000, 250_000) == pytest.approx(0, abs=20_000)


def test_an_order_by_chance_and_few_pairs_move_nothing():
    connection, arrived, r2t, data = near_each_other(100_000, 150_000)
    by_chance = np.random.default_rng(3).choice([-1_000, 1_000], COUNT)
    data[1::2] = r2t[0::2] + by_chance
    seems, service = np.full(2 * COUNT, 700_000), np.full(2 * COUNT, 150_000)
    pairs = pairs_of(connection, arrived, r2t, data)
    assert len(pairs[0]) == COUNT
    assert granted_in_order(seems, r2t > 0, service, data > 0, pairs) is seems
    few = tuple(one[:10] for one in pairs)
    assert granted_in_order(seems, r2t > 0, service, data > 0, few) is seems
    nothing = pairs_of(connection, arrived, np.zeros_like(r2t), data)
    assert granted_in_order(seems, r2t < 0, service, data > 0, nothing) is seems


def test_pairs_of_a_long_and_dense_recording_are_thinned():
    """A million commands, of which each write has some 400 reads near it."""
    arrived = np.arange(1_000_000) * 2_500
    is_write = np.arange(len(arrived)) % 2 == 0
    r2t, data = np.where(is_write, arrived + 100_000, 0), np.where(is_write, 0, arrived + 200_000)
    lead, is_data_first = pairs_of(np.zeros(len(arrived), np.int64), arrived, r2t, data)
    assert MOST_PAIRS / 2 < len(lead) <= MOST_PAIRS
    assert is_data_first.mean() == pytest.approx(0.45, abs=0.01), "of 2 ms those that came 100 us sooner"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4_000_000), st.integers(0, 2)), max_size=60))
def test_pairs_are_those_of_one_connection_that_came_within_a_millisecond(tasks):
    connection, arrived, kind = (np.array([one[field] for one in tasks], np.int64) for field in range(3))
    r2t, data = np.where(kind == 1, arrived + 7, 0), np.where(kind == 2, arrived + 7, 0)
    lead, _ = pairs_of(connection, arrived, r2t, data)
    expected = [
        int(arrived[read] - arrived[write])
        for write in range(len(tasks))
        for read in range(len(tasks))
        if r2t[write] > 0
        and data[read] > 0
        and connection[read] == connection[write]
        and -1_000_000 <= arrived[read] - arrived[write] < 1_000_000
    ]
    assert sorted(lead.tolist()) == sorted(expected)

"""Requests that a host gave to its sessions in turn are put in that order, and others are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.replay.turns import asked_in_turn, in_turn

COUNT, EVERY_NS = 200, 1_000_000


def by_session(member):
    """Rows session by session, each in order of asking, as a recording gives them."""
    return np.lexsort((np.arange(len(member)), member))


def spans(count=COUNT, width=10, seed=1):
    """When each was really asked for, and a span of up to ``width`` requests around it."""
    random = np.random.default_rng(seed)
    asked = np.arange(count) * EVERY_NS
    begin = asked - random.integers(0, width * EVERY_NS // 2, count)
    end = asked + random.integers(0, width * EVERY_NS // 2, count)
    return asked, begin, end


@pytest.mark.parametrize("sessions", [2, 3, 4])
@pytest.mark.parametrize("count", [COUNT, COUNT + 1])
def test_round_robin_is_found_however_wide_the_spans(sessions, count):
    member = np.arange(count) % sessions
    _, begin, end = spans(count)
    rows = by_session(member)
    turns = in_turn(member[rows], begin[rows], end[rows])
    assert rows[turns].tolist() == list(range(count))


@pytest.mark.parametrize("given_to", ["random", "blocks", "first more to one, then to the other"])
def test_what_was_not_in_turn_is_not_taken_for_it(given_to):
    """As many to each session, but at random, in blocks of twenty, or two for one until half."""
    random = np.random.default_rng(2)
    place = np.arange(COUNT)
    member = {
        "random": random.permutation(place % 2),
        "blocks": place // 20 % 2,
        "first more to one, then to the other": np.where(place < 99, place % 3 == 0, place % 3 > 0) * 1,
    }[given_to]
    _, begin, end = spans(width=4)
    rows = by_session(member)
    assert in_turn(member[rows], begin[rows], end[rows]) is None


@pytest.mark.parametrize("lost_at", [60, 61, 150])
def test_the_others_go_on_in_turn_where_a_session_is_lost(lost_at):
    """Of three sessions the second gets nothing from some request on."""
    place = np.arange(COUNT)
    member = np.where(place < lost_at, place % 3, np.where(place % 2, 2, 0))
    _, begin, end = spans()
    rows = by_session(member)
    turns = in_turn(member[rows], begin[rows], end[rows])
    assert turns is not None
    before = rows[turns][: lost_at - 3].tolist()
    assert before == list(range(lost_at - 3))
    assert sorted(turns.tolist()) == list(range(COUNT))


def test_few_requests_and_uneven_shares_say_nothing():
    _, begin, end = spans()
    assert in_turn(np.zeros(COUNT, np.int64), begin, end) is None
    uneven = np.where(np.arange(COUNT) < 99, 0, 1)
    assert in_turn(uneven, begin, end) is None
    assert in_turn(np.repeat([0, 1], 10), begin[:20], end[:20]) is None
    assert in_turn(np.zeros(0, np.int64), begin[:0], end[:0]) is None


@given(guessed=st.lists(st.integers(-20, 220), min_size=40, max_size=40))
def test_times_are_moved_into_the_order_and_stay_in_their_spans(guessed):
    asked, begin, end = spans(40)
    found = asked_in_turn(np.arange(40), np.array(guessed) * EVERY_NS, begin, end)
    assert (np.diff(found) >= 0).all()
    assert (found >= begin).all()
    assert (found <= end).all()
    assert np.array_equal(asked_in_turn(np.arange(40), asked, begin, end), asked), (
        "what fits is left as it is"
    )

"""Which the initiator did first, told from the order of commands and data on one connection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.replay.answer_order import AnswerOrder, Answers, answer_order, in_order, order_value
from analyzer.replay.calibrated import Confidence
from analyzer.replay.pacing import Pacing

COUNT, APART_NS = 200, 50_000_000


def behind_each_other(think_ns, turnaround_ns, seed=4, near_ns=0, far_ns=300_000):
    """Pairs of a status and an R2T so far apart; command and data leave 20 ms later, as written."""
    random = np.random.default_rng(seed)
    status = np.arange(1, COUNT + 1) * APART_NS
    r2t = status + random.integers(near_ns, far_ns, COUNT) * random.choice([-1, 1], COUNT)
    is_data_first = r2t + turnaround_ns < status + think_ns
    left = status + 20_000_000
    data = np.where(is_data_first, left - 1_000, left + 1_000)
    # In threes: one that completes, one that an R2T asks for data, one that waits for the completion.
    total = 3 * COUNT
    connection, nothing = np.zeros(total, np.int64), np.zeros(total, np.int64)
    completed, asked, sent, leaves = nothing - 1, nothing.copy(), nothing.copy(), nothing.copy()
    completed[0::3], asked[1::3], sent[1::3], leaves[2::3] = status, r2t, data, left
    predecessor = np.full(total, -1, np.int32)
    predecessor[2::3] = np.arange(0, total, 3)
    longest = np.full(total, 10_000_000)
    pacing = Pacing(predecessor, nothing, longest, np.zeros(total, np.bool_), nothing)
    return pacing, Answers(connection, leaves, completed, asked, sent)


@pytest.mark.parametrize(
    ("think_ns", "turnaround_ns"), [(100_000, 20_000), (20_000, 120_000), (60_000, 60_000), (0, 200_000)]
)
def test_the_difference_is_found_between_its_bounds(think_ns, turnaround_ns):
    order = answer_order(*behind_each_other(think_ns, turnaround_ns))
    assert (order.pairs, order.out_of_order) == (COUNT, 0)
    assert order.low_ns <= think_ns - turnaround_ns <= order.high_ns
    assert order.difference_ns == pytest.approx(think_ns - turnaround_ns, abs=10_000)
    assert order_value(order).confidence is Confidence.HIGH


def test_where_data_always_went_first_only_a_lower_bound_is_known():
    order = answer_order(*behind_each_other(1_000_000, 0))
    assert order.high_ns is None
    assert 250_000 < order.low_ns <= 300_000
    assert order.difference_ns == order.low_ns
    assert order_value(order).confidence is Confidence.MEDIUM


def test_where_no_r2t_is_near_a_status_those_farther_away_bound_the_turnaround():
    """Data that seems to take 15 ms left before commands that were asked for 2 ms behind its R2T."""
    pacing, answers = behind_each_other(0, 1_500_000, near_ns=2_000_000, far_ns=3_000_000)
    order = answer_order(pacing, answers)
    assert (order.pairs, order.out_of_order, order.difference_ns) == (COUNT, 0, 0)
    assert -2_100_000 < order.low_ns < -1_500_000
    assert 2_000_000 < order.high_ns < 2_100_000
    _, turnaround = in_order(pacing, np.full(3 * COUNT, 15_000_000), True, order)
    assert (turnaround == 0).all()
    few_wrong = answers.data_ns.copy()
    few_wrong[1:19:3] = 2 * answers.left_ns[2:20:3] - few_wrong[1:19:3]
    order = answer_order(pacing, replace(answers, data_ns=few_wrong))
    assert (order.out_of_order, order.difference_ns) == (6, 0), "the status of some was a wrong one"


def test_a_turnaround_longer_than_the_pairs_are_apart_is_kept():
    pacing, answers = behind_each_other(0, 8_000_000, near_ns=2_000_000, far_ns=14_000_000)
    order = answer_order(pacing, answers)
    assert order.difference_ns == pytest.approx(-8_000_000, abs=200_000)
    _, turnaround = in_order(pacing, np.full(3 * COUNT, 15_000_000), True, order)
    assert (turnaround == -order.difference_ns).all()


def test_an_order_that_no_difference_explains_is_not_believed():
    pacing, answers = behind_each_other(100_000, 0)
    by_chance = np.random.default_rng(2).choice([-1_000, 1_000], COUNT)
    data = answers.data_ns.copy()
    data[1::3] = answers.left_ns[2::3] + by_chance
    order = answer_order(pacing, replace(answers, data_ns=data))
    assert order.difference_ns is None
    assert in_order(pacing, np.full(len(data), 70), True, order)[0] is pacing


def test_hidden_times_become_the_smallest_that_keep_the_order():
    pacing, _ = behind_each_other(100_000, 20_000)
    order = AnswerOrder(80_000, 80_000, COUNT, 0)
    thought, turnaround = in_order(pacing, np.full(3 * COUNT, 250_000), True, order)
    assert (thought.think_ns[2::3] == 80_000).all()
    assert (thought.think_ns[0::3] == 0).all()
    assert (turnaround == 0).all()
    sooner = AnswerOrder(-30_000, -30_000, COUNT, 0)
    thought, turnaround = in_order(pacing, np.full(3 * COUNT, 250_000), True, sooner)
    assert (thought.think_ns == 0).all()
    assert (turnaround == 30_000).all()


def test_turnarounds_that_the_capture_shows_stay():
    pacing, _ = behind_each_other(100_000, 20_000)
    order = AnswerOrder(80_000, 80_000, COUNT, 0)
    thought, turnaround = in_order(pacing, np.full(3 * COUNT, 40_000), False, order)
    assert (turnaround == 40_000).all()
    assert (thought.think_ns[2::3] == 120_000).all()

"""When requests were asked for, which completion each waited for, and how long it thought."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.calibrated import Confidence
from analyzer.replay.pacing import paced, pacing_values
from analyzer.replay.queue_depth import queue_depth


def pace(latest, completed, *, earliest=None, group=None, stream=None, seen=None, unseen=0):
    """Requests in order of asking within their group; those that are not ``seen`` have a span."""
    count = len(latest)
    latest = np.array(latest)
    return paced(
        np.zeros(count, np.int64) if earliest is None else np.array(earliest),
        latest,
        np.array(completed),
        np.ones(count, np.bool_) if seen is None else np.array(seen),
        np.zeros(count, np.int64) if group is None else np.array(group),
        np.zeros(count, np.int64) if stream is None else np.array(stream),
        np.full(count, unseen),
    )


def test_a_chain_at_depth_one_is_found_with_its_think_times():
    pacing = pace([0, 110, 250], [100, 200, 300])
    assert pacing.predecessor.tolist() == [-1, 0, 1]
    assert pacing.think_ns.tolist() == [0, 10, 50]


def test_each_completion_brings_at_most_one_request():
    pacing = pace([0, 0, 101, 102, 103], [100, 90, 500, 500, 500])
    assert pacing.predecessor.tolist() == [-1, -1, 0, 1, -1]


def test_streams_are_not_mixed():
    pacing = pace([0, 0, 50, 60], [40, 30, 90, 90], stream=[0, 1, 1, 0], group=[0, 1, 1, 0])
    assert pacing.predecessor.tolist() == [-1, -1, 1, 0]


def test_a_request_without_response_is_waited_for_by_none():
    assert pace([0, 50], [-1, 90]).predecessor.tolist() == [-1, -1]


def test_nothing_waits_for_itself_even_if_it_completed_when_it_was_issued():
    assert pace([10, 10], [10, 10]).predecessor.tolist() == [-1, -1]


def test_time_between_recorder_and_initiator_is_no_thinking():
    assert pace([0, 110], [100, 200], unseen=4).think_ns.tolist() == [0, 6]


def test_a_command_that_waited_unseen_was_asked_for_behind_the_status_that_it_acknowledges():
    """Two writes at depth 2: the third left at 195, but acknowledges the first status and not the second."""
    pacing = pace(
        [0, 0, 199, 299], [100, 200, 300, 400], earliest=[0, 0, 100, 200], seen=[True, True, False, False]
    )
    assert pacing.predecessor.tolist() == [-1, -1, 0, 1]
    assert pacing.issued_ns.tolist() == [0, 0, 100, 200]


def test_of_two_sessions_the_span_that_ends_first_takes_a_completion():
    """The status at 100 falls into both spans; that of the second session has no other."""
    pacing = pace(
        [0, 250, 0, 150],
        [100, 300, 200, 400],
        earliest=[0, 50, 0, 60],
        seen=[True, False, True, False],
        group=[0, 0, 1, 1],
    )
    assert pacing.predecessor.tolist() == [-1, 2, -1, 0]


def test_completions_that_were_read_together_are_followed_by_one_request_each():
    """Statuses of two connections at 995 and 1000 are both read before two commands are built.

    Both commands then acknowledge the later one. The first status is not left over, or all that follows
    would seem to wait for one completion later.
    """
    pacing = pace(
        [0, 0, 1999, 2001, 2999, 3001],
        [1000, 995, 2000, 2002, 3000, 3002],
        earliest=[0, 0, 1000, 1000, 2000, 2002],
        seen=[True, True, False, False, False, False],
        group=[0, 0, 0, 1, 0, 1],
    )
    assert pacing.predecessor.tolist() == [-1, -1, 1, 0, 2, 3]


def test_a_completion_long_before_a_span_is_not_of_it():
    """An application that keeps one request less from then on leaves a completion without a request."""
    pacing = pace(
        [0, 0, 1999, 2999],
        [1000, 500, 2000, 3000],
        earliest=[0, 0, 1000, 2000],
        seen=[True, True, False, False],
    )
    assert pacing.predecessor.tolist() == [-1, -1, 0, 2]


def depth_of(issued, completed, known=True):
    count = len(issued)
    return queue_depth(
        np.array(issued),
        np.array(completed),
        np.full(count, -1, np.int32),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.ones(count, np.bool_),
        np.full(count, known),
    )


@pytest.mark.parametrize("depth", [1, 2, 8, 16])
def test_a_number_outstanding_that_stands_still_is_the_queue_depth(depth):
    completed = np.arange(1, 201) * 1000
    issued = np.concatenate([np.zeros(depth, np.int64), completed[: 200 - depth]])
    found = depth_of(issued, completed)
    assert found.depth == depth
    assert found.value.confidence == "high"


def test_no_request_of_a_standing_queue_thought_for_longer_than_a_round():
    """Twenty requests at depth 2, each 10 behind a completion; number 15 is given one from the beginning."""
    completed = np.arange(20) * 100 + 150
    issued = np.concatenate([[0, 0], completed[:18] + 10])
    think = np.where(np.arange(20) < 2, 0, 10)
    think[15] = issued[15] - completed[0]
    found = depth_of(issued, completed)
    assert found.depth == 2
    limited = found.limited(think, issued, completed, np.ones(20, np.bool_))
    assert limited.tolist() == [0, 0, *[10] * 18]
    short = np.where(np.arange(20) == 7, 90, think)
    assert found.limited(short, issued, completed, np.ones(20, np.bool_))[7] == 90, (
        "a pause within a round stays"
    )


@pytest.mark.parametrize(("apart", "is_at_once"), [(5, True), (7, True), (8, False), (100, False)])
def test_what_fills_the_queue_at_first_is_asked_for_at_once_where_it_left_close_together(apart, is_at_once):
    """Eight commands; the first takes 1000, of which 50 are a twentieth. The first request moves no data."""
    completed = np.arange(1, 201) * 1000
    issued = np.concatenate([np.arange(8) * apart, completed[:192]])
    found = depth_of(issued, completed)
    assert found.depth == 8
    moves_data = np.append(False, np.ones(200, np.bool_))
    begun = found.begun(np.append(-30, issued), moves_data)
    assert begun[1:9].tolist() == ([0] * 8 if is_at_once else [one * apart for one in range(8)])
    assert begun[0] == -30
    assert np.array_equal(begun[9:], completed[:192])


def test_requests_at_times_of_their_own_have_no_queue_depth():
    issued = np.cumsum(np.tile([10, 10, 10, 970], 50))
    found = depth_of(issued, issued + 500)
    assert found.depth is None
    assert "moves between" in found.value.rests_on


def test_a_depth_that_rests_on_commands_behind_others_alone_is_not_believed():
    completed = np.arange(1, 201) * 1000
    issued = np.concatenate([[0, 0], completed[:198]])
    assert depth_of(issued, completed, known=False).value.confidence == "low"


def test_commands_of_a_session_are_asked_for_in_the_order_of_their_numbers():
    """The second left freely at 150; the first waited unseen and cannot have been asked for behind it."""
    pacing = pace([160, 150, 400], [300, 500, 600], earliest=[0, 0, 0], seen=[False, True, False])
    assert pacing.issued_ns.tolist() == sorted(pacing.issued_ns.tolist())
    assert pacing.issued_ns[1] == 150


def test_how_long_an_unseen_request_may_have_thought_is_bounded():
    """The bound on the time of its asking lies 4 us behind the completion that it waited for."""
    found = pace(
        [0, 5_000, 20_500],
        [1_000, 20_000, 30_000],
        earliest=[0, 1_000, 20_500],
        seen=np.array([True, False, True]),
    )
    assert found.predecessor.tolist() == [-1, 0, 1]
    assert found.think_ns.tolist() == [0, 0, 500]
    assert found.longest_think_ns.tolist() == [0, 4_000, 500]
    waited, thought = pacing_values(found, has_no_think_time=False)
    assert (waited.value, waited.confidence) == (2, Confidence.LOW)
    assert (thought.low, thought.confidence) == (50.0, Confidence.LOW)
    assert thought.high == pytest.approx(np.percentile([4_000, 500], 90))

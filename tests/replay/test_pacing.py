"""Which completion a request waited for, and how long it thought."""

from __future__ import annotations

import numpy as np

from analyzer.replay.pacing import linked


def link(issued, completed, *, earliest=None, stream=None, unseen=0):
    issued = np.array(issued)
    count = len(issued)
    return linked(
        issued if earliest is None else np.array(earliest),
        issued,
        np.array(completed),
        np.zeros(count, np.int64) if stream is None else np.array(stream),
        np.full(count, unseen),
    )


def test_a_chain_at_depth_one_is_found_with_its_think_times():
    pacing = link([0, 110, 250], [100, 200, 300])
    assert pacing.predecessor.tolist() == [-1, 0, 1]
    assert pacing.think_ns.tolist() == [0, 10, 50]


def test_each_completion_brings_at_most_one_request():
    pacing = link([0, 0, 101, 102, 103], [100, 90, 500, 500, 500])
    assert pacing.predecessor.tolist() == [-1, -1, 0, 1, -1]


def test_streams_are_not_mixed():
    pacing = link([0, 0, 50, 60], [40, 30, 90, 90], stream=[0, 1, 1, 0])
    assert pacing.predecessor.tolist() == [-1, -1, 1, 0]


def test_a_request_without_response_is_waited_for_by_none():
    assert link([0, 50], [-1, 90]).predecessor.tolist() == [-1, -1]


def test_nothing_waits_for_itself_even_if_it_completed_when_it_was_issued():
    assert link([10, 10], [10, 10]).predecessor.tolist() == [-1, -1]


def test_time_between_recorder_and_initiator_is_no_thinking():
    assert link([0, 110], [100, 200], unseen=4).think_ns.tolist() == [0, 6]


def test_a_command_seen_behind_other_data_takes_the_usual_think_time_within_its_bounds():
    """The third left at 390, but may have been asked for since 305; the others thought for 10."""
    pacing = link([0, 110, 390, 510], [100, 300, 500, 600], earliest=[0, 110, 305, 510])
    assert pacing.think_ns.tolist() == [0, 10, 10, 10]

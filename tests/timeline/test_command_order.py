"""Order waits against a slow twin that follows the definition word for word; windows; shared counters."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.scratch import Scratch
from analyzer.timeline.assumed_sessions import CommandSequence, group_sequences, interleave
from analyzer.timeline.command_order import OrderedRequests, order_waits
from analyzer.timeline.reissues import LONGEST_RECOVERY_NS, Attempts, link_reissues

IN_MEMORY = Scratch(is_used=False)

requests = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 100)), max_size=40)


@settings(deadline=None)  # the first example compiles
@given(requests, st.integers(0, 2**32 - 1))
def test_waits_are_what_the_definition_says(said: list[tuple[int, int, int]], start: int) -> None:
    """Latest complete arrival among all lower CmdSNs of the session minus the own arrival, if positive."""
    waits, _ = order_waits(
        OrderedRequests(
            np.array([session for session, _, _ in said], np.int64),
            np.array([(start + number) % 2**32 for _, number, _ in said], np.uint32),
            np.array([arrived for _, _, arrived in said], np.int64),
        ),
        IN_MEMORY,
    )
    for (session, number, arrived), wait in zip(said, waits.tolist(), strict=True):
        lower = [at for other, below, at in said if other == session and below < number]
        assert wait == max(max(lower, default=arrived) - arrived, 0)


def test_only_the_second_of_two_equal_numbers_is_a_repeat() -> None:
    _, repeats = order_waits(
        OrderedRequests(np.zeros(3, np.int64), np.array([7, 7, 8], np.uint32), np.array([1, 2, 3], np.int64)),
        IN_MEMORY,
    )
    assert repeats.tolist() == [False, True, False]


def sequence(numbers: list[int], first_ns: int = 0, last_ns: int = 100) -> CommandSequence:
    return CommandSequence.of(np.array([n % 2**32 for n in numbers], np.uint32), first_ns, last_ns)


def test_alternating_numbers_are_one_counter_also_over_the_wrap() -> None:
    even, odd = list(range(-20, 20, 2)), list(range(-19, 21, 2))
    merged = interleave(sequence(even), sequence(odd))
    assert merged is not None
    assert merged.holes == 0


def test_two_counters_that_give_the_same_numbers_are_two() -> None:
    assert interleave(sequence(list(range(0, 40, 2))), sequence(list(range(0, 40, 2)))) is None


def test_sequences_apart_in_time_or_number_are_two() -> None:
    even, odd = list(range(0, 40, 2)), list(range(1, 41, 2))
    assert interleave(sequence(even, 0, 10), sequence(odd, 20, 30)) is None
    assert interleave(sequence(even), sequence([n + 1_000_000 for n in odd])) is None


def test_four_connections_find_each_other_and_a_fifth_stays_alone() -> None:
    parts = [sequence(list(range(start, 400 + start, 4))) for start in range(4)]
    assert group_sequences([], [*parts, sequence(list(range(100)))]) == [0, 0, 0, 0, 1]


def test_a_loose_connection_joins_the_known_session_whose_holes_it_fills() -> None:
    known = [None, sequence(list(range(0, 40, 2)))]
    assert group_sequences(known, [sequence(list(range(1, 41, 2)))]) == [1]


def attempts(rows: list[tuple[bytes, int, int]]) -> Attempts:
    """Rows of (content, command_ns, failed_ns)."""
    count = len(rows)
    return Attempts(
        np.array([content.ljust(32, b"\0") for content, _, _ in rows], "S32").view("V32"),
        np.array([command for _, command, _ in rows], np.int64),
        np.array([failed for _, _, failed in rows], np.int64),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int64),
    )


def test_each_failure_is_repeated_once_the_oldest_first() -> None:
    rows = [(b"x", 0, 50), (b"x", 1, 50), (b"y", 2, 50), (b"x", 60, -1), (b"x", 61, -1), (b"x", 62, -1)]
    assert link_reissues(attempts(rows)).tolist() == [-1, -1, -1, 0, 1, -1]


def test_what_comes_too_late_is_no_repetition() -> None:
    rows = [(b"x", 0, 50), (b"x", 51 + LONGEST_RECOVERY_NS, -1)]
    assert link_reissues(attempts(rows)).tolist() == [-1, -1]
    rows = [(b"x", 0, 50), (b"x", 40, -1)]
    assert link_reissues(attempts(rows)).tolist() == [-1, -1]

"""Figures of order against a slow twin; closed windows and whose doing they were; breaches of order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.scratch import Scratch
from analyzer.timeline.command_order import OrderedRequests, order_waits
from analyzer.timeline.order_statistics import StandStills, order_statistics
from tests.conversations import NO_TAG, Conversation, events_of, read_10, rows_of, two_connection_session

SIZE = 8 * 512
IN_MEMORY = Scratch(is_used=False)


@settings(deadline=None)  # the first example compiles
@given(st.permutations(list(range(12))), st.integers(0, 2**32 - 1), st.sets(st.integers(0, 11), max_size=4))
def test_inversions_holes_and_stand_stills_are_what_they_are_called(
    order: list[int], start: int, unsent: set[int]
) -> None:
    sent = [number for number in order if number not in unsent]
    at_ns = np.arange(10, 10 + len(sent), dtype=np.int64)
    cmd_sn = np.array([(start + number) % 2**32 for number in sent], np.uint32)
    requests = OrderedRequests(np.zeros(len(sent), np.int64), cmd_sn, at_ns)
    waits, repeats = order_waits(requests, IN_MEMORY)
    connection = np.zeros(len(sent), np.int64)
    found = order_statistics(requests, connection, waits, repeats, 1, 1, IN_MEMORY)
    late = [place for place, number in enumerate(sent) if any(other > number for other in sent[:place])]
    assert found.arrival_inversions[0] == len(late)
    assert np.flatnonzero(found.is_backwards).tolist() == late
    assert found.cmd_sn_holes[0] == max(sent) - min(sent) + 1 - len(sent)
    waiting = {at for begin, wait in zip(at_ns, waits, strict=True) for at in range(begin, begin + wait)}
    assert found.stood_still_ns[0] == len(waiting)
    spans = found.stretches.until_ns - found.stretches.from_ns
    assert found.stand_stills[0] == len(spans)
    assert found.longest_stand_still_ns[0] == spans.max(initial=0)


def test_a_stretch_covers_what_lies_mostly_inside_it() -> None:
    still = StandStills(np.array([0, 1]), np.array([10, 100]), np.array([20, 200]))
    assert still.covering(0, 12, 18)
    assert still.covering(0, 5, 19)
    assert not still.covering(0, 18, 30)
    assert not still.covering(2, 100, 200)


def test_a_window_closed_by_a_late_command_and_one_closed_by_the_target() -> None:
    for is_late, cause in ((True, "command-order"), (False, "target")):
        said, first, second = two_connection_session()
        said.max_cmd_sn = 4
        said.nop_out(first, 90)
        said.nop_in(first, 90)
        for number in range(2 if is_late else 1, 5):
            said.command(second, number, number, read_10(number, 8))
        said.wait_ms(50)
        if is_late:
            said.command(first, 1, 1, read_10(1, 8))
        said.exp_cmd_sn, said.max_cmd_sn = 5, 9
        for number in range(1, 5):
            said.data_in(first if is_late and number == 1 else second, number, SIZE, status=0)
        timeline = said.timeline()
        (event,) = events_of(timeline, "window-closed")
        assert event["detail"]["cause"] == cause
        assert rows_of(timeline, "sessions")[0]["window_closures"] == 1
        assert rows_of(timeline, "sessions")[0]["window_closed_ns"] == event["detail"]["closed_for_ns"]


@pytest.mark.parametrize("prompt", [True, False])
def test_a_window_kept_closed_with_nothing_in_flight_is_a_stall(prompt: bool) -> None:
    """All is answered, but no CmdSN may follow until a NOP-In tells; then commands do, if any waited."""
    said, first, second = two_connection_session()
    said.max_cmd_sn = 4
    said.nop_out(first, 90)
    said.nop_in(first, 90)
    for number in range(1, 5):
        said.command(second, number, number, read_10(number, 8))
    said.exp_cmd_sn = 5  # MaxCmdSN stays 4: the window is closed
    for number in range(1, 5):
        said.data_in(second, number, SIZE, status=0)
    answered_ns = said.now_ns
    said.wait_ms(500)
    said.max_cmd_sn = 8
    said.nop_in(first, NO_TAG)
    opened_ns = said.now_ns
    said.wait_ms(1 if prompt else 300)
    for number in range(5, 7):
        said.command(second, number, number, read_10(number, 8))
        said.data_in(second, number, SIZE, status=0)
    incidents = rows_of(said.timeline(), "incidents")
    if not prompt:
        assert incidents == []
        return
    (incident,) = incidents
    assert (incident["kind"], incident["cause"]) == ("stall", "command-window")
    assert incident["failed_ns"] == answered_ns
    assert "the command window was closed" in incident["summary"]
    (stall,) = events_of(said.timeline(), "stall")
    assert (stall["at_ns"], stall["detail"]["until_ns"]) == (answered_ns, opened_ns)
    assert [fate["task_index"] for fate in rows_of(said.timeline(), "task_fates")] == [4, 5]


def codes(said: Conversation) -> list[str]:
    return [
        row["code"] for row in rows_of(said.timeline(), "diagnostics") if row["code"].startswith("cmd-sn")
    ]


def test_a_number_left_out_and_one_sent_backwards_are_told() -> None:
    said, first, _ = two_connection_session()
    for number in (1, 2, 4):
        said.command(first, number, number, read_10(number, 8))
        said.data_in(first, number, SIZE, status=0)
    assert codes(said) == ["cmd-sn-hole"]
    said.command(first, 3, 3, read_10(3, 8))
    said.data_in(first, 3, SIZE, status=0)
    assert codes(said) == ["cmd-sn-backwards"]


def test_a_hole_that_is_plugged_after_a_loss_breaks_no_rule() -> None:
    said, first, second = two_connection_session()
    said.command(second, 2, 2, read_10(2, 8))
    said.close(first, reset=True)
    said.wait_ms(1)
    said.command(second, 1, 1, read_10(1, 8))
    for number in (1, 2):
        said.data_in(second, number, SIZE, status=0)
    assert codes(said) == []

"""Conversations in which something goes wrong, and the story that the timeline tells of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.tables.folder import Timeline
from tests.conversations import (
    MILLISECOND,
    Conversation,
    events_of,
    read_10,
    rows_of,
    two_connection_session,
    write_10,
)

READ_SIZE = 8 * 512


def only_incident(timeline: Timeline) -> dict[str, Any]:
    (incident,) = rows_of(timeline, "incidents")
    return incident


def two_sessions() -> tuple[Conversation, int, int]:
    """MPIO: one initiator, one target, a session on each of two paths."""
    said = Conversation()
    first = said.connect()
    second = said.connect("10.0.1.1", "10.0.1.9")
    said.login(first)
    said.login(second, isid="00023d000002", gives=2)
    return said, first, second


def ping(said: Conversation, connection: int, tag: int, idle_ms: float) -> None:
    said.wait_ms(idle_ms)
    said.nop_out(connection, tag)
    said.wait_ms(1)
    said.nop_in(connection, tag)


def test_a_reset_with_retry_under_the_same_cmd_sn() -> None:
    said, first, second = two_connection_session()
    said.command(first, 1, 1, read_10(0, 8))
    said.wait_ms(2)
    said.close(first, reset=True)
    said.wait_ms(5)
    said.command(second, 1, 1, read_10(0, 8))
    said.data_in(second, 1, READ_SIZE, status=0)
    timeline = said.timeline()
    incident = only_incident(timeline)
    assert (incident["cause"], incident["detected_by"], incident["outstanding"]) == ("reset", "reset", 1)
    assert incident["retried_other_path"] == 1
    (fate,) = rows_of(timeline, "task_fates")
    assert fate["fate"] == "retried"
    assert fate["completed_ns"] - fate["issued_ns"] == incident["stall_ns"]


def test_a_reset_that_waited_behind_queued_data_is_seen_later_than_the_retry() -> None:
    """The initiator resets a connection; another link carries the command again before that has left."""
    said, first, second = two_sessions()
    said.command(first, 1, 1, read_10(0, 8))
    said.command(first, 2, 2, read_10(64, 8))
    said.wait_ms(10)
    said.command(second, 1, 1, read_10(0, 8))
    said.wait_ms(1)
    said.close(first, reset=True)
    said.wait_ms(1)
    said.command(second, 2, 2, read_10(64, 8))
    said.data_in(second, 1, READ_SIZE, status=0)
    said.data_in(second, 2, READ_SIZE, status=0)
    timeline = said.timeline()
    incident = only_incident(timeline)
    assert (incident["outstanding"], incident["retried_other_path"], incident["lost"]) == (2, 2, 0)
    assert [row["retry_of_task_index"] for row in rows_of(timeline, "tasks")] == [None, None, 0, 1]


def test_the_same_work_on_the_same_path_before_a_reset_is_no_retry_of_it() -> None:
    said, first, _ = two_sessions()
    said.command(first, 1, 1, read_10(0, 8))
    said.command(first, 2, 2, read_10(0, 8))
    said.wait_ms(1)
    said.close(first, reset=True)
    assert [row["retry_of_task_index"] for row in rows_of(said.timeline(), "tasks")] == [None, None]


def test_a_reassigned_command_waits_for_time2wait() -> None:
    said = Conversation()
    first, second = said.connect(), said.connect(target="10.0.1.9")
    said.login(first, DefaultTime2Wait="2")
    said.login(second, tsih=1, cid=1)
    said.command(first, 1, 1, read_10(0, 8))
    said.close(first, reset=True)
    said.wait_ms(2001)
    said.logout(second, reason=2, cid=0)
    said.logout_response(second)
    said.task_management(second, 50, 8, of=1)
    said.task_management_response(second, 50, 255)
    said.data_in(second, 1, READ_SIZE, status=0)
    incident = only_incident(said.timeline())
    assert incident["reassigned"] == 1
    assert (incident["hold_timer"], incident["hold_setting_s"]) == ("time2wait", 2.0)


def test_a_ping_that_was_recorded_and_never_answered_dates_the_detection() -> None:
    said, first, second = two_sessions()
    ping(said, first, 100, 5020)
    said.command(first, 1, 1, read_10(0, 8))
    heard_ns = said.now_ns - 1000
    said.wait_ms(5100)
    said.nop_out(first, 101)
    said.wait_ms(5100)
    said.close(first, reset=True)
    said.wait_ms(5200)
    said.command(second, 1, 1, read_10(0, 8))
    said.data_in(second, 1, READ_SIZE, status=0)
    incident = only_incident(said.timeline())
    assert incident["cause"] == "silence"
    assert abs(incident["failed_ns"] - heard_ns) < MILLISECOND
    assert (incident["detected_by"], incident["is_detection_seen"]) == ("nop-timeout", True)
    assert incident["noop_timeout_s"] == pytest.approx(5.1, abs=0.01)
    assert (incident["hold_timer"], incident["hold_setting_s"]) == ("recovery-timer", 5.0)
    assert incident["retried_other_path"] == 1


def test_a_dead_link_shows_nothing_and_its_detection_is_inferred() -> None:
    said, first, second = two_sessions()
    ping(said, first, 100, 5020)
    said.command(first, 1, 1, write_10(0, 8), data=READ_SIZE)
    said.wait_ms(15_100)
    said.command(second, 1, 1, write_10(0, 8), data=READ_SIZE)
    said.response(second, 1)
    timeline = said.timeline()
    incident = only_incident(timeline)
    assert not incident["is_detection_seen"]
    assert (incident["noop_interval_s"], incident["noop_timeout_s"], incident["hold_setting_s"]) == (5, 5, 5)
    assert rows_of(timeline, "connections")[first]["end"] == "timeout"
    assert rows_of(timeline, "tasks")[0]["end"] == "connection-lost"
    assert events_of(timeline, "nop-timeout")[0]["detail"]["is_inferred"]


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_silent_connection_whose_commands_go_on_in_its_session_is_lost(goes_on: bool) -> None:
    """MC/S over a dead link, without a RST or a FIN: the same CmdSN is sent again on the other connection.

    A connection that speaks again after the retry was not given up.
    """
    said, first, second = two_connection_session()
    said.command(first, 1, 1, read_10(0, 8))
    said.data_in(first, 1, READ_SIZE, status=0)
    heard_ns = said.now_ns
    said.command(first, 2, 2, read_10(8, 8))
    said.wait_ms(3000)
    said.command(second, 2, 2, read_10(8, 8))
    said.data_in(second, 2, READ_SIZE, status=0)
    if goes_on:
        said.command(first, 3, 3, read_10(16, 8))
        said.data_in(first, 3, READ_SIZE, status=0)
    timeline = said.timeline()
    lost = events_of(timeline, "connection-lost")
    if goes_on:
        assert lost == []
        return
    assert [event["connection_index"] for event in lost] == [0]
    incident = only_incident(timeline)
    assert (incident["kind"], incident["cause"]) == ("connection-loss", "silence")
    assert (incident["failed_ns"], incident["retried_other_path"]) == (heard_ns, 1)


def test_a_connection_that_goes_on_working_was_not_given_up() -> None:
    """The same read twice on two paths is no failover while both are alive."""
    said, first, second = two_sessions()
    said.command(first, 1, 1, read_10(0, 8))
    said.wait_ms(1500)
    said.command(second, 1, 1, read_10(0, 8))
    said.data_in(second, 1, READ_SIZE, status=0)
    said.command(first, 2, 2, read_10(8, 8))
    said.data_in(first, 2, READ_SIZE, status=0)
    timeline = said.timeline()
    assert rows_of(timeline, "connections")[first]["end"] == "capture-ended"
    assert not [row for row in rows_of(timeline, "incidents") if row["kind"] == "connection-loss"]


def test_two_paths_lost_together_are_one_incident_and_apart_are_two() -> None:
    for apart_ms, incidents in ((100, 1), (20_000, 2)):
        said, first, second = two_sessions()
        said.command(first, 1, 1, read_10(0, 8))
        said.command(second, 2, 1, read_10(8, 8))
        said.close(first, reset=True, from_target=True)
        said.wait_ms(apart_ms)
        said.close(second, reset=True, from_target=True)
        said.wait_ms(10)
        assert len(rows_of(said.timeline(), "incidents")) == incidents


def test_a_command_that_nobody_asked_for_again_is_lost() -> None:
    said, first, second = two_connection_session()
    said.command(first, 1, 1, read_10(0, 8))
    said.close(first)
    said.command(second, 2, 2, read_10(64, 8))
    said.data_in(second, 2, READ_SIZE, status=0)
    incident = only_incident(said.timeline())
    assert (incident["cause"], incident["lost"], incident["stall_ns"]) == ("fin", 1, None)


def test_a_reset_of_the_unit_touches_the_neighbours() -> None:
    said = Conversation()
    mine, theirs = said.connect(), said.connect("10.0.0.2")
    said.login(mine)
    said.login(theirs, initiator="iqn.2026-11.test:other", isid="00023d0000ff", gives=2)
    said.command(mine, 1, 1, read_10(0, 8))
    said.command(theirs, 1, 1, read_10(8, 8))
    said.wait_ms(30_000)
    said.task_management(mine, 60, 5)
    said.wait_ms(3)
    said.task_management_response(mine, 60)
    incident = only_incident(said.timeline())
    assert incident["kind"] == "task-management"
    assert json.loads(incident["neighbours"]) == [
        {"session_index": 1, "how": "1 commands ended by LOGICAL UNIT RESET"}
    ]
    assert incident["detected_ns"] - incident["failed_ns"] == pytest.approx(30e9, rel=0.001)


def test_a_target_that_pauses_is_a_stall_of_its_own_making() -> None:
    said, first, _ = two_connection_session()
    for number in range(20):
        said.command(first, number, 1 + number, read_10(number, 8))
        said.wait_ms(600 if number == 10 else 1)
        said.data_in(first, number, READ_SIZE, status=0)
    timeline = said.timeline()
    incident = only_incident(timeline)
    assert (incident["kind"], incident["cause"], incident["outstanding"]) == ("stall", "target", 1)
    (stall,) = events_of(timeline, "stall")
    assert stall["detail"]["duration_ns"] == pytest.approx(600e6, rel=0.01)


def test_data_that_the_initiator_owes_is_its_stall() -> None:
    said, first, _ = two_connection_session()
    for number in range(20):
        said.command(first, number, 1 + number, write_10(number, 8))
        said.r2t(first, number, READ_SIZE)
        said.wait_ms(600 if number == 10 else 1)
        said.data_out(first, number, READ_SIZE, transfer_tag=5)
        said.response(first, number)
    assert only_incident(said.timeline())["cause"] == "unsent-data"

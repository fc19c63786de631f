"""Conversations of commands: which PDUs are one task, where it lives, and how it ends."""

from __future__ import annotations

from typing import Any

from tests.conversations import (
    MILLISECOND,
    Conversation,
    events_of,
    fixed_sense,
    read_10,
    rows_of,
    two_connection_session,
    write_10,
)


def tasks_of(said: Conversation) -> list[dict[str, Any]]:
    return rows_of(said.timeline(), "tasks")


def test_a_read_with_its_status_in_the_last_data() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(2048, 16), lun=3, attribute=2)
    asked_ns = said.now_ns
    said.wait_ms(1)
    said.data_in(first, 5, 4096)
    said.data_in(first, 5, 4096, offset=4096, status=0)
    (task,) = tasks_of(said)
    assert task["operation"] == "READ(10)"
    assert (task["lba"], task["blocks"], task["lun"]) == (2048, 16, 3)
    assert (task["direction"], task["attribute"]) == ("read", "ordered")
    assert (task["data_in_count"], task["transferred_bytes"], task["expected_bytes"]) == (2, 8192, 8192)
    assert (task["status"], task["response"], task["end"]) == (0, 0, "responded")
    assert task["latency_ns"] == said.now_ns - asked_ns
    assert task["cdb"] == read_10(2048, 16).hex() + "00" * 6


def test_data_cut_short_by_a_loss_answer_nothing() -> None:
    """What the initiator never had whole it asks for again."""
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(2048, 16))
    said.data_in(first, 5, 4096)
    said.data_in(first, 5, 4096, offset=4096, status=0, is_complete=False)
    said.close(first, reset=True)
    (task,) = tasks_of(said)
    assert (task["end"], task["status"]) == ("connection-lost", None)
    assert (task["data_in_count"], task["transferred_bytes"]) == (1, 4096)
    said.command(second, 5, 1, read_10(2048, 16))
    said.data_in(second, 5, 8192, status=0)
    (task,) = tasks_of(said)
    assert (task["end"], task["status"], task["retry_count"]) == ("responded", 0, 1)
    assert [pdu["is_complete"] for pdu in rows_of(said.timeline(), "pdus")].count(False) == 1


def test_a_write_by_immediate_unsolicited_and_solicited_data() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, write_10(0, 16), data=2048)
    said.data_out(first, 5, 2048)
    said.r2t(first, 5, 4096)
    said.data_out(first, 5, 4096, transfer_tag=5)
    said.response(first, 5)
    (task,) = tasks_of(said)
    assert (task["immediate_bytes"], task["unsolicited_bytes"], task["transferred_bytes"]) == (
        2048,
        2048,
        8192,
    )
    assert (task["r2t_count"], task["data_out_count"]) == (1, 2)


def test_equal_tags_of_two_sessions_are_two_tasks() -> None:
    said = Conversation()
    one, other = said.connect(), said.connect()
    said.login(one, isid="00023d000001")
    said.login(other, isid="00023d000002", gives=2)
    said.command(one, 5, 1, read_10(0, 1))
    said.command(other, 5, 1, read_10(0, 1))
    said.response(other, 5, status=8)
    said.response(one, 5)
    assert [(task["session_index"], task["status"]) for task in tasks_of(said)] == [(0, 0), (1, 8)]


def test_a_tag_used_again_is_a_new_task() -> None:
    said, first, _ = two_connection_session()
    for number in range(3):
        said.command(first, 5, 1 + number, read_10(number, 1))
        said.response(first, 5)
    assert [task["lba"] for task in tasks_of(said)] == [0, 1, 2]


def test_a_retry_with_the_same_cmd_sn_is_the_same_task() -> None:
    """RFC 7143 section 7.2.1."""
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 1))
    said.close(first, reset=True)
    said.wait_ms(1)
    said.command(second, 5, 1, read_10(0, 1), exp_stat_sn=77)
    said.response(second, 5)
    timeline = said.timeline()
    (task,) = rows_of(timeline, "tasks")
    assert (task["connection_index"], task["response_connection_index"]) == (first, second)
    assert (task["retry_count"], task["reassign_count"], task["end"]) == (1, 0, "responded")
    (event,) = events_of(timeline, "task-retried")
    assert event["detail"] == {"from_connection_index": first, "to_connection_index": second, "cmd_sn": 1}


def test_an_immediate_command_that_looks_like_the_last_is_a_new_task() -> None:
    """Immediate commands do not use their CmdSN up, so equal ones may follow each other."""
    said, first, _ = two_connection_session()
    for _ in range(2):
        said.command(first, 5, 9, read_10(0, 1), is_immediate=True)
        said.response(first, 5)
    assert [task["retry_count"] for task in tasks_of(said)] == [0, 0]


def test_reassignment_is_judged_by_the_traffic_not_by_the_response() -> None:
    """LIO answers 255 and goes on with the task on the new connection."""
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.data_in(first, 5, 4096)
    said.close(first, reset=True)
    said.wait_ms(2000)
    said.logout(second, reason=2, cid=0)
    said.logout_response(second)
    said.task_management(second, 90, 8, of=5)
    said.task_management_response(second, 90, 255)
    said.data_in(second, 5, 4096, offset=4096, status=0)
    timeline = said.timeline()
    (task,) = rows_of(timeline, "tasks")
    assert (task["reassign_count"], task["end"]) == (1, "responded")
    assert (task["connection_index"], task["response_connection_index"]) == (first, second)
    (event,) = events_of(timeline, "task-reassigned")
    assert event["detail"]["by"] == "task-reassign"
    (function,) = events_of(timeline, "task-management")
    assert (function["task_index"], function["detail"]["response_code"]) == (0, 255)


def test_a_reassignment_said_to_be_done_without_traffic_is_none() -> None:
    """istgt answers 0 and does nothing: the task hangs."""
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.close(first, reset=True)
    said.wait_ms(1)
    said.task_management(second, 90, 8, of=5)
    said.task_management_response(second, 90, 0)
    (task,) = tasks_of(said)
    assert (task["reassign_count"], task["end"]) == (0, "connection-lost")


def test_a_status_seen_and_never_used_gives_way_to_the_one_after_reassignment() -> None:
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.response(first, 5)
    said.close(first, reset=True)
    said.wait_ms(1)
    said.task_management(second, 90, 8, of=5)
    said.task_management_response(second, 90, 0)
    said.response(second, 5)
    (task,) = tasks_of(said)
    assert (task["response_connection_index"], task["response_ns"]) == (second, said.now_ns)


def test_connection_reinstatement_moves_tasks_without_being_asked() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    third = said.connect()
    said.login(third, tsih=1, cid=0)
    said.data_in(third, 5, 8192, status=0)
    timeline = said.timeline()
    assert rows_of(timeline, "tasks")[0]["reassign_count"] == 1
    (event,) = events_of(timeline, "task-reassigned")
    assert event["detail"]["by"] == "connection-reinstatement"


def test_a_response_on_a_strange_connection_is_an_orphan() -> None:
    """While its own connection lives a task is answered there (RFC 7143 section 4.2.5.1)."""
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.response(second, 5, status=2)
    timeline = said.timeline()
    assert rows_of(timeline, "tasks")[0]["status"] is None
    codes = {row["code"]: row["count"] for row in rows_of(timeline, "diagnostics")}
    assert codes["response-without-command"] == 1


def test_data_sent_again_for_a_snack_counts_once() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.data_in(first, 5, 8192, status=0)
    said.snack(first, 5)
    said.data_in(first, 5, 8192)
    timeline = said.timeline()
    (task,) = rows_of(timeline, "tasks")
    assert (task["data_in_count"], task["transferred_bytes"], task["end"]) == (2, 8192, "responded")
    (event,) = events_of(timeline, "snack")
    assert event["task_index"] == 0


def test_abort_task_ends_the_task_when_it_was_confirmed_and_silent() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.command(first, 6, 2, read_10(16, 16))
    said.wait_ms(1)
    said.task_management(first, 90, 1, of=5)
    said.task_management_response(first, 90, 0)
    aborted_ns = said.now_ns
    said.response(first, 6)
    said.wait_ms(50)
    said.nop_out(first, 7)
    aborted, other = tasks_of(said)
    assert (aborted["end"], aborted["ended_ns"]) == ("aborted", aborted_ns)
    assert other["end"] == "responded"


def test_an_aborted_task_that_answers_all_the_same_was_not_aborted() -> None:
    """istgt says 0 to every ABORT TASK and completes the task anyway."""
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 16))
    said.task_management(first, 90, 1, of=5)
    said.task_management_response(first, 90, 0)
    said.response(first, 5)
    assert [task["end"] for task in tasks_of(said)] == ["responded"]


def test_abort_task_set_ends_the_nexus_own_tasks_of_that_unit_only() -> None:
    said, first, second = two_connection_session()
    other = said.connect()
    said.login(other, isid="00023d000002", gives=2)
    said.command(first, 5, 1, read_10(0, 1), lun=1)
    said.command(second, 6, 2, read_10(0, 1), lun=1)
    said.command(first, 7, 3, read_10(0, 1), lun=2)
    said.command(other, 5, 1, read_10(0, 1), lun=1)
    said.task_management(first, 90, 2, lun=1)
    said.task_management_response(first, 90, 0)
    said.command(first, 8, 4, read_10(0, 1), lun=1)
    ends = [task["end"] for task in tasks_of(said)]
    assert ends == ["aborted", "aborted", "capture-ended", "capture-ended", "capture-ended"]


def test_a_lun_reset_reaches_the_tasks_of_other_nexuses() -> None:
    said = Conversation()
    one, other, elsewhere = said.connect(), said.connect(), said.connect()
    said.login(one, isid="00023d000001")
    said.login(other, isid="00023d000002", gives=2)
    said.login(elsewhere, isid="00023d000003", gives=3, target="iqn.2026-11.test:else")
    for connection in (one, other, elsewhere):
        said.command(connection, 5, 1, read_10(0, 1), lun=1)
    said.task_management(one, 90, 5, lun=1)
    said.task_management_response(one, 90, 0)
    timeline = said.timeline()
    ends = [task["end"] for task in rows_of(timeline, "tasks")]
    assert ends == ["aborted", "aborted", "capture-ended"]
    (event,) = events_of(timeline, "task-management")
    assert event["detail"]["aborted_tasks"] == 2


def test_a_refused_function_ends_nothing() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 1))
    said.task_management(first, 90, 4)
    said.task_management_response(first, 90, 5)
    assert [task["end"] for task in tasks_of(said)] == ["capture-ended"]


def test_a_new_command_that_repeats_a_lost_one_names_its_first_attempt() -> None:
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(64, 8))
    said.command(first, 6, 2, read_10(64, 8), lun=1)
    said.close(first, reset=True)
    said.wait_ms(1)
    said.command(second, 7, 3, read_10(64, 8))
    said.close(second, reset=True)
    said.wait_ms(1)
    third = said.connect()
    said.login(third, gives=2)
    said.command(third, 8, 1, read_10(64, 8))
    said.command(third, 9, 2, read_10(128, 8))
    assert [task["retry_of_task_index"] for task in tasks_of(said)] == [None, None, 0, 0, None]


def test_a_path_that_repeats_a_command_while_the_dead_one_still_stands() -> None:
    """Multipath: the TCP connection of the failed link ends long after the retry on the other."""
    said = Conversation()
    dead, alive = said.connect(), said.connect()
    said.login(dead, isid="00023d000001")
    said.login(alive, isid="00023d000002", gives=2)
    said.command(dead, 5, 1, read_10(64, 8))
    said.command(alive, 5, 1, read_10(64, 8))  # the application's own double, at the same time
    said.response(alive, 5)
    said.wait_ms(8000)
    said.command(alive, 6, 2, read_10(64, 8))
    said.wait_ms(5000)
    said.close(dead, reset=True)
    assert [task["retry_of_task_index"] for task in tasks_of(said)] == [None, None, 0]


def test_a_command_refused_with_a_unit_attention_is_repeated() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(64, 8))
    said.response(first, 5, status=2, sense=fixed_sense(6, 0x29, 0))
    said.command(first, 6, 2, read_10(64, 8))
    said.response(first, 6)
    timeline = said.timeline()
    refused, repeated = rows_of(timeline, "tasks")
    assert (refused["sense_key"], refused["asc"], refused["ascq"]) == (6, 0x29, 0)
    assert repeated["retry_of_task_index"] == 0
    (event,) = events_of(timeline, "unit-attention")
    assert "reset" in event["detail"]["meaning"]


def test_residuals_have_the_sign_of_what_was_wrong() -> None:
    said, first, _ = two_connection_session()
    for tag, residual in ((5, 100), (6, -3), (7, 0)):
        said.command(first, tag, tag, read_10(0, 1))
        said.response(first, tag, residual=residual)
    assert [task["residual_bytes"] for task in tasks_of(said)] == [100, -3, 0]


def test_outstanding_counts_the_others_in_flight() -> None:
    said, first, second = two_connection_session()
    said.command(first, 5, 1, read_10(0, 1))
    said.command(second, 6, 2, read_10(0, 1))
    said.response(first, 5)
    said.command(first, 7, 3, read_10(0, 1))
    said.wait_ms(1)
    assert [task["outstanding"] for task in tasks_of(said)] == [0, 1, 1]


def test_order_wait_is_the_time_until_the_last_lower_number_was_whole() -> None:
    said, first, second = two_connection_session()
    said.command(second, 6, 2, read_10(0, 1))
    early_ns = said.now_ns
    said.command(second, 7, 3, read_10(0, 1), is_immediate=True)
    said.wait_ms(3)
    said.command(first, 5, 1, write_10(0, 64), takes_ms=2)
    whole_ns = said.now_ns + 2 * MILLISECOND
    said.wait_ms(9)
    for connection, tag in ((first, 5), (second, 6), (second, 7)):
        said.response(connection, tag)
    waits = [task["order_wait_ns"] for task in tasks_of(said)]
    assert waits == [whole_ns - early_ns, 0, 0]


def test_order_holds_over_the_wrap_of_the_counter() -> None:
    said, first, second = two_connection_session()
    said.exp_cmd_sn, said.max_cmd_sn = 0xFFFFFFF0, 100
    said.command(first, 5, 0xFFFFFFFE, read_10(0, 1))
    said.command(second, 6, 0, read_10(0, 1))
    waiting_ns = said.now_ns
    said.wait_ms(4)
    said.command(first, 7, 0xFFFFFFFF, read_10(0, 1))
    arrived_ns = said.now_ns
    said.wait_ms(4)
    said.response(second, 6)
    assert [task["order_wait_ns"] for task in tasks_of(said)] == [0, arrived_ns - waiting_ns, 0]


def test_a_task_the_target_worked_on_had_not_waited_longer() -> None:
    said, first, second = two_connection_session()
    said.command(second, 6, 2, read_10(0, 1))
    said.response(second, 6)
    said.wait_ms(3)
    said.command(first, 5, 1, read_10(0, 1))
    late = tasks_of(said)[0]
    assert late["order_wait_ns"] == late["latency_ns"] == 1000


def test_a_cmd_sn_given_to_two_commands_is_told() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 1))
    said.command(first, 6, 1, read_10(9, 1))
    timeline = said.timeline()
    assert len(rows_of(timeline, "tasks")) == 2
    assert "cmd-sn-duplicate" in {row["code"] for row in rows_of(timeline, "diagnostics")}


def test_a_window_used_up_is_closed_until_the_target_opens_it() -> None:
    said, first, _ = two_connection_session()
    said.exp_cmd_sn, said.max_cmd_sn = 1, 2
    said.command(first, 4, 1, read_10(0, 1), is_immediate=True)
    said.response(first, 4)
    said.command(first, 5, 1, read_10(0, 1))
    said.command(first, 6, 2, read_10(0, 1))
    closed_ns = said.now_ns
    said.command(first, 7, 3, read_10(0, 1))
    said.wait_ms(20)
    said.exp_cmd_sn, said.max_cmd_sn = 2, 3
    said.response(first, 5)
    timeline = said.timeline()
    (event,) = events_of(timeline, "window-closed")
    assert event["at_ns"] == closed_ns
    assert event["detail"]["max_cmd_sn"] == 2
    assert event["detail"]["closed_for_ns"] == said.now_ns - closed_ns
    codes = {row["code"]: row["count"] for row in rows_of(timeline, "diagnostics")}
    assert codes["cmd-sn-outside-window"] == 1


def test_every_pdu_of_a_task_names_it() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, write_10(0, 1))
    said.r2t(first, 5, 512)
    said.data_out(first, 5, 512, transfer_tag=5)
    said.response(first, 5)
    said.nop_out(first, 6)
    pdus = rows_of(said.timeline(), "pdus")
    assert [pdu["task_index"] for pdu in pdus[-5:]] == [0, 0, 0, 0, None]

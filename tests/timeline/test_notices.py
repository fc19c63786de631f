"""Conversations with the PDUs that tell a story by themselves, and the words of events."""

from __future__ import annotations

import pytest

from analyzer.decoders.decoded import DIGEST_BAD
from analyzer.tables.timeline_tables import EVENT_KINDS
from analyzer.timeline.events import EVENT_DETAIL_KEYS, EventLog
from tests.conversations import Conversation, events_of, read_10, rows_of, two_connection_session

PERSISTENT_RESERVE = bytes([0x5F, 0x01, 0x05]) + bytes(7)
RESERVE_6 = bytes([0x16, 0, 0, 0, 0, 0])


def test_each_kind_that_is_told_has_its_keys_declared() -> None:
    assert set(EVENT_DETAIL_KEYS) == set(EVENT_KINDS)
    assert all(sentence.endswith(".") for keys in EVENT_DETAIL_KEYS.values() for sentence in keys.values())


def test_an_event_with_undeclared_keys_is_refused() -> None:
    with pytest.raises(AssertionError):
        EventLog().emit("snack", 0, {"type": "Data/R2T"})


def test_events_stand_in_order_of_time() -> None:
    log = EventLog()
    for at_ns in (30, 10, 20):
        log.emit("snack", at_ns, {"type": "Status", "begin_run": 1, "run_length": 0})
    table = log.table()
    assert table["at_ns"].to_pylist() == [10, 20, 30]
    assert table["event_index"].to_pylist() == [0, 1, 2]


def test_an_async_message_says_what_and_which() -> None:
    said, first, _ = two_connection_session()
    said.async_message(first, 2, (1, 2, 20))
    (event,) = events_of(said.timeline(), "async-message")
    assert event["detail"] == {
        "event": "target drops a connection",
        "code": 2,
        "vcode": 0,
        "parameters": [1, 2, 20],
    }


def test_a_reject_names_the_pdu_it_rejects() -> None:
    said, first, _ = two_connection_session()
    said.snack(first, 5)
    said.reject(first, 4, said.pdus[-1].header)
    (event,) = events_of(said.timeline(), "reject")
    assert event["detail"]["reason"] == "protocol error"
    assert event["detail"]["rejected_opcode"] == "SNACK Request"
    assert event["detail"]["rejected_task_tag"] == 5


def test_a_reject_whose_data_was_cut_is_still_told() -> None:
    said, first, _ = two_connection_session()
    said.reject(first, 4, b"short")
    (event,) = events_of(said.timeline(), "reject")
    assert event["detail"]["rejected_opcode"] is None


def test_a_digest_error_is_an_event_of_its_pdu() -> None:
    said, first, _ = two_connection_session()
    said.say(first, bytes([0x3F, 0x80]) + bytes(46), data_digest=DIGEST_BAD)
    (event,) = events_of(said.timeline(), "digest-error")
    assert event["detail"] == {"digest": "data", "opcode": "Reject", "from_target": True}


def test_reservations_are_told_with_action_type_and_outcome() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, PERSISTENT_RESERVE, expected=24)
    said.response(first, 5)
    said.command(first, 6, 2, RESERVE_6)
    said.response(first, 6, status=0x18)
    timeline = said.timeline()
    persistent, plain = events_of(timeline, "reservation")
    assert persistent["detail"] == {
        "operation": "PERSISTENT RESERVE OUT",
        "service_action": "RESERVE",
        "type": "Write Exclusive, Registrants Only",
        "status": "GOOD",
        "lun": 0,
        "key": None,
        "service_action_key": None,
        "effect": "reserved",
        "holder_session_index": 0,
        "holder_type": "Write Exclusive, Registrants Only",
        "registered_session_indexes": [0],
    }
    assert plain["detail"]["status"] == "RESERVATION CONFLICT"
    (conflict,) = events_of(timeline, "reservation-conflict")
    assert (conflict["task_index"], conflict["detail"]["operation"]) == (1, "RESERVE(6)")


def test_pdus_have_null_where_they_have_no_such_field() -> None:
    said = Conversation()
    connection = said.connect()
    said.login(connection)
    said.command(connection, 5, 1, read_10(0, 1), lun=2)
    said.data_in(connection, 5, 256)
    said.data_in(connection, 5, 256, offset=256, status=0)
    login, _, command, data, last = rows_of(said.timeline(), "pdus")
    assert (login["lun"], login["cmd_sn"], login["stat_sn"], login["max_cmd_sn"]) == (None, 1, None, None)
    assert (command["lun"], command["cmd_sn"], command["is_immediate"]) == (2, 1, False)
    assert (data["stat_sn"], data["data_sn"], data["target_transfer_tag"]) == (None, 0, None)
    assert last["stat_sn"] is not None
    assert last["buffer_offset"] == 256
    assert (data["header_digest_ok"], data["quality"]) == (None, "whole")

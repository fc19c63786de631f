"""Conversations of logins, logouts and lost connections: who belongs to whom, and what ended it."""

from __future__ import annotations

import json

from tests.conversations import (
    FULL_FEATURE,
    START_NS,
    Conversation,
    events_of,
    read_10,
    rows_of,
    text,
    two_connection_session,
)

NAMES = {"InitiatorName": "iqn.a", "TargetName": "iqn.b"}


def test_two_logins_with_one_handle_are_one_session() -> None:
    said, _, _ = two_connection_session()
    timeline = said.timeline()
    (session,) = rows_of(timeline, "sessions")
    assert session["isid"] == "00023d000001"
    assert session["tsih"] == 1
    assert session["error_recovery_level"] == 2
    assert session["initial_r2t"] is True
    assert session["login_seen"] is True
    assert [(c["session_index"], c["cid"]) for c in rows_of(timeline, "connections")] == [(0, 0), (0, 1)]
    assert [event["detail"]["is_leading"] for event in events_of(timeline, "login")] == [True, False]


def test_values_follow_the_result_functions_of_the_keys() -> None:
    """MaxBurstLength takes the smaller, InitialR2T Yes if one side says so; the rest has its default."""
    said = Conversation()
    connection = said.connect()
    said.login_request(connection, {**NAMES, "MaxBurstLength": "1048576", "InitialR2T": "No"})
    said.login_response(connection, {"MaxBurstLength": "65536", "InitialR2T": "Yes"})
    (session,) = rows_of(said.timeline(), "sessions")
    assert session["max_burst_bytes"] == 65536
    assert session["initial_r2t"] is True
    parameters = json.loads(session["parameters"])
    assert parameters["MaxBurstLength"] == {"value": "65536", "origin": "negotiated"}
    assert parameters["DefaultTime2Wait"] == {"value": "2", "origin": "default"}
    assert parameters["InitiatorName"] == {"value": "iqn.a", "origin": "declared"}


def test_a_text_continued_over_several_pdus_is_one_text() -> None:
    said = Conversation()
    connection = said.connect()
    whole = text({**NAMES, "MaxConnections": "3"})
    said.login_request(connection, whole[:20], flags=0x44)  # C bit: more follows
    said.login_response(connection, b"", flags=0x04)
    said.login_request(connection, whole[20:], flags=0x87)
    said.login_response(connection, {"MaxConnections": "2"})
    (session,) = rows_of(said.timeline(), "sessions")
    assert session["initiator_name"] == "iqn.a"
    assert session["max_connections"] == 2


def test_secrets_of_the_login_stand_nowhere() -> None:
    said = Conversation()
    connection = said.connect()
    secret = {"CHAP_N": "sesame-name", "CHAP_R": "0xsesame", "CHAP_C": "0xsesame", "CHAP_I": "sesame"}
    said.login_request(connection, {**NAMES, **secret, "AuthMethod": "CHAP"}, flags=0x81)
    said.login_response(connection, {**secret, "AuthMethod": "CHAP"}, flags=0x81)
    said.login_request(connection, FULL_FEATURE)
    said.login_response(connection, FULL_FEATURE)
    timeline = said.timeline()
    assert len(rows_of(timeline, "sessions")) == 1
    for name in timeline.arrow:
        assert "sesame" not in str(rows_of(timeline, name))


def test_a_refused_login_makes_no_session() -> None:
    said = Conversation()
    connection = said.connect()
    said.login_request(connection, NAMES, tsih=77, cid=3)
    said.login_response(connection, {}, tsih=77, status=(2, 0x0A))
    timeline = said.timeline()
    assert rows_of(timeline, "sessions") == []
    assert rows_of(timeline, "connections")[0]["session_index"] is None
    (event,) = events_of(timeline, "login-failed")
    assert event["detail"]["status"] == "session does not exist"
    assert event["detail"]["tsih_requested"] == 77
    assert [row["code"] for row in rows_of(timeline, "diagnostics")] == ["login-refused"]


def test_a_discovery_session_is_one() -> None:
    said = Conversation()
    connection = said.connect()
    said.login_request(connection, {"InitiatorName": "iqn.a", "SessionType": "Discovery"})
    said.login_response(connection, {})
    (session,) = rows_of(said.timeline(), "sessions")
    assert session["session_type"] == "discovery"
    assert session["target_name"] is None


def test_a_leading_login_with_the_same_isid_reinstates_the_session() -> None:
    """RFC 7143 section 6.3.5: the old session ends with its connections and commands."""
    said = Conversation()
    old = said.connect()
    said.login(old)
    said.command(old, 5, 1, read_10(0, 8))
    new = said.connect()
    said.login(new, gives=2)
    timeline = said.timeline()
    assert [session["tsih"] for session in rows_of(timeline, "sessions")] == [1, 2]
    assert [c["end"] for c in rows_of(timeline, "connections")] == ["replaced", "capture-ended"]
    (event,) = events_of(timeline, "session-reinstated")
    assert (event["session_index"], event["detail"]["old_session_index"]) == (1, 0)
    assert event["detail"]["open_tasks"] == 1
    assert rows_of(timeline, "tasks")[0]["end"] == "session-lost"


def test_a_login_after_logout_is_a_new_session_and_no_reinstatement() -> None:
    said = Conversation()
    old = said.connect()
    said.login(old)
    said.logout(old)
    said.logout_response(old)
    said.login(said.connect(), gives=2)
    timeline = said.timeline()
    assert len(rows_of(timeline, "sessions")) == 2
    assert events_of(timeline, "session-reinstated", "connection-lost") == []


def test_a_login_with_a_cid_in_use_reinstates_the_connection() -> None:
    said, first, _ = two_connection_session()
    new = said.connect()
    said.login(new, tsih=1, cid=0)
    timeline = said.timeline()
    assert len(rows_of(timeline, "sessions")) == 1
    (event,) = events_of(timeline, "connection-reinstated")
    assert event["detail"] == {"old_connection_index": first, "cid": 0, "is_old_still_open": True}
    assert rows_of(timeline, "connections")[first]["end"] == "replaced"


def test_sessions_of_other_isids_and_targets_stay_apart() -> None:
    said = Conversation()
    said.login(said.connect(), isid="00023d000001")
    said.login(said.connect(), isid="00023d000002")
    said.login(said.connect(), isid="00023d000001", target="iqn.2026-11.test:tape")
    timeline = said.timeline()
    assert len(rows_of(timeline, "sessions")) == 3
    assert events_of(timeline, "session-reinstated") == []


def test_closing_the_session_ends_all_its_connections() -> None:
    said, first, second = two_connection_session()
    said.logout(first)
    said.logout_response(first)
    answered_ns = said.now_ns
    said.wait_ms(1)
    said.close(first)
    said.close(second)
    timeline = said.timeline()
    assert [(c["end"], c["closed_ns"]) for c in rows_of(timeline, "connections")] == [
        ("logout", answered_ns),
        ("logout", answered_ns),
    ]
    (event,) = events_of(timeline, "logout")
    assert event["detail"]["closed_connections"] == [0, 1]
    assert events_of(timeline, "connection-lost") == []


def test_a_logout_that_closes_another_connection_than_it_names() -> None:
    """tgt: the named connection goes on, the one that carried the logout gets a FIN."""
    said, first, second = two_connection_session()
    said.logout(first, reason=1, cid=1)
    said.logout_response(first)
    said.close(first, from_target=True)
    said.wait_ms(1)
    said.nop_out(second, 7)
    said.nop_in(second, 7)
    timeline = said.timeline()
    assert [c["end"] for c in rows_of(timeline, "connections")] == ["fin", "capture-ended"]


def test_a_reset_is_a_lost_connection_with_its_open_commands() -> None:
    said, first, _ = two_connection_session()
    said.command(first, 5, 1, read_10(0, 8))
    said.command(first, 6, 2, read_10(8, 8))
    said.response(first, 5)
    said.wait_ms(5)
    said.close(first, reset=True)
    said.wait_ms(5)
    timeline = said.timeline()
    (event,) = events_of(timeline, "connection-lost")
    assert event["detail"]["cause"] == "reset"
    assert event["detail"]["by"] == "initiator"
    assert event["detail"]["open_tasks"] == 1
    assert [task["end"] for task in rows_of(timeline, "tasks")] == ["responded", "connection-lost"]


def test_giving_up_after_an_unanswered_ping_is_a_timeout() -> None:
    said = Conversation()
    connection = said.connect()
    said.login(connection)
    said.wait_ms(5000)
    said.nop_out(connection, 9)
    sent_ns = said.now_ns
    said.wait_ms(5000)
    said.close(connection, reset=True)
    timeline = said.timeline()
    assert rows_of(timeline, "connections")[0]["end"] == "timeout"
    (event,) = events_of(timeline, "nop-timeout")
    assert event["detail"] == {"sent_ns": sent_ns, "waited_ns": 5_000_000_000, "is_inferred": False}


def test_connections_without_login_that_share_one_count_are_one_session() -> None:
    said = Conversation()
    first, second, lone = said.connect(), said.connect(), said.connect()
    for number in range(12):
        said.command((first, second)[number % 2], 100 + number, 500 + number, read_10(number, 1))
        said.command(lone, 300 + number, 500 + number, read_10(number, 1))
    timeline = said.timeline()
    assert [c["session_index"] for c in rows_of(timeline, "connections")] == [0, 0, 1]
    assert [session["login_seen"] for session in rows_of(timeline, "sessions")] == [False, False]
    codes = {row["code"] for row in rows_of(timeline, "diagnostics")}
    assert {"membership-assumed", "capture-starts-late"} <= codes
    assert timeline.manifest["assumptions"]


def test_a_recording_begun_between_two_logins_of_a_session() -> None:
    """The second connection names the session; the first, seen without a login, counts with it."""
    said = Conversation()
    first = said.connect()
    for number in range(4):
        said.command(first, number, 10 + number, read_10(number, 1))
    second = said.connect()
    said.login(second, tsih=4, cid=1)
    for number in range(4, 20):
        said.command((first, second)[number % 2], number, 10 + number, read_10(number, 1))
    timeline = said.timeline()
    (session,) = rows_of(timeline, "sessions")
    assert session["tsih"] == 4
    assert session["login_seen"] is False
    assert session["max_burst_bytes"] is None


def test_nothing_at_all_is_an_empty_timeline() -> None:
    timeline = Conversation().timeline()
    assert all(table.num_rows == 0 for name, table in timeline.arrow.items() if name != "captures")


def test_first_and_last_of_a_session() -> None:
    said, first, _ = two_connection_session()
    said.wait_ms(2)
    said.nop_out(first, 1)
    (session,) = rows_of(said.timeline(), "sessions")
    assert session["first_ns"] == START_NS + 1000
    assert session["last_ns"] == said.now_ns

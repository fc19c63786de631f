"""The sessions and connections tables, and the events of their logins, logouts and ends.

Decides how the findings of ``membership`` read as rows; finds nothing itself.
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.decoders.decoded import DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.opcodes import LOGIN_STATUSES, LOGOUT_REASONS, LOGOUT_RESPONSES, name_of
from analyzer.iscsi.text_keys import (
    DECLARED,
    NO_ANSWERS,
    TEXT_KEYS,
    Declarer,
    Result,
    Said,
    Scope,
    negotiate_all,
    parse_number,
)
from analyzer.tables.timeline_tables import CONNECTIONS, SESSIONS
from analyzer.timeline.command_events import WindowFigures
from analyzer.timeline.events import EventLog
from analyzer.timeline.logins import Login
from analyzer.timeline.logouts import CLOSE_SESSION
from analyzer.timeline.membership import Identities
from analyzer.timeline.open_tasks import OpenTasks
from analyzer.timeline.order_statistics import OrderStatistics
from analyzer.timeline.sessions import CAPTURE_ENDED, LOGOUT, Connection, Session

ROUND_TRIPS = ("rtt_ns_min", "target_side_rtt_ns_min", "initiator_side_rtt_ns_min")
QUEUES = ("queue_to_target_bytes", "queue_from_target_bytes")


def session_parameters(session: Session) -> dict[str, dict[str, str]]:
    """All keys of the leading login with value and origin; empty where it was not recorded."""
    login = session.leading
    if login is None or not login.is_recorded_whole:
        return {}
    return _parameters(tuple(login.offered.items()), tuple(login.answered.items()))


@lru_cache(maxsize=1024)
def _parameters(offers: Said, answers: Said) -> dict[str, dict[str, str]]:
    """As ``session_parameters``; thousands of sessions agree on the same."""
    offered, answered = dict(offers), dict(answers)
    values = negotiate_all(offered, answered, Scope.SESSION)
    for key in TEXT_KEYS:
        if key.result is Result.DECLARATION and key.scope is Scope.SESSION:
            sides = (answered, offered)
            if key.declarer is Declarer.INITIATOR or key.name == "TargetName":
                sides = (offered, answered)
            said = next((side[key.name] for side in sides if key.name in side), None)
            if said is not None and said not in NO_ANSWERS:
                values[key.name] = (said, DECLARED)
    return {name: {"value": value, "origin": origin} for name, (value, origin) in sorted(values.items())}


def negotiated_number(session: Session, key: str) -> int | None:
    """A numerical key of the leading login, None where that was not recorded."""
    known = session_parameters(session).get(key)
    return parse_number(known["value"]) if known else None


def negotiated_yes(session: Session, key: str) -> bool | None:
    """A boolean key of the leading login, None where that was not recorded."""
    known = session_parameters(session).get(key)
    return known["value"] == "Yes" if known else None


def session_table(
    identities: Identities, decoded: DecodedCapture, order: OrderStatistics, windows: WindowFigures
) -> pa.Table:
    """The sessions table."""
    sessions = identities.sessions
    logins = [session.any_login for session in sessions]
    parameters = [session_parameters(session) for session in sessions]

    def number(key: str, largest: int) -> list[int | None]:
        values = [parse_number(keys[key]["value"]) if key in keys else None for keys in parameters]
        return [value if value is not None and 0 <= value <= largest else None for value in values]

    def is_yes(key: str) -> list[bool | None]:
        return [keys[key]["value"] == "Yes" if key in keys else None for keys in parameters]

    short, long = np.iinfo(np.uint16).max, np.iinfo(np.int32).max
    first, last = _spans(identities, decoded)
    return SESSIONS.build(
        {
            "session_index": np.arange(len(sessions), dtype=np.int32),
            "initiator_name": [login.offered.get("InitiatorName") if login else None for login in logins],
            "target_name": [login.offered.get("TargetName") if login else None for login in logins],
            "isid": [login.isid if login else None for login in logins],
            "tsih": [session.tsih for session in sessions],
            "target_portal_group_tag": [
                parse_portal_group(login.answered.get("TargetPortalGroupTag")) if login else None
                for login in logins
            ],
            "session_type": [
                ("discovery" if login.is_discovery else "normal") if login else None for login in logins
            ],
            "max_connections": number("MaxConnections", short),
            "error_recovery_level": number("ErrorRecoveryLevel", 255),
            "max_burst_bytes": number("MaxBurstLength", long),
            "first_burst_bytes": number("FirstBurstLength", long),
            "initial_r2t": is_yes("InitialR2T"),
            "immediate_data": is_yes("ImmediateData"),
            "max_outstanding_r2t": number("MaxOutstandingR2T", short),
            "time2wait_s": number("DefaultTime2Wait", long),
            "time2retain_s": number("DefaultTime2Retain", long),
            "login_seen": [bool(keys) for keys in parameters],
            "first_ns": first,
            "last_ns": last,
            "arrival_inversions": order.arrival_inversions,
            "cmd_sn_holes": order.cmd_sn_holes,
            "stand_stills": order.stand_stills,
            "stood_still_ns": order.stood_still_ns,
            "longest_stand_still_ns": order.longest_stand_still_ns,
            "window_closures": windows.closures,
            "window_closed_ns": windows.closed_ns,
            "parameters": _as_json(parameters),
        }
    )


def _as_json(parameters: list[dict[str, dict[str, str]]]) -> list[str]:
    """Each as JSON; the same object is written once."""
    texts: dict[int, str] = {}
    for keys in parameters:
        if id(keys) not in texts:
            texts[id(keys)] = json.dumps(keys, ensure_ascii=False)
    return [texts[id(keys)] for keys in parameters]


def _null_where_negative(values: npt.NDArray[np.int64]) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(values, mask=values < 0)


def _null_where_zero(values: npt.NDArray[np.int64]) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(values, mask=values == 0)


def connection_table(identities: Identities, decoded: DecodedCapture) -> pa.Table:
    """The connections table."""
    columns, connections = decoded.connections, identities.connections
    logins = [connection.login for connection in connections]
    session = identities.session_of_connection
    return CONNECTIONS.build(
        {
            "connection_index": np.arange(len(connections), dtype=np.int32),
            "session_index": np.ma.MaskedArray(session, mask=session < 0),
            "cid": [connection.cid for connection in connections],
            "initiator_address": columns.initiator_address,
            "initiator_port": columns.initiator_port,
            "target_address": columns.target_address,
            "target_port": columns.target_port,
            "header_digest": columns.header_digest,
            "data_digest": columns.data_digest,
            "initiator_max_recv_bytes": [max_recv_bytes(login, "offered") for login in logins],
            "target_max_recv_bytes": [max_recv_bytes(login, "answered") for login in logins],
            "login_seen": [login is not None and login.is_recorded_whole for login in logins],
            "opened_ns": columns.opened_ns,
            "closed_ns": [connection.closed_ns for connection in connections],
            "end": [connection.end for connection in connections],
            "packets": columns.packets,
            "retransmitted_segments": columns.retransmitted_segments,
            "lost_bytes": columns.lost_bytes,
            **{name: _null_where_zero(getattr(columns, name)) for name in ROUND_TRIPS},
            **{name: _null_where_negative(getattr(columns, name)) for name in QUEUES},
            "largest_segment_bytes": columns.largest_segment_bytes,
        }
    )


def emit_session_events(
    identities: Identities, open_tasks: OpenTasks, events: EventLog, diagnostics: DiagnosticLog
) -> None:
    """Events of logins, reinstatements, logouts, NOP timeouts and lost connections."""
    for login in identities.logins:
        _emit_login(identities, login, events, diagnostics)
    for renewal in identities.membership.session_reinstatements:
        held = [connection.connection_index for connection in renewal.old.connections]
        events.emit(
            "session-reinstated",
            renewal.login.last_ns,
            {
                "old_session_index": identities.number_of(renewal.old),
                "isid": renewal.login.isid,
                "open_tasks": len(open_tasks.at(held, renewal.login.last_ns)),
            },
            packet=renewal.login.packet,
            session_index=identities.number_of(renewal.new),
            connection_index=renewal.login.connection_index,
        )
    for takeover in identities.membership.connection_reinstatements:
        events.emit(
            "connection-reinstated",
            takeover.login.last_ns,
            {
                "old_connection_index": takeover.old.connection_index,
                "cid": takeover.login.cid,
                "is_old_still_open": takeover.is_old_still_open,
            },
            packet=takeover.login.packet,
            session_index=_session_of(identities, takeover.new.connection_index),
            connection_index=takeover.new.connection_index,
        )
    _emit_logouts(identities, events)
    for timeout in identities.nop_timeouts:
        number = timeout.connection.connection_index
        events.emit(
            "nop-timeout",
            timeout.at_ns,
            {
                "sent_ns": timeout.sent_ns,
                "waited_ns": timeout.at_ns - timeout.sent_ns,
                "is_inferred": timeout.is_inferred,
            },
            session_index=_session_of(identities, number),
            connection_index=number,
        )
    for connection in identities.connections:
        _emit_loss(identities, connection, open_tasks, events)


def parse_portal_group(text: str | None) -> int | None:
    """A TargetPortalGroupTag: 16 bits (RFC 7143 section 13.9)."""
    number = parse_number(text)
    return number if number is not None and 0 <= number <= 0xFFFF else None


def _emit_login(identities: Identities, login: Login, events: EventLog, diagnostics: DiagnosticLog) -> None:
    place = {
        "packet": login.packet,
        "session_index": _session_of(identities, login.connection_index),
        "connection_index": login.connection_index,
    }
    if login.is_complete:
        detail = {
            "isid": login.isid,
            "tsih": login.tsih,
            "cid": login.cid,
            "is_leading": login.is_leading,
            "session_type": "discovery" if login.is_discovery else "normal",
            "started_ns": login.started_ns,
            "round_trips": login.requests,
            "auth_method": login.answered.get("AuthMethod"),
        }
        events.emit("login", login.last_ns, detail, **place)
        return
    words = None
    if login.status_class is not None and login.status_detail is not None:
        code = (login.status_class, login.status_detail)
        words = LOGIN_STATUSES.get(code, f"status {code[0]:02x}{code[1]:02x}h") if any(code) else None
    detail = {
        "isid": login.isid,
        "tsih_requested": login.tsih_requested,
        "cid": login.cid,
        "status_class": login.status_class if login.is_refused else None,
        "status_detail": login.status_detail if login.is_refused else None,
        "status": words,
        "started_ns": login.started_ns,
    }
    events.emit("login-failed", login.last_ns, detail, **place)
    if login.is_refused:
        diagnostics.emit(
            "login-refused",
            words or "",
            packet=login.packet,
            connection_index=login.connection_index,
            at_ns=login.last_ns,
        )


def _emit_logouts(identities: Identities, events: EventLog) -> None:
    for number, logout in enumerate(identities.logouts):
        closed = identities.membership.closed_by.get(number, [])
        detail = {
            "reason": name_of(LOGOUT_REASONS, logout.reason),
            "cid": None if logout.reason == CLOSE_SESSION else logout.cid,
            "response": None if logout.response is None else name_of(LOGOUT_RESPONSES, logout.response),
            "response_ns": logout.response_ns,
            "time2wait_s": logout.time2wait_s,
            "time2retain_s": logout.time2retain_s,
            "closed_connections": sorted(connection.connection_index for connection in closed),
        }
        events.emit(
            "logout",
            logout.at_ns,
            detail,
            packet=logout.packet,
            session_index=_session_of(identities, logout.connection_index),
            connection_index=logout.connection_index,
        )


def _emit_loss(
    identities: Identities, connection: Connection, open_tasks: OpenTasks, events: EventLog
) -> None:
    number = connection.connection_index
    session = _session_of(identities, number)
    if session is None or connection.closed_ns is None or connection.end in (LOGOUT, CAPTURE_ENDED):
        return
    detail = {
        "cause": connection.end,
        "by": connection.ended_by,
        "last_from_target_ns": connection.last_from_target_ns,
        "last_from_initiator_ns": connection.last_from_initiator_ns,
        "open_tasks": len(open_tasks.at([number], connection.closed_ns)),
    }
    events.emit(
        "connection-lost", connection.closed_ns, detail, session_index=session, connection_index=number
    )


def _session_of(identities: Identities, connection_index: int) -> int | None:
    number = int(identities.session_of_connection[connection_index])
    return number if number >= 0 else None


def max_recv_bytes(login: Login | None, side: str) -> int | None:
    """MaxRecvDataSegmentLength as one side declared it; its default where it declared none."""
    if login is None or not login.is_recorded_whole:
        return None
    said = (login.offered if side == "offered" else login.answered).get("MaxRecvDataSegmentLength")
    number = parse_number(said)
    return number if number is not None and 0 < number < 1 << 24 else 8192


def _spans(
    identities: Identities, decoded: DecodedCapture
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last PDU of each session."""
    count = len(identities.sessions)
    first = np.full(count, np.iinfo(np.int64).max, np.int64)
    last = np.zeros(count, np.int64)
    pdus = decoded.pdus
    for step in decoded.scratch.steps(len(pdus)):
        session = identities.session_of_connection[pdus.connection_index[step]]
        member = session >= 0
        # In order of time, so the last occurrence of each session is its last, and the first the lowest.
        np.minimum.at(first, session[member], pdus.time_ns[step][member])
        last[session[member]] = pdus.time_last_ns[step][member]
    return first, last

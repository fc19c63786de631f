"""Opening the paths of a run: connect, log in, agree on keys, fetch pending unit attentions; and logging out.

Decides what sessions and connections a topology has. Works in order, one connection at a time, before
and after the closed loop; every step has a deadline.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

from analyzer.iscsi.text_keys import parse_number
from benchmarks.lab.configuration import Configuration, Topology
from benchmarks.lab.initiator.login import Login
from benchmarks.lab.initiator.pdus import ProtocolError
from benchmarks.lab.initiator.session import Connection, Session
from benchmarks.lab.initiator.tasks import INITIAL, Command, test_unit_ready
from benchmarks.lab.initiator.wire import ConnectionLostError, Wire
from benchmarks.lab.network import PORTAL_PORT, Network
from benchmarks.lab.target import LUN, TARGET_NAME, target_keys

INITIATOR_NAME = "iqn.2026-11.example.lab:initiator"
STEP_DEADLINE_S = 5.0
FIRST_CMD_SN = 1
MAX_UNIT_ATTENTIONS = 4
_DEFAULT_SEGMENT_BYTES = 8192

Events = list[dict[str, Any]]


def initiator_keys(configuration: Configuration) -> dict[str, str]:
    """What the initiator says on a leading connection: its own limits, and else what the target holds too."""
    keys = target_keys(configuration)
    keys["MaxConnections"] = str(configuration.paths if configuration.topology is Topology.MCS else 1)
    keys["MaxRecvDataSegmentLength"] = str(configuration.initiator_segment_bytes)
    return keys | {
        "DefaultTime2Wait": "2",
        "DefaultTime2Retain": "20",
        "DataPDUInOrder": "Yes",
        "DataSequenceInOrder": "Yes",
        "ErrorRecoveryLevel": "0",
    }


def open_sessions(configuration: Configuration, events: Events) -> list[Session]:
    """Log in on every path. Under MC/S all connections are of the first session, else each has its own.

    Raises ConnectionLostError, ProtocolError or LoginRefusedError.
    """
    sessions: list[Session] = []
    keys = initiator_keys(configuration)
    for path in range(configuration.paths):
        if configuration.topology is Topology.MCS and sessions:
            _log_in(keys, path, sessions[0].isid, sessions, events)
        else:
            # A random ISID (type 2, RFC 7143 section 11.12.5) with the path in its qualifier.
            _log_in(keys, path, bytes((0x80, 0, 0, 0x4C, 0, path)), sessions, events)
    return sessions


def _log_in(keys: dict[str, str], path: int, isid: bytes, sessions: list[Session], events: Events) -> None:
    session = sessions[-1] if sessions and sessions[-1].isid == isid else None
    portal = (Network.target_address(path), PORTAL_PORT)
    record: dict[str, Any] = {"cid": len(session.connections) if session else 0}
    wire = Wire(Network.initiator_address(path), portal, STEP_DEADLINE_S)
    record |= {"local": wire.local, "remote": wire.remote, "t_tcp_connect": time.time()}
    login = Login(
        INITIATOR_NAME,
        TARGET_NAME,
        isid,
        session.tsih if session else 0,
        record["cid"],
        session.new_tag() if session else 1,
        session.next_cmd_sn if session else FIRST_CMD_SN,
        keys,
    )
    label = session.label if session else f"s{len(sessions) + 1}"
    said = {"session": label, "isid": isid.hex(), "cid": record["cid"]}
    record["t_login_start"] = time.time()
    start = {"leading": session is None, "itt": login.task_tag, "cmdsn": login.cmd_sn, "portal": portal}
    events.append({"t": record["t_login_start"], "event": "login", "phase": "start", **start, **said})
    converse(wire, login)
    record["t_ffp"] = time.time()
    agreed = login.agreed()
    wire.has_header_digest = agreed["HeaderDigest"] == "CRC32C"
    wire.has_data_digest = agreed["DataDigest"] == "CRC32C"
    segment = parse_number(login.answered.get("MaxRecvDataSegmentLength")) or _DEFAULT_SEGMENT_BYTES
    record |= {"header_digest": wire.has_header_digest, "data_digest": wire.has_data_digest}
    record |= {"target_mrdsl": segment, "our_mrdsl": int(keys["MaxRecvDataSegmentLength"])}
    events.append(
        {"t": record["t_ffp"], "event": "login", "phase": "ffp", "answered": dict(login.answered), **said}
    )
    connection = Connection(record["cid"], path, wire, segment, login.exp_stat_sn, record)
    if session is not None:
        session.connections.append(connection)
        return
    session = Session(
        label, isid, login.tsih, LUN, agreed, [connection], FIRST_CMD_SN, 0, 0, login.task_tag + 1
    )
    session.exp_cmd_sn, session.max_cmd_sn = login.exp_cmd_sn, login.max_cmd_sn
    sessions.append(session)


def converse(wire: Wire, login: Login) -> None:
    """Exchange login requests and responses until the connection is in full feature phase.

    Raises ConnectionLostError where it does not come so far in time, and what ``Login`` raises.
    """
    end = time.monotonic() + STEP_DEADLINE_S
    wire.queue(login.first_request())
    while not login.is_done:
        if time.monotonic() > end:
            raise ConnectionLostError("the login had no end in time")
        wire.flush()
        select.select([wire], [wire] if wire.has_unsent else [], [], 0.1)
        for response in wire.receive():
            request = login.next_request(response)
            if request is not None:
                wire.queue(request)


def clear_unit_attentions(session: Session) -> list[Command]:
    """Send TEST UNIT READY until it is GOOD; all the commands that took."""
    done: list[Command] = []
    while not done or done[-1].status:
        if len(done) == MAX_UNIT_ATTENTIONS:
            raise ProtocolError("the logical unit does not get ready")
        done.append(_test_once(session))
    return done


def _test_once(session: Session) -> Command:
    command = test_unit_ready()
    command.submitted_at = time.time()
    first = session.connections[0]
    session.submit(command, first, INITIAL, command.submitted_at)
    step_until(session, first, lambda: command.completed_at is not None)
    return command


def log_out(session: Session, events: Events) -> None:
    """Close a session on one of its living connections, where it has one; then close all its sockets."""
    alive = [connection for connection in session.connections if connection.is_alive]
    if alive:
        first = alive[0]
        event = {"t": time.time(), "event": "logout", "reason": 0, "reason_name": "close session"}
        tag = session.log_out(first)
        event |= {"itt": tag, "cmdsn": session.next_cmd_sn, "immediate": True, "cid": first.cid}
        try:
            step_until(session, first, lambda: tag in session.answers)
            event |= {"t_response": time.time(), "response": session.answers[tag]["response"]}
        except (ConnectionLostError, ProtocolError) as error:
            event["failed"] = str(error)
        events.append({**event, "session": session.label, "isid": session.isid.hex()})
    for connection in alive:
        connection.wire.close()
        connection.is_alive = False
        connection.record |= {"t_closed": time.time(), "how_closed": "logout:0", "state": "closed"}


def step_until(session: Session, connection: Connection, is_reached: Callable[[], bool]) -> None:
    """Exchange PDUs until something has come about. Raises ConnectionLostError where it does not in time."""
    end = time.monotonic() + STEP_DEADLINE_S
    while not is_reached():
        if time.monotonic() > end:
            raise ConnectionLostError("no answer in time")
        connection.flush(time.time())
        wire = connection.wire
        select.select([wire], [wire] if wire.has_unsent else [], [], 0.1)
        for _ in session.receive(connection, time.time()):
            pass

"""From PDUs to sessions with their connections: runs the trackers of logins, logouts and CmdSN sequences.

Decides the order in which they are asked, and says in events and diagnostics what they found. The rules
are theirs. Does not know tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import END_FIN, END_OPEN, DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.headers import BASIC, FROM_INITIATOR, IMMEDIATE_BIT, view
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.timeline.assumed_sessions import CommandSequence, group_sequences
from analyzer.timeline.exchanges import pair_exchanges
from analyzer.timeline.logins import Login, track_logins
from analyzer.timeline.logouts import Logout, track_logouts
from analyzer.timeline.sessions import (
    FIN,
    REPLACED,
    RESET,
    TIMEOUT,
    Connection,
    Membership,
    Session,
    apply_logouts,
    track_sessions,
)

_NUMBERED = (
    Opcode.NOP_OUT,
    Opcode.SCSI_COMMAND,
    Opcode.TASK_MANAGEMENT_REQUEST,
    Opcode.TEXT_REQUEST,
    Opcode.LOGOUT_REQUEST,
)
_SHORTEST_SILENCE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NopTimeout:
    """A NOP-Out that stayed unanswered until its connection was given up."""

    connection: Connection
    sent_ns: int
    at_ns: int
    is_inferred: bool = False
    """Neither shows in the capture; the initiator's timers add up to it."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Sessions in order of first appearance, connections in order of index, and what made and ended them."""

    sessions: list[Session]
    connections: list[Connection]
    session_of_connection: npt.NDArray[np.int32]
    """-1 for a connection without a session."""
    logins: list[Login]
    logouts: list[Logout]
    membership: Membership
    nop_timeouts: list[NopTimeout]

    def number_of(self, session: Session) -> int:
        """The session's index."""
        return int(self.session_of_connection[session.connections[0].connection_index])


def identify(
    decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8], diagnostics: DiagnosticLog
) -> Identities:
    """Find all sessions and how each connection ended; ``opcodes`` has shape (n,), one per PDU."""
    connections = _connections(decoded)
    logins = track_logins(decoded, opcodes)
    _complete_by_traffic(decoded, opcodes, logins)
    logouts = track_logouts(decoded, opcodes)
    membership = track_sessions(connections, logins, logouts)
    _assume_sessions(decoded, opcodes, connections, membership, logins, diagnostics)
    apply_logouts(membership, connections, logouts)
    nop_timeouts = _find_nop_timeouts(decoded, opcodes, connections)
    first_ns = {
        id(session): min(connection.opened_ns for connection in session.connections)
        for session in membership.sessions
    }
    sessions = sorted(membership.sessions, key=lambda session: first_ns[id(session)])
    session_of_connection = np.full(len(connections), -1, np.int32)
    for number, session in enumerate(sessions):
        for connection in session.connections:
            session_of_connection[connection.connection_index] = number
    return Identities(sessions, connections, session_of_connection, logins, logouts, membership, nop_timeouts)


def numbered_requests(decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """PDUs that use a CmdSN up: non-immediate requests (RFC 7143 section 4.2.2.1)."""
    found = []
    for step in decoded.scratch.steps(len(opcodes)):
        is_numbered = np.isin(opcodes[step], np.array(_NUMBERED, np.uint8))
        is_numbered &= decoded.pdus.headers[step, 0] & IMMEDIATE_BIT == 0
        found.append(np.flatnonzero(is_numbered) + step.start)
    return np.concatenate(found)


def _connections(decoded: DecodedCapture) -> list[Connection]:
    columns, pdus = decoded.connections, decoded.pdus
    last = np.full((2, len(columns)), -1, np.int64)
    # PDUs are in order of time, so the last write of each connection stands.
    for step in decoded.scratch.steps(len(pdus)):
        last[pdus.from_target[step].astype(np.int8), pdus.connection_index[step]] = pdus.time_ns[step]
    connections = []
    for number in range(len(columns)):
        connection = Connection(
            number,
            int(columns.opened_ns[number]),
            last_from_initiator_ns=int(last[0, number]) if last[0, number] >= 0 else None,
            last_from_target_ns=int(last[1, number]) if last[1, number] >= 0 else None,
        )
        if columns.end[number] != END_OPEN:
            connection.close(
                int(columns.ended_ns[number]),
                FIN if columns.end[number] == END_FIN else RESET,
                "target" if columns.end_from_target[number] else "initiator",
            )
        connections.append(connection)
    return connections


def _complete_by_traffic(
    decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8], logins: list[Login]
) -> None:
    """Take a login for complete whose final response was lost but whose connection went on to work."""
    unfinished = [login for login in logins if not login.is_complete and not login.is_refused]
    if not unfinished:
        return
    at_work = _connections_with(decoded, opcodes == Opcode.SCSI_COMMAND)
    for login in unfinished:
        if at_work[login.connection_index]:
            login.is_complete = True
            login.is_final_response_lost = True
            login.tsih = login.tsih_requested or None


def _connections_with(decoded: DecodedCapture, is_meant: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which connections have a PDU that is meant, shape (connections,); ``is_meant`` has shape (n,)."""
    found = np.zeros(len(decoded.connections), np.bool_)
    for step in decoded.scratch.steps(len(is_meant)):
        found[decoded.pdus.connection_index[step][is_meant[step]]] = True
    return found


def _assume_sessions(
    decoded: DecodedCapture,
    opcodes: npt.NDArray[np.uint8],
    connections: list[Connection],
    membership: Membership,
    logins: list[Login],
    diagnostics: DiagnosticLog,
) -> None:
    """Give connections that work without a recorded login the session that their CmdSNs tell of."""
    with_login = {login.connection_index for login in logins}
    loose = [c for c in connections if c.connection_index not in with_login]
    if not loose:
        return
    is_present = _connections_with(decoded, np.ones(len(opcodes), np.bool_))
    loose = [c for c in loose if is_present[c.connection_index]]
    if not loose:
        return
    requests = numbered_requests(decoded, opcodes)
    carrier = decoded.pdus.connection_index[requests]
    numbers = view(decoded.pdus.headers[requests], FROM_INITIATOR)["cmd_sn"].astype(np.uint32)

    def sequence_of(members: list[Connection]) -> CommandSequence:
        own = np.flatnonzero(np.isin(carrier, [member.connection_index for member in members]))
        times = decoded.pdus.time_ns[requests[own]]
        return CommandSequence.of(
            numbers[own], int(times[0]) if len(own) else 0, int(times[-1]) if len(own) else -1
        )

    known = membership.sessions
    groups = group_sequences(
        [sequence_of(session.connections) for session in known], [sequence_of([c]) for c in loose]
    )
    made: dict[int, Session] = dict(enumerate(known))
    for connection, group in zip(loose, groups, strict=True):
        if group not in made:
            made[group] = Session(None, None)
            membership.sessions.append(made[group])
        connection.session = made[group]
        made[group].connections.append(connection)
        number = connection.connection_index
        diagnostics.emit("capture-starts-late", connection_index=number, at_ns=connection.opened_ns)
    for group in sorted(set(groups)):
        members = [c.connection_index for c in made[group].connections]
        detail = f"connections {members} taken for one session"
        diagnostics.emit("membership-assumed", detail, connection_index=members[-1])


def _find_nop_timeouts(
    decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8], connections: list[Connection]
) -> list[NopTimeout]:
    """Connections given up by the initiator after an unanswered NOP-Out and silence: they timed out."""
    pdus = decoded.pdus
    unanswered: dict[int, int] = {}
    for request, response in pair_exchanges(decoded, opcodes, Opcode.NOP_OUT, Opcode.NOP_IN):
        if response is not None:
            continue
        tag = int(view(pdus.headers[request : request + 1], BASIC)["initiator_task_tag"][0])
        number, sent_ns = int(pdus.connection_index[request]), int(pdus.time_ns[request])
        heard_ns = connections[number].last_from_target_ns
        if tag != RESERVED_TAG and (heard_ns is None or heard_ns < sent_ns):
            unanswered.setdefault(number, sent_ns)
    timeouts = []
    for number, sent_ns in sorted(unanswered.items()):
        connection = connections[number]
        is_given_up = connection.end == REPLACED or (
            connection.end in (FIN, RESET) and connection.ended_by == "initiator"
        )
        if not is_given_up or connection.closed_ns is None:
            continue
        if connection.closed_ns - sent_ns >= _SHORTEST_SILENCE_NS:
            connection.end = TIMEOUT
            timeouts.append(NopTimeout(connection, sent_ns, connection.closed_ns))
    return timeouts

"""Sessions and their connections: who belongs to whom, from when, and what ended it.

Decides membership from logins (ISID, TSIH, CID), reinstatement of sessions and connections, and what
ends a connection. The TSIH is opaque: it is compared, never counted. Does not know tasks. Rules:
RFC 7143 sections 6.3.1, 6.3.5 and 6.3.6 (login decisions), 11.14 (logout), 7.1.4 (recovery).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.timeline.logins import Login
from analyzer.timeline.logouts import CLOSE_CONNECTION, CLOSE_SESSION, REMOVE_FOR_RECOVERY, Logout

# Words of connections.end, in the order in which they win at one instant.
LOGOUT, REPLACED, TIMEOUT, RESET, FIN, CAPTURE_ENDED = (
    "logout",
    "replaced",
    "timeout",
    "reset",
    "fin",
    "capture-ended",
)


@dataclass(slots=True)
class Connection:
    """What is known of one TCP connection's life in its session."""

    connection_index: int
    opened_ns: int
    last_from_initiator_ns: int | None = None
    last_from_target_ns: int | None = None
    session: Session | None = None
    cid: int | None = None
    login: Login | None = None
    closed_ns: int | None = None
    end: str = CAPTURE_ENDED
    ended_by: str | None = None
    """``initiator`` or ``target`` where one side's FIN or RST ended it."""

    def close(self, at_ns: int, end: str, ended_by: str | None = None) -> bool:
        """Let it end at ``at_ns`` unless it ended before; whether it did end now."""
        if self.closed_ns is not None and self.closed_ns <= at_ns:
            return False
        self.closed_ns, self.end, self.ended_by = at_ns, end, ended_by
        return True

    def is_open(self, at_ns: int) -> bool:
        """Whether nothing had ended it by then."""
        return self.closed_ns is None or self.closed_ns > at_ns


@dataclass(slots=True)
class Session:
    """One session: an I_T nexus and its connections."""

    leading: Login | None
    """The login that made it, None where that was not recorded."""
    any_login: Login | None
    """A login of one of its connections, for the names."""
    connections: list[Connection] = field(default_factory=list)
    closed_ns: int | None = None
    is_logged_out: bool = False

    @property
    def tsih(self) -> int | None:
        """The handle the target gave."""
        return self.any_login.tsih if self.any_login else None


@dataclass(slots=True)
class SessionReinstatement:
    """A leading login that put an end to an earlier session of the same name."""

    login: Login
    old: Session
    new: Session


@dataclass(slots=True)
class ConnectionReinstatement:
    """A login that took the CID of an earlier connection of its session."""

    login: Login
    old: Connection
    new: Connection
    is_old_still_open: bool


@dataclass(slots=True)
class Membership:
    """What came of all logins and logouts."""

    sessions: list[Session] = field(default_factory=list)
    session_reinstatements: list[SessionReinstatement] = field(default_factory=list)
    connection_reinstatements: list[ConnectionReinstatement] = field(default_factory=list)
    closed_by: dict[int, list[Connection]] = field(default_factory=dict)
    """Connections that ended with each logout, by its number."""


def track_sessions(
    connections: Sequence[Connection], logins: Sequence[Login], logouts: Sequence[Logout]
) -> Membership:
    """Give each connection with a login its session, and let reinstatements and logouts end what they end.

    ``connections`` is in order of ``connection_index`` and gets ``session``, ``cid``, ``login`` and ends.
    Connections without a complete login stay without a session.
    """
    found = Membership()
    steps: list[tuple[int, int, Login | Logout]] = []
    steps += [(login.last_ns, number, login) for number, login in enumerate(logins) if login.is_complete]
    steps += [
        (logout.at_ns if logout.response_ns is None else logout.response_ns, number, logout)
        for number, logout in enumerate(logouts)
    ]
    for _, number, step in sorted(steps, key=lambda item: (item[0], isinstance(item[2], Logout), item[1])):
        if isinstance(step, Login):
            _log_in(found, connections[step.connection_index], step)
        else:
            found.closed_by[number] = _log_out(connections[step.connection_index], step)
    return found


def apply_logouts(found: Membership, connections: Sequence[Connection], logouts: Sequence[Logout]) -> None:
    """Let logouts end what they end on connections whose session became known without a login."""
    for number, logout in enumerate(logouts):
        carrier = connections[logout.connection_index]
        if carrier.login is None:
            closed = _log_out(carrier, logout)
            found.closed_by[number] = found.closed_by.get(number, []) + closed


def _log_in(found: Membership, connection: Connection, login: Login) -> None:
    connection.login, connection.cid = login, login.cid
    if login.is_leading:
        session = Session(login, login)
        old = _latest(found.sessions, login, tsih=None)
        found.sessions.append(session)
        if old is not None and _is_reinstated(old, login):
            found.session_reinstatements.append(SessionReinstatement(login, old, session))
            _end_session(old, login.last_ns, REPLACED)
    else:
        known = _latest(found.sessions, login, tsih=login.tsih)
        session = known if known is not None else Session(None, login)
        if known is None:
            found.sessions.append(session)
        old_place = next((c for c in reversed(session.connections) if c.cid == login.cid), None)
        if old_place is not None and old_place.end != LOGOUT and login.cid is not None:
            is_open = old_place.is_open(login.last_ns)
            found.connection_reinstatements.append(
                ConnectionReinstatement(login, old_place, connection, is_open)
            )
            old_place.close(login.last_ns, REPLACED)
    connection.session = session
    session.connections.append(connection)


def _is_reinstated(old: Session, login: Login) -> bool:
    if old.is_logged_out:
        return False
    # Discovery sessions are commonly left by closing TCP, after which nothing of them lives on.
    return not login.is_discovery or any(c.is_open(login.started_ns) for c in old.connections)


def _latest(sessions: list[Session], login: Login, tsih: int | None) -> Session | None:
    """The latest session of the same nexus, and of ``tsih`` where one is given."""
    for session in reversed(sessions):
        if (
            session.any_login is not None
            and _nexus(session.any_login) == _nexus(login)
            and (tsih is None or session.tsih == tsih)
        ):
            return session
    return None


def _nexus(login: Login) -> tuple[str, str | None, str | None, bool]:
    # The portal group is left out: the login that continues a session does not name it.
    return (
        login.isid,
        login.offered.get("InitiatorName"),
        login.offered.get("TargetName"),
        login.is_discovery,
    )


def _end_session(session: Session, at_ns: int, end: str) -> list[Connection]:
    if session.closed_ns is None:
        session.closed_ns = at_ns
    return [connection for connection in session.connections if connection.close(at_ns, end)]


def _log_out(carrier: Connection, logout: Logout) -> list[Connection]:
    """End what a granted logout names; the connections that it ended."""
    session = carrier.session
    if session is None or not logout.is_granted or logout.response_ns is None:
        return []
    at_ns = logout.response_ns
    if logout.reason == CLOSE_SESSION:
        session.is_logged_out = True
        return _end_session(session, at_ns, LOGOUT)
    named = next((c for c in reversed(session.connections) if c.cid == logout.cid), None)
    if named is None and carrier.cid is None and len(session.connections) == 1:
        named = carrier  # Without a login its CID is not known, but there is no other.
    if named is None or logout.reason not in (CLOSE_CONNECTION, REMOVE_FOR_RECOVERY):
        return []
    if named.last_from_initiator_ns is not None and named.last_from_initiator_ns > at_ns:
        # The target said so and did otherwise: the named connection goes on.
        return []
    end = LOGOUT if logout.reason == CLOSE_CONNECTION or named is carrier else TIMEOUT
    return [named] if named.close(at_ns, end) else []

"""Connections that the initiator gave up without a word: silent ones whose commands it sent again elsewhere.

Decides that such a connection ended, and when, as far as the timers of the initiator tell. A link that is
down carries no NOP-Out, FIN or RST to show it, and what comes of the connection later (a RST for a late
answer) comes long after the initiator turned away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import NOP_OUT, view
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.timeline import task_tracker as field
from analyzer.timeline import timers
from analyzer.timeline.incidents import idle_before_pings
from analyzer.timeline.membership import Identities, NopTimeout
from analyzer.timeline.sessions import LOGOUT, TIMEOUT, Connection
from analyzer.timeline.task_table import TaskColumns

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_SHORTEST_SILENCE_NS = 1_000_000_000
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What a connection that was given up looked like before that was known."""

    end: str
    closed_ns: int | None


class NoopIntervals:
    """The NOP-Out interval of each nexus, measured when first asked for."""

    def __init__(
        self, decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8], nexus_of_connection: Int64s
    ) -> None:
        """``nexus_of_connection`` has shape (connections,), -1 without a session."""
        self._decoded, self._opcodes, self._nexus = decoded, opcodes, nexus_of_connection
        self._known: dict[int, int | None] = {}

    def of(self, nexus: int) -> int | None:
        """Seconds, None where no NOP-Out of an idle connection was recorded."""
        if nexus not in self._known:
            pdus = self._decoded.pdus
            pings = np.flatnonzero(self._opcodes == Opcode.NOP_OUT)
            headers = view(pdus.headers[pings], NOP_OUT)
            is_asking = headers["initiator_task_tag"] != RESERVED_TAG
            is_own = self._nexus[pdus.connection_index[pings]] == nexus
            self._known[nexus] = timers.noop_interval_s(
                idle_before_pings(pdus, pings[is_asking & is_own].tolist())
            )
        return self._known[nexus]


def close_given_up(
    decoded: DecodedCapture,
    identities: Identities,
    tasks: TaskColumns,
    retry_of: Int32s,
    moved_from: Int32s,
    nexus: Int64s,
    intervals: NoopIntervals,
) -> dict[int, GivenUp]:
    """End every connection that was given up, with a NOP timeout where the timers add up to one.

    Amends ``identities`` in place; gives what the connections looked like before, by their index.
    """
    repeated_ns = _repeated_elsewhere_ns(len(identities.connections), tasks, retry_of)
    # Of one session, the same command goes on elsewhere: a retry under its CmdSN, or a reassignment.
    moves = np.flatnonzero(moved_from >= 0)
    np.minimum.at(repeated_ns, moved_from[moves], decoded.pdus.time_ns[moves])
    amended: dict[int, GivenUp] = {}
    for number in np.flatnonzero(repeated_ns < _NEVER).tolist():
        connection, retry_ns = identities.connections[number], int(repeated_ns[number])
        if connection.end == LOGOUT or not connection.is_open(retry_ns):
            continue
        heard_ns = _last_spoken(decoded, number, retry_ns)
        said_ns = connection.last_from_initiator_ns
        if heard_ns is None or retry_ns - heard_ns < _SHORTEST_SILENCE_NS or (said_ns or 0) > retry_ns:
            continue
        amended[number] = GivenUp(connection.end, connection.closed_ns)
        _close(identities, connection, heard_ns, retry_ns, intervals.of(int(nexus[number])))
    return amended


def _close(
    identities: Identities, connection: Connection, heard_ns: int, retry_ns: int, interval_s: int | None
) -> None:
    connection.last_from_target_ns = heard_ns
    connection.end, connection.closed_ns, connection.ended_by = TIMEOUT, retry_ns, None
    division = timers.divide_silence(retry_ns - heard_ns, interval_s)
    if division is None:
        return
    connection.closed_ns = heard_ns + division.detected_after_ns
    sent_ns = heard_ns + division.interval_s * timers.SECOND_NS
    identities.nop_timeouts.append(NopTimeout(connection, sent_ns, connection.closed_ns, is_inferred=True))


def _repeated_elsewhere_ns(connections: int, tasks: TaskColumns, retry_of: Int32s) -> Int64s:
    """First time a command of each connection was sent again on another, the largest number for never."""
    again = np.flatnonzero(retry_of >= 0)
    before = tasks.matrix[retry_of[again], field.CONNECTION]
    elsewhere = before != tasks.matrix[again, field.FIRST_CONNECTION]
    times = np.full(connections, _NEVER, np.int64)
    np.minimum.at(times, before[elsewhere], tasks.command_ns[again[elsewhere]])
    return times


def _last_spoken(decoded: DecodedCapture, connection: int, before_ns: int) -> int | None:
    """The last PDU of the target on a connection before a time."""
    pdus = decoded.pdus
    reach = int(np.searchsorted(pdus.time_ns, before_ns))
    is_heard = pdus.from_target[:reach] & (pdus.connection_index[:reach] == connection)
    heard = np.flatnonzero(is_heard)
    return int(pdus.time_last_ns[heard[-1]]) if len(heard) else None

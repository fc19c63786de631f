"""Order and window of commands: how long each waited for lower CmdSNs, and when none could be sent.

Decides order waits, repeated CmdSNs and closed windows from CmdSN, ExpCmdSN and MaxCmdSN of a whole
session. Does not know connections: the numbers are the session's (RFC 7143 section 4.2.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.scratch import Scratch

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_HALF = 1 << 31
_WORD = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class OrderedRequests:
    """Non-immediate requests in order of time, shape (n,) each."""

    session: Int64s
    cmd_sn: npt.NDArray[np.uint32]
    arrived_ns: Int64s
    """When the request was whole."""


def order_waits(requests: OrderedRequests, scratch: Scratch) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """How long each request lay for lower CmdSNs of its session in ns, and which repeat a CmdSN; shape (n,).

    The latest complete arrival among all lower CmdSNs, minus its own arrival, if positive.
    """
    sessions = int(requests.session.max(initial=-1)) + 1
    numbers = numbers_of(requests, sessions, scratch)
    order = scratch.moved(np.lexsort((numbers, requests.session)))
    waits = scratch.moved(np.zeros(len(order), np.int64))
    repeats = np.zeros(len(order), np.bool_)
    _wait_in_order(order, requests.session, numbers, requests.arrived_ns, waits, repeats)
    return waits, repeats


def numbers_of(requests: OrderedRequests, sessions: int, scratch: Scratch) -> Int64s:
    """CmdSNs as numbers that grow through the wrap, shape (n,)."""
    numbers = scratch.empty(len(requests.session), np.int64)
    _unwrap_by_session(requests.session, requests.cmd_sn, np.full(sessions, -1, np.int64), numbers)
    return numbers


@njit(cache=True, nogil=True)
def _unwrap_by_session(
    session: Int64s, cmd_sns: npt.NDArray[np.uint32], latest: Int64s, numbers: Int64s
) -> None:
    """``latest`` holds the number of each session, -1 at first."""
    for place in range(len(session)):
        cmd_sn = np.int64(cmd_sns[place])
        row = session[place]
        known = latest[row]
        if known < 0:
            latest[row] = cmd_sn + (1 << 32)  # Room for what lies below the first.
        else:
            latest[row] = known + ((cmd_sn - known + _HALF) & _WORD) - _HALF
        numbers[place] = latest[row]


@njit(cache=True, nogil=True)
def _wait_in_order(
    order: Int64s,
    session: Int64s,
    numbers: Int64s,
    arrived_ns: Int64s,
    waits: Int64s,
    repeats: npt.NDArray[np.bool_],
) -> None:
    """Walk each session by rising CmdSN; equal numbers look only at what is below all of them."""
    below, latest = np.int64(-1), np.int64(-1)
    for place in range(len(order)):
        here = order[place]
        is_first = place == 0 or session[order[place - 1]] != session[here]
        if is_first:
            below, latest = np.int64(-1), np.int64(-1)
        elif numbers[order[place - 1]] == numbers[here]:
            repeats[here] = True
        else:
            below = latest
        if below > arrived_ns[here]:
            waits[here] = below - arrived_ns[here]
        latest = max(latest, arrived_ns[here])


@dataclass(frozen=True, slots=True)
class ClosedWindows:
    """Stretches in which no request could be sent, shape (n,) each."""

    session: Int64s
    from_ns: Int64s
    until_ns: Int64s


@dataclass(frozen=True, slots=True)
class WindowHistory:
    """What came of the window, as PDUs."""

    closed_by: Int64s
    """Requests whose CmdSN was MaxCmdSN: none could follow."""
    opened_by: Int64s
    """The PDU of the target behind each that opened the window again, -1 where none was seen."""
    outside: Int64s
    """Requests whose CmdSN lay above MaxCmdSN."""


def follow_window(
    headers: npt.NDArray[np.uint8], session: Int32s, is_grant: Flags, is_request: Flags, sessions: int
) -> WindowHistory:
    """Find when each session's window was used up: the highest CmdSN sent had reached MaxCmdSN.

    ``headers`` has shape (n, 48), the others (n,): the session of each PDU (-1 for none), whether it is one
    of the target that tells MaxCmdSN, and whether it is a request that uses a CmdSN up. MaxCmdSN is the
    serial maximum seen in the session, since connections overtake each other.
    """
    opened_by = np.full(len(headers), -2, np.int32)
    outside = np.zeros(len(headers), np.bool_)
    state = np.full((max(sessions, 1), 3), -1, np.int64)
    _follow_window(headers, session, is_grant, is_request, state, opened_by, outside)
    closed_by = np.flatnonzero(opened_by != -2)
    return WindowHistory(closed_by, opened_by[closed_by].astype(np.int64), np.flatnonzero(outside))


@njit(cache=True, nogil=True)
def _follow_window(
    headers: npt.NDArray[np.uint8],
    session: Int32s,
    is_grant: Flags,
    is_request: Flags,
    state: Int64s,
    opened_by: Int32s,
    outside: Flags,
) -> None:
    """``state`` holds per session the highest MaxCmdSN and CmdSN and what closed the window; -1 for none."""
    for pdu in range(len(session)):
        row = session[pdu]
        if row < 0:
            continue
        if is_grant[pdu]:
            max_cmd_sn, exp_cmd_sn = _word(headers, pdu, 32), _word(headers, pdu, 28)
            # MaxCmdSN below ExpCmdSN - 1 is to be ignored (RFC 7143 section 4.2.2.1).
            if (max_cmd_sn - exp_cmd_sn + 1) & _WORD >= _HALF:
                continue
            if state[row, 0] < 0 or 0 < (max_cmd_sn - state[row, 0]) & _WORD < _HALF:
                state[row, 0] = max_cmd_sn
                if state[row, 2] >= 0:
                    opened_by[state[row, 2]] = pdu
                    state[row, 2] = -1
        elif is_request[pdu]:
            cmd_sn = _word(headers, pdu, 24)
            if state[row, 1] < 0 or 0 < (cmd_sn - state[row, 1]) & _WORD < _HALF:
                state[row, 1] = cmd_sn
            if state[row, 0] >= 0:
                ahead = (cmd_sn - state[row, 0]) & _WORD
                if 0 < ahead < _HALF:
                    outside[pdu] = True
                elif ahead == 0 and state[row, 2] < 0:
                    opened_by[pdu] = -1
                    state[row, 2] = pdu


@njit(cache=True, nogil=True)
def _word(headers: npt.NDArray[np.uint8], pdu: int, byte: int) -> np.int64:
    """The 32-bit number at ``byte`` of a header."""
    return (
        (np.int64(headers[pdu, byte]) << 24)
        | (np.int64(headers[pdu, byte + 1]) << 16)
        | (np.int64(headers[pdu, byte + 2]) << 8)
        | np.int64(headers[pdu, byte + 3])
    )

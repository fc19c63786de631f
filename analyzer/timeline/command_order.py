"""Order and window of commands: how long each waited for lower CmdSNs, and when none could be sent.

Decides order waits, repeated CmdSNs and closed windows from CmdSN, ExpCmdSN and MaxCmdSN of a whole
session. Does not know connections: the numbers are the session's (RFC 7143 section 4.2.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_HALF = 1 << 31
_WORD = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class OrderedRequests:
    """Non-immediate requests in order of time, shape (n,) each."""

    session: Int64s
    cmd_sn: npt.NDArray[np.uint32]
    arrived_ns: Int64s
    """When the request was whole."""


def order_waits(requests: OrderedRequests) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """How long each request lay for lower CmdSNs of its session in ns, and which repeat a CmdSN; shape (n,).

    The latest complete arrival among all lower CmdSNs, minus its own arrival, if positive.
    """
    sessions = int(requests.session.max(initial=-1)) + 1
    numbers = unwrap_by_session(
        requests.session, requests.cmd_sn.astype(np.int64), np.full(sessions, -1, np.int64)
    )
    order = np.lexsort((numbers, requests.session))
    waits = np.zeros(len(order), np.int64)
    repeats = np.zeros(len(order), np.bool_)
    _wait_in_order(order, requests.session, numbers, requests.arrived_ns, waits, repeats)
    return waits, repeats


@njit(cache=True, nogil=True)
def unwrap_by_session(session: Int64s, cmd_sn: Int64s, latest: Int64s) -> Int64s:
    """CmdSNs as numbers that grow through the wrap; ``latest`` holds that of each session, -1 at first."""
    numbers = np.empty(len(session), np.int64)
    for place in range(len(session)):
        row = session[place]
        known = latest[row]
        if known < 0:
            latest[row] = cmd_sn[place] + (1 << 32)  # Room for what lies below the first.
        else:
            latest[row] = known + ((cmd_sn[place] - known + _HALF) & _WORD) - _HALF
        numbers[place] = latest[row]
    return numbers


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
class WindowTraffic:
    """What moves the command window, in order of time, shape (n,) each."""

    session: Int64s
    is_grant: npt.NDArray[np.bool_]
    """A PDU of the target with ExpCmdSN and MaxCmdSN; else a non-immediate request."""
    number: npt.NDArray[np.uint32]
    """MaxCmdSN of a grant, CmdSN of a request."""
    exp_cmd_sn: npt.NDArray[np.uint32]
    """ExpCmdSN of a grant."""
    time_ns: Int64s


@dataclass(frozen=True, slots=True)
class WindowHistory:
    """What came of the window. ``closed_at`` and ``opened_at`` are positions in the traffic."""

    closed_at: Int64s
    opened_at: Int64s
    """-1 where the window was not seen to open again."""
    outside: Int64s
    """Positions of requests whose CmdSN lay above MaxCmdSN."""


def follow_window(traffic: WindowTraffic, sessions: int) -> WindowHistory:
    """Find when each session's window was used up: the highest CmdSN sent had reached MaxCmdSN.

    MaxCmdSN is the serial maximum seen in the session, since connections overtake each other.
    """
    count = len(traffic.session)
    opened_at = np.full(count, -2, np.int64)
    outside = np.zeros(count, np.bool_)
    _follow_window(
        traffic.session,
        traffic.is_grant,
        traffic.number.astype(np.int64),
        traffic.exp_cmd_sn.astype(np.int64),
        np.full((max(sessions, 1), 3), -1, np.int64),
        opened_at,
        outside,
    )
    closed_at = np.flatnonzero(opened_at != -2)
    return WindowHistory(closed_at, opened_at[closed_at], np.flatnonzero(outside))


@njit(cache=True, nogil=True)
def _follow_window(
    session: Int64s,
    is_grant: npt.NDArray[np.bool_],
    number: Int64s,
    exp_cmd_sn: Int64s,
    state: Int64s,
    opened_at: Int64s,
    outside: npt.NDArray[np.bool_],
) -> None:
    """``state`` holds per session the highest MaxCmdSN and CmdSN and where the window closed; -1 for none."""
    for position in range(len(session)):
        row = session[position]
        value = number[position]
        if is_grant[position]:
            # MaxCmdSN below ExpCmdSN - 1 is to be ignored (RFC 7143 section 4.2.2.1).
            if (value - exp_cmd_sn[position] + 1) & _WORD >= _HALF:
                continue
            if state[row, 0] < 0 or 0 < (value - state[row, 0]) & _WORD < _HALF:
                state[row, 0] = value
                if state[row, 2] >= 0:
                    opened_at[state[row, 2]] = position
                    state[row, 2] = -1
            continue
        if state[row, 1] < 0 or 0 < (value - state[row, 1]) & _WORD < _HALF:
            state[row, 1] = value
        if state[row, 0] >= 0:
            ahead = (value - state[row, 0]) & _WORD
            if 0 < ahead < _HALF:
                outside[position] = True
            elif ahead == 0 and state[row, 2] < 0:
                opened_at[position] = -1
                state[row, 2] = position

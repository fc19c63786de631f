"""Stalls: stretches in which a session had work to do and completed none of it, and what it waited for.

Decides what is long enough to be called a stall and attributes it: of commands in flight, to command order (a
lower CmdSN that had not arrived), to data that the initiator owed, or to the target; where nothing was in
flight, to a command window that the target kept closed. Lost connections are the incidents'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.timeline import task_tracker as field
from analyzer.timeline.command_order import ClosedWindows
from analyzer.timeline.task_ends import RESPONDED, TaskEnds
from analyzer.timeline.task_table import TaskColumns

Int64s = npt.NDArray[np.int64]

SHORTEST_NS = 100_000_000
"""What an application may notice."""
TIMES_MEDIAN = 10
"""A stall is at least this many times the median latency of its session."""
_MOST = 1000
_MOST_NAMED = 4096

PROMPT_NS = 10_000_000
"""A command that follows the opening of the window so soon had been waiting for it."""

COMMAND_ORDER, COMMAND_WINDOW, UNSENT_DATA, TARGET = (
    "command-order",
    "command-window",
    "unsent-data",
    "target",
)


@dataclass(frozen=True, slots=True)
class Stall:
    """One stall of one session."""

    session: int
    from_ns: int
    until_ns: int
    cause: str
    connection: int | None
    """That carried what was waited for, None where all waited alike."""
    blocking_task: int | None
    """The command that the others waited for."""
    tasks: list[int]
    """Commands in flight through all of it; of a closed window, those that were sent once it had opened."""


def find_stalls(
    tasks: TaskColumns, ends: TaskEnds, order_wait_ns: Int64s, closed: ClosedWindows
) -> list[Stall]:
    """The longest stalls of all sessions, in order of time."""
    session = tasks.matrix[:, field.SESSION]
    sessions = int(session.max(initial=-1)) + 1
    # What was never answered is a loss or an abort, and those are told as such.
    done = np.flatnonzero(ends.end == RESPONDED)
    ended_ns = ends.ended_ns[done]
    found = np.empty((len(done), 3), np.int64)
    count = _walk(
        session[done],
        tasks.command_ns[done],
        ended_ns,
        np.argsort(ended_ns, kind="stable"),
        np.zeros(sessions, np.int64),
        np.zeros(sessions, np.int64),
        found,
    )
    found = found[:count]
    longest = np.argsort(found[:, 1] - found[:, 2], kind="stable")[:_MOST]
    stalls = [
        _attribute(tasks, ends, order_wait_ns, number, from_ns, until_ns)
        for number, from_ns, until_ns in found[longest].tolist()
    ]
    stalls += _held_by_window(tasks, ends, closed)
    spent = tasks.response_ns - tasks.command_ns
    median_ns = {}
    for number in {stall.session for stall in stalls}:
        own = (session == number) & tasks.is_answered
        median_ns[number] = float(np.median(spent[own])) if own.any() else 0.0
    return sorted(
        (one for one in stalls if one.until_ns - one.from_ns >= TIMES_MEDIAN * median_ns[one.session]),
        key=lambda stall: (stall.from_ns, stall.session),
    )


def _held_by_window(tasks: TaskColumns, ends: TaskEnds, closed: ClosedWindows) -> list[Stall]:
    """Stretches in which nothing was in flight and the window was closed, though commands waited."""
    stalls = []
    is_long = closed.until_ns - closed.from_ns >= SHORTEST_NS
    for session in np.unique(closed.session[is_long]).tolist():
        own = np.flatnonzero(tasks.matrix[:, field.SESSION] == session)
        sent_ns = tasks.command_ns[own]
        busy_until_ns = np.maximum.accumulate(ends.ended_ns[own])
        for place in np.flatnonzero(is_long & (closed.session == session))[:_MOST].tolist():
            until_ns = int(closed.until_ns[place])
            sent, prompt = np.searchsorted(sent_ns, (until_ns, until_ns + PROMPT_NS)).tolist()
            idle_ns = int(max(closed.from_ns[place], busy_until_ns[sent - 1] if sent else 0))
            if until_ns - idle_ns >= SHORTEST_NS and prompt > sent:
                held = own[sent : min(prompt, sent + _MOST_NAMED)].tolist()
                stalls.append(Stall(session, idle_ns, until_ns, COMMAND_WINDOW, None, None, held))
    return stalls


@njit(cache=True, nogil=True)
def _walk(
    session: Int64s,
    command_ns: Int64s,
    ended_ns: Int64s,
    by_end: Int64s,
    in_flight: Int64s,
    quiet_since: Int64s,
    found: Int64s,
) -> int:
    """Commands and ends merged by time; what ends at the time of a command ends first."""
    count = 0
    begun = 0
    for place in range(len(by_end)):
        task = by_end[place]
        while begun < len(command_ns) and command_ns[begun] < ended_ns[task]:
            row = session[begun]
            if in_flight[row] == 0:
                quiet_since[row] = command_ns[begun]
            in_flight[row] += 1
            begun += 1
        while begun <= task:  # It ended the moment it was sent.
            row = session[begun]
            if in_flight[row] == 0:
                quiet_since[row] = command_ns[begun]
            in_flight[row] += 1
            begun += 1
        row = session[task]
        in_flight[row] -= 1
        if ended_ns[task] - quiet_since[row] >= SHORTEST_NS:
            found[count, 0] = row
            found[count, 1] = quiet_since[row]
            found[count, 2] = ended_ns[task]
            count += 1
        quiet_since[row] = ended_ns[task]
    return count


def _attribute(
    tasks: TaskColumns, ends: TaskEnds, order_wait_ns: Int64s, session: int, from_ns: int, until_ns: int
) -> Stall:
    """What the commands in flight waited for during most of the stall."""
    reach = int(np.searchsorted(tasks.command_ns, until_ns))
    middle_ns = (from_ns + until_ns) // 2
    is_own = tasks.matrix[:reach, field.SESSION] == session
    is_held = is_own & (tasks.command_ns[:reach] <= middle_ns) & (ends.ended_ns[:reach] >= until_ns)
    is_held &= ends.end[:reach] == RESPONDED
    held = np.flatnonzero(is_held)
    half_ns = (until_ns - from_ns) // 2
    carriers = np.unique(tasks.matrix[held, field.CONNECTION])
    only = int(carriers[0]) if len(carriers) == 1 else None
    named = held[:_MOST_NAMED].tolist()
    if len(held) and 2 * np.count_nonzero(order_wait_ns[held] >= half_ns) >= len(held):
        blocker = _latest_lower(tasks, session, held, until_ns)
        carrier = only if blocker is None else int(tasks.matrix[blocker, field.CONNECTION])
        return Stall(session, from_ns, until_ns, COMMAND_ORDER, carrier, blocker, named)
    first_r2t, last_data = tasks.matrix[held, field.FIRST_R2T_NS], tasks.matrix[held, field.LAST_DATA_NS]
    owes = (first_r2t >= 0) & (first_r2t <= middle_ns) & ((last_data >= middle_ns) | (last_data < 0))
    if 2 * np.count_nonzero(owes) > len(held):
        return Stall(session, from_ns, until_ns, UNSENT_DATA, only, None, named)
    return Stall(session, from_ns, until_ns, TARGET, only, None, named)


def _latest_lower(tasks: TaskColumns, session: int, held: Int64s, until_ns: int) -> int | None:
    """The last to arrive of the commands below those that waited for it."""
    arrived = tasks.matrix[:, field.ARRIVED_NS]
    # Commands are few between the first that waited and the end of the stall.
    begin, end = int(held[0]), int(np.searchsorted(tasks.command_ns, until_ns, side="right"))
    window = np.arange(max(0, begin - _MOST_NAMED), end)
    is_lower = (tasks.matrix[window, field.SESSION] == session) & (arrived[window] <= until_ns)
    distance = (tasks.cmd_sn[window].astype(np.int64) - int(tasks.cmd_sn[held[-1]])) & 0xFFFFFFFF
    is_lower &= (distance >= 1 << 31) & ~tasks.is_immediate[window]
    lower = window[is_lower]
    return int(lower[np.argmax(arrived[lower])]) if len(lower) else None

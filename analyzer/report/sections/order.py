"""CmdSN against time with the command window: what order costs across the connections of a session.

Decides what the ladder shows: each numbered command PDU on its connection, ExpCmdSN and MaxCmdSN
as the serial maximum of what the target said on any connection, since older values arrive late on
other connections (RFC 7143 section 4.2.2.1), and the waits at the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Align, Axis, Cell, Figure, Heading, Hover, Section, Series, Shape, Table
from analyzer.report.cells import count_cell, plain_cell, share_cell, time_cell
from analyzer.report.sampling import keep
from analyzer.report.study import Study
from analyzer.report.words import count, duration, percent, plural, visible
from analyzer.serial_numbers import unwrap

Int64s = npt.NDArray[np.int64]
LIMIT = 20_000
"""Commands drawn over all sessions, and as many changes of their windows."""
_PICTURED_SESSIONS = 4


@dataclass(frozen=True, slots=True)
class Ladder:
    """One session's numbers, unwrapped beyond 32 bits. Times are ns since the epoch.

    ``sent_*`` describe n numbered PDUs of the initiator, ``window_*`` the m moments at which the
    window as known from the target changed.
    """

    session: int
    sent_ns: Int64s
    sent_cmd_sn: Int64s
    sent_connection: npt.NDArray[np.int32]
    sent_task: Int64s
    """-1 where the PDU is of no task."""
    window_ns: Int64s
    window_exp: Int64s
    window_max: Int64s


def build(study: Study) -> Section:
    """A ladder for each of the busiest sessions and a table of the waits."""
    question = "What did command order cost?"
    overall = study.recorded.overall
    if not overall["completed"]:
        return Section("order", "Command order", question, "No command was completed.")
    waited = overall["order_waited"] or 0
    answer = (
        f"{count(waited)} of {plural(overall['completed'], 'command')} "
        f"({percent(100 * waited / overall['completed'])}) waited for lower CmdSNs, "
        f"{duration(overall['order_wait_ns_mean'])} on the mean of all and "
        f"{duration(overall['order_wait_ns_max'])} at most."
        if waited
        else "Nothing: every command was delivered as soon as it arrived."
    )
    busiest = sorted(study.recorded.by_session, key=lambda part: -(part.measures["requests"] or 0))
    indexes = sorted(int(part.index or 0) for part in busiest[:_PICTURED_SESSIONS])
    figures = tuple(
        _figure(study, ladder(study, index), len(busiest), LIMIT // len(indexes)) for index in indexes
    )
    return Section("order", "Command order", question, answer, (*figures, _table(study)))


def ladder(study: Study, session: int) -> Ladder:
    """The numbers of one session from its PDUs, in order of time."""
    pdus = study.timeline
    sessions = pdus.values("connections", "session_index", -1)
    connection = pdus.values("pdus", "connection_index")
    is_mine = sessions[connection] == session
    from_target = pdus.values("pdus", "from_target")
    is_sent = is_mine & ~from_target & ~pdus.values("pdus", "is_immediate") & ~pdus.is_null("pdus", "cmd_sn")
    has_window = ~(pdus.is_null("pdus", "exp_cmd_sn") | pdus.is_null("pdus", "max_cmd_sn"))
    is_window = is_mine & from_target & has_window
    time = pdus.values("pdus", "time_ns")
    sent = pdus.values("pdus", "cmd_sn", 0)[is_sent].astype(np.uint32)
    exp = pdus.values("pdus", "exp_cmd_sn", 0)[is_window].astype(np.uint32)
    top = pdus.values("pdus", "max_cmd_sn", 0)[is_window].astype(np.uint32)
    known_exp = unwrap(exp)
    size = (top.astype(np.int64) - exp.astype(np.int64) + (1 << 31)) % (1 << 32) - (1 << 31)
    is_sane = size >= -1  # RFC 7143 section 4.2.2.1: a MaxCmdSN below ExpCmdSN - 1 is ignored
    exp_so_far = np.maximum.accumulate(known_exp[is_sane])
    max_so_far = np.maximum.accumulate((known_exp + size)[is_sane])
    start = int(known_exp[0]) if len(known_exp) else None
    return Ladder(
        session,
        time[is_sent],
        unwrap(sent, start),
        connection[is_sent],
        pdus.values("pdus", "task_index", -1)[is_sent].astype(np.int64),
        *_changes(time[is_window][is_sane], exp_so_far, max_so_far),
    )


def _changes(at_ns: Int64s, exp: Int64s, top: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Only the moments at which a value differs from the one before, and the last."""
    if not len(at_ns):
        return at_ns, exp, top
    is_change = np.ones(len(at_ns), np.bool_)
    is_change[1:] = (np.diff(exp) != 0) | (np.diff(top) != 0)
    is_change[-1] = True
    return at_ns[is_change], exp[is_change], top[is_change]


def _figure(study: Study, numbers: Ladder, sessions: int, limit: int) -> Figure:
    series = []
    if len(numbers.window_ns):
        series.append(_window(study, numbers, limit))
    series.append(_waits(study, numbers, limit // 2))
    chosen = keep(np.zeros(len(numbers.sent_ns)), limit)
    for connection in np.unique(numbers.sent_connection):
        mine = chosen[numbers.sent_connection[chosen] == connection]
        series.append(
            Series(
                study.connection_names[connection],
                Shape.POINTS,
                study.connection_colors[connection],
                study.seconds(numbers.sent_ns[mine]),
                numbers.sent_cmd_sn[mine].astype(np.float64),
                hover=(
                    Hover("task", numbers.sent_task[mine], key="task"),
                    Hover("CmdSN", numbers.sent_cmd_sn[mine] % (1 << 32)),
                ),
            )
        )
    title = "commands climb between ExpCmdSN and MaxCmdSN"
    if len(np.unique(numbers.sent_connection)) > 1:
        title += "; a line to the right of a dot is its wait for lower numbers"
    note = "Immediate commands take no number and are not drawn."
    if len(numbers.sent_ns) > limit:
        note += f" {count(limit)} of {count(len(numbers.sent_ns))} commands are drawn, evenly chosen."
    if sessions > _PICTURED_SESSIONS:
        note += f" Of {sessions} sessions the {_PICTURED_SESSIONS} busiest are drawn."
    return Figure(
        f"order-{numbers.session}",
        f"Session {numbers.session}: {title}",
        f"CmdSN of each command of session {numbers.session} over time, coloured by connection, "
        "inside the band from ExpCmdSN to MaxCmdSN; horizontal lines are waits for lower CmdSNs.",
        study.time_axis,
        Axis("CmdSN"),
        tuple(one for one in series if len(one.x)),
        height=380,
        note=note,
    )


def _window(study: Study, numbers: Ladder, limit: int) -> Series:
    chosen = keep(np.zeros(len(numbers.window_ns)), limit)
    return Series(
        "window, ExpCmdSN to MaxCmdSN",
        Shape.BAND,
        "other",
        study.seconds(numbers.window_ns[chosen]),
        numbers.window_max[chosen].astype(np.float64),
        numbers.window_exp[chosen].astype(np.float64),
    )


def _waits(study: Study, numbers: Ladder, limit: int) -> Series:
    timeline = study.timeline
    is_mine = timeline.values("tasks", "session_index") == numbers.session
    waited = np.flatnonzero(is_mine & (study.requests.order_wait_ns > 0))
    waited = waited[keep(study.requests.order_wait_ns[waited], limit)]
    arrived = timeline.values("tasks", "command_last_ns")[waited]
    wait = study.requests.order_wait_ns[waited]
    low = timeline.values("tasks", "cmd_sn")[waited].astype(np.int64)
    # Tasks carry the 32-bit number; the ladder's commands say in which turn of the counter it lies.
    near = np.searchsorted(numbers.sent_ns, timeline.values("tasks", "command_ns")[waited])
    about = numbers.sent_cmd_sn[near.clip(0, max(0, len(numbers.sent_cmd_sn) - 1))] if len(waited) else low
    turn = np.round((about - low) / (1 << 32)).astype(np.int64)
    return Series(
        "waiting for order",
        Shape.SPANS,
        "wait",
        study.seconds(arrived),
        (low + turn * (1 << 32)).astype(np.float64),
        study.seconds(arrived + wait),
        rank=wait.astype(np.float64),
        thickness=0.8,
        hover=(
            Hover("task", study.requests.task_index[waited], key="task"),
            Hover("waited for order", wait, "ns"),
        ),
    )


def _table(study: Study) -> Table:
    headings = (
        Heading("Session"),
        Heading("Initiator", Align.CODE),
        Heading("Connections", Align.NUMBER, "Connections that carried commands."),
        Heading("Commands", Align.NUMBER),
        Heading("Waited", Align.NUMBER, "Commands that waited for lower CmdSNs at all."),
        Heading("Share", Align.NUMBER),
        Heading("Mean wait", Align.NUMBER, "Over all commands."),
        Heading("p99 wait", Align.NUMBER),
        Heading("Longest wait", Align.NUMBER),
        Heading("Window", Align.NUMBER, "Largest MaxCmdSN - ExpCmdSN + 1 that was seen."),
    )
    sessions = study.timeline.values("connections", "session_index", -1)
    names = study.timeline.arrow["sessions"].column("initiator_name").to_pylist()
    rows = []
    for part in study.recorded.by_session[:200]:
        index = int(part.index or 0)
        carrying = sum(1 for connection in study.carrying_connections if sessions[connection] == index)
        numbers = ladder(study, index)
        size = int((numbers.window_max - numbers.window_exp).max()) + 1 if len(numbers.window_ns) else None
        completed = part.measures["completed"]
        waited = part.measures["order_waited"]
        rows.append(
            (
                Cell(part.label, float(index)),
                Cell(visible(names[index] or "not recorded"), names[index]),
                count_cell(carrying),
                count_cell(part.measures["requests"]),
                count_cell(waited),
                share_cell(waited / completed if completed and waited is not None else None),
                time_cell(part.measures["order_wait_ns_mean"]),
                time_cell(part.measures["order_wait_ns_p99"]),
                time_cell(part.measures["order_wait_ns_max"]),
                plain_cell(size),
            )
        )
    keys = tuple({"session": int(part.index or 0)} for part in study.recorded.by_session[:200])
    return Table("order-waits", "Order waits by session", headings, tuple(rows), row_keys=keys)

"""Every command as a bar on its connection's lane, from command to end, stacked where several are in flight.

Decides lanes, colours and which commands a large trace keeps. Zooming and thinning by view are
the page's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.lanes import stack
from analyzer.report.blocks import Axis, AxisKind, Figure, Hover, Section, Series, Shape
from analyzer.report.event_marks import event_series
from analyzer.report.sampling import keep
from analyzer.report.study import Study
from analyzer.report.words import count, duration, plural

LIMIT = 30_000
"""Commands that a page holds."""
_SLOTS = 128
_CLASSES = (
    ("reads", "read", "read"),
    ("writes", "write", "write"),
    ("without data", "other", "none"),
    ("both directions", "series-3", "bidirectional"),
)


def build(study: Study) -> Section:
    """One figure."""
    question = "What did every command live through?"
    if not study.tasks:
        return Section("commands", "Commands", question, "No SCSI command was recorded.")
    unanswered = int((~study.requests.is_completed).sum())
    answer = (
        f"{plural(study.tasks, 'command')} on {plural(len(study.carrying_connections), 'connection')}, "
        f"up to {count(study.timeline.values('tasks', 'outstanding').max() + 1)} in flight at once; the "
        f"longest life was {duration(float(_lives(study).max()))}"
    )
    answer += f", {count(unanswered)} never answered." if unanswered else "."
    return Section("commands", "Commands", question, answer, (_figure(study),))


def _lives(study: Study) -> npt.NDArray[np.int64]:
    ended = study.timeline.values("tasks", "ended_ns")
    return np.asarray(ended - study.timeline.values("tasks", "command_ns"))


def lanes(study: Study) -> tuple[npt.NDArray[np.int64], tuple[tuple[float, str], ...], int]:
    """Row of every task, shape (tasks,), a label per connection at the middle of its rows, and all rows.

    A connection has as many rows as it had commands in flight at once, up to 128. Row 0 is the
    lowest; the first connection stands highest.
    """
    start = study.timeline.values("tasks", "command_ns")
    ended = study.timeline.values("tasks", "ended_ns")
    rows = np.zeros(len(start), np.int64)
    ticks = []
    base = 0
    for connection in reversed(study.carrying_connections):
        mine = np.flatnonzero(study.requests.path == connection)
        mine = mine[np.argsort(start[mine], kind="stable")]
        slots = stack(start[mine], ended[mine], _SLOTS)
        deepest = int(slots.max())
        rows[mine] = base + deepest - slots
        ticks.append((base + deepest / 2, study.connection_names[connection]))
        base += deepest + 2
    return rows, tuple(ticks), base


def _figure(study: Study) -> Figure:
    rows, ticks, total = lanes(study)
    chosen = keep(_lives(study), LIMIT)
    unanswered = ~study.requests.is_completed
    series = []
    for name, color, direction in _CLASSES:
        if direction in study.requests.direction.names:
            is_class = study.requests.direction.codes == study.requests.direction.names.index(direction)
            series.append(_bars(study, name, color, chosen[(is_class & ~unanswered)[chosen]], rows))
    series.append(_bars(study, "never answered", "unanswered", chosen[unanswered[chosen]], rows))
    series.append(_waits(study, chosen, rows))
    series.append(_answered_elsewhere(study, chosen, rows))
    marks = event_series(study, float(total))
    note = (
        "Drag to zoom; every plot over time follows. Double-click shows all. With the focus on a plot, "
        "arrows move it, + and - zoom, Home shows all."
    )
    if study.tasks > LIMIT:
        note += (
            f" Of {count(study.tasks)} commands the page holds {count(LIMIT)}: the {count(LIMIT // 4)} that "
            "lived longest and an even choice of the others."
        )
    return Figure(
        "commands",
        "Each bar is a command, from its first byte to its status; rows fill as commands pile up",
        f"Bars over time in {plural(len(ticks), 'lane')}, one per connection: reads, writes and "
        "commands without data, with the time spent waiting for lower CmdSNs drawn inside, and events above.",
        study.time_axis,
        Axis(
            "connection",
            kind=AxisKind.LANES,
            ticks=(*ticks, (float(total), "events")) if marks else ticks,
            range=(-1.0, total + (1.5 if marks else 0.0)),
        ),
        (*(one for one in series if len(one.x)), *marks),
        height=int(np.clip(110 + total * 14, 260, 760)),
        note=note,
    )


def _bars(
    study: Study, name: str, color: str, chosen: npt.NDArray[np.intp], rows: npt.NDArray[np.int64]
) -> Series:
    start = study.seconds(study.timeline.values("tasks", "command_ns")[chosen])
    end = study.seconds(study.timeline.values("tasks", "ended_ns")[chosen])
    lives = _lives(study)[chosen]
    return Series(
        name,
        Shape.BARS,
        color,
        start,
        rows[chosen].astype(np.float64),
        end,
        rank=lives.astype(np.float64),
        hover=task_hover(study, chosen),
    )


def task_hover(study: Study, chosen: npt.NDArray[np.intp]) -> tuple[Hover, ...]:
    """What is told of a task wherever one is drawn."""
    timeline = study.timeline
    operation = study.requests.operation
    ends = timeline.values("tasks", "end").astype(str)[chosen]
    end_names, end_codes = (
        np.unique(ends, return_inverse=True) if len(ends) else (ends, np.zeros(0, np.int64))
    )
    return (
        Hover("task", study.requests.task_index[chosen], key="task"),
        Hover("", operation.codes[chosen].astype(np.int64), names=operation.names, key="operation"),
        Hover("session", timeline.values("tasks", "session_index")[chosen].astype(np.int64), key="session"),
        Hover("LUN", study.luns[0][chosen], names=study.luns[1], key="lun"),
        Hover("on", study.requests.path[chosen].astype(np.int64), names=study.connection_names),
        Hover("LBA", _lba(study)[chosen]),
        Hover("data", study.requests.transferred_bytes[chosen], "bytes"),
        Hover("took", _lives(study)[chosen], "ns"),
        Hover("waited for order", study.requests.order_wait_ns[chosen], "ns"),
        Hover("packet", timeline.values("tasks", "command_packet")[chosen]),
        Hover("end", end_codes.astype(np.int64), names=tuple(end_names.tolist())),
    )


def _lba(study: Study) -> npt.NDArray[np.float64]:
    lba = study.timeline.values("tasks", "lba", 0).astype(np.float64)
    lba[study.timeline.is_null("tasks", "lba")] = np.nan
    return lba


def _answered_elsewhere(study: Study, chosen: npt.NDArray[np.intp], rows: npt.NDArray[np.int64]) -> Series:
    """A mark at the end of each command whose response came on another connection than its command."""
    answering = study.timeline.values("tasks", "response_connection_index", -1)
    moved = chosen[(answering[chosen] >= 0) & (answering[chosen] != study.requests.path[chosen])]
    return Series(
        "answered on another connection",
        Shape.POINTS,
        "wait",
        study.seconds(study.timeline.values("tasks", "ended_ns")[moved]),
        rows[moved].astype(np.float64),
        hover=(
            Hover("task", study.requests.task_index[moved], key="task"),
            Hover("answered on", answering[moved].astype(np.int64), names=study.connection_names),
        ),
        symbol="diamond",
    )


def _waits(study: Study, chosen: npt.NDArray[np.intp], rows: npt.NDArray[np.int64]) -> Series:
    waited = chosen[study.requests.order_wait_ns[chosen] > 0]
    arrived = study.timeline.values("tasks", "command_last_ns")[waited]
    wait = study.requests.order_wait_ns[waited]
    return Series(
        "waiting for order",
        Shape.SPANS,
        "wait",
        study.seconds(arrived),
        rows[waited].astype(np.float64),
        study.seconds(arrived + wait),
        rank=wait.astype(np.float64),
        hover=(Hover("task", waited.astype(np.int64), key="task"), Hover("waited for order", wait, "ns")),
    )

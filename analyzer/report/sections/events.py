"""What happened besides commands: logins, losses, task management, recoveries, in order of time.

Decides how many events of a kind are listed. The marks in the plots are ``event_marks``.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Align, Cell, Heading, Section, Table
from analyzer.report.cells import maybe, moment_cell, name_cell, records
from analyzer.report.study import Study
from analyzer.report.words import count, listed, plural, told

LIMIT = 400
_GRAVE = {
    "connection-lost",
    "login-failed",
    "session-reinstated",
    "connection-reinstated",
    "reject",
    "nop-timeout",
    "digest-error",
    "stall",
    "reservation-conflict",
}


def build(study: Study) -> Section:
    """The events as a table."""
    question = "What happened besides commands?"
    kinds = study.timeline.values("events", "kind").astype(str)
    if not len(kinds):
        return Section("events", "Events", question, "Nothing: no login, logout, loss or task management.")
    numbers = Counter(kinds.tolist())
    parts = [f"{count(number)} {kind}" for kind, number in numbers.most_common(8)]
    if len(numbers) > 8:
        parts.append(plural(len(numbers) - 8, "other kind"))
    answer = f"{plural(len(kinds), 'event')}: {listed(parts)}."
    return Section("events", "Events", question, answer, (_table(study, kinds),))


def chosen_events(kinds: npt.NDArray[np.str_], limit: int) -> npt.NDArray[np.intp]:
    """Indexes of the events to list: all where they are few, else the first of every kind alike."""
    if len(kinds) <= limit:
        return np.arange(len(kinds))
    numbers = Counter(kinds.tolist())
    quota, left, kinds_left = 0, limit, len(numbers)
    for number in sorted(numbers.values()):
        quota = left // kinds_left
        left -= min(number, quota)
        kinds_left -= 1
    places = [np.flatnonzero(kinds == kind)[: max(1, quota)] for kind in numbers]
    return np.sort(np.concatenate(places))


def _table(study: Study, kinds: npt.NDArray[np.str_]) -> Table:
    headings = (
        Heading("At, s", Align.NUMBER),
        Heading("Event"),
        Heading("Where"),
        Heading("Task", Align.NUMBER),
        Heading("Packet", Align.NUMBER),
        Heading("Detail"),
    )
    chosen = chosen_events(kinds, LIMIT)
    rows = []
    keys = []
    for row in records(study.timeline.events.iloc[chosen]):
        session, connection = maybe(row["session_index"]), maybe(row["connection_index"])
        where = f"session {session}" if session is not None else "–"  # noqa: RUF001
        color = ""
        if connection is not None:
            where, color = study.connection_names[connection], study.connection_colors[connection]
        task, packet = maybe(row["task_index"]), maybe(row["packet"])
        kind = str(row["kind"])
        keys.append({} if session is None else {"session": session})
        rows.append(
            (
                moment_cell((row["at_ns"] - study.begin_ns) / 1e9),
                Cell(kind, kind, "bad" if kind in _GRAVE else ""),
                Cell(where, where, color=color),
                Cell("" if task is None else str(task), task),
                Cell("" if packet is None else str(packet), packet),
                name_cell(told(row["detail"], study.begin_ns), 400),
            )
        )
    left_out = len(kinds) - len(chosen)
    note = ""
    if left_out:
        note = f"{count(left_out)} more of the frequent kinds are in the timeline folder, not here."
    return Table(
        "events",
        "Events in order of time",
        headings,
        tuple(rows),
        searchable=True,
        note=note,
        task_column=3,
        row_keys=tuple(keys),
    )

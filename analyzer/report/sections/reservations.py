"""Who held each logical unit when, who was refused, and what unit attentions told, with their causes.

Decides how the history of a logical unit is drawn: a bar for as long as one session's nexus held it, a mark
for every refusal and every unit attention. What follows from a command was decided by the timeline.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from analyzer.comparison.event_details import ToldEvent, told_events
from analyzer.report.blocks import (
    Align,
    Axis,
    AxisKind,
    Block,
    Cell,
    Figure,
    Heading,
    Hover,
    Section,
    Series,
    Shape,
    Table,
)
from analyzer.report.cells import count_cell, moment_cell, name_cell, time_cell
from analyzer.report.palette import series_color
from analyzer.report.study import Study
from analyzer.report.words import MISSING, count, listed, plural, sentence, shortened

LISTED = 300
"""Rows of each table."""
_NO_KEY = "0" * 16
QUESTION = "Who reserved what, and who was told?"


@dataclass(frozen=True, slots=True)
class Holding:
    """One session's nexus holding a logical unit, in ns since the epoch."""

    unit: int
    session: int
    type: str
    begin_ns: int
    end_ns: int
    is_left: bool
    """Whether it was still held when the recording ended."""


@dataclass(frozen=True)
class History:
    """All that the section shows; ``units`` names the logical units in order."""

    study: Study
    steps: tuple[ToldEvent, ...]
    conflicts: tuple[ToldEvent, ...]
    attentions: tuple[ToldEvent, ...]
    units: tuple[tuple[str, int], ...]

    def unit(self, event: ToldEvent) -> int:
        """The number of the logical unit that an event is about."""
        return self.units.index(_unit(self.study, event))

    def unit_name(self, unit: int) -> str:
        """The LUN, with its target where there are several."""
        target, lun = self.units[unit]
        name = f"LUN {self.study.lun_name(lun)}"
        several = len({other for other, _ in self.units}) > 1
        return f"{name} of {shortened(target or 'an unnamed target', 40)}" if several else name


def build(study: Study) -> Section:
    """A picture of the holders and three tables, each where it has rows."""
    found = history(study)
    if not found.units:
        answer = "Nobody: no reservation was made or met and no unit attention was told in this capture."
        return Section("reservations", "Reservations", QUESTION, answer)
    blocks: list[Block] = [_figure(found)]
    if found.steps:
        blocks.append(_steps(found))
    if found.conflicts:
        blocks.append(_conflicts(found))
    if found.attentions:
        blocks.append(_attentions(found))
    return Section("reservations", "Reservations", QUESTION, _answer(found), tuple(blocks))


def history(study: Study) -> History:
    """What the events tell of reservations and unit attentions; without those that name no unit."""
    sessions = study.timeline.arrow["sessions"].num_rows
    steps, conflicts, attentions = (
        tuple(one for one in told_events(study.timeline, kind) if _is_whole(one, sessions))
        for kind in ("reservation", "reservation-conflict", "unit-attention")
    )
    units = sorted({_unit(study, one) for one in (*steps, *conflicts, *attentions)})
    return History(study, steps, conflicts, attentions, tuple(units))


def _is_whole(event: ToldEvent, sessions: int) -> bool:
    lun = event.number("lun")
    has_session = event.session is not None and 0 <= event.session < sessions
    return has_session and lun is not None and 0 <= lun < 1 << 64


def _unit(study: Study, event: ToldEvent) -> tuple[str, int]:
    """Target name and logical unit; one without a recorded login has no name."""
    targets = study.timeline.values("sessions", "target_name", "")
    return str(targets[event.session]), event.number("lun") or 0


def _answer(found: History) -> str:
    taken = holdings(found)
    parts = []
    if found.steps:
        holders = len({one.session for one in taken})
        parts.append(
            f"{plural(len(found.steps), 'command')} changed reservations; "
            + (f"{plural(holders, 'session')} held one" if holders else "nobody held one")
        )
    if found.conflicts:
        refused = len({one.session for one in found.conflicts})
        parts.append(
            f"{plural(len(found.conflicts), 'command')} of {plural(refused, 'session')} met a conflict"
        )
    if found.attentions:
        caused = sum(one.text("cause") is not None for one in found.attentions)
        parts.append(
            f"{plural(len(found.attentions), 'unit attention')} told of changes, "
            f"{count(caused) if caused else 'none'} with its cause in the capture"
        )
    return sentence(listed(parts))


def holdings(found: History) -> tuple[Holding, ...]:
    """Who held which logical unit from when to when, as far as commands in the capture show it."""
    held: dict[int, tuple[int, str, int]] = {}
    done = []
    for one in found.steps:
        unit, holder = found.unit(one), one.number("holder_session_index")
        kind = one.text("holder_type") or "RESERVE"
        before = held.get(unit)
        if before is not None and (holder, kind) == before[:2]:
            continue
        if before is not None:
            done.append(Holding(unit, before[0], before[1], before[2], one.at_ns, False))
            del held[unit]
        if holder is not None:
            held[unit] = (holder, kind, one.at_ns)
    end_ns = found.study.recorded.end_ns
    done += [
        Holding(unit, session, kind, begin_ns, max(end_ns, begin_ns), True)
        for unit, (session, kind, begin_ns) in held.items()
    ]
    return tuple(sorted(done, key=lambda one: (one.begin_ns, one.unit)))


def _figure(found: History) -> Figure:
    study = found.study
    rows = len(found.units)
    bars = holdings(found)
    series = []
    for session in sorted({one.session for one in bars}):
        mine = [one for one in bars if one.session == session]
        places = np.arange(len(mine))
        series.append(
            Series(
                f"held by session {session}",
                Shape.BARS,
                series_color(session),
                study.seconds(np.array([one.begin_ns for one in mine], np.int64)),
                np.array([rows - 1 - one.unit for one in mine], np.float64),
                study.seconds(np.array([one.end_ns for one in mine], np.int64)),
                hover=(
                    Hover("", places, names=tuple(shortened(one.type) for one in mine)),
                    Hover("held for", np.array([one.end_ns - one.begin_ns for one in mine]), "ns"),
                    Hover("", places, names=tuple("until the end" * one.is_left for one in mine)),
                ),
            )
        )
    for name, events, symbol, what in (
        ("reservation conflict", found.conflicts, "x", "operation"),
        ("unit attention", found.attentions, "diamond-open", "meaning"),
    ):
        if events:
            places = np.arange(len(events))
            series.append(
                Series(
                    name,
                    Shape.POINTS,
                    "event",
                    study.seconds(np.array([one.at_ns for one in events], np.int64)),
                    np.array([rows - 0.45 - found.unit(one) for one in events], np.float64),
                    hover=(
                        Hover("", places, names=(name,) * len(events)),
                        Hover("to session", np.array([one.session for one in events]), key="session"),
                        Hover(
                            "", places, names=tuple(shortened(one.text(what) or MISSING) for one in events)
                        ),
                    ),
                    symbol=symbol,
                )
            )
    return Figure(
        "reservations",
        "Who held each logical unit, who was refused, and when unit attentions were told",
        "One lane per logical unit: a bar while a session held its reservation, marks for commands that met "
        "a conflict and for unit attentions. The tables below have each step.",
        study.time_axis,
        Axis(
            "logical unit",
            kind=AxisKind.LANES,
            ticks=tuple((float(rows - 1 - unit), found.unit_name(unit)) for unit in range(rows)),
            range=(-0.6, rows - 0.1),
        ),
        tuple(series),
        height=int(np.clip(120 + 34 * rows, 170, 520)),
        note="A bar begins and ends where a command shows it; what was reserved before is not known.",
    )


def _steps(found: History) -> Table:
    headings = (
        Heading("At, s", Align.NUMBER),
        Heading("Logical unit"),
        Heading("Session", Align.NUMBER),
        Heading("Command"),
        Heading("Type", sentence="Type of the reservation that was asked for."),
        Heading("Came of it"),
        Heading("Held now by", sentence="Session whose nexus holds the reservation afterwards."),
        Heading("Registered", sentence="Sessions whose nexuses are registered afterwards."),
        Heading("Key", Align.CODE, "Reservation key of the sender; – where it has none."),  # noqa: RUF001
        Heading("Service action key", Align.CODE, "Key that is registered, or whose holder is preempted."),
        Heading("Task", Align.NUMBER),
    )
    rows = []
    for one in found.steps[:LISTED]:
        holder, refused = one.number("holder_session_index"), one.text("status") not in (None, "GOOD")
        action = one.text("service_action")
        command = one.text("operation") or MISSING
        if action is not None:
            command = f"{command.replace('PERSISTENT RESERVE', 'PR')} {action}"
        held = MISSING if holder is None else f"session {holder}, {one.text('holder_type') or 'RESERVE'}"
        rows.append(
            (
                *_head(found, one),
                name_cell(command),
                name_cell(one.text("type")),
                name_cell(one.text("effect"), tone="bad" if refused else ""),
                name_cell(held, color="" if holder is None else series_color(holder)),
                name_cell(", ".join(map(str, one.numbers("registered_session_indexes"))) or MISSING),
                _key_cell(one.text("key")),
                _key_cell(one.text("service_action_key")),
                _task_cell(one),
            )
        )
    return Table(
        "reservations",
        "Every command that changed a reservation, or tried to",
        headings,
        tuple(rows),
        searchable=True,
        note=_left_out(found.steps),
        task_column=10,
        row_keys=_keys(found.steps),
    )


def _conflicts(found: History) -> Table:
    headings = (
        Heading("Logical unit"),
        Heading("Refused session", Align.NUMBER),
        Heading("Operation"),
        Heading("Holder", Align.NUMBER, "Session whose nexus held the reservation, where that was seen."),
        Heading("Type held"),
        Heading("Commands", Align.NUMBER),
        Heading("First, s", Align.NUMBER),
        Heading("Last, s", Align.NUMBER),
    )
    groups: dict[tuple[int, int, str, int | None, str | None], list[int]] = {}
    for one in found.conflicts:
        key = (
            found.unit(one),
            one.session or 0,
            one.text("operation") or MISSING,
            one.number("holder_session_index"),
            one.text("holder_type"),
        )
        groups.setdefault(key, []).append(one.at_ns)
    begin_ns = found.study.begin_ns
    rows = [
        (
            Cell(found.unit_name(unit), float(unit)),
            Cell(str(session), float(session)),
            name_cell(operation),
            Cell(MISSING if holder is None else str(holder), holder),
            name_cell(kind),
            count_cell(len(at), "bad"),
            moment_cell((min(at) - begin_ns) / 1e9),
            moment_cell((max(at) - begin_ns) / 1e9),
        )
        for (unit, session, operation, holder, kind), at in list(groups.items())[:LISTED]
    ]
    return Table("reservation-conflicts", "Who met a conflict, and with whom", headings, tuple(rows))


def _attentions(found: History) -> Table:
    headings = (
        Heading("At, s", Align.NUMBER),
        Heading("Logical unit"),
        Heading("Session", Align.NUMBER, "Which was told."),
        Heading("Unit attention"),
        Heading("ASC/ASCQ", Align.CODE),
        Heading("Most likely cause", sentence="What in the capture brought it about, where anything did."),
        Heading("By session", Align.NUMBER),
        Heading("Before", Align.NUMBER, "How long before it was told the cause happened."),
        Heading("Task", Align.NUMBER),
    )
    rows = []
    for one in found.attentions[:LISTED]:
        asc, ascq, cause_ns = one.number("asc"), one.number("ascq"), one.number("cause_at_ns")
        by = one.number("cause_session_index")
        rows.append(
            (
                *_head(found, one),
                name_cell(one.text("meaning")),
                name_cell(MISSING if asc is None or ascq is None else f"{asc:02x}/{ascq:02x}"),
                name_cell(one.text("cause") or "not in this capture"),
                Cell(MISSING if by is None else str(by), by),
                time_cell(None if cause_ns is None else one.at_ns - cause_ns),
                _task_cell(one),
            )
        )
    kinds = Counter(one.text("meaning") or MISSING for one in found.attentions)
    most = ", ".join(f"{shortened(kind)} {count(number)}" for kind, number in kinds.most_common(4))
    return Table(
        "unit-attentions",
        f"Unit attentions and what brought them about: {most}",
        headings,
        tuple(rows),
        searchable=len(rows) > 20,
        note=_left_out(found.attentions),
        task_column=8,
        row_keys=_keys(found.attentions),
    )


def _head(found: History, one: ToldEvent) -> tuple[Cell, Cell, Cell]:
    unit = found.unit(one)
    return (
        moment_cell((one.at_ns - found.study.begin_ns) / 1e9),
        Cell(found.unit_name(unit), float(unit)),
        Cell(str(one.session), float(one.session or 0)),
    )


def _keys(events: tuple[ToldEvent, ...]) -> tuple[dict[str, int], ...]:
    return tuple({"session": one.session or 0} for one in events[:LISTED])


def _key_cell(key: str | None) -> Cell:
    return name_cell(None if key is None or key == _NO_KEY else key)


def _task_cell(one: ToldEvent) -> Cell:
    return Cell(MISSING if one.task is None else str(one.task), one.task)


def _left_out(events: tuple[ToldEvent, ...]) -> str:
    more = len(events) - LISTED
    return f"The first {count(LISTED)}; {count(more)} more are in the timeline folder." if more > 0 else ""

"""Every disturbance told step by step, with what held the commands as a bar.

Decides which incidents are told in full; into what one is cut stands in ``incident_cuts``. The facts are
those of the ``incidents`` table.
"""

from __future__ import annotations

import json
from typing import Any

from analyzer.report.blocks import Align, Cell, Heading, Section, Stories, Story, Stretch, Table
from analyzer.report.cells import count_cell, moment_cell, name_cell, time_cell
from analyzer.report.incident_cuts import TIMERS, cuts
from analyzer.report.study import Study
from analyzer.report.words import count, duration, listed, plural, sentence, shortened, visible

TOLD = 12
"""Incidents that are told in full: those that held commands longest."""
LISTED = 300
HELD_MARKED = 200
"""Commands of one incident that the plots mark when it is chosen."""
_STEPS = 40
_KINDS = {"connection-loss": "lost connection", "task-management": "task management", "stall": "stall"}
_FATES = (
    ("reassigned", "reassigned"),
    ("retried_same_path", "sent again on the same path"),
    ("retried_other_path", "sent again on another path"),
    ("answered", "answered after all"),
    ("aborted", "aborted"),
    ("lost", "never heard of again"),
)


def build(study: Study) -> Section:
    """The stories of the longest, and all as a table."""
    question = "What held commands up, and what became of them?"
    rows = study.incidents
    if not rows:
        return Section("incidents", "Incidents", question, "Nothing: no lost connection, no abort, no stall.")
    kinds = [row["kind"] for row in rows]
    parts = [plural(kinds.count(kind), word) for kind, word in _KINDS.items() if kinds.count(kind)]
    longest = max(rows, key=_length)
    answer = (
        f"{sentence(listed(parts))} The longest, at {(longest['failed_ns'] - study.begin_ns) / 1e9:.3f} s, "
        "held "
        f"{plural(longest['outstanding'], 'command')} and the slowest of them for "
        f"{duration(longest['stall_ns'] or longest['gap_ns'])}."
    )
    told = sorted(sorted(rows, key=_length)[-TOLD:], key=lambda row: row["failed_ns"])
    stories = Stories("incidents", tuple(_story(study, row) for row in told))
    return Section("incidents", "Incidents", question, answer, (stories, _table(study, rows)))


def _length(row: dict[str, Any]) -> int:
    return int(row["stall_ns"] or row["gap_ns"] or 0)


def _story(study: Study, row: dict[str, Any]) -> Story:
    fates = [f"{count(row[name])} {word}" for name, word in _FATES if row[name]]
    remarks = [f"{plural(row['outstanding'], 'command')} held: {listed(fates)}"] if fates else []
    if row["noop_interval_s"] is not None:
        timeout = "" if row["noop_timeout_s"] is None else f", unanswered for {row['noop_timeout_s']:.3g} s"
        remarks.append(f"NOP-Out every {row['noop_interval_s']:.3g} s{timeout}")
    neighbours = _array(row["neighbours"])
    if neighbours:
        remarks.append(f"{plural(len(neighbours), 'other session')} touched")
    steps = tuple(
        (
            f"{(int(step['at_ns']) - study.begin_ns) / 1e9:.6f}",
            visible(str(step.get("what", ""))).replace("-", " "),
            shortened(str(step.get("detail", "")), 200),
        )
        for step in _array(row["steps"])[:_STEPS]
        if isinstance(step, dict) and isinstance(step.get("at_ns"), int)
    )
    return Story(
        row["incident_index"], _title(study, row), _summary(row), tuple(remarks), stretches(row), steps
    )


def _title(study: Study, row: dict[str, Any]) -> str:
    return f"{_KINDS[row['kind']].capitalize()} at {(row['failed_ns'] - study.begin_ns) / 1e9:.3f} s"


def _summary(row: dict[str, Any]) -> str:
    return sentence(shortened(row["summary"], 400))


def marks_of(study: Study) -> list[dict[str, Any]]:
    """The listed incidents for the marks in the plots, longest first, as plain JSON data.

    ``from`` and ``to`` are seconds since the start of the capture, ``tasks`` the first of the ``held``
    commands.
    """
    fates = study.timeline.arrow["task_fates"]
    held: dict[int, list[int]] = {}
    for incident, task in zip(
        fates.column("incident_index").to_pylist(), fates.column("task_index").to_pylist(), strict=True
    ):
        held.setdefault(incident, []).append(task)
    marks = []
    for row in sorted(study.incidents, key=_length, reverse=True)[:LISTED]:
        begin, end = study.seconds_pair(row["failed_ns"], max(row["ended_ns"], row["failed_ns"]))
        tasks = held.get(row["incident_index"], [])
        marks.append(
            {
                "index": row["incident_index"],
                "from": begin,
                "to": end,
                "title": _title(study, row),
                "summary": _summary(row),
                "held": len(tasks),
                "tasks": tasks[:HELD_MARKED],
            }
        )
    return marks


def stretches(row: dict[str, Any]) -> tuple[Stretch, ...]:
    """The same as parts of a bar."""
    found = cuts(row)
    whole = sum(length for *_, length in found)
    return tuple(Stretch(label, duration(length), length / whole, color) for _, label, color, length in found)


def _array(text: str) -> list[Any]:
    """A JSON list of a table's text column; a folder may come from anywhere, so anything else is empty."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


def _table(study: Study, incidents: list[dict[str, Any]]) -> Table:
    headings = (
        Heading("At, s", Align.NUMBER),
        Heading("Kind"),
        Heading("Cause"),
        Heading("Session", Align.NUMBER),
        Heading("Noticed after", Align.NUMBER),
        Heading("Held by"),
        Heading("Held for", Align.NUMBER),
        Heading("Slowest", Align.NUMBER, "From first sending the slowest held command to its completion."),
        Heading("Without completion", Align.NUMBER, "Longest time in it in which nothing completed."),
        Heading("Commands", Align.NUMBER),
        Heading("Lost", Align.NUMBER, "Held commands never heard of again, or aborted."),
    )
    shown = sorted(sorted(incidents, key=_length)[-LISTED:], key=lambda one: int(one["failed_ns"]))
    rows = []
    for row in shown:
        held = None if row["hold_to_ns"] is None else row["hold_to_ns"] - row["hold_from_ns"]
        noticed = None if row["detected_ns"] is None else row["detected_ns"] - row["failed_ns"]
        gone = row["lost"] + row["aborted"]
        rows.append(
            (
                moment_cell((row["failed_ns"] - study.begin_ns) / 1e9),
                name_cell(_KINDS[row["kind"]]),
                name_cell(row["cause"]),
                Cell(str(row["session_index"]), row["session_index"]),
                time_cell(noticed),
                name_cell(TIMERS[row["hold_timer"]] if held is not None else ""),
                time_cell(held),
                time_cell(row["stall_ns"]),
                time_cell(row["gap_ns"]),
                count_cell(row["outstanding"]),
                count_cell(gone, "bad" if gone else ""),
            )
        )
    left_out = len(incidents) - len(shown)
    note = f"{count(left_out)} shorter ones are in the timeline folder." if left_out else ""
    keys = tuple({"session": row["session_index"], "incident": row["incident_index"]} for row in shown)
    return Table("incidents", "All incidents in time order", headings, tuple(rows), note=note, row_keys=keys)

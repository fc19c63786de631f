"""One incident or one command told in full: ``analyze --incident N`` and ``analyze --task N``.

Decides what belongs to such a story and how it reads; everything stands in the timeline already. Times are
shown from the beginning of the recording.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.commands.shown import byte_count, duration, plain, table
from analyzer.comparison.recording import recorded_span_ns
from analyzer.errors import UnusableInputError
from analyzer.iscsi.opcodes import OPCODE_NAMES, name_of
from analyzer.scsi.sense import additional_sense_name, sense_key_name
from analyzer.scsi.status import status_name

if TYPE_CHECKING:
    from rich.console import Console

    from analyzer.tables.folder import Timeline

LONGEST_STORY = 200
"""PDUs and commands that are printed of one story; ``--json`` has them all."""

_LISTS = ("sessions", "connections", "neighbours", "steps")


def incidents_as_data(timeline: Timeline) -> list[dict[str, Any]]:
    """All incidents as plain data, their JSON columns parsed."""
    rows = timeline.arrow["incidents"].to_pylist()
    return [{**row, **{name: json.loads(row[name]) for name in _LISTS}} for row in rows]


def incident_as_data(timeline: Timeline, number: int) -> dict[str, Any]:
    """One incident with the fate of each command. Raises UnusableInputError where there is no such one."""
    _check(number, timeline.arrow["incidents"].num_rows, "--incident", "incidents")
    fates = timeline.arrow["task_fates"].to_pylist()
    return {
        **incidents_as_data(timeline)[number],
        "commands": [fate for fate in fates if fate["incident_index"] == number],
    }


def task_as_data(timeline: Timeline, number: int) -> dict[str, Any]:
    """One command with its PDUs, events, fates and other attempts at its work.

    Raises UnusableInputError where there is no such command.
    """
    _check(number, timeline.arrow["tasks"].num_rows, "--task", "commands")
    (task,) = timeline.arrow["tasks"].slice(number, 1).to_pylist()
    own = np.flatnonzero(timeline.values("pdus", "task_index", -1) == number)
    retry_of = timeline.values("tasks", "retry_of_task_index", -1)
    first = number if task["retry_of_task_index"] is None else task["retry_of_task_index"]
    events = np.flatnonzero(timeline.values("events", "task_index", -1) == number)
    fates = timeline.arrow["task_fates"].to_pylist()
    return {
        **task,
        "attempts": [int(first), *np.flatnonzero(retry_of == first).tolist()],
        "fates": [fate for fate in fates if number in (fate["task_index"], fate["again_task_index"])],
        "events": [timeline.arrow["events"].slice(int(row), 1).to_pylist()[0] for row in events],
        "pdus": [timeline.arrow["pdus"].slice(int(row), 1).to_pylist()[0] for row in own],
    }


def show_incident(console: Console, timeline: Timeline, number: int) -> None:
    """Print one incident: what, when, how long, step by step, and each command's fate."""
    incident = incident_as_data(timeline, number)
    begin_ns, _ = recorded_span_ns(timeline)
    console.print(f"[bold]Incident {number}[/bold]: {plain(incident['summary'])}\n")
    rows = [[what, *cells] for what, cells in _incident_times(incident, begin_ns) if cells[0]]
    console.print(table("When", [("", ""), ("at", "right"), ("", "")], rows))
    steps = [[_at(s["at_ns"], begin_ns), s["what"], plain(s["detail"])] for s in incident["steps"]]
    console.print(table("Step by step", [("at", "right"), ("what", ""), ("", "")], steps))
    for neighbour in incident["neighbours"]:
        console.print(f"Touched session {neighbour['session_index']}: {plain(neighbour['how'])}")
    if incident["commands"]:
        _show_fates(console, timeline, incident["commands"], begin_ns)


def _incident_times(incident: dict[str, Any], begin_ns: int) -> list[tuple[str, tuple[str, str]]]:
    """What is known of an incident's course; a line without a time is not shown."""

    def at(name: str) -> str:
        return "" if incident[name] is None else _at(incident[name], begin_ns)

    seen = "seen" if incident["is_detection_seen"] else "inferred from the timers"
    timer = incident["hold_timer"]
    setting = f", likely set to {incident['hold_setting_s']:g} s" if incident["hold_setting_s"] else ""
    noop = ""
    if incident["noop_interval_s"] or incident["noop_timeout_s"]:
        parts = (("interval", incident["noop_interval_s"]), ("timeout", incident["noop_timeout_s"]))
        noop = "; NOP-Out " + ", ".join(f"{name} {value:g} s" for name, value in parts if value)
    return [
        ("last from target", (at("last_from_target_ns"), "")),
        ("last from initiator", (at("last_from_initiator_ns"), "")),
        ("failed", (at("failed_ns"), plain(incident["cause"]))),
        ("detected", (at("detected_ns"), f"by {plain(incident['detected_by'])}, {seen}{noop}")),
        ("held from", (at("hold_from_ns"), f"by {timer}{setting}")),
        ("held to", (at("hold_to_ns"), _span(incident, "hold_from_ns", "hold_to_ns"))),
        ("recovery began", (at("cleanup_ns"), "")),
        ("first retry", (at("first_retry_ns"), "")),
        ("first completion", (at("first_completion_ns"), "")),
        ("last completion", (at("last_completion_ns"), "")),
        ("over", (at("ended_ns"), f"longest time without any completion {duration(incident['gap_ns'])}")),
        (
            "stall",
            (duration(incident["stall_ns"]) if incident["stall_ns"] else "", "as the application saw it"),
        ),
    ]


def _span(row: dict[str, Any], begin: str, end: str) -> str:
    return "" if row[begin] is None or row[end] is None else f"for {duration(row[end] - row[begin])}"


def _show_fates(console: Console, timeline: Timeline, fates: list[dict[str, Any]], begin_ns: int) -> None:
    rows = []
    for fate in fates[:LONGEST_STORY]:
        (task,) = timeline.arrow["tasks"].slice(fate["task_index"], 1).to_pylist()
        where = "" if fate["is_same_path"] is None else "same path" if fate["is_same_path"] else "other path"
        again = "" if fate["again_task_index"] is None else f"as {fate['again_task_index']}"
        done = fate["completed_ns"]
        rows.append(
            [
                str(fate["task_index"]),
                plain(task["operation"]),
                plain(task["lba"]),
                _at(fate["issued_ns"], begin_ns),
                " ".join(part for part in (fate["fate"], again, where) if part),
                "" if done is None else duration(done - fate["issued_ns"]),
            ]
        )
    columns = [("task", "right"), ("operation", ""), ("LBA", "right"), ("issued", "right")]
    console.print(table("Commands it held", [*columns, ("fate", ""), ("took", "right")], rows))
    _show_rest(console, len(fates), "commands")


def show_task(console: Console, timeline: Timeline, number: int) -> None:
    """Print one command's whole life, PDU by PDU."""
    task = task_as_data(timeline, number)
    begin_ns, _ = recorded_span_ns(timeline)
    console.print(f"[bold]Task {number}[/bold]: {_headline(task)}")
    console.print(_outcome(task))
    if task["order_wait_ns"]:
        console.print(f"It lay {duration(task['order_wait_ns'])} at the target for lower CmdSNs.")
    if len(task["attempts"]) > 1:
        console.print(f"Attempts at this work: tasks {', '.join(map(str, task['attempts']))}.")
    for fate in task["fates"]:
        answered_ns, again_ns = task["response_ns"], fate["again_ns"]
        if fate["again_task_index"] not in (None, number) and (answered_ns or 0) > again_ns:
            console.print("The answer came too late: the work was being done again.")
        console.print(f"Held by incident {fate['incident_index']}: task {fate['task_index']} {fate['fate']}.")
    console.print()
    shown = sorted(
        [(pdu["time_ns"], 1, _pdu_row(pdu, begin_ns)) for pdu in task["pdus"][:LONGEST_STORY]]
        + [(event["at_ns"], 0, _event_row(event, begin_ns)) for event in task["events"]],
        key=lambda item: item[:2],
    )
    columns = [("at", "right"), ("packet", "right"), ("conn.", "right"), ("what", ""), ("", "")]
    console.print(table("PDU by PDU", columns, [row for _, _, row in shown]))
    _show_rest(console, len(task["pdus"]), "PDUs")


def _headline(task: dict[str, Any]) -> str:
    blocks = "" if task["blocks"] is None else f", {task['blocks']} blocks"
    place = "" if task["lba"] is None else f" at LBA {task['lba']}{blocks}"
    return (
        f"{plain(task['operation'])}{place} on LUN {task['lun']}, {task['direction']} "
        f"{byte_count(task['expected_bytes'])}; session {task['session_index']}, "
        f"ITT {task['initiator_task_tag']:#x}, CmdSN {task['cmd_sn']}, {task['attribute']}"
        f"{', immediate' if task['is_immediate'] else ''}; CDB {plain(task['cdb'])}"
    )


def _outcome(task: dict[str, Any]) -> str:
    if task["status"] is None:
        lived = duration(task["ended_ns"] - task["command_ns"])
        return f"Never answered: {task['end']} {lived} after it was sent."
    words = f"{status_name(task['status'])} after {duration(task['latency_ns'])}"
    if task["sense_key"] is not None:
        sense = additional_sense_name(task["asc"], task["ascq"])
        words += f" ({sense_key_name(task['sense_key'])}: {sense})"
    if task["residual_bytes"]:
        words += f"; residual {task['residual_bytes']} bytes"
    return f"{words}; {byte_count(task['transferred_bytes'])} moved."


def _pdu_row(pdu: dict[str, Any], begin_ns: int) -> list[str]:
    arrow = "←" if pdu["from_target"] else "→"
    numbers = (
        ("CmdSN", pdu["cmd_sn"]),
        ("StatSN", pdu["stat_sn"]),
        ("ExpCmdSN", pdu["exp_cmd_sn"]),
        ("DataSN", pdu["data_sn"]),
        ("offset", pdu["buffer_offset"]),
        ("asks for", pdu["desired_bytes"]),
        ("data", pdu["data_length"] or None),
    )
    words = ", ".join(f"{name} {value}" for name, value in numbers if value is not None)
    final = ", final" if pdu["is_final"] and pdu["data_sn"] is not None else ""
    final += "" if pdu["is_complete"] else ", cut short"
    return [
        _at(pdu["time_ns"], begin_ns),
        str(pdu["packet"]),
        str(pdu["connection_index"]),
        f"{arrow} {name_of(OPCODE_NAMES, pdu['opcode'])}",
        words + final,
    ]


def _event_row(event: dict[str, Any], begin_ns: int) -> list[str]:
    detail = {name: value for name, value in json.loads(event["detail"]).items() if value is not None}
    words = ", ".join(f"{name} {value}" for name, value in detail.items())
    return [
        _at(event["at_ns"], begin_ns),
        plain(event["packet"]),
        plain(event["connection_index"]),
        event["kind"],
        plain(words),
    ]


def _at(at_ns: int, begin_ns: int) -> str:
    """A moment, from the beginning of the recording."""
    return f"{(at_ns - begin_ns) / 1e9:+.6f} s"


def _show_rest(console: Console, count: int, what: str) -> None:
    if count > LONGEST_STORY:
        console.print(f"[dim]... and {count - LONGEST_STORY:,} more {what}; --json lists them all.[/dim]")


def _check(number: int, count: int, option: str, what: str) -> None:
    if 0 <= number < count:
        return
    there = f"numbered 0 to {count - 1}" if count else "none"
    raise UnusableInputError(f"there is no such one; the {what} are {there}", source=f"{option} {number}")

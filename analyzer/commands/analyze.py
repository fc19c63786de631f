"""``analyzer analyze``: captures in, a timeline folder and a page of figures out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy.typing as npt
    from rich.console import Console

    from analyzer.comparison.recording import RecordedMeasures
    from analyzer.tables.folder import Timeline


LONGEST_LIST = 12
LONGEST_WORST = 10
LONGEST_OF_KIND = 4
"""Diagnostics of one kind that are shown; captures of many sessions repeat them."""

SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}
"""Worst first."""


def analyze(
    captures: Annotated[
        list[str],
        typer.Argument(
            metavar="CAPTURE...",
            help="pcap or pcapng files, plain, .gz or .zst; - for stdin. Several are merged by time.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="TIMELINE", help="Write the timeline folder here."),
    ] = None,
    decoder: Annotated[str, typer.Option(help="Which decoder reads the captures.")] = "native",
    port: Annotated[
        list[int] | None,
        typer.Option(
            "--port", metavar="N", min=1, max=65535, help="A TCP port that speaks iSCSI; may be repeated."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
    incident: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Tell incident N of the page in full.")
    ] = None,
    task: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Tell the whole life of command N, PDU by PDU.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 on diagnostics of severity error.")] = False,
) -> None:
    """Decode captures into sessions, connections, commands and events.

    Says what every link, session and kind of command did, what went wrong, and what the capture lacks.
    A timeline folder may stand in place of captures.
    """
    timeline = _read(captures, decoder, port or [])

    from analyzer.alongside import Alongside
    from analyzer.commands.shown import output_console, print_json
    from analyzer.comparison.recording import recorded_measures

    writing = None if output is None else Alongside("writer", partial(timeline.write, output))
    recorded = recorded_measures(timeline)
    is_page = incident is None and task is None and not as_json
    try:
        if is_page:
            show(output_console(), timeline, recorded)
        elif incident is None and task is None:
            print_json(as_document(timeline, recorded))
        else:
            _tell(timeline, incident, task, as_json=as_json)
    finally:
        # Also where nobody reads on.
        if writing is not None:
            writing.result()
    if writing is not None and is_page:
        output_console().print(f"Timeline written to {output}")
    if strict and "error" in timeline.values("diagnostics", "severity"):
        raise typer.Exit(1)


def _read(sources: list[str], decoder: str, ports: list[int]) -> Timeline:
    """Captures as one timeline, or the one timeline folder that is given instead."""
    from analyzer.commands.sources import read_captures

    if len(sources) == 1 and sources[0] != "-" and Path(sources[0]).is_dir():
        from analyzer.tables.folder import Timeline, is_folder_of

        if is_folder_of(Path(sources[0]), Timeline.format_name):
            return Timeline.read(sources[0])
    return read_captures(sources, decoder, ports, meanwhile=_import_what_shows)


def _import_what_shows() -> None:
    import analyzer.commands.shown
    import analyzer.comparison.recording  # noqa: F401


def _tell(timeline: Timeline, incident: int | None, task: int | None, *, as_json: bool) -> None:
    from analyzer.commands import stories
    from analyzer.commands.shown import output_console, print_json

    if as_json:
        document = {}
        if incident is not None:
            document["incident"] = stories.incident_as_data(timeline, incident)
        if task is not None:
            document["task"] = stories.task_as_data(timeline, task)
        print_json(document)
        return
    if incident is not None:
        stories.show_incident(output_console(), timeline, incident)
    if task is not None:
        stories.show_task(output_console(), timeline, task)


def as_document(timeline: Timeline, recorded: RecordedMeasures) -> dict[str, Any]:
    """Everything that ``show`` prints, and more, as plain JSON data."""
    from analyzer.commands.stories import incidents_as_data

    rows = {
        name: timeline.arrow[name].to_pylist()
        for name in ("captures", "sessions", "connections", "events", "diagnostics", "task_fates")
    }
    return {
        **rows,
        "incidents": incidents_as_data(timeline),
        "worst_tasks": worst_tasks(timeline),
        "tasks": {
            "count": timeline.arrow["tasks"].num_rows,
            "ends": recorded.ends,
            "measures": recorded.overall,
            "by_operation": {part.label: part.measures for part in recorded.by_operation},
            "by_connection": {str(part.index): part.measures for part in recorded.by_connection},
            "by_session": {str(part.index): part.measures for part in recorded.by_session},
        },
        "pdus": {"count": timeline.arrow["pdus"].num_rows},
        "manifest": timeline.manifest,
    }


def show(console: Console, timeline: Timeline, recorded: RecordedMeasures) -> None:
    """Print the figures of a timeline as tables, the most asked for first."""
    _show_captures(console, timeline)
    _show_throughput(console, recorded)
    _show_sessions(console, timeline)
    _show_connections(console, timeline, recorded)
    _show_operations(console, recorded)
    _show_order(console, timeline, recorded)
    _show_incidents(console, timeline, recorded)
    _show_worst(console, timeline, recorded)
    _show_events(console, timeline)
    show_diagnostics(console, timeline)


def _show_captures(console: Console, timeline: Timeline) -> None:
    from analyzer.commands.shown import byte_count, duration, plain, table

    captures = timeline.arrow["captures"].slice(0, LONGEST_LIST).to_pylist()
    is_moved = any(capture["clock_offset_ns"] for capture in captures)
    rows = []
    for capture in captures:
        is_empty = capture["first_ns"] is None
        row = [
            plain(Path(capture["name"]).name),
            capture["format"],
            byte_count(capture["size_bytes"]),
            f"{capture['packets']:,}",
            duration(None if is_empty else capture["last_ns"] - capture["first_ns"]),
        ]
        rows.append([*row, f"{capture['clock_offset_ns'] / 1e6:+,.3f} ms"] if is_moved else row)
    columns = [
        ("capture", ""),
        ("format", ""),
        ("size", "right"),
        ("packets", "right"),
        ("duration", "right"),
    ]
    if is_moved:
        columns.append(("clock moved by", "right"))
    console.print(table("Captures", columns, rows))
    _show_rest(console, timeline.arrow["captures"].num_rows, "captures")


def _show_sessions(console: Console, timeline: Timeline) -> None:
    from analyzer.commands.shown import plain, table

    connections = timeline.values("connections", "session_index", -1)
    tasks = timeline.values("tasks", "session_index")
    sessions = timeline.arrow["sessions"].slice(0, LONGEST_LIST).to_pylist()
    rows = [
        [
            str(session["session_index"]),
            f"{plain(session['initiator_name'])}\n→ {plain(session['target_name'])}",
            f"{plain(session['isid'])}\n{plain(session['session_type'])}",
            plain(session["error_recovery_level"]),
            str(int((connections == session["session_index"]).sum())),
            f"{int((tasks == session['session_index']).sum()):,}",
        ]
        for session in sessions
    ]
    columns = [("#", "right"), ("initiator → target", ""), ("ISID", ""), ("ERL", "right")]
    columns += [("conn.", "right"), ("tasks", "right")]
    console.print(table("Sessions", columns, rows))
    _show_rest(console, timeline.arrow["sessions"].num_rows, "sessions")


def _show_connections(console: Console, timeline: Timeline, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import duration, figure, plain, table

    rows = []
    for connection in timeline.arrow["connections"].slice(0, LONGEST_LIST).to_pylist():
        own = recorded.of_connection(connection["connection_index"])
        rows.append(
            [
                str(connection["connection_index"]),
                plain(connection["session_index"]),
                plain(connection["cid"]),
                f"{plain(connection['target_address'])}:{connection['target_port']}",
                figure(own.get("requests"), ""),
                figure(own.get("bytes_per_s"), "bytes/s"),
                duration(connection["rtt_ns_min"]),
                connection["end"],
            ]
        )
    columns = [("#", "right"), ("session", "right"), ("CID", "right"), ("portal", "")]
    columns += [("tasks", "right"), ("data", "right"), ("RTT", "right"), ("end", "")]
    console.print(table("Connections", columns, rows))
    _show_rest(console, timeline.arrow["connections"].num_rows, "connections")


def _show_rest(console: Console, rows: int, what: str, shown: int = LONGEST_LIST) -> None:
    if rows > shown:
        console.print(f"[dim]... and {rows - shown:,} more {what}; --json lists them all.[/dim]\n")


def _show_operations(console: Console, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import figure, plain, table

    names = ("iops", "latency_ns_p50", "latency_ns_p90", "latency_ns_p99", "latency_ns_max")
    units = ("requests/s", "ns", "ns", "ns", "ns")
    parts = [(plain(part.label), part.measures) for part in recorded.by_operation]
    parts.append(("all", recorded.overall))
    rows = [
        [label, figure(measures["requests"], "")]
        + [figure(measures[name], unit) for name, unit in zip(names, units, strict=True)]
        for label, measures in parts
    ]
    headings = ("tasks", "IOPS", "p50", "p90", "p99", "slowest")
    console.print(
        table("Latency by operation", [("operation", ""), *((name, "right") for name in headings)], rows)
    )


def _show_throughput(console: Console, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import figure

    measures = recorded.overall
    requests, completed = measures["requests"], measures["completed"]
    if not completed:
        return
    unanswered = (requests or 0) - completed
    said = f", {unanswered:,.0f} not answered" if unanswered else ""
    console.print(
        f"\n{figure(completed, '')} commands answered{said}: {figure(measures['iops'], '')} IOPS, "
        f"read {figure(measures['read_bytes_per_s'], 'bytes/s')}, "
        f"written {figure(measures['written_bytes_per_s'], 'bytes/s')}, "
        f"{figure(measures['outstanding_mean'], '')} in flight on average."
    )


def _show_order(console: Console, timeline: Timeline, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import duration

    measures = recorded.overall
    waited = measures["order_waited"]
    if waited:
        mean, worst = duration(measures["order_wait_ns_mean"]), duration(measures["order_wait_ns_max"])
        console.print(
            f"\nCmdSN order: {waited:,.0f} of {measures['completed']:,.0f} completed tasks lay at the target "
            f"for lower CmdSNs; {mean} on average over all, {worst} at worst."
        )
    for session in timeline.arrow["sessions"].to_pylist():
        parts = []
        if session["stand_stills"]:
            parts.append(
                f"stood still {session['stand_stills']:,} times for {duration(session['stood_still_ns'])} "
                f"in all ({session['arrival_inversions']:,} arrivals out of order)"
            )
        if session["window_closures"]:
            closed = duration(session["window_closed_ns"])
            parts.append(f"window closed {session['window_closures']:,} times for {closed} in all")
        if parts and session["session_index"] < LONGEST_LIST:
            console.print(f"Session {session['session_index']}: {'; '.join(parts)}.")


def _show_incidents(console: Console, timeline: Timeline, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import plain, table

    incidents = timeline.arrow["incidents"].to_pylist()
    if not incidents:
        return
    rows = [
        [
            str(one["incident_index"]),
            f"{(one['failed_ns'] - recorded.begin_ns) / 1e9:+.3f} s",
            plain(one["summary"]),
        ]
        for one in incidents[:LONGEST_LIST]
    ]
    title = "Incidents (--incident N tells one in full)"
    console.print(table(title, [("#", "right"), ("at", "right"), ("what", "")], rows))
    _show_rest(console, len(incidents), "incidents")


def worst_tasks(timeline: Timeline) -> list[dict[str, Any]]:
    """The answered commands with the longest latency, and all that is in the table of each."""
    import numpy as np

    latency = timeline.values("tasks", "latency_ns", -1)
    most = min(LONGEST_WORST, len(latency))
    # Sorting millions for the sake of a few would take as much memory as the table of them.
    slow = np.flatnonzero(latency >= np.partition(latency, -most)[-most]) if most else latency
    worst = slow[np.argsort(-latency[slow], kind="stable")][:most]
    rows = [timeline.arrow["tasks"].slice(int(row), 1).to_pylist()[0] for row in worst]
    return [row for row in rows if row["latency_ns"] is not None]


def _show_worst(console: Console, timeline: Timeline, recorded: RecordedMeasures) -> None:
    from analyzer.commands.shown import duration, plain, table
    from analyzer.scsi.status import GOOD, status_name

    incident_of = dict(
        zip(
            timeline.values("task_fates", "task_index").tolist(),
            timeline.values("task_fates", "incident_index").tolist(),
            strict=True,
        )
    )
    rows = []
    for task in worst_tasks(timeline):
        marks = []
        if task["task_index"] in incident_of:
            marks.append(f"incident {incident_of[task['task_index']]}")
        if task["order_wait_ns"]:
            marks.append(f"waited {duration(task['order_wait_ns'])} for order")
        if task["status"] != GOOD:
            marks.append(status_name(task["status"]))
        if task["retry_of_task_index"] is not None:
            marks.append(f"again {task['retry_of_task_index']}")
        if task["connection_index"] != task["response_connection_index"]:
            marks.append(f"moved to {task['response_connection_index']}")
        rows.append(
            [
                str(task["task_index"]),
                f"{(task['command_ns'] - recorded.begin_ns) / 1e9:+.3f} s",
                plain(task["operation"]),
                plain(task["lba"]),
                duration(task["latency_ns"]),
                str(task["connection_index"]),
                plain(", ".join(marks)),
            ]
        )
    if not rows:
        return
    columns = [("task", "right"), ("at", "right"), ("operation", ""), ("LBA", "right")]
    columns += [("latency", "right"), ("conn.", "right"), ("", "")]
    console.print(table("Slowest commands (--task N tells one in full)", columns, rows))


def _show_events(console: Console, timeline: Timeline) -> None:
    kinds = timeline.values("events", "kind")
    if not len(kinds):
        return
    counted = sorted({str(kind): int((kinds == kind).sum()) for kind in set(kinds)}.items())
    console.print(f"\nEvents: {', '.join(f'{count:,} {kind}' for kind, count in counted)}.\n")


def show_diagnostics(console: Console, timeline: Timeline) -> None:
    """Print what the capture lacks and what was assumed, worst first; of each kind the first few places."""
    from analyzer.commands.shown import plain

    entries = timeline.arrow["diagnostics"].to_pylist()
    if not entries:
        console.print("Diagnostics: none.")
        return
    console.print("[bold]Diagnostics[/bold]")
    names = timeline.values("captures", "name")
    of_code: dict[str, list[dict[str, Any]]] = {}
    for entry in sorted(entries, key=lambda entry: list(SEVERITY_STYLES).index(entry["severity"])):
        of_code.setdefault(entry["code"], []).append(entry)
    for code, alike in of_code.items():
        style = SEVERITY_STYLES[alike[0]["severity"]]
        for entry in alike[:LONGEST_OF_KIND]:
            console.print(
                f"[{style}]{entry['severity']}[/{style}] {code} ×{entry['count']:,}: "  # noqa: RUF001
                f"{plain(entry['meaning'])} {plain(entry['detail'])} [dim]{plain(_place(entry, names))}[/dim]"
            )
        _show_rest(console, len(alike), f"diagnostics {code}", LONGEST_OF_KIND)


def _place(entry: dict[str, Any], names: npt.NDArray[Any]) -> str:
    """Where a diagnostic says it was found."""
    place = []
    if entry["file_index"] is not None and entry["file_index"] < len(names):
        place.append(Path(str(names[entry["file_index"]])).name)
    if entry["packet"] is not None:
        place.append(f"packet {entry['packet']}")
    if entry["connection_index"] is not None:
        place.append(f"connection {entry['connection_index']}")
    return ", ".join(place)

"""Timelines for the page: a made one with rows of other tables put in."""

from __future__ import annotations

import json
from typing import Any

from analyzer.tables.folder import Timeline
from analyzer.tables.schema import Table
from analyzer.tables.timeline_tables import DIAGNOSTICS, EVENTS, INCIDENTS, TASK_FATES
from tests.made import BEGIN_NS


def with_events(timeline: Timeline, events: list[dict[str, Any]]) -> Timeline:
    """The timeline with these events; what is not given is null or plain."""
    plain = {
        "at_ns": BEGIN_NS,
        "packet": None,
        "session_index": None,
        "connection_index": None,
        "task_index": None,
        "kind": "login",
        "detail": "{}",
    }
    rows = [{**plain, **event, "event_index": index} for index, event in enumerate(events)]
    return _replaced(timeline, EVENTS, rows)


def with_diagnostics(timeline: Timeline, diagnostics: list[dict[str, Any]]) -> Timeline:
    """The timeline with these diagnostics, likewise."""
    plain = {
        "code": "snaplen-cut",
        "severity": "warning",
        "source": "capture",
        "count": 1,
        "file_index": None,
        "packet": None,
        "connection_index": None,
        "at_ns": None,
        "detail": "",
        "meaning": "Something was cut.",
        "remedy": "Cut less.",
    }
    return _replaced(timeline, DIAGNOSTICS, [{**plain, **row} for row in diagnostics])


def with_incident(
    timeline: Timeline, *, failed: int, ended: int, detail: str = "silence", **columns: Any
) -> Timeline:
    """The timeline with one more lost connection, from ``failed`` to ``ended`` ns after its beginning."""
    row: dict[str, Any] = {column.name: None for column in INCIDENTS.columns}
    row |= {
        "incident_index": timeline.arrow["incidents"].num_rows,
        "kind": "connection-loss",
        "cause": "silence",
        "session_index": 0,
        "connection_index": 0,
        "sessions": "[0]",
        "connections": "[0]",
        "failed_ns": BEGIN_NS + failed,
        "is_detection_seen": False,
        "hold_timer": "none",
        "ended_ns": BEGIN_NS + ended,
        "gap_ns": ended - failed,
        "outstanding": 8,
        "reassigned": 0,
        "retried_same_path": 0,
        "retried_other_path": 8,
        "aborted": 0,
        "answered": 0,
        "lost": 0,
        "neighbours": "[]",
        "summary": detail,
        "steps": json.dumps([{"at_ns": BEGIN_NS + failed, "what": "failed", "detail": detail}]),
    }
    rows = [*timeline.arrow["incidents"].to_pylist(), row | columns]
    return _replaced(timeline, INCIDENTS, rows)


def with_fates(timeline: Timeline, held: list[tuple[int, int]]) -> Timeline:
    """The timeline with these incidents' commands, as (incident, task), all sent again as new ones."""
    plain: dict[str, Any] = {column.name: None for column in TASK_FATES.columns}
    rows = [
        {**plain, "incident_index": incident, "task_index": task, "fate": "reissued", "issued_ns": BEGIN_NS}
        for incident, task in held
    ]
    return _replaced(timeline, TASK_FATES, rows)


def with_column(timeline: Timeline, table: Table, column: str, values: list[Any]) -> Timeline:
    """The timeline with one column of one table replaced."""
    columns = {
        name: timeline.arrow[table.name].column(name) for name in timeline.arrow[table.name].column_names
    }
    return Timeline(
        {**timeline.arrow, table.name: table.build({**columns, column: values})}, timeline.manifest
    )


def _replaced(timeline: Timeline, table: Table, rows: list[dict[str, Any]]) -> Timeline:
    columns = {column.name: [row[column.name] for row in rows] for column in table.columns}
    return Timeline({**timeline.arrow, table.name: table.build(columns)}, timeline.manifest)

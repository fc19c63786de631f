"""Timelines for the page: a made one with rows of other tables put in."""

from __future__ import annotations

from typing import Any

from analyzer.tables.folder import Timeline
from analyzer.tables.schema import Table
from analyzer.tables.timeline_tables import DIAGNOSTICS, EVENTS
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

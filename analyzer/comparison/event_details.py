"""The events of one kind with what they tell, read from a table that anybody may have written.

Decides nothing about any event: a detail that is no object, or a field that is not of the kind asked for, is
as good as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from analyzer.tables.folder import TableFolder


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One event at ``at_ns`` since the Unix epoch; ``session`` and ``task`` are None where it has none."""

    at_ns: int
    session: int | None
    task: int | None
    detail: dict[str, Any]

    def number(self, name: str) -> int | None:
        """A field that is a whole number, else None."""
        value = self.detail.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        """A field that is text, else None."""
        value = self.detail.get(name)
        return value if isinstance(value, str) else None

    def numbers(self, name: str) -> tuple[int, ...]:
        """The whole numbers of a field that is a list; none where it is not."""
        value = self.detail.get(name)
        items = value if isinstance(value, list) else []
        return tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))


def told_events(timeline: TableFolder, kind: str) -> Iterator[ToldEvent]:
    """The events of one kind in the order of the table, which is that of time."""
    table = timeline.arrow["events"]
    names = ("kind", "at_ns", "session_index", "task_index", "detail")
    for found, at_ns, session, task, detail in zip(
        *(table.column(name).to_pylist() for name in names), strict=True
    ):
        if found == kind:
            yield ToldEvent(at_ns, session, task, _object(detail))


def _object(detail: str) -> dict[str, Any]:
    try:
        value = json.loads(detail)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

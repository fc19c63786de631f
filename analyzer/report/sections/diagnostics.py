"""All that is imperfect about the input, by severity, with what it means and what to do about it."""

from __future__ import annotations

from analyzer.report.blocks import Align, Cell, Heading, Section, Table
from analyzer.report.cells import count_cell, maybe, moment_cell, name_cell, records
from analyzer.report.study import Study
from analyzer.report.words import count, plural, sentence, visible

LIMIT = 300
_ORDER = {"error": 0, "warning": 1, "info": 2}
_TONES = {"error": "bad", "warning": "warning", "info": ""}


def build(study: Study) -> Section:
    """The diagnostics as a table, gravest first."""
    question = "What is imperfect about this input?"
    severities = study.timeline.values("diagnostics", "severity").tolist()
    if not severities:
        return Section("diagnostics", "Diagnostics", question, "Nothing was found wanting.")
    answer = sentence(
        f"{plural(severities.count('error'), 'diagnostic')} of severity error, "
        f"{plural(severities.count('warning'), 'warning')} and "
        f"{plural(severities.count('info'), 'remark')}"
    )
    return Section("diagnostics", "Diagnostics", question, answer, (_table(study),))


def _table(study: Study) -> Table:
    headings = (
        Heading("Severity"),
        Heading("Code", Align.CODE),
        Heading("Times", Align.NUMBER),
        Heading("Where"),
        Heading("First at, s", Align.NUMBER),
        Heading("What was seen"),
        Heading("What it means"),
        Heading("What to do"),
    )
    found = records(study.timeline.diagnostics)
    found.sort(key=lambda row: (_ORDER[str(row["severity"])], str(row["code"])))
    rows = []
    for row in found[:LIMIT]:
        severity = str(row["severity"])
        at_ns = maybe(row["at_ns"])
        rows.append(
            (
                Cell(severity, float(_ORDER[severity]), _TONES[severity]),
                name_cell(str(row["code"])),
                count_cell(row["count"]),
                name_cell(_where(study, row["file_index"], row["packet"], row["connection_index"])),
                moment_cell(None if at_ns is None else (at_ns - study.begin_ns) / 1e9),
                name_cell(row["detail"], 300),
                Cell(visible(row["meaning"])),
                Cell(visible(row["remedy"])),
            )
        )
    note = f"{count(len(found) - LIMIT)} more are in the timeline folder." if len(found) > LIMIT else ""
    return Table("diagnostics", "Diagnostics, gravest first", headings, tuple(rows), note=note)


def _where(study: Study, file_index: int, packet: int, connection: int) -> str | None:
    parts = []
    if maybe(file_index) is not None and file_index < len(study.names_of_captures):
        parts.append(study.names_of_captures[file_index])
    if maybe(packet) is not None:
        parts.append(f"packet {packet}")
    if maybe(connection) is not None and connection < len(study.connection_names):
        parts.append(study.connection_names[connection])
    return ", ".join(parts) or None

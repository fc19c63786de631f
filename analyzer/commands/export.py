"""``analyzer export``: a timeline in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyzer.commands.replay import Port
from analyzer.errors import UnusableInputError

Anonymize = Annotated[
    bool,
    typer.Option("--anonymize", help="Replace names and addresses, each by the same other one everywhere."),
]


def export(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Captures, or one timeline folder.", show_default=False),
    ],
    name: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv, parquet, fio or perfetto.")
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="Where to; named after the source unless given."),
    ] = None,
    anonymize: Anonymize = False,
    port: Port = None,
) -> None:
    """Write a timeline for another tool: tables, a trace to run with fio, a trace to see in Perfetto."""
    from analyzer.commands.shown import output_console, plain
    from analyzer.commands.sources import base_name, timeline_and_outcomes
    from analyzer.export.formats import EXPORTER_BY_NAME
    from analyzer.tables.anonymous import Disguise

    if name not in EXPORTER_BY_NAME:
        raise UnusableInputError(
            f"no format {name!r}; there are {', '.join(EXPORTER_BY_NAME)}", source="--format"
        )
    exporter = EXPORTER_BY_NAME[name]
    timeline, _ = timeline_and_outcomes(sources, port or ())
    if anonymize:
        timeline = Disguise([timeline]).disguised(timeline)
    done = exporter.write(timeline, output or Path(f"{base_name(sources[0])}{exporter.suffix}"))
    console = output_console()
    console.print(f"{done.written} written to {plain(done.place)}", soft_wrap=True)
    for remark in done.remarks:
        console.print(f"  • {plain(remark)}", soft_wrap=True)

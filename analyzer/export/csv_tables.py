"""Every table of a timeline as a CSV file: one header line, one line per row.

Decides how values are written: nulls as empty fields, times as integer nanoseconds since the
Unix epoch, texts quoted as RFC 4180 has it. Names stand as the peers sent them: a spreadsheet may take one
that begins with ``=`` for a formula.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from analyzer.errors import UnusableInputError
from analyzer.export.interface import Exported, Exporter, whole_file
from analyzer.tables.folder import Timeline


def write(timeline: Timeline, place: Path) -> Exported:
    """Write ``TABLE.csv`` for each table into the folder ``place``."""
    if place.exists() and not place.is_dir():
        raise UnusableInputError("exists and is no folder; not overwritten", source=str(place))
    for name, table in timeline.arrow.items():
        with whole_file(place / f"{name}.csv") as file:
            csv.write_csv(_plain(table), file)
    rows = sum(table.num_rows for table in timeline.arrow.values())
    return Exported(place, f"{len(timeline.arrow)} tables, {rows:,} rows")


def _plain(table: pa.Table) -> pa.Table:
    """The table with categories as texts, which is all that CSV knows."""
    fields = [
        pa.field(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


EXPORTER = Exporter("csv", "-csv", "A folder with one CSV file per table.", write)

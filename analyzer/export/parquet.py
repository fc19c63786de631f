"""The timeline itself: a folder of Parquet tables, which many tools read and which is a source here."""

from __future__ import annotations

from pathlib import Path

from analyzer.export.interface import Exported, Exporter
from analyzer.tables.folder import Timeline


def write(timeline: Timeline, place: Path) -> Exported:
    """Write the timeline folder ``place``; see ``TableFolder.write``."""
    timeline.write(place)
    rows = sum(table.num_rows for table in timeline.arrow.values())
    return Exported(place, f"{len(timeline.arrow)} tables, {rows:,} rows")


EXPORTER = Exporter("parquet", "-timeline", "A folder with one Parquet file per table.", write)

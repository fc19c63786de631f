"""The formats that a timeline can be exported to. A new one is one file and one line here."""

from __future__ import annotations

from analyzer.export import csv_tables, fio, parquet, perfetto
from analyzer.export.interface import Exporter

EXPORTERS: tuple[Exporter, ...] = (
    csv_tables.EXPORTER,
    parquet.EXPORTER,
    fio.EXPORTER,
    perfetto.EXPORTER,
)
EXPORTER_BY_NAME: dict[str, Exporter] = {exporter.name: exporter for exporter in EXPORTERS}

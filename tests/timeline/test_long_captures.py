"""A capture of more PDUs than memory holds gives the same timeline as one that fits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from analyzer import scratch
from analyzer.capture.reader import CaptureReader
from analyzer.decoders import row_store
from analyzer.decoders.native import decode
from analyzer.tables.folder import Timeline
from analyzer.timeline.build import build
from tests.real import capture_path

CAPTURES = (
    "mcs-2conn-rr-mtu1500-tgt",
    "mcs-2conn-digest-both-tgt",
    "mcs-4conn-reorder-tgt",
    "mcs-kill-erl2-reassign-tgt",
    "mcs-kill-rst-retry-lio",
    "mcs-2conn-rr-snap128-tgt",
    "tmf-mcs-tgt",
    "snack-data-tgt",
    "mpio-failover-lun-reset-tgt",
)


def plain(table: pa.Table) -> dict[str, list[object]]:
    return {name: table.column(name).to_pylist() for name in table.column_names}


@pytest.mark.parametrize("name", CAPTURES)
def test_the_timeline_is_the_same_where_everything_is_done_in_small_steps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = build(decode([capture_path(name)]))
    monkeypatch.setattr(CaptureReader.batches, "__defaults__", (None, 20_000))
    monkeypatch.setattr(row_store, "_HELD_BACK", 10)
    monkeypatch.setattr(scratch, "STEP", 37)
    found = build(decode([capture_path(name)], rows_in_memory=20))
    folder = found.write(tmp_path / "timeline")
    for table, content in expected.arrow.items():
        assert plain(found.arrow[table]) == plain(content), table
        assert plain(Timeline.read(folder).arrow[table]) == plain(content), table

"""Rows that were written to a file on the way give the same PDUs as rows that stayed in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analyzer.capture.reader import CaptureReader
from analyzer.decoders import row_store
from analyzer.decoders.decoded import PduColumns
from analyzer.decoders.native import decode
from tests.real import TRACES

CAPTURES = sorted(path for path in TRACES.rglob("*.pcap*") if path.stat().st_size < 60_000)


def assert_same_pdus(found: PduColumns, expected: PduColumns) -> None:
    assert len(found) == len(expected)
    for field in dataclasses.fields(PduColumns):
        if field.name not in ("segment_offset", "segments"):
            np.testing.assert_array_equal(
                getattr(found, field.name), getattr(expected, field.name), field.name
            )
    for pdu in np.flatnonzero(expected.segment_bytes + expected.ahs_bytes).tolist():
        begin, other = int(found.segment_offset[pdu]), int(expected.segment_offset[pdu])
        size = int(expected.ahs_bytes[pdu] + expected.segment_bytes[pdu])
        kept = found.segments[begin : begin + size]
        assert kept.tobytes() == expected.segments[other : other + size].tobytes()


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_every_capture_gives_the_same_pdus(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = decode([capture])
    monkeypatch.setattr(row_store, "_HELD_BACK", len(capture.name))
    monkeypatch.setattr(row_store, "_BLOCK_ROWS", 100)
    monkeypatch.setattr(CaptureReader.batches, "__defaults__", (None, 20_000))
    found = decode([capture], rows_in_memory=20)
    assert_same_pdus(found.pdus, expected.pdus)
    assert list(found.diagnostics) == list(expected.diagnostics)
    for name in ("connection_index", "at_ns", "lost_bytes", "framing_kept"):
        np.testing.assert_array_equal(getattr(found.holes, name), getattr(expected.holes, name))

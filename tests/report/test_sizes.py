"""Latency by transfer size: classes by powers of two, and curves where there is more than one."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.report.latency_by_size import size_blocks, size_classes
from analyzer.report.study import Study
from tests.made import make_timeline, null_where

SIZES = np.tile([4096, 4096, 6000, 8192, 65536, 0], 20)


def sized(**columns) -> Study:
    return Study(make_timeline(tasks=120, expected_bytes=SIZES, transferred_bytes=SIZES, **columns))


def test_a_class_reaches_up_to_a_power_of_two():
    """4 KiB alone, then 6,000 to 8,192 bytes, then 64 KiB; what moves no data is in none."""
    classes = [one for one in size_classes(sized()) if one.direction == "read"]
    assert [(one.smallest_bytes, one.largest_bytes) for one in classes] == [
        (4096, 4096),
        (8192, 8192),
        (65536, 65536),
    ]
    writes = [one for one in size_classes(sized()) if one.direction == "write"]
    assert [(one.smallest_bytes, one.largest_bytes) for one in writes] == [(6000, 6000)]
    everything = sized(operation=["READ(10)"] * 120, direction=["read"] * 120)
    assert [one.label.replace("\u202f", " ") for one in size_classes(everything)] == [
        "4 KiB",
        "6 kB to 8 KiB",
        "64 KiB",
    ]
    assert sum(len(one.latency_ns) for one in size_classes(everything)) == np.count_nonzero(SIZES)


def test_curves_and_table_tell_the_same():
    study = sized()
    figure, table = size_blocks(study)
    assert [series.name for series in figure.series] == ["reads, median", "reads, p99"]
    assert figure.series[0].x.tolist() == [4, 8, 64]
    medians = [row[4].value for row in table.rows if row[0].text == "READ(10)"]
    assert figure.series[0].y * 1e6 == pytest.approx(medians)
    assert sum(row[2].value for row in table.rows) == np.count_nonzero(SIZES)


def test_one_size_has_a_table_alone_and_no_data_nothing():
    (table,) = size_blocks(Study(make_timeline(tasks=30)))
    assert [row[1].text.replace("\u202f", " ") for row in table.rows] == ["4 KiB", "4 KiB"]
    assert size_blocks(Study(make_timeline(tasks=0))) == ()
    never = null_where(np.zeros(9, np.int64), np.ones(9, bool))
    assert size_blocks(Study(make_timeline(tasks=9, response_ns=never, latency_ns=never))) == ()

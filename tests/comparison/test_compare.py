"""Outcomes beside the recording: values, differences and labels."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.comparison.compare import compare, compared, distinct_labels
from analyzer.measures import MEASURES
from analyzer.tables.folder import Outcome
from tests.made import make_outcome, make_timeline


def test_a_replay_at_twice_the_speed_has_half_the_latency():
    """Differences are percent of the reference, and the reference is the baseline where there is one."""
    timeline = make_timeline()
    comparison = compared(
        [make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=2.0)], timeline
    )
    assert comparison.reference == "as-recorded"
    row = comparison.row("latency_ns_mean")
    assert row.recorded == row.values[0]
    assert row.differences_percent[0] is None
    assert row.differences_percent[1] == pytest.approx(-50, abs=0.01)


def test_without_a_baseline_the_recording_is_the_reference():
    timeline = make_timeline()
    comparison = compared([make_outcome(timeline, faster=2.0)], timeline)
    assert comparison.reference == "recording"
    assert comparison.row("latency_ns_mean").differences_percent[0] == pytest.approx(-50, abs=0.01)


def test_the_frame_holds_every_measure_with_unit_and_direction():
    """The public table: one row per declared measure, one column per outcome and its difference."""
    timeline = make_timeline()
    frame = compare([make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=2.0)], timeline)
    assert list(frame.index) == [measure.name for measure in MEASURES]
    assert list(frame.columns) == [
        "unit",
        "better",
        "recording",
        "as-recorded",
        "mcs:2/round-robin",
        "as-recorded low",
        "as-recorded high",
        "mcs:2/round-robin low",
        "mcs:2/round-robin high",
        "mcs:2/round-robin difference %",
        "mcs:2/round-robin difference low %",
        "mcs:2/round-robin difference high %",
        "mcs:2/round-robin is apart",
    ]
    assert frame.loc["iops", "better"] == "higher"
    assert frame.loc["latency_ns_p99", "unit"] == "ns"
    assert frame.attrs["reference"] == "as-recorded"
    assert frame.attrs["level"] == 0.9


def test_without_a_timeline_there_is_no_recording_column():
    frame = compare([make_outcome(make_timeline())])
    assert "recording" not in frame.columns
    assert frame["mcs:2/round-robin difference %"].isna().all()


def test_only_the_replayed_tasks_are_measured_of_the_recording():
    """A replay that left tasks out is held against those it replayed."""
    timeline = make_timeline(tasks=90)
    whole = make_outcome(timeline)
    part = Outcome({**whole.arrow, "requests": whole.arrow["requests"].slice(0, 30)}, whole.manifest)
    assert compared([part], timeline).row("requests").recorded == 30


def test_equal_labels_are_told_apart():
    timeline = make_timeline(tasks=10)
    one, two, three = (make_outcome(timeline, "mcs:2/x") for _ in range(3))
    two.manifest["pacing"] = "recorded"
    assert distinct_labels([one, two]) == ("mcs:2/x (closed)", "mcs:2/x (recorded)")
    assert distinct_labels([one, three]) == ("mcs:2/x (closed)", "mcs:2/x (closed) #2")


def test_a_withheld_figure_keeps_its_reason():
    """What the capture cannot support is not filled in."""
    outcome = make_outcome(make_timeline(tasks=5))
    metrics = outcome.arrow["metrics"]
    names = metrics.column("metric").to_pylist()
    values = metrics.column("value").to_pylist()
    reasons = metrics.column("withheld").to_pylist()
    values[names.index("iops")], reasons[names.index("iops")] = None, "too short"
    replaced = metrics.set_column(1, metrics.schema.field(1), [values]).set_column(
        6, metrics.schema.field(6), [reasons]
    )
    row = compared([Outcome({**outcome.arrow, "metrics": replaced}, outcome.manifest)]).row("iops")
    assert row.values == (None,)
    assert row.withheld == ("too short",)


def test_an_empty_timeline_compares():
    timeline = make_timeline(tasks=0)
    frame = compare([], timeline)
    assert frame.loc["requests", "recording"] == 0
    assert np.isnan(frame["recording"].astype(float)["iops"])

"""Clocks of several files: set by cause and effect where they disagree, left alone where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyzer.decoders.clock_bounds import ClockBound
from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from analyzer.timeline.clock_offsets import UNCERTAINTY_OF_STAMPS_NS, clock_offsets
from tests.real import TRACES, capture_path
from tests.recorded_packets import at_both_ends, by_direction, by_link, recorded_packets, written

MS = 1_000_000
DISAGREEMENTS_NS = (37 * MS, -37 * MS, 2_000 * MS, -2_000 * MS)
MORE_SESSIONS = "W6-asym-mcs2-rr", "mcs-2conn-rr-tgt", "mcs-4conn-reorder-tgt", "mcs-4conn-one-stalls-tgt"
TIMES = ("command_ns", "command_last_ns", "first_r2t_ns", "first_data_ns", "last_data_ns", "response_ns")


def said_of_clocks(timeline: Timeline) -> list[str]:
    codes = timeline.values("diagnostics", "code").tolist()
    return [code for code in codes if code.startswith("clock-")]


def bounds_ns(timeline: Timeline) -> tuple[int, int]:
    """Between what the offset of the second file must lie, as the diagnostic says."""
    (row,) = [r for r in timeline.arrow["diagnostics"].to_pylist() if r["code"] == "clock-offset-assumed"]
    assert row["file_index"] == 1
    lowest, highest = row["detail"].split("(")[1].split(")")[0].split(" to ")
    return round(float(lowest) * MS), round(float(highest) * MS)


def assert_same_tasks(found: Timeline, expected: Timeline, error_ns: int) -> None:
    """The same tasks with the same lives; times and order waits are off by at most ``error_ns``."""
    identity = ["session_index", "connection_index", "initiator_task_tag", "cmd_sn"]
    one, other = (
        timeline.tasks.sort_values(identity).reset_index(drop=True) for timeline in (found, expected)
    )
    same = [*identity, "cdb", "end", "status", "transferred_bytes", "data_in_count", "data_out_count"]
    same += ["r2t_count", "retry_count", "response_connection_index"]
    assert one[same].equals(other[same])
    for name in (*TIMES, "order_wait_ns"):
        assert (one[name].isna() == other[name].isna()).all()
        assert ((one[name] - other[name]).abs().dropna() <= error_ns).all(), name


@pytest.mark.parametrize("name", MORE_SESSIONS)
@pytest.mark.parametrize("ahead_ns", DISAGREEMENTS_NS)
def test_clock_of_one_link_is_set_right(name: str, ahead_ns: int, tmp_path: Path) -> None:
    """One file per link of an MC/S session: the offset is found as closely as answers follow commands."""
    links = by_link(recorded_packets(capture_path(name)))
    assert len(links) == 2
    honest = analyze(*written(tmp_path, links))
    timeline = analyze(*written(tmp_path, links, lambda number: number * ahead_ns))
    assert said_of_clocks(honest) == []
    assert said_of_clocks(timeline) == ["clock-offset-assumed"]
    offset_ns = timeline.values("captures", "clock_offset_ns").tolist()
    lowest, highest = bounds_ns(timeline)
    assert offset_ns[0] == 0
    assert lowest <= -ahead_ns <= highest
    error_ns = (highest - lowest) // 2 + 1000  # the detail says microseconds
    assert abs(offset_ns[1] + ahead_ns) <= error_ns
    # What bounds it is how soon a command is answered, order waits included.
    latency_ns = honest.values("tasks", "latency_ns", -1)
    assert error_ns < np.quantile(latency_ns[latency_ns >= 0], 0.9)
    assert_same_tasks(timeline, honest, error_ns)


@pytest.mark.parametrize("ahead_ns", DISAGREEMENTS_NS)
def test_clocks_of_both_ends_are_set_right(ahead_ns: int, tmp_path: Path) -> None:
    """The same packets recorded at both ends of a wire that takes them 250 us; all count once."""
    delay_ns = 250_000  # answers take longer in this capture
    packets = recorded_packets(capture_path("pr.link1"))
    alone = analyze(*written(tmp_path, [packets]))
    ends = at_both_ends(packets, delay_ns)
    timeline = analyze(*written(tmp_path, ends, lambda number: number * ahead_ns))
    lowest, highest = bounds_ns(timeline)
    assert -delay_ns - 1000 <= lowest + ahead_ns <= 0 <= highest + ahead_ns <= delay_ns + 1000
    assert_same_tasks(timeline, alone, delay_ns + 1000)  # the first to see a packet gives its time
    assert timeline.values("connections", "retransmitted_segments").sum() <= 4
    assert "mirror-duplicates" in timeline.values("diagnostics", "code")


@pytest.mark.parametrize("ahead_ns", DISAGREEMENTS_NS)
def test_clocks_of_two_taps_are_set_right(ahead_ns: int, tmp_path: Path) -> None:
    """What each side sent in a file of its own: TCP acknowledges nothing before it was sent."""
    ways = by_direction(recorded_packets(capture_path("mcs-2conn-rr-mtu1500-tgt")))
    honest = analyze(*written(tmp_path, ways))
    timeline = analyze(*written(tmp_path, ways, lambda number: number * ahead_ns))
    assert said_of_clocks(honest) == []
    lowest, highest = bounds_ns(timeline)
    assert lowest <= -ahead_ns <= highest
    assert highest - lowest < MS
    assert_same_tasks(timeline, honest, (highest - lowest) // 2 + 1000)


def ethernet_captures() -> list[Path]:
    return [
        path for path in sorted(TRACES.rglob("*.pcap*")) if "ipv6" not in path.name and "sll" not in path.name
    ]


@pytest.mark.parametrize("path", ethernet_captures(), ids=lambda path: path.name.split(".pcap")[0])
def test_no_offset_is_invented(path: Path, tmp_path: Path) -> None:
    """Captures of one clock, split by link, by direction and in the middle, stay as they are."""
    packets = recorded_packets(path)
    middle = len(packets) // 2
    for files in (by_link(packets), by_direction(packets), [packets[:middle], packets[middle:]]):
        timeline = analyze(*written(tmp_path, files))
        assert not timeline.values("captures", "clock_offset_ns").any()
        assert set(said_of_clocks(timeline)) <= {"clock-unrelated"}


def test_links_of_unrelated_sessions_are_said_to_be_so() -> None:
    """Two sessions of one initiator acknowledge nothing of each other."""
    timeline = analyze(capture_path("pr.link1"), capture_path("pr.link2"))
    assert said_of_clocks(timeline) == ["clock-unrelated"]


def test_offsets_follow_by_way_of_other_files() -> None:
    """The third file shares nothing with the first, but the second does with both."""
    bounds = [
        ClockBound(0, 1, 10 * MS + 400_000, 5, "pairs"),
        ClockBound(1, 0, -10 * MS, 5, "pairs"),
        ClockBound(1, 2, 300_000, 7, "pairs"),
        ClockBound(2, 1, 100_000, 7, "pairs"),
    ]
    offsets = clock_offsets(3, bounds)
    assert [offset.offset_ns for offset in offsets] == [0, -10_200_000, -10_200_000 - 100_000]
    assert not any(offset.is_contradicted for offset in offsets)


def test_stamps_taken_a_little_late_move_nothing() -> None:
    bounds = [ClockBound(0, 1, -UNCERTAINTY_OF_STAMPS_NS, 5, "pairs"), ClockBound(1, 0, 3 * MS, 5, "pairs")]
    assert [offset.offset_ns for offset in clock_offsets(2, bounds)] == [0, 0]


def test_one_bound_moves_no_further_than_it_must() -> None:
    offsets = clock_offsets(2, [ClockBound(1, 0, -50 * MS, 3, "pairs")])
    assert offsets[1].offset_ns == -50 * MS
    assert offsets[1].lowest_ns is None


def test_a_clock_that_was_set_is_said_to_be_unsteady() -> None:
    bounds = [ClockBound(0, 1, 20 * MS, 9, "pairs"), ClockBound(1, 0, -30 * MS, 9, "pairs")]
    offsets = clock_offsets(2, bounds)
    assert offsets[1].is_contradicted

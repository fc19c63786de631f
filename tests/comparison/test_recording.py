"""What is measured of a recording: whole, by operation, by connection and by session."""

from __future__ import annotations

import numpy as np

from analyzer.comparison.recording import recorded_measures
from analyzer.comparison.request_columns import recorded_requests, replayed_requests
from tests.made import BEGIN_NS, make_outcome, make_timeline, null_where


def test_parts_add_up_to_the_whole():
    recorded = recorded_measures(make_timeline(tasks=300, sessions=2))
    for parts in (recorded.by_operation, recorded.by_connection, recorded.by_session):
        assert sum(part.measures["requests"] for part in parts) == 300
    assert [part.label for part in recorded.by_operation] == ["READ(10)", "WRITE(10)"]
    assert [part.index for part in recorded.by_connection] == [0, 1, 2, 3]
    assert recorded.ends == {"responded": 300}


def test_figures_of_four_known_commands():
    """Two reads and a write of 1000 bytes, and one that was never answered, in one second."""
    second = 1_000_000_000
    timeline = make_timeline(
        tasks=4,
        command_ns=BEGIN_NS + np.array([0, 0, second // 2, second // 2]),
        response_ns=null_where(
            BEGIN_NS + np.array([second // 4, second // 2, second, 0]), [False, False, False, True]
        ),
        latency_ns=null_where(np.array([second // 4, second // 2, second // 2, 0]), [False] * 3 + [True]),
        order_wait_ns=np.array([0, 7, 0, 900]),
        transferred_bytes=np.full(4, 1000),
        direction=["read", "read", "write", "write"],
        end=["responded"] * 3 + ["aborted"],
        ended_ns=np.full(4, BEGIN_NS + second),
    )
    figures = recorded_measures(timeline).overall
    assert figures["completed"] == 3
    assert figures["failed"] == 1
    assert figures["iops"] == 3
    assert figures["read_bytes_per_s"] == 2000
    assert figures["written_bytes_per_s"] == 1000
    assert figures["latency_ns_p50"] == second // 2
    assert figures["order_waited"] == 1
    assert figures["order_wait_ns_max"] == 7


def test_an_empty_recording_has_counts_and_nothing_else():
    recorded = recorded_measures(make_timeline(tasks=0))
    assert recorded.overall["requests"] == 0
    assert recorded.overall["iops"] is None
    assert recorded.by_operation == ()


def test_the_same_requests_measure_the_same_from_either_side():
    """A replay that takes exactly the recorded times gives the recorded latencies."""
    timeline = make_timeline()
    recorded, replayed = recorded_requests(timeline), replayed_requests(make_outcome(timeline))
    for name in ("iops", "latency_ns_p99", "bytes_per_s", "outstanding_mean", "longest_gap_ns"):
        assert recorded.measures()[name] == replayed.measures()[name]


def test_order_wait_of_a_replay_is_the_time_at_the_gate():
    requests = replayed_requests(make_outcome(make_timeline(tasks=9)))
    assert np.array_equal(requests.order_wait_ns, requests.latency_ns // 3 - requests.latency_ns // 4)

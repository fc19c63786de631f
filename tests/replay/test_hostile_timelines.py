"""Invariant: whatever a timeline claims, a replay ends with every first attempt completed."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analyzer
from tests.made import BEGIN_NS, make_timeline, null_where

TIMES = st.integers(-(10**10), 10**12)
LENGTHS = st.sampled_from([0, 1, 512, 65535, 2**24, 2**32 - 1])


@st.composite
def timelines(draw):
    count = draw(st.integers(1, 12))

    def column(values, kind):
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), kind)

    command = BEGIN_NS + column(TIMES, np.int64)
    response = BEGIN_NS + column(TIMES, np.int64)
    unanswered = column(st.booleans(), bool)
    is_re_issue = column(st.booleans(), bool)
    is_re_issue[0] = False
    direction = draw(
        st.lists(st.sampled_from(["read", "write", "none", "bidirectional"]), min_size=count, max_size=count)
    )
    return make_timeline(
        tasks=count,
        connections=draw(st.integers(1, 3)),
        sessions=draw(st.integers(1, 2)),
        cmd_sn=column(st.integers(0, 2**32 - 1), np.uint32),
        lun=column(st.sampled_from([0, 1, 2**63]), np.uint64),
        lba=column(st.sampled_from([0, 2**64 - 1]), np.uint64),
        is_immediate=column(st.booleans(), bool),
        direction=direction,
        expected_bytes=column(LENGTHS, np.int64),
        transferred_bytes=column(LENGTHS, np.int64),
        immediate_bytes=column(LENGTHS, np.int64),
        unsolicited_bytes=column(LENGTHS, np.int64),
        command_ns=command,
        command_last_ns=command + column(st.integers(0, 10**6), np.int64),
        order_wait_ns=column(st.integers(0, 10**9), np.int64),
        response_ns=null_where(response, unanswered),
        latency_ns=null_where(response - command, unanswered),
        ended_ns=response,
        last_data_ns=BEGIN_NS + column(TIMES, np.int64),
        first_r2t_ns=null_where(BEGIN_NS + column(TIMES, np.int64), unanswered),
        retry_of_task_index=null_where(np.zeros(count, np.int32), ~is_re_issue),
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    timeline=timelines(),
    words=st.sampled_from(["as-recorded", "single/-", "mcs/round-robin", "mpio:3/service-time"]),
    pacing=st.sampled_from(["closed", "recorded", "depth:3"]),
)
def test_any_timeline_replays(timeline, words, pacing):
    outcome = analyzer.replay(timeline, words, pacing=pacing)
    assert len(outcome.requests) == timeline.is_null("tasks", "retry_of_task_index").sum()
    assert set(outcome.requests.end) == {"completed"}
    assert (outcome.requests.latency_ns >= 0).all()

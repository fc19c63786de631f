"""The error of the as-recorded replay: its numbers and its judgement."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from analyzer.comparison.baseline import (
    LIMITS_PERCENT,
    Fit,
    MeasureError,
    baseline_error,
    judge,
    loose_percentiles,
)
from analyzer.comparison.request_columns import RequestColumns, recorded_requests
from analyzer.measures import MEASURE_BY_NAME
from analyzer.tables.folder import Outcome
from tests.made import BEGIN_NS, make_outcome, make_timeline


def test_an_exact_replay_is_a_good_fit():
    timeline = make_timeline()
    error = baseline_error(make_outcome(timeline, "as-recorded"), timeline)
    assert error.fit is Fit.GOOD
    assert error.error_percent("latency_ns_p50") == 0
    assert error.error_percent("iops") == 0
    assert "±0.0" in error.sentence


def test_a_replay_of_half_the_latency_is_a_poor_fit_and_says_so():
    timeline = make_timeline()
    error = baseline_error(make_outcome(timeline, "as-recorded", faster=2.0), timeline)
    assert error.fit is Fit.POOR
    assert error.error_percent("latency_ns_p50") == pytest.approx(-50, abs=0.01)
    assert "does not reproduce" in error.sentence
    assert "median latency \N{MINUS SIGN}50.0" in error.sentence


@pytest.mark.parametrize(("busy_share", "is_told"), [(0.5, True), (0.01, False)])
def test_the_rate_of_a_direction_that_hardly_sends_is_no_cause_of_a_misfit(busy_share, is_told):
    """Reads send nothing but commands to the target: that its rate is not known explains nothing."""
    timeline = make_timeline()
    made = make_outcome(timeline, "as-recorded", faster=2.0)
    paths = made.arrow["paths"]
    span = made.values("requests", "completed_ns").max() - made.values("requests", "ready_ns").min()
    busy = pa.array(np.full(paths.num_rows, int(busy_share * span)))
    place = paths.schema.get_field_index("busy_to_target_ns")
    unsure = [
        {"name": "rate to target, a - b", "confidence": "low"},
        {"name": "rate of c", "confidence": "high"},
    ]
    outcome = Outcome(
        {**made.arrow, "paths": paths.set_column(place, paths.schema.field(place), busy)},
        {**made.manifest, "calibration": unsure},
    )
    sentence = baseline_error(outcome, timeline).sentence
    assert ("not told by the capture: rate to target, a - b." in sentence) == is_told
    assert ("Likely cause" in sentence) == is_told


@pytest.mark.parametrize(
    ("share", "fit"), [(1.0, Fit.GOOD), (1.01, Fit.FAIR), (-2.0, Fit.FAIR), (2.1, Fit.POOR)]
)
@pytest.mark.parametrize("name", list(LIMITS_PERCENT))
def test_each_limit_alone_decides(name: str, share: float, fit: Fit):
    """Good within the limit, fair within twice, whatever the sign."""
    limit = LIMITS_PERCENT[name]
    errors = (
        MeasureError(MEASURE_BY_NAME["completed"], 1, 1, 400.0, None),
        MeasureError(MEASURE_BY_NAME[name], 1, 1, share * limit, limit),
    )
    assert judge(errors) is fit


def test_nothing_to_judge_is_said():
    """A recording without a completed command supports no judgement."""
    count = 4
    nothing = np.ma.MaskedArray(np.zeros(count, np.int64), mask=True)
    timeline = make_timeline(
        tasks=count,
        response_ns=nothing,
        latency_ns=nothing,
        end=["capture-ended"] * count,
        ended_ns=np.full(count, BEGIN_NS),
    )
    error = baseline_error(make_outcome(timeline, "as-recorded"), timeline)
    assert error.fit is Fit.UNKNOWN


def of_latencies(*kinds: tuple[int, int]) -> RequestColumns:
    """Requests of so many commands of each latency in ms."""
    latency = np.concatenate([np.full(count, 1_000_000 * ms) for count, ms in kinds])
    command = np.arange(len(latency)) * 10_000_000 + BEGIN_NS
    timeline = make_timeline(
        tasks=len(latency), command_ns=command, response_ns=command + latency, latency_ns=latency
    )
    return recorded_requests(timeline)


@pytest.mark.parametrize(("moved", "is_by_chance"), [(4, True), (40, False)])
def test_a_median_between_two_kinds_of_command_is_judged_by_what_chance_makes_of_it(moved, is_by_chance):
    """Where half of 200 commands take 1 ms, few decide whether the median is 1 or 3 ms; forty do not."""
    recorded = of_latencies((101, 1), (3, 3), (96, 9))
    replayed = of_latencies((101 - moved, 1), (moved, 3), (3, 5), (96, 9))
    ends = (float(np.sort(one.latency_ns)[99]) for one in (recorded, replayed))
    error = MeasureError(MEASURE_BY_NAME["latency_ns_p50"], *ends, 200.0, LIMITS_PERCENT["latency_ns_p50"])
    loose = loose_percentiles((error,), recorded, replayed)
    assert bool(loose) == is_by_chance
    assert judge((error,), loose) is (Fit.GOOD if is_by_chance else Fit.POOR)
    throughput = MeasureError(MEASURE_BY_NAME["iops"], 1, 2, 100.0, LIMITS_PERCENT["iops"])
    assert judge((error, throughput), loose) is Fit.POOR, "chance explains no other error"


def test_of_few_commands_chance_explains_nothing():
    """Ninety commands, half of them slow: a median that is three times as long is a poor fit."""
    recorded, replayed = of_latencies((46, 1), (44, 9)), of_latencies((44, 1), (2, 3), (44, 9))
    error = MeasureError(MEASURE_BY_NAME["latency_ns_p50"], 1e6, 3e6, 200.0, LIMITS_PERCENT["latency_ns_p50"])
    assert loose_percentiles((error,), recorded, replayed) == {}


def test_what_chance_makes_of_a_percentile_is_told():
    """Of 240 commands two or three are slow, which p99 falls between; the sentence gives its range."""
    recorded = of_latencies((238, 42), (2, 56))
    replayed = of_latencies((237, 42), (3, 56))
    ends = (float(np.quantile(one.latency_ns, 0.99)) for one in (recorded, replayed))
    error = MeasureError(MEASURE_BY_NAME["latency_ns_p99"], *ends, 17.0, LIMITS_PERCENT["latency_ns_p99"])
    (loose,) = loose_percentiles((error,), recorded, replayed).values()
    assert (loose.low, loose.high, loose.error_percent) == pytest.approx((42e6, 56e6, 0))

"""The error of the as-recorded replay: its numbers and its judgement."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.comparison.baseline import LIMITS_PERCENT, Fit, MeasureError, baseline_error, judge
from analyzer.measures import MEASURE_BY_NAME
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

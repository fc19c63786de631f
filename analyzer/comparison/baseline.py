"""How far the as-recorded replay lies from the recording: the error that every prediction carries.

Decides what is compared and what counts as a good or a poor fit. The limits of a good fit are
those that the project promises for its calibrated model: throughput 3 %, median latency 5 %,
p99 latency 15 %; up to twice that is fair. A percentile that lies where few commands do, as between the
latencies of two links, is held against all values that chance gives it in the recording. Does not know how a
replay is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from analyzer.comparison.differences import difference_percent
from analyzer.comparison.path_loads import lost_balance
from analyzer.comparison.request_columns import (
    RequestColumns,
    recorded_requests,
    replayed_part,
    replayed_requests,
)
from analyzer.measures import MEASURE_BY_NAME, Measure
from analyzer.tables.folder import Outcome, Timeline


class Fit(StrEnum):
    """How well the baseline reproduces the recording."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


LIMITS_PERCENT: dict[str, float] = {
    "iops": 3.0,
    "bytes_per_s": 3.0,
    "latency_ns_p50": 5.0,
    "latency_ns_p99": 15.0,
}
"""Largest error of a good fit. Measures without a limit are shown, not judged."""

HARDLY_USED = 0.1
"""A direction that sends for less of the time explains no misfit by its rate."""
UNANSWERED, AGAIN = 0.02, 0.001
"""Shares of commands without an answer, and of packets sent again, from which on they explain a misfit."""

_SHOWN = (
    "completed",
    "iops",
    "bytes_per_s",
    "latency_ns_mean",
    "latency_ns_p50",
    "latency_ns_p90",
    "latency_ns_p99",
    "latency_ns_max",
    "outstanding_mean",
    "order_waited",
    "order_wait_ns_mean",
    "order_wait_ns_p99",
)


@dataclass(frozen=True, slots=True)
class MeasureError:
    """One measure of the recording and of its as-recorded replay."""

    measure: Measure
    recorded: float | None
    replayed: float | None
    error_percent: float | None
    limit_percent: float | None


@dataclass(frozen=True, slots=True)
class Loose:
    """A percentile that errs by more than its limit, but that chance moves so far.

    In the recording chance puts it between ``low`` and ``high``, in ns. ``error_percent`` is what chance
    leaves unexplained.
    """

    low: float
    high: float
    error_percent: float


@dataclass(frozen=True, slots=True)
class BaselineError:
    """All errors with the judgement. ``sentence`` says it in words and numbers."""

    label: str
    fit: Fit
    errors: tuple[MeasureError, ...]
    sentence: str
    recorded: RequestColumns
    replayed: RequestColumns

    @property
    def errors_percent(self) -> dict[str, float]:
        """The error of each measure that has one."""
        return {
            error.measure.name: error.error_percent
            for error in self.errors
            if error.error_percent is not None
        }

    def error_percent(self, name: str) -> float | None:
        """The error of one measure; None where it was not compared or has no ratio."""
        return self.errors_percent.get(name)


def baseline_error(outcome: Outcome, timeline: Timeline) -> BaselineError:
    """Hold the as-recorded ``outcome`` against the same tasks of the recording."""
    recorded = replayed_part(recorded_requests(timeline), outcome)
    replayed = replayed_requests(outcome, as_recorded=True)
    recorded_figures, replayed_figures = recorded.measures(), replayed.measures()
    errors = tuple(
        MeasureError(
            MEASURE_BY_NAME[name],
            recorded_figures[name],
            replayed_figures[name],
            difference_percent(replayed_figures[name], recorded_figures[name]),
            LIMITS_PERCENT.get(name),
        )
        for name in _SHOWN
    )
    lacking = _lacking(timeline)
    # What a recording lacks explains an error sooner than chance does.
    loose = {} if lacking else loose_percentiles(errors, recorded, replayed)
    fit = judge(errors, loose)
    sentence = _sentence(fit, errors) + _told_loosely(loose, recorded)
    if fit in (Fit.FAIR, Fit.POOR, Fit.UNKNOWN):
        sentence += lacking or lost_balance(recorded, replayed) or _not_told(outcome)
    return BaselineError(outcome.label, fit, errors, sentence, recorded, replayed)


def judge(errors: tuple[MeasureError, ...], loose: Mapping[str, Loose] = MappingProxyType({})) -> Fit:
    """Good where every limited measure keeps its limit, fair within twice the limit, else poor.

    Of a ``loose`` percentile only what chance does not explain counts.
    """
    shares = [
        abs(loose[error.measure.name].error_percent if error.measure.name in loose else error.error_percent)
        / error.limit_percent
        for error in errors
        if error.limit_percent is not None and error.error_percent is not None
    ]
    if not shares:
        return Fit.UNKNOWN
    worst = max(shares)
    if worst <= 1:
        return Fit.GOOD
    return Fit.FAIR if worst <= 2 else Fit.POOR


_MEANING = {
    Fit.GOOD: "The model reproduces the recording well",
    Fit.FAIR: "The model reproduces the recording roughly; do not read small differences",
    Fit.POOR: "The model does not reproduce the recording; read only the order of the policies, "
    "and that with doubt",
    Fit.UNKNOWN: "There is not enough in the recording to judge the model",
}


def _sentence(fit: Fit, errors: tuple[MeasureError, ...]) -> str:
    by_name = {error.measure.name: error.error_percent for error in errors}
    words = {
        "iops": "throughput",
        "latency_ns_p50": "median latency",
        "latency_ns_p90": "p90 latency",
        "latency_ns_p99": "p99 latency",
    }
    parts = [
        f"{word} {signed_percent(by_name[name])}" for name, word in words.items() if by_name[name] is not None
    ]
    numbers = f": the replay as recorded is off by {', '.join(parts)}" if parts else ""
    return f"{_MEANING[fit]}{numbers}."


def _lacking(timeline: Timeline) -> str:
    """What the recording lacks that most likely makes the model err, as a sentence to add; else nothing."""
    lost = int(timeline.values("connections", "lost_bytes").sum())
    if lost:
        return f" Likely cause: the recorder missed {lost} bytes."
    tasks = timeline.arrow["tasks"].num_rows
    unanswered = int(timeline.is_null("tasks", "response_ns").sum())
    if tasks and unanswered > UNANSWERED * tasks:
        return f" Likely cause: {unanswered} of {tasks} commands have no recorded answer."
    if "cmd-sn-hole" in set(timeline.values("diagnostics", "code").tolist()):
        return " Likely cause: commands of the session were not recorded."
    again = int(timeline.values("connections", "retransmitted_segments").sum())
    packets = int(timeline.values("connections", "packets").sum())
    if again > AGAIN * packets:
        return f" Likely cause: {again} of {packets} packets were sent again, which the model does not do."
    return ""


def _not_told(outcome: Outcome) -> str:
    """Which values that the model rests on the capture did not tell, but for rates of ways hardly used."""
    ways = ("to_target", "from_target")
    span = int(
        (outcome.values("requests", "completed_ns", 0) - outcome.values("requests", "ready_ns").min()).max()
    )
    busy = {way: int(outcome.values("paths", f"busy_{way}_ns").max(initial=0)) for way in ways}
    needless = tuple(f"rate {way.replace('_', ' ')}" for way in ways if busy[way] < HARDLY_USED * span)
    calibration = outcome.manifest.get("calibration", ())
    unsure = [
        str(value["name"])
        for value in calibration
        if value.get("confidence") == "low" and str(value["name"]).startswith(("rate", "queue depth"))
    ]
    told = [name for name in unsure if not (needless and name.startswith(needless))]
    return f" Likely cause: not told by the capture: {', '.join(told)}." if told else ""


_PERCENTILES = {"latency_ns_p50": ("median", 0.5), "latency_ns_p99": ("p99", 0.99)}
FEWEST_COMMANDS = 100
"""Of fewer commands chance would explain nearly anything."""


def loose_percentiles(
    errors: Sequence[MeasureError], recorded: RequestColumns, replayed: RequestColumns
) -> dict[str, Loose]:
    """The percentiles that err by more than their limit, but not by more than chance explains.

    By chance alone a percentile q of n commands moves over some sqrt(q (1 - q) / n) of them (the binomial
    distribution of those below it); twice that is what chance does in 95 of 100 cases. That of the replay has
    to lie in this range of the recording, and that of the recording in this range of the replay.
    """
    found: dict[str, Loose] = {}
    for error in errors:
        percent, limit = error.error_percent, error.limit_percent or math.inf
        if error.measure.name not in _PERCENTILES or percent is None or abs(percent) <= limit:
            continue
        assert error.recorded is not None
        assert error.replayed is not None
        share = _PERCENTILES[error.measure.name][1]
        range_of_recording = _by_chance(recorded, share)
        range_of_replay = _by_chance(replayed, share)
        if range_of_recording is None or range_of_replay is None:
            continue
        outside = max(
            _outside_percent(error.replayed, range_of_recording),
            _outside_percent(error.recorded, range_of_replay),
        )
        if outside <= limit:
            found[error.measure.name] = Loose(*range_of_recording, outside)
    return found


def _by_chance(requests: RequestColumns, share: float) -> tuple[float, float] | None:
    """Between which values chance puts a percentile, in ns; None for too few commands to say."""
    latency = requests.latency_ns[requests.is_completed]
    if len(latency) < FEWEST_COMMANDS:
        return None
    moved = 2 * math.sqrt(share * (1 - share) / len(latency))
    low, high = np.quantile(latency, [max(share - moved, 0.0), min(share + moved, 1.0)])
    return float(low), float(high)


def _outside_percent(value: float, ends: tuple[float, float]) -> float:
    """How far a value lies outside of a range, in percent of its nearer end; 0 inside."""
    outside = difference_percent(value, min(max(value, ends[0]), ends[1]))
    return abs(outside or 0.0)


def _told_loosely(loose: Mapping[str, Loose], recorded: RequestColumns) -> str:
    """That some percentiles are known only roughly, as a sentence to add; else nothing."""
    ranges = [
        f"the {_PERCENTILES[name][0]} between {one.low / 1e6:.3g} and {one.high / 1e6:.3g}\u00a0ms"
        for name, one in loose.items()
    ]
    count = int(recorded.is_completed.sum())
    return f" Chance alone puts {' and '.join(ranges)} in a recording of {count} commands." if ranges else ""


def signed_percent(percent: float | None) -> str:
    """With its sign and one decimal, ``±0.0`` where it rounds to nothing; None counts as 0."""
    text = f"{percent or 0.0:+.1f}\u00a0%"
    return text.replace("-", "\N{MINUS SIGN}").replace("+0.0", "±0.0").replace("\N{MINUS SIGN}0.0", "±0.0")

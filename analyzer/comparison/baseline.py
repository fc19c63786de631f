"""How far the as-recorded replay lies from the recording: the error that every prediction carries.

Decides what is compared and what counts as a good or a poor fit. The limits of a good fit are
those that the project promises for its calibrated model: throughput 3 %, median latency 5 %,
p99 latency 15 %; up to twice that is fair. Does not know how a replay is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analyzer.comparison.differences import difference_percent
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
    fit = judge(errors)
    sentence = _sentence(fit, errors)
    if fit in (Fit.FAIR, Fit.POOR, Fit.UNKNOWN):
        sentence += _lacking(timeline) or sparse_place(errors, recorded, replayed) or _not_told(outcome)
    return BaselineError(outcome.label, fit, errors, sentence, recorded, replayed)


def judge(errors: tuple[MeasureError, ...]) -> Fit:
    """Good where every limited measure keeps its limit, fair within twice the limit, else poor."""
    shares = [
        abs(error.error_percent) / error.limit_percent
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
    """Which values that the model rests on the capture did not tell."""
    calibration = outcome.manifest.get("calibration", ())
    unsure = [
        str(value["name"])
        for value in calibration
        if value.get("confidence") == "low" and str(value["name"]).startswith(("rate", "queue depth"))
    ]
    return f" Likely cause: not told by the capture: {', '.join(unsure)}." if unsure else ""


_PERCENTILES = {"latency_ns_p50": ("median", 0.5), "latency_ns_p99": ("p99", 0.99)}


def sparse_place(errors: tuple[MeasureError, ...], recorded: RequestColumns, replayed: RequestColumns) -> str:
    """Whether all that errs are percentiles that lie where few commands do, as between two kinds of latency.

    By chance alone a percentile q of n commands moves over some sqrt(q (1 - q) / n) of them (the binomial
    distribution of those below it); twice that is what chance does in 95 of 100 cases.
    """
    said = []
    for error in errors:
        if error.error_percent is None or abs(error.error_percent) <= (error.limit_percent or math.inf):
            continue
        if error.measure.name not in _PERCENTILES:
            return ""
        word, share = _PERCENTILES[error.measure.name]
        between = []
        for requests, other in ((recorded, error.replayed or 0.0), (replayed, error.recorded or 0.0)):
            latency = requests.latency_ns[requests.is_completed]
            # How far the other's value is from being this percentile here, as a share of the commands.
            below, up_to = float(np.mean(latency < other)), float(np.mean(latency <= other))
            between.append(max(0.0, share - up_to, below - share))
            if between[-1] > 2 * math.sqrt(share * (1 - share) / max(len(latency), 1)):
                return ""
        said.append(f"only {100 * max(between):.1f} % of the commands lie between both values of the {word}")
    return f" Likely cause: {', '.join(said)}, no more than chance moves it." if said else ""


def signed_percent(percent: float | None) -> str:
    """With its sign and one decimal, ``±0.0`` where it rounds to nothing; None counts as 0."""
    text = f"{percent or 0.0:+.1f}\u00a0%"
    return text.replace("-", "\N{MINUS SIGN}").replace("+0.0", "±0.0").replace("\N{MINUS SIGN}0.0", "±0.0")

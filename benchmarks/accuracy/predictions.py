"""From the capture of one measured run to predictions of all others of its workload, and their errors.

Decides what a prediction may know besides the capture: topology and policy of the run to predict, and the
rate of links that the capture's run did not use. What calibration asks for by name (a queue depth that
cannot be told) is given too, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from analyzer.comparison.baseline import BaselineError, baseline_error
from analyzer.comparison.compare import Comparison, compared
from analyzer.comparison.model_error import UNSEEN_PERCENT
from analyzer.intervals import LEVEL
from analyzer.replay.calibrated import Confidence
from analyzer.replay.given import THINK_TIME, given_by
from analyzer.replay.recorded_links import RecordedLinks, recorded_links
from analyzer.replay.run import replay_all
from analyzer.replay.words import scenario_of
from analyzer.tables.folder import Outcome, Timeline
from benchmarks.accuracy.measured import Run

FIGURES = ("iops", "mb_per_s", "lat_p50_ms", "lat_p99_ms", "share_commands_path0")
SHARE = "share_commands_path0"
SHARE_METRIC = "path_0_request_share"
MEASURE_OF = {
    "iops": "iops",
    "mb_per_s": "bytes_per_s",
    "lat_mean_ms": "latency_ns_mean",
    "lat_p50_ms": "latency_ns_p50",
    "lat_p90_ms": "latency_ns_p90",
    "lat_p99_ms": "latency_ns_p99",
}
"""The measure whose interval a figure takes, moved by what the figure differs from it."""
QUANTILES = ("lat_p50_ms", "lat_p90_ms", "lat_p99_ms")
ROUNDING = 5e-5
"""Half of the last digit of a measured share."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What the project promises of the errors of predictions, in percent; of a share the difference."""

    median: float
    worst: float


BOUNDS = {
    "iops": Bound(5.0, 15.0),
    "mb_per_s": Bound(5.0, 15.0),
    "lat_p50_ms": Bound(10.0, math.inf),
    "lat_p99_ms": Bound(25.0, math.inf),
    SHARE: Bound(0.05, 0.05),
}


@dataclass(frozen=True, slots=True)
class Prediction:
    """One run as predicted from the capture of another, by the names of ``FIGURES``."""

    source: str
    run: Run
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    asked: tuple[str, ...]
    """What had to be given besides the capture, in words."""

    def is_covered(self, name: str) -> bool:
        """Whether what was measured lies in the interval."""
        low, high = self.intervals[name]
        slack = ROUNDING if name == SHARE else 0.0
        return low - slack <= self.run.median(name) <= high + slack

    def predicted(self, name: str) -> float:
        """The figure to expect."""
        return self.figures[name]

    def error(self, name: str) -> float:
        """In percent of what was measured; of a share the difference."""
        measured = self.run.median(name)
        if name == SHARE:
            return self.figures[name] - measured
        return 100 * (self.figures[name] / measured - 1)

    def excess(self, name: str) -> float:
        """The error over what it may be at worst (else at the median): above 1 it is too large."""
        bound = BOUNDS[name]
        return abs(self.error(name)) / (bound.worst if math.isfinite(bound.worst) else bound.median)


@dataclass(frozen=True, slots=True)
class FromOneCapture:
    """All predictions from one capture, and how well the model reproduces the capture itself."""

    source: Run
    baseline: BaselineError
    calibration: tuple[dict[str, Any], ...]
    settings: tuple[str, ...]
    """What was given of the recorded links."""
    predictions: tuple[Prediction, ...]


def predicted_from(source: Run, timeline: Timeline, runs: Sequence[Run]) -> FromOneCapture:
    """Predict ``runs`` from the capture of ``source``; all are of one workload.

    Where calibration is not sure of the rate or bucket of a link that the capture used, it is given as a user
    would with ``--set``: the capture cannot know it.
    """
    recorded = recorded_links(timeline)
    settings = settings_of(source, timeline, recorded)
    scenarios = [scenario_of("as-recorded")]
    scenarios += [scenario_of(run.words, links=links_of(source, run)) for run in runs]
    outcomes = replay_all(timeline, scenarios, given=given_by(settings))
    baseline = baseline_error(outcomes[0], timeline)
    comparison = compared(outcomes, timeline, baseline)
    predictions = []
    for place, run in enumerate(runs, start=1):
        figures = _expected(outcomes[place])
        intervals = _intervals(figures, outcomes[place], comparison, place)
        predictions.append(
            Prediction(source.name, run, figures, intervals, (*settings, *_asked(source, run)))
        )
    calibration = tuple(outcomes[0].manifest["calibration"])
    return FromOneCapture(source, baseline, calibration, settings, tuple(predictions))


def _expected(outcome: Outcome) -> dict[str, float]:
    """The figures as the runs were measured, moved by what the median of repeats is off the replay.

    Not where a figure lies beyond all that repeats give its measure: the rank after the one that the measure
    takes belongs to other commands then, as half of them on a fast and half on a slow link.
    """
    figures = figures_of(outcome)
    metrics = _metrics(outcome)
    for name, measure in MEASURE_OF.items():
        told = metrics[measure]
        known = [told[end] / 1e6 for end in ("low", "value", "high")]
        if name not in QUANTILES or min(known) <= figures[name] <= max(known):
            figures[name] *= told["median"] / told["value"]
    share = metrics[SHARE_METRIC]
    figures[SHARE] += share["median"] - share["value"]
    return figures


def _metrics(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in outcome.arrow["metrics"].to_pylist()}


def _intervals(
    figures: dict[str, float], outcome: Outcome, comparison: Comparison, place: int
) -> dict[str, tuple[float, float]]:
    """The interval of each figure: as of its measure, with the model's error; of a share as it is."""
    found = {}
    for name, measure in MEASURE_OF.items():
        value, ends = comparison.row(measure).values[place], comparison.interval(measure, place)
        assert value
        assert ends is not None
        found[name] = figures[name] * ends[0] / value, figures[name] * ends[1] / value
    share = _metrics(outcome)[SHARE_METRIC]
    moved = figures[SHARE] - share["median"]
    found[SHARE] = share["low"] + moved, share["high"] + moved
    return found


def coverage_percent(predictions: Sequence[Prediction], name: str) -> float:
    """The share of measured outcomes that lie in the interval of their prediction, in percent."""
    return 100 * float(np.mean([one.is_covered(name) for one in predictions]))


def unseen_percent(predictions: Sequence[Prediction], name: str) -> float:
    """What has to be added to the intervals of draws and baseline for ``LEVEL`` of outcomes to lie inside.

    In percent of the predictions, as ``UNSEEN_PERCENT`` has it, by which the intervals are wider already.
    """
    outside = []
    for one in predictions:
        (low, high), measured = one.intervals[name], one.run.median(name)
        outside.append(100 * max(low - measured, measured - high) / one.figures[name])
    return max(0.0, float(np.quantile(outside, LEVEL)) + UNSEEN_PERCENT[MEASURE_OF[name]])


def settings_of(source: Run, timeline: Timeline, recorded: RecordedLinks) -> tuple[str, ...]:
    """What of the recording has to be given, as ``KEY=VALUE``."""
    unsure = {value.name for value in recorded.values if value.confidence is Confidence.LOW}
    addresses = timeline.values("connections", "initiator_address").tolist()
    found = [f"{THINK_TIME}=none"] if source.has_no_think_time else []
    for place, link in enumerate(source.truth["links"]):
        if not source.paths_used[place] or link["initiator"] not in addresses:
            continue
        number = int(recorded.link_of_connection[addresses.index(link["initiator"])])
        name = recorded.names[number]
        if {f"rate to target, {name}", f"rate from target, {name}"} <= unsure:
            found.append(f"links.{number}.rate={source.rates_bps[place]}bps")
        if f"token bucket, {name}" in unsure and link.get("tbf_burst_bytes"):
            found.append(f"links.{number}.bucket={link['tbf_burst_bytes']}B")
    return tuple(found)


def links_of(source: Run, run: Run) -> list[dict[str, int]]:
    """What is given of each link: nothing where the capture has a link of that rate at its place."""
    return [
        {} if _is_known(source, path, rate) else {"rate_to_target_bps": rate, "rate_from_target_bps": rate}
        for path, rate in enumerate(run.rates_bps)
    ]


def _is_known(source: Run, path: int, rate_bps: int) -> bool:
    place = path % len(source.rates_bps)
    return source.rates_bps[place] == rate_bps and source.paths_used[place]


def _asked(source: Run, run: Run) -> tuple[str, ...]:
    unknown = [str(path) for path, rate in enumerate(run.rates_bps) if not _is_known(source, path, rate)]
    return (f"rate of link {', '.join(unknown)}",) if unknown else ()


def figures_of(outcome: Outcome) -> dict[str, float]:
    """The figures of an outcome as the runs were measured: of commands that move data, from their asking."""
    moves = np.flatnonzero(outcome.values("requests", "transferred_bytes") > 0)
    ready = outcome.values("requests", "ready_ns")[moves]
    completed = outcome.values("requests", "completed_ns", 0)[moves]
    seconds = (int(completed.max()) - int(ready.min())) / 1e9
    latency = completed - ready
    moved = int(outcome.values("requests", "transferred_bytes")[moves].sum())
    return {
        "iops": len(moves) / seconds,
        "mb_per_s": moved / 1e6 / seconds,
        "lat_mean_ms": float(latency.mean()) / 1e6,
        "lat_p50_ms": _quantile(latency, 0.5) / 1e6,
        "lat_p90_ms": _quantile(latency, 0.9) / 1e6,
        "lat_p99_ms": _quantile(latency, 0.99) / 1e6,
        SHARE: float((outcome.values("requests", "path_index", -1)[moves] == 0).mean()),
    }


def _quantile(values: npt.NDArray[np.int64], share: float) -> float:
    """As the runs were measured: of n sorted values the one behind ``share * n`` others."""
    return float(np.sort(values)[min(len(values) - 1, int(share * len(values)))])


@dataclass(frozen=True, slots=True)
class Ranking:
    """Pairs of runs that really differ, and how many of them a capture put in the wrong order."""

    pairs: int
    wrong: tuple[tuple[str, str], ...]


class Predicted(Protocol):
    """A predicted run, whatever befell it."""

    @property
    def run(self) -> Run:
        """What was measured."""

    def predicted(self, name: str) -> float:
        """A figure, by a name of ``FIGURES``."""


def ranking(predictions: Sequence[Predicted], name: str = "iops") -> Ranking:
    """Hold the order of ``predictions`` against the measured one wherever it exceeds the spread."""
    pairs, wrong = 0, []
    for place, one in enumerate(predictions):
        for other in predictions[place + 1 :]:
            difference = one.run.median(name) - other.run.median(name)
            if abs(difference) <= max(one.run.spread(name), other.run.spread(name)):
                continue
            pairs += 1
            if math.copysign(1, difference) * (one.predicted(name) - other.predicted(name)) <= 0:
                wrong.append((one.run.configuration, other.run.configuration))
    return Ranking(pairs, tuple(wrong))

"""Runs in which a link was made to fail, predicted from captures of runs with and without a failure.

The fault is given as a user would give it: the portal behind one link resets its connections and takes no
login again, or the link goes away in silence, at the moment at which the run was struck; so is the recovery,
in words of ``--recovery``. Which commands are under way changes with every millisecond, so the fault is
replayed at several moments around the measured one: their median is the prediction, and their range is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.replay.faults import Fault, FaultKind
from analyzer.replay.given import given_by
from analyzer.replay.recorded_links import recorded_links
from analyzer.replay.recovery import recovery_of
from analyzer.replay.run import replay_all
from analyzer.replay.words import scenario_of
from analyzer.tables.folder import Outcome, Timeline
from benchmarks.accuracy.measured import Run
from benchmarks.accuracy.predictions import (
    FromOneCapture,
    Ranking,
    figures_of,
    links_of,
    ranking,
    settings_of,
)

RECOVERIES = {
    "mcs-retry": "istgt-mcs,time2wait=0s,is_survivor_paused=yes",
    "mpio-retry": "linux-multipath,hold=0s",
    "mpio-lun-reset": "linux-multipath,hold=0s,cleanup=lun-reset",
}
"""How the initiator of the recordings recovers, by its own name of the way."""
KINDS = {
    "reset": FaultKind.PORTAL,
    "black-hole": FaultKind.BLACK_HOLE,
    # The initiator of the recordings sees no carrier.
    "link-down": FaultKind.BLACK_HOLE,
}
"""What the lab did to a link, by its own name of it."""
TARGET = {"tasks_begin": "with-data"}
"""How the target of the recordings, tgt, deals with a reset."""
SHIFTS_NS = (-10_000_000, -5_000_000, 0, 5_000_000, 10_000_000)
MEASURED = {
    "iops": "iops",
    "affected": "failover_affected_commands",
    "first": "failover_first_affected_completion_ms",
    "last": "failover_last_affected_completion_ms",
    "slowest": "failover_slowest_command_ms",
}
"""The figures of a failover, by what they are called in measured runs. Times are ms behind the fault."""
TIMES = ("first", "last", "slowest")
COMPLETIONS = ("first", "last")
"""Of affected commands: what the project promises of failovers."""
BOUNDS_PERCENT = {"iops": 15.0, "affected": 25.0, "first": 25.0, "last": 25.0, "slowest": 25.0}


@dataclass(frozen=True, slots=True)
class FailoverPrediction:
    """One failing run as predicted from one capture: each figure at every moment of the fault."""

    source: str
    run: Run
    figures: dict[str, tuple[float, ...]]

    def predicted(self, name: str) -> float:
        """The median over the moments."""
        return float(np.median(self.figures[name]))

    def measured(self, name: str) -> float:
        """The median over the repeats of the run."""
        return self.run.median(MEASURED[name])

    def error(self, name: str) -> float:
        """In percent of what was measured."""
        return 100 * (self.predicted(name) / self.measured(name) - 1)

    def is_in_range(self, name: str) -> bool:
        """Whether what was measured lies in the range of the moments, or as near as its repeats lie apart."""
        apart = self.run.spread(MEASURED[name])
        low, high = min(self.figures[name]) - apart, max(self.figures[name]) + apart
        return low <= self.measured(name) <= high

    def keeps(self, names: Iterable[str] = BOUNDS_PERCENT) -> bool:
        """Whether each of these figures keeps its bound."""
        return all(abs(self.error(name)) <= BOUNDS_PERCENT[name] for name in names)


def failovers_from(source: Run, timeline: Timeline, runs: Sequence[Run]) -> tuple[FailoverPrediction, ...]:
    """Predict failing ``runs`` from the capture of ``source``; all are of one workload."""
    settings = given_by(settings_of(source, timeline, recorded_links(timeline)))
    begin_ns = _first_with_data_ns(timeline)
    scenarios = []
    for run in runs:
        at_ns = begin_ns + round(run.failover["t_fault_after_first_submit_s"] * 1e9)
        scenarios += [
            scenario_of(
                run.words,
                links=links_of(source, run),
                target=TARGET,
                faults=(fault_of(run, at_ns + shift_ns),),
                recovery=recovery_of(recovery_words(run)),
            )
            for shift_ns in SHIFTS_NS
        ]
    figures = [failover_figures(one) for one in replay_all(timeline, scenarios, given=settings)]
    predictions = []
    for number, run in enumerate(runs):
        mine = figures[number * len(SHIFTS_NS) : (number + 1) * len(SHIFTS_NS)]
        predictions.append(
            FailoverPrediction(
                source.name, run, {name: tuple(one[name] for one in mine) for name in MEASURED}
            )
        )
    return tuple(predictions)


def rankings(found: Sequence[FromOneCapture], failovers: Sequence[FailoverPrediction]) -> tuple[Ranking, ...]:
    """How each capture orders the runs by IOPS, the failing ones of its workload among them."""
    return tuple(
        ranking([*one.predictions, *(each for each in failovers if each.source == one.source.name)])
        for one in found
    )


def fault_of(run: Run, at_ns: int) -> Fault:
    """The fault of a failing run, at a time; one that says no kind and path reset path 1.

    Raises UnusableInputError for a kind that is not known.
    """
    link = run.failover.get("path")
    kind = run.known(KINDS, "failover.kind", _kind_of(run))
    return Fault(kind=kind, link=1 if link is None else link, at_ns=at_ns)


def recovery_words(run: Run) -> str:
    """How the initiator of a failing run noticed and recovered; a reset is noticed at once.

    Raises UnusableInputError for a way of recovery that is not known.
    """
    words = run.known(RECOVERIES, "failover.method", run.failover["method"])
    if _kind_of(run) == "reset":
        return words
    interval_s, timeout_s = run.failover["nop_interval_s"], run.failover["nop_timeout_s"]
    return f"{words},noop_interval={interval_s:g}s,noop_timeout={timeout_s:g}s"


def _kind_of(run: Run) -> str:
    return run.failover.get("kind") or "reset"


def _first_with_data_ns(timeline: Timeline) -> int:
    """How long after the first command of a recording the first one went that moves data."""
    begins = timeline.values("tasks", "command_ns")
    moves = timeline.values("tasks", "expected_bytes") > 0
    return int(begins[moves].min() - begins.min())


def failover_figures(outcome: Outcome) -> dict[str, float]:
    """The figures of an outcome with one fault, by the names of ``MEASURED``.

    Commands of the survivor that a reset ended were not affected by the fault itself and are not counted.
    """
    failed_ns = int(outcome.values("incidents", "failed_ns")[0])
    held, aborted = (int(outcome.values("incidents", name)[0]) for name in ("outstanding", "aborted"))
    moves = outcome.values("requests", "transferred_bytes") > 0
    latency = outcome.values("requests", "completed_ns", 0) - outcome.values("requests", "ready_ns")
    return {
        "iops": figures_of(outcome)["iops"],
        "affected": held - aborted,
        "first": (int(outcome.values("incidents", "first_completion_ns", failed_ns)[0]) - failed_ns) / 1e6,
        "last": (int(outcome.values("incidents", "last_completion_ns", failed_ns)[0]) - failed_ns) / 1e6,
        "slowest": float(latency[moves].max()) / 1e6,
    }

"""One recording under trial: what is known of its workload, and the replays that claims ask for.

Decides which replays are alike, so that each is run once, what is kept of one, and what counts as one
command outstanding. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.comparison.baseline import Fit, baseline_error
from analyzer.replay.calibration import Calibration, calibration_of
from analyzer.replay.run import disturbed, replay_from
from analyzer.replay.scenario import Scenario
from analyzer.replay.words import scenario_of
from analyzer.replay.workload import excerpt_around, peak_of
from analyzer.tables.folder import Outcome, Timeline

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SINGLE, MCS, MPIO = "single/-", "mcs:2/round-robin", "mpio:2/round-robin"
BOND = "bond:2/balance-rr"
LIKE_PERCENT = 3.0
"""Throughputs that differ by less are alike: the error that a good model may have."""
ALONE_SHARE = 0.95
"""A workload has one command outstanding where so many of its data commands were issued alone."""
REPLAYED_AT_MOST = 100_000
"""Of a longer recording so many requests are replayed, those around the moment with most outstanding."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One replay that a claim asks for.

    With ``like_links`` every link is like the first, so that what differs comes from topology and policy
    and not from a link that happened to be faster. ``fault``, ``recovery`` and ``neighbours`` are as on
    the command line.
    """

    policy: str
    pacing: str = "closed"
    like_links: bool = True
    fault: str = ""
    recovery: str = ""
    neighbours: int = 0
    target: tuple[tuple[str, Any], ...] = ()
    """Fields of the target's model that differ from the usual."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """n commands of a replay in the order they were given to their paths, each array of shape (n,).

    ``stream`` numbers the pairs of initiator and logical unit; order matters only inside one.
    ``delivered_ns`` is when the target handed the command to the logical unit. Immediate commands, which
    have no order, and commands that never reached their logical unit are left out.
    """

    task: Int32s
    stream: Int32s
    dispatched_ns: Int64s
    delivered_ns: Int64s
    path: Int32s


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a trial keeps of an outcome, which itself may be large."""

    figures: dict[str, float | None]
    """Every measure by name."""
    links: tuple[dict[str, Any], ...]
    """The links as they were modelled."""
    delivered: Delivered | None = None
    """Of experiments without a fault, where some claim asks for it."""
    fit: Fit = Fit.UNKNOWN
    """Of the baseline alone."""
    incident: dict[str, Any] | None = None
    """What came of the fault, where there was one."""

    def gain_percent(self, reference: Replayed) -> float | None:
        """By how much more commands per second it completes than another does."""
        mine, other = self.figures["iops"], reference.figures["iops"]
        return None if mine is None or not other else 100.0 * (mine / other - 1.0)


BASELINE = Experiment("as-recorded", like_links=False)
FIRST_LINK = Experiment(SINGLE, like_links=False)
"""Its link is the one that every link is made like."""
_ORDERED = (SINGLE, MCS, MPIO)
"""Policies of whose replays the order of delivery is kept."""


@dataclass
class Trial:
    """A recording with the replays made of it so far.

    ``link`` is what every link is made like where an experiment wants links alike: the first recorded one
    unless given.
    """

    timeline: Timeline
    seed: int = 0
    link: dict[str, Any] | None = None
    _replayed: dict[Experiment, Replayed] = field(default_factory=dict)

    def run(self, experiments: Iterable[Experiment], progress: Callable[[int], None] | None = None) -> None:
        """Run what is not run yet, on all cores; ``progress`` is called with the number run after each.

        Raises UnusableInputError where the recording holds no command.
        """
        asked = list(dict.fromkeys(experiments))
        alike = [one for one in asked if one.like_links]
        done = 0
        as_they_are = [one for one in asked if not one.like_links]
        for batch in (as_they_are + [BASELINE, FIRST_LINK] * bool(alike), alike):
            missing = [one for one in dict.fromkeys(map(self._same, batch)) if one not in self._replayed]
            if missing:
                scenarios = [self._scenario(one) for one in missing]
                outcomes = replay_from(self.timeline, self._start, scenarios, repeats=0)
                for one, outcome in zip(missing, outcomes, strict=True):
                    self._replayed[one] = self._kept(one, outcome)
                    done += 1
                    if progress is not None:
                        progress(done)

    def replayed(self, policy: str, pacing: str = "closed") -> Replayed:
        """What came of it over like links. Raises UnusableInputError where the recording holds no command."""
        return self.outcome_of(Experiment(policy, pacing))

    def outcome_of(self, experiment: Experiment) -> Replayed:
        """The same of any experiment."""
        if self._same(experiment) not in self._replayed:
            self.run([experiment])
        return self._replayed[self._same(experiment)]

    def delivered(self, policy: str, pacing: str = "closed") -> Delivered:
        """In which order the commands of an experiment reached their logical units."""
        found = self.replayed(policy, pacing).delivered
        assert found is not None
        return found

    @property
    def fit(self) -> Fit:
        """How well the model reproduces this recording."""
        return self.outcome_of(BASELINE).fit

    @cached_property
    def _start(self) -> Calibration:
        """What all replays start from."""
        whole = calibration_of(self.timeline)
        excerpt = excerpt_around(whole.workload, peak_of(self.timeline), REPLAYED_AT_MOST)
        return replace(whole, workload=excerpt)

    @cached_property
    def excerpt(self) -> Int64s:
        """The tasks that are replayed, in the order in which they were asked for, shape (requests,)."""
        return self._start.workload.task

    @property
    def excerpt_said(self) -> str:
        """Which part of the recording is replayed, as a sentence; empty where it is the whole."""
        asked = int(self.timeline.is_null("tasks", "retry_of_task_index").sum())
        if len(self.excerpt) == asked:
            return ""
        begin, end = self.timeline.values("tasks", "command_ns")[self.excerpt[[0, -1]]]
        return (
            f"Replayed are {len(self.excerpt):,} of {asked:,} commands, those around the moment with most "
            f"outstanding: {(end - begin) / 1e9:.3g} s of the recording."
        )

    def _same(self, experiment: Experiment) -> Experiment:
        """The experiment that gives the same: where links are alike anyway, none need be made alike."""
        if self.link is not None or FIRST_LINK not in self._replayed:
            return experiment
        seen = [kept.links for one, kept in self._replayed.items() if not one.like_links]
        first = self._replayed[FIRST_LINK].links[0]
        several = [links for links in seen if len(links) > 1]
        is_alike = bool(several) and all(link == first for links in several for link in links)
        if is_alike or experiment.policy == SINGLE:
            return replace(experiment, like_links=False)
        return experiment

    def _scenario(self, experiment: Experiment) -> Scenario:
        links = None
        if experiment.like_links:
            links = self.link or self._replayed[FIRST_LINK].links[0]
        scenario = scenario_of(experiment.policy, pacing=experiment.pacing, seed=self.seed, links=links)
        if experiment.target:
            target = scenario.target.model_copy(update=dict(experiment.target))
            scenario = scenario.model_copy(update={"target": target})
        faults = (experiment.fault,) if experiment.fault else ()
        return disturbed(scenario, faults, experiment.recovery or None, experiment.neighbours)

    def _kept(self, experiment: Experiment, outcome: Outcome) -> Replayed:
        metrics = outcome.arrow["metrics"]
        figures = dict(
            zip(metrics.column("metric").to_pylist(), metrics.column("value").to_pylist(), strict=True)
        )
        return Replayed(
            figures,
            tuple(outcome.manifest["links"]),
            self._delivered(outcome) if experiment.policy in _ORDERED and not experiment.fault else None,
            baseline_error(outcome, self.timeline).fit if experiment == BASELINE else Fit.UNKNOWN,
            next(iter(outcome.arrow["incidents"].to_pylist()), None),
        )

    def _delivered(self, outcome: Outcome) -> Delivered:
        arrived = ~outcome.is_null("requests", "released_ns") & ~outcome.is_null("requests", "cmd_sn")
        arrived &= ~outcome.is_null("requests", "task_index")
        rows = np.flatnonzero(arrived)
        dispatched = outcome.values("requests", "dispatched_ns", 0)[rows]
        order = np.argsort(dispatched, kind="stable")
        rows = rows[order]
        task = outcome.values("requests", "task_index", -1)[rows]
        return Delivered(
            task,
            self.stream[task],
            dispatched[order],
            outcome.values("requests", "released_ns", 0)[rows],
            outcome.values("requests", "path_index", -1)[rows],
        )

    # --- the workload -----------------------------------------------------------------------------

    @cached_property
    def is_data(self) -> Bools:
        """Which tasks move data, shape (tasks,)."""
        moves = self.is_direction("read") | self.is_direction("write") | self.is_direction("bidirectional")
        return np.asarray(moves & (self.timeline.values("tasks", "expected_bytes") > 0))

    def is_direction(self, direction: str) -> Bools:
        """Which tasks move data that way, shape (tasks,)."""
        names, codes = self.timeline.categories("tasks", "direction")
        return np.asarray(codes == (names.index(direction) if direction in names else -1))

    @cached_property
    def data_tasks(self) -> int:
        """How many tasks move data."""
        return int(self.is_data.sum())

    @cached_property
    def alone_share(self) -> float:
        """The share of data commands that were issued while no other was in flight; 0 without any."""
        outstanding = self.timeline.values("tasks", "outstanding")[self.is_data]
        return float((outstanding == 0).mean()) if len(outstanding) else 0.0

    @cached_property
    def outstanding_mean(self) -> float:
        """How many commands were in flight when a data command was issued, itself included."""
        outstanding = self.timeline.values("tasks", "outstanding")[self.is_data]
        return float(outstanding.mean()) + 1.0 if len(outstanding) else 0.0

    @cached_property
    def bytes_mean(self) -> float:
        """The mean transfer of a data command."""
        moved = self.timeline.values("tasks", "expected_bytes")[self.is_data]
        return float(moved.mean()) if len(moved) else 0.0

    @cached_property
    def ordered_tasks(self) -> int:
        """How many tasks were sent with the attribute ORDERED."""
        names, codes = self.timeline.categories("tasks", "attribute")
        return int((codes == names.index("ordered")).sum()) if "ordered" in names else 0

    @cached_property
    def unit(self) -> Int64s:
        """A number for the logical unit that each task names, shape (tasks,)."""
        return np.unique(self.timeline.values("tasks", "lun"), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def stream(self) -> Int32s:
        """A number for the initiator and logical unit of each task, shape (tasks,)."""
        names = self.timeline.values("sessions", "initiator_name", "").astype(str)
        initiator = np.unique(names, return_inverse=True)[1][self.timeline.values("tasks", "session_index")]
        units = int(self.unit.max(initial=0)) + 1
        return np.asarray(initiator * units + self.unit, np.int32)

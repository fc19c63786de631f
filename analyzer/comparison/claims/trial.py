"""One recording under trial: what is known of its workload, and the replays that claims ask for.

Decides which replays are alike, so that each is run once, and what counts as one command
outstanding. Judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.comparison.baseline import BaselineError, baseline_error
from analyzer.replay.run import replay
from analyzer.tables.folder import Outcome, Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SINGLE, MCS, MPIO = "single/-", "mcs:2/round-robin", "mpio:2/round-robin"
MPIO_ONE_LINK = "mpio:2/failover-only"
BOND = "bond:2/balance-rr"
LIKE_PERCENT = 3.0
"""Throughputs that differ by less are alike: the error that a good model may have."""
ALONE_SHARE = 0.95
"""A workload has one command outstanding where so many of its data commands were issued alone."""


@dataclass
class Trial:
    """A recording with the replays made of it so far."""

    timeline: Timeline
    seed: int = 0
    _outcomes: dict[tuple[str, str, bool], Outcome] = field(default_factory=dict)

    def replayed(self, policy: str, pacing: str = "closed", *, like_links: bool = False) -> Outcome:
        """The outcome of a scenario; ``like_links`` makes every link like the first.

        Raises UnusableInputError where the recording holds no command.
        """
        key = (policy, pacing, like_links)
        if key not in self._outcomes:
            links = self._first_link() if like_links else None
            self._outcomes[key] = replay(self.timeline, policy, pacing=pacing, seed=self.seed, links=links)
        return self._outcomes[key]

    def figure(self, outcome: Outcome, name: str) -> float | None:
        """One measure of an outcome."""
        table = outcome.arrow["metrics"]
        values = dict(zip(table.column("metric").to_pylist(), table.column("value").to_pylist(), strict=True))
        value = values.get(name)
        return None if value is None else float(value)

    def gain_percent(self, outcome: Outcome, reference: Outcome) -> float | None:
        """By how much more commands per second an outcome completes than another does."""
        mine, other = self.figure(outcome, "iops"), self.figure(reference, "iops")
        return None if mine is None or not other else 100.0 * (mine / other - 1.0)

    @cached_property
    def baseline(self) -> BaselineError:
        """How well the model reproduces this recording."""
        return baseline_error(self.replayed("as-recorded"), self.timeline)

    def _first_link(self) -> dict[str, Any]:
        path = self.replayed(SINGLE).arrow["paths"].slice(0, 1).to_pylist()[0]
        names = ("rate_to_target_bps", "rate_from_target_bps", "delay_to_target_ns", "delay_from_target_ns")
        return {name: int(path[name]) for name in names}

    # --- the workload -----------------------------------------------------------------------------

    @cached_property
    def is_data(self) -> Bools:
        """Which tasks move data, shape (tasks,)."""
        direction = self.timeline.values("tasks", "direction").astype(str)
        return np.asarray((direction != "none") & (self.timeline.values("tasks", "expected_bytes") > 0))

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
        return int((self.timeline.values("tasks", "attribute") == "ordered").sum())

    @cached_property
    def initiator(self) -> Int64s:
        """A number for the initiator of each task, shape (tasks,)."""
        names = self.timeline.values("sessions", "initiator_name", "").astype(str)
        _, codes = np.unique(names, return_inverse=True)
        of_task: Int64s = codes.astype(np.int64)[self.timeline.values("tasks", "session_index")]
        return of_task

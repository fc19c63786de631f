"""One fault and all that came of it, as it is written down while a replay runs.

Decides what belongs to the story of a fault; reads nothing of the world. ``incidents.py`` makes a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.replay.faults import Fault
from analyzer.replay.recovery import Recovery


class Note(NamedTuple):
    """A row of the events table to come. Time is ns since the replay began."""

    at_ns: int
    kind: str
    path: int | None
    request: int | None
    detail: dict[str, Any]


@dataclass(slots=True)
class Disturbance:
    """The story of a fault. Times are ns since the replay began; None for what did not happen.

    ``affected`` are the requests that were outstanding on paths it took, or given to them until it was over.
    """

    fault: Fault
    failed_ns: int
    recovery: Recovery
    detected_ns: int | None = None
    detected_by: str | None = None
    hold_from_ns: int | None = None
    hold_to_ns: int | None = None
    hold_timer: str = "none"
    hold_setting_ns: int | None = None
    cleanup_ns: int | None = None
    first_retry_ns: int | None = None
    affected: set[int] = field(default_factory=set)
    retried_same_path: set[int] = field(default_factory=set)
    retried_other_path: set[int] = field(default_factory=set)
    reassigned: set[int] = field(default_factory=set)
    aborted: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    neighbours: dict[int, dict[str, Any]] = field(default_factory=dict)
    reservation: str = "kept"
    steps: list[tuple[int, str, str]] = field(default_factory=list)

    def step(self, at_ns: int, what: str, detail: str) -> None:
        """Something happened."""
        self.steps.append((at_ns, what, detail))

    def hold(self, rows: Iterable[int] | npt.NDArray[np.int64]) -> None:
        """These requests have part in it."""
        self.affected.update(int(row) for row in rows)

    def detect(self, at_ns: int, sign: str) -> None:
        """The initiator noticed, by ``sign``."""
        if self.detected_ns is None:
            self.detected_ns, self.detected_by = at_ns, sign
        self.step(at_ns, "detected", sign)

    def hold_begins(self, at_ns: int, timer: str, setting_ns: int | None) -> None:
        """Commands are held from now on by ``timer``, which takes over from one that has not run out."""
        if self.hold_from_ns is None:
            self.hold_from_ns = at_ns
        if self.hold_to_ns is None:
            self.hold_timer, self.hold_setting_ns = timer, setting_ns
        self.step(at_ns, "hold", timer)

    def hold_ends(self, at_ns: int) -> None:
        """Commands are held no longer."""
        if self.hold_to_ns is None:
            self.hold_to_ns = at_ns
        self.step(at_ns, "released", self.hold_timer)

    def clean(self, at_ns: int, detail: str) -> None:
        """The first thing is sent to recover."""
        if self.cleanup_ns is None:
            self.cleanup_ns = at_ns
        self.step(at_ns, "cleanup", detail)

    def retry(self, at_ns: int, rows: Sequence[int], *, is_same_path: bool) -> None:
        """Requests are sent again."""
        if not rows:
            return
        self._again(at_ns)
        self.affected.update(rows)
        (self.retried_same_path if is_same_path else self.retried_other_path).update(rows)

    def reassign(self, at_ns: int, row: int) -> None:
        """A task is moved to another connection."""
        self._again(at_ns)
        self.reassigned.add(row)

    def _again(self, at_ns: int) -> None:
        if self.first_retry_ns is None:
            self.first_retry_ns = at_ns
            self.step(at_ns, "retry", "first command goes on")

    def reserve_ends(self, how: str) -> None:
        """A RESERVE(6) of the initiator is released with its nexus, or cleared by a reset (SPC-2)."""
        if self.reservation != "cleared":
            self.reservation = how

    def fail(self, at_ns: int, rows: Sequence[int], why: str) -> None:
        """Requests ended with an error."""
        if rows:
            self.step(at_ns, "failed", f"{len(rows)} requests: {why}")
        self.affected.update(rows)
        self.failed.update(dict.fromkeys(rows, why))

    def touch(self, nexus: int, aborted: int, how: str) -> None:
        """Commands of another session were ended."""
        one = self.neighbours.setdefault(nexus, {"nexus_index": nexus, "how": how, "aborted": 0})
        one["aborted"] += aborted

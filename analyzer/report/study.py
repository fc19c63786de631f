"""One timeline with its outcomes, and what several sections need to know of them, found once.

Decides what things are called on the page (connections, sessions, outcomes) and from when time
counts. Draws nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.comparison.baseline import BaselineError, baseline_error
from analyzer.comparison.claims.interface import Finding
from analyzer.comparison.compare import Comparison, compared, is_baseline
from analyzer.comparison.recording import RecordedMeasures, recorded_measures
from analyzer.comparison.request_columns import RequestColumns, recorded_requests
from analyzer.report.blocks import Axis, AxisKind
from analyzer.report.palette import series_color
from analyzer.report.strata import Strata, strata_of
from analyzer.report.words import visible
from analyzer.tables.folder import Outcome, Timeline


@dataclass(frozen=True)
class Study:
    """What the page is about."""

    timeline: Timeline
    outcomes: tuple[Outcome, ...] = ()
    given_title: str = ""
    findings: tuple[Finding, ...] = ()
    """The claims, where they were tried."""

    @property
    def title(self) -> str:
        """What the study is called: as given, else after its captures."""
        names = self.names_of_captures
        if self.given_title or not names:
            return self.given_title or "no capture"
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    @cached_property
    def recorded(self) -> RecordedMeasures:
        """The measures of the recording."""
        return recorded_measures(self.timeline)

    @cached_property
    def requests(self) -> RequestColumns:
        """The tasks as requests."""
        return recorded_requests(self.timeline)

    @cached_property
    def strata(self) -> Strata | None:
        """Sums by connection, logical unit and operation; None where there are none or too many."""
        return strata_of(self)

    @cached_property
    def comparison(self) -> Comparison:
        """Recording and outcomes, measure by measure."""
        return compared(self.outcomes, self.timeline, self.baseline)

    @cached_property
    def baseline(self) -> BaselineError | None:
        """The error of the as-recorded outcome, where one was made."""
        outcome = next((one for one in self.outcomes if is_baseline(one)), None)
        return None if outcome is None else baseline_error(outcome, self.timeline)

    def is_apart(self, name: str, place: int) -> bool:
        """Whether an outcome differs in a measure from the reference by more than is in doubt."""
        return self.comparison.difference(name, place).is_apart

    @cached_property
    def incidents(self) -> list[dict[str, Any]]:
        """The incidents in order of time, by column name."""
        rows: list[dict[str, Any]] = self.timeline.arrow["incidents"].to_pylist()
        return rows

    def is_direction(self, direction: str) -> npt.NDArray[np.bool_]:
        """Which tasks move data that way (``read``, ``write``), shape (tasks,)."""
        names = self.requests.direction.names
        if direction not in names:
            return np.zeros(self.tasks, np.bool_)
        return np.asarray(self.requests.direction.codes == names.index(direction))

    @cached_property
    def luns(self) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
        """A number for the logical unit of each task, shape (tasks,), and the name of each number."""
        units, codes = np.unique(self.timeline.values("tasks", "lun"), return_inverse=True)
        return codes.astype(np.int64), tuple(self.lun_name(int(unit)) for unit in units)

    def task_keys(self, tasks: npt.NDArray[np.intp]) -> tuple[dict[str, int], ...]:
        """What filters go by for each of some tasks."""
        sessions = self.timeline.values("tasks", "session_index")
        return tuple(
            {
                "session": int(sessions[task]),
                "lun": int(self.luns[0][task]),
                "operation": int(self.requests.operation.codes[task]),
            }
            for task in tasks
        )

    @staticmethod
    def lun_name(lun: int) -> str:
        """The LUN as people number it where it is peripheral or flat (SAM-5 section 4.7), else in hex."""
        first = lun >> 48
        if lun & 0xFFFF_FFFF_FFFF == 0 and first >> 14 in (0, 1):
            return str(first & 0x3FFF)
        return f"0x{lun:016x}" if lun >> 32 else str(lun)

    def seconds_pair(self, begin_ns: int, end_ns: int) -> tuple[float, float]:
        """Two times as seconds since the start of the capture."""
        return (begin_ns - self.begin_ns) / 1e9, (end_ns - self.begin_ns) / 1e9

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return int(self.timeline.arrow["tasks"].num_rows)

    @property
    def begin_ns(self) -> int:
        """From when time counts on the page."""
        return self.recorded.begin_ns

    def seconds(self, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Times as seconds since the start of the capture; exact to the nanosecond for weeks."""
        return (times_ns - self.begin_ns) / 1e9

    @cached_property
    def time_axis(self) -> Axis:
        """The axis that all plots over time share; packets after the last PDU and event do not stretch it."""
        timeline = self.timeline
        moments = [
            timeline.values("pdus", "time_last_ns"),
            timeline.values("tasks", "ended_ns"),
            timeline.values("events", "at_ns"),
        ]
        last_ns = max((int(times.max()) for times in moments if len(times)), default=self.recorded.end_ns)
        span = max((last_ns - self.begin_ns) / 1e9, 1e-6)
        return Axis(
            "time since the start of the capture",
            "s",
            AxisKind.CAPTURE_TIME,
            range=(-0.01 * span, 1.01 * span),
        )

    @cached_property
    def connection_names(self) -> tuple[str, ...]:
        """Each connection as session and CID; a CID that comes again is numbered."""
        sessions = self.timeline.arrow["connections"].column("session_index").to_pylist()
        cids = self.timeline.arrow["connections"].column("cid").to_pylist()
        seen: Counter[str] = Counter()
        names = []
        for index, (session, cid) in enumerate(zip(sessions, cids, strict=True)):
            if session is None:
                names.append(f"connection {index}, no session")
                continue
            name = f"S{session} CID {cid}" if cid is not None else f"S{session} connection {index}"
            seen[name] += 1
            names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
        return tuple(names)

    @cached_property
    def connection_colors(self) -> tuple[str, ...]:
        """One palette role per connection, the same in every figure."""
        return tuple(series_color(index) for index in range(len(self.connection_names)))

    @cached_property
    def carrying_connections(self) -> tuple[int, ...]:
        """The connections that carried commands, in order."""
        return tuple(int(index) for index in np.unique(self.requests.path))

    @cached_property
    def names_of_captures(self) -> tuple[str, ...]:
        """The file names without folders."""
        names = self.timeline.arrow["captures"].column("name").to_pylist()
        return tuple(visible(name.replace("\\", "/").rsplit("/", 1)[-1]) for name in names)

"""Runs that were really made: a folder of captures, each beside what was measured of it.

A folder holds for each run ``NAME.result.json`` (parameters, links, negotiated keys, ``median`` and
``spread_pct`` of its repeats) and where it was captured ``NAME.pcapng.zst``; NAME is
WORKLOAD-CONFIGURATION. The lab of this project (``benchmarks.lab``) writes such folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from analyzer.errors import UnusableInputError
from analyzer.tables.folder import read_json_object

Known = TypeVar("Known")

RESULT_SUFFIX = ".result.json"
CAPTURE_SUFFIXES = (".pcapng.zst", ".pcapng", ".pcap.zst", ".pcap")
POLICIES = {
    "rr": "round-robin",
    "lqd": "least-queue-depth(ties=lowest-path)",
    "st": "service-time(ties=lowest-path)",
    "fo": "failover-only",
}
"""What a run's policy is called behind ``--with``, by its short name; the lab writes the long one."""
POLICIES |= {words.partition("(")[0]: words for words in POLICIES.values()}


@dataclass(frozen=True)
class Run:
    """One measured run. ``capture`` is None where none was kept."""

    name: str
    workload: str
    configuration: str
    capture: Path | None
    truth: dict[str, Any]

    @cached_property
    def words(self) -> str:
        """The run in the words of ``--with``. Raises UnusableInputError for a policy that is not known."""
        if int(self.truth["paths"]) == 1:
            return "single/-"
        policy = self.known(POLICIES, "policy", self.truth["policy"])
        return f"{self.truth['topology']}:{self.truth['paths']}/{policy}"

    def known(self, names: Mapping[str, Known], place: str, name: str) -> Known:
        """What ``name``, found at ``place`` of the result, stands for.

        Raises UnusableInputError for one that is not among ``names``.
        """
        if name not in names:
            raise UnusableInputError(
                f"{name!r} is none of {', '.join(names)}", source=self.name + RESULT_SUFFIX, place=place
            )
        return names[name]

    @property
    def is_failover(self) -> bool:
        """Whether a link was made to fail."""
        return "failover" in self.truth or "fail-" in self.configuration

    @property
    def has_struck(self) -> bool:
        """Whether the failure of a link struck any command of the captured repeat."""
        return bool(self.failover)

    @property
    def failover(self) -> dict[str, Any]:
        """What the captured repeat tells of the failure that struck it; empty where none did."""
        return self.captured_repeat.get("failover") or {}

    @property
    def rates_bps(self) -> tuple[int, ...]:
        """The rate of each link, path by path."""
        return tuple(round(float(link["rate_mbit"]) * 1e6) for link in self.truth["links"])

    @property
    def queue_depth(self) -> int:
        """How many commands the initiator kept outstanding."""
        return int(self.truth["workload_parameters"]["queue_depth"])

    @property
    def has_no_think_time(self) -> bool:
        """Whether the workload asked for the next command as soon as one was complete."""
        parameters = self.truth["workload_parameters"]
        return not parameters.get("burst") and not parameters.get("idle_ms")

    @property
    def paths_used(self) -> tuple[bool, ...]:
        """Which paths carried commands in the captured repeat."""
        return tuple(int(path["commands"]) > 0 for path in self.captured_repeat["per_path"])

    @property
    def captured_repeat(self) -> dict[str, Any]:
        """What was measured of the repeat that was captured."""
        found: dict[str, Any] = self.truth["repeats"][int(self.truth.get("captured_repeat") or 1) - 1]
        return found

    def median(self, name: str) -> float:
        """The median of the repeats; NaN where it was not measured."""
        value = self.truth["median"].get(name)
        return float("nan") if value is None else float(value)

    def spread(self, name: str) -> float:
        """Greatest less smallest of the repeats, in the unit of the measure."""
        return abs(self.median(name)) * float(self.truth["spread_pct"].get(name) or 0.0) / 100


def runs_in(folder: Path) -> tuple[Run, ...]:
    """All runs of a folder in order of name.

    Raises UnusableInputError where there is none, and for a result that is no JSON object.
    """
    found = []
    for path in sorted(folder.glob(f"*{RESULT_SUFFIX}")):
        name = path.name.removesuffix(RESULT_SUFFIX)
        captures = (folder / (name + suffix) for suffix in CAPTURE_SUFFIXES)
        capture = next((one for one in captures if one.is_file()), None)
        truth = read_json_object(path)
        workload, _, configuration = name.partition("-")
        found.append(Run(name, workload, configuration, capture, truth))
    if not found:
        raise UnusableInputError(f"holds no *{RESULT_SUFFIX}", source=str(folder))
    return tuple(found)

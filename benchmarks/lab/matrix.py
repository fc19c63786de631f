"""Several runs from one file: which workloads are done under which topologies, policies and faults.

A matrix file is TOML: ``[[run]]`` tables, each with the options of ``run`` by name, where ``workload`` and
``with`` may be lists. ``reference.toml`` is the matrix of the reference recordings. Decides what runs
there are, not how one is done.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import (
    Configuration,
    Link,
    Recovery,
    Workload,
    one_line,
    parse_fault,
    parse_paths,
)
from benchmarks.lab.workload import PRESETS, Preset

REFERENCE = Path(__file__).with_name("reference.toml")
MAX_RUNS = 500


def configuration_from(
    *,
    workload: str | dict[str, Any] = "W",
    paths: str = "mcs:2/round-robin",
    rates: list[str] | None = None,
    delay_ms: float = 0.0,
    fault: str | None = None,
    recovery: str | None = None,
    **more: Any,
) -> Configuration:
    """A configuration from the words of a command line or a matrix file.

    ``workload`` is a preset's name, or the fields of a workload; ``rates`` are Mbit/s for each link, or
    ``to target/to initiator``; one rate serves all links. Raises UnusableInputError.
    """
    preset = _preset(workload)
    topology, count, policy = parse_paths(str(paths))
    said = rates or ["40"]
    if len(said) not in (1, count):
        raise UnusableInputError(f"{len(said)} rates for {count} links", source="--rate")
    links = tuple(_link(rate, delay_ms) for rate in (said * count if len(said) == 1 else said))
    try:
        return Configuration(
            **{"device": preset.device, "writes": preset.writes, **more},
            workload=preset.workload,
            links=links,
            topology=topology,
            policy=policy,
            fault=parse_fault(fault) if fault else None,
            recovery=Recovery(recovery) if recovery else Recovery.RETRY,
        )
    except ValidationError as error:
        raise one_line(error) from None
    except ValueError as error:
        raise UnusableInputError(str(error), source="--recovery") from None


def _preset(workload: str | dict[str, Any]) -> Preset:
    if isinstance(workload, str) and workload in PRESETS:
        return PRESETS[workload]
    if isinstance(workload, str) and workload != "W":
        raise UnusableInputError(f"{workload!r} is none of {', '.join(PRESETS)}", source="--workload")
    try:
        return Preset(Workload.model_validate({} if isinstance(workload, str) else workload))
    except ValidationError as error:
        raise one_line(error) from None


def _link(rate: str, delay_ms: float) -> Link:
    to_target, _, to_initiator = str(rate).partition("/")
    try:
        return Link(
            to_target_mbit=float(to_target),
            to_initiator_mbit=float(to_initiator or to_target),
            one_way_delay_ms=delay_ms,
        )
    except ValidationError as error:
        raise one_line(error) from None
    except ValueError:
        raise UnusableInputError(f"{rate!r} is no rate in Mbit/s", source="--rate") from None


def read_matrix(path: Path) -> tuple[int, list[Configuration]]:
    """Repeats and configurations of a matrix file, in its order. Raises UnusableInputError."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableInputError(f"is no matrix ({error})", source=str(path)) from None
    tables = content.get("run")
    repeats = content.get("repeats", 1)
    if not isinstance(tables, list) or not isinstance(repeats, int) or not 1 <= repeats <= 20:
        raise UnusableInputError("needs [[run]] tables and repeats from 1 to 20", source=str(path))
    configurations: list[Configuration] = []
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            raise UnusableInputError("is no table", source=str(path), place=f"run {number}")
        try:
            configurations += _expand(table)
        except UnusableInputError as error:
            raise UnusableInputError(str(error), source=str(path), place=f"run {number}") from None
    if len(configurations) > MAX_RUNS:
        raise UnusableInputError(f"has more than {MAX_RUNS} runs", source=str(path))
    return repeats, configurations


def _expand(table: dict[str, Any]) -> Iterator[Configuration]:
    """One table is every one of its workloads under every one of its paths."""
    rest = {key: value for key, value in table.items() if key not in ("workload", "with")}
    workloads, paths = table.get("workload", "W"), table.get("with", "mcs:2/round-robin")
    for workload in workloads if isinstance(workloads, list) else [workloads]:
        for one in paths if isinstance(paths, list) else [paths]:
            yield configuration_from(workload=workload, paths=one, **rest)

"""Scenario files: several what-ifs in one TOML file, with a matrix for each, checked key by key.

    [[scenario]]
    with = "mcs:2/round-robin"
    pacing = "depth:16"
    links = [{ rate = "10Gbps", delay = "50us" }]
    target = { gate = "lio", servers = 4 }
    matrix = { "links.rate" = ["1Gbps", "10Gbps"], with = ["mcs:2/round-robin", "mpio:2/service-time"] }

Keys under ``[defaults]`` hold for all scenarios. A matrix gives one scenario for every combination of its
lists. The JSON schema in docs/scenario.schema.json comes from the models here.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from analyzer.errors import UnusableInputError
from analyzer.replay.faults import fault_of
from analyzer.replay.quantities import (
    bits_per_second,
    byte_count,
    bytes_per_second,
    nanoseconds,
    per_billion,
)
from analyzer.replay.recovery import DEFAULT_OTHER, Recovery, recovery_from, recovery_of
from analyzer.replay.scenario import Negotiated, Scenario
from analyzer.replay.words import scenario_of

LARGEST_FILE_BYTES = 1 << 20
MOST_SCENARIOS = 1000


def _written(read: Callable[[Any], int]) -> WithJsonSchema:
    """How the schema describes a whole number that may be written as text with a unit."""
    return WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": read.__doc__})


Rate = Annotated[int, BeforeValidator(bits_per_second), _written(bits_per_second)]
Time = Annotated[int, BeforeValidator(nanoseconds), _written(nanoseconds)]
Size = Annotated[int, BeforeValidator(byte_count), _written(byte_count)]
Speed = Annotated[int, BeforeValidator(bytes_per_second), _written(bytes_per_second)]
Share = Annotated[int, BeforeValidator(per_billion), _written(per_billion)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkTable(_Table):
    """One link, as in the capture where nothing is given.

    ``rate``, ``delay`` (one way) and ``queue`` mean both ways.
    """

    rate: Rate | None = None
    rate_to_target: Rate | None = None
    rate_from_target: Rate | None = None
    delay: Time | None = None
    delay_to_target: Time | None = None
    delay_from_target: Time | None = None
    mtu: Size | None = None
    packet_overhead: Size | None = None
    bucket: Size | None = None
    postpaid: bool | None = None
    packets_per_ack: int | None = None
    queue: Size | None = None
    queue_to_target: Size | None = None
    queue_from_target: Size | None = None
    jitter: Time | None = None
    loss: Share | None = None
    window: Size | None = None
    idle_restart: Time | None = None

    def model(self) -> dict[str, Any]:
        """The same as fields of ``LinkModel``."""
        names = {
            "mtu": "mtu_bytes",
            "packet_overhead": "packet_overhead_bytes",
            "bucket": "bucket_bytes",
            "postpaid": "is_postpaid",
            "packets_per_ack": "packets_per_ack",
            "jitter": "jitter_ns",
            "loss": "loss_per_billion",
            "window": "window_bytes",
            "idle_restart": "idle_restart_ns",
        }
        found = {field: getattr(self, name) for name, field in names.items()}
        for way in ("to", "from"):
            for name, unit in (("rate", "bps"), ("delay", "ns"), ("queue", "bytes")):
                own = getattr(self, f"{name}_{way}_target")
                found[f"{name}_{way}_target_{unit}"] = getattr(self, name) if own is None else own
        return {name: value for name, value in found.items() if value is not None}


class TargetTable(_Table):
    """The target. What is left out is taken from the capture or does not limit."""

    gate: str | None = None
    window: int | None = None
    window_follows: str | None = None
    servers: int | None = None
    service: Time | None = None
    depth: int | None = None
    retry: Time | None = None
    task_sets: str | None = None
    tasks_begin: str | None = None
    abort_told: bool | None = None
    q_err: int | None = None
    reordering: str | None = None
    attributes: str | None = None
    scheduler: str | None = None
    seek: Time | None = None
    medium: Speed | None = None
    cached: Time | None = None
    read_ahead_blocks: int | None = None
    write_cache: Size | None = None

    def model(self) -> dict[str, Any]:
        """The same as fields of ``TargetModel``."""
        names = {
            "service": "service_ns",
            "retry": "retry_ns",
            "abort_told": "is_abort_told",
            "seek": "seek_ns",
            "medium": "bytes_per_s",
            "cached": "cached_ns",
            "write_cache": "write_cache_bytes",
        }
        given = self.model_dump(exclude_none=True)
        return {names.get(name, name): value for name, value in given.items()}


class ScenarioTable(_Table):
    """One scenario, or with ``matrix`` one for each combination of its lists."""

    with_: Annotated[str, Field(alias="with", description="TOPOLOGY/POLICY, as on the command line.")]
    name: str | None = None
    pacing: str | None = None
    seed: int | None = None
    time_scale: float | None = None
    processor: Time | None = None
    reorder_links: float | None = None
    shared_links: bool | None = None
    links: Annotated[tuple[LinkTable, ...], Field(min_length=1)] | None = None
    target: TargetTable = TargetTable()
    negotiated: Negotiated = Negotiated()
    faults: tuple[str | dict[str, Any], ...] = ()
    recovery: str | dict[str, Any] | None = None
    neighbours: int | None = None
    matrix: dict[str, list[Any]] = {}

    def scenario(self, source: str, name: str | None) -> Scenario:
        """The scenario of a table without a matrix."""
        more: dict[str, Any] = {"name": name, "negotiated": self.negotiated}
        for key, field in (
            ("time_scale", "time_scale"),
            ("processor", "processor_ns"),
            ("reorder_links", "reorder_links"),
            ("shared_links", "are_links_shared"),
            ("neighbours", "neighbours"),
        ):
            if getattr(self, key) is not None:
                more[field] = getattr(self, key)
        more["faults"] = tuple(fault_of(fault, source="faults") for fault in self.faults)
        more["recovery"] = self._recovery()
        return scenario_of(
            self.with_,
            pacing=self.pacing or "closed",
            seed=self.seed or 0,
            links=[link.model() for link in self.links] if self.links else None,
            target=self.target.model(),
            source=source,
            **more,
        )

    def _recovery(self) -> Recovery | None:
        if self.recovery is None:
            return None
        if isinstance(self.recovery, str):
            return recovery_of(self.recovery, source="recovery")
        given = {key: value for key, value in self.recovery.items() if key != "preset"}
        name = str(self.recovery.get("preset", DEFAULT_OTHER))
        return recovery_from(name, given, source="recovery", place=name)


class ScenarioFile(_Table):
    """A scenario file. ``defaults`` hold for every scenario that does not say otherwise."""

    defaults: dict[str, Any] = {}
    scenario: Annotated[list[ScenarioTable], Field(min_length=1)]


def read_scenarios(path: str | Path, *, pacing: str | None = None, seed: int | None = None) -> list[Scenario]:
    """All scenarios of a file, in order. ``pacing`` and ``seed`` are for those that give none.

    Raises UnusableInputError naming the file and the key.
    """
    source = str(path)
    text = _text(Path(path))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnusableInputError(f"is no TOML: {error}", source=source) from None
    tables = document.get("scenario")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UnusableInputError("holds no [[scenario]]", source=source)
    unknown = sorted(set(document) - {"scenario", "defaults"})
    if unknown:
        raise UnusableInputError(
            "there are only [defaults] and [[scenario]]", source=source, place=unknown[0]
        )
    defaults = {
        **{key: value for key, value in (("pacing", pacing), ("seed", seed)) if value is not None},
        **document.get("defaults", {}),
    }
    found: list[Scenario] = []
    for number, table in enumerate(tables, 1):
        found += _expanded(
            {**deepcopy(defaults), **table}, source, f"scenario {number}", MOST_SCENARIOS - len(found)
        )
    return found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise UnusableInputError("is too large for a scenario file", source=str(path))
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnusableInputError(f"cannot be read: {error.strerror}", source=str(path)) from None
    except UnicodeDecodeError:
        raise UnusableInputError("is no text", source=str(path)) from None


def _expanded(table: dict[str, Any], source: str, place: str, most: int) -> list[Scenario]:
    """One scenario for every combination of the lists of the matrix, the last key changing fastest."""
    matrix = table.pop("matrix", {})
    if not isinstance(matrix, dict) or not all(isinstance(axis, list) and axis for axis in matrix.values()):
        raise UnusableInputError("wants a list for every key", source=source, place=f"{place}.matrix")
    combinations = 1
    for axis in matrix.values():
        combinations *= len(axis)
    if combinations > most:
        raise UnusableInputError(
            f"more than {MOST_SCENARIOS} scenarios", source=source, place=f"{place}.matrix"
        )
    found = []
    for values in itertools.product(*matrix.values()):
        chosen = dict(zip(matrix, values, strict=True))
        one = deepcopy(table)
        for key, value in chosen.items():
            _put(one, key.split("."), value, source, f"{place}.matrix.{key}")
        found.append(_scenario(one, chosen, source, place))
    return found


def _put(table: dict[str, Any], keys: list[str], value: Any, source: str, place: str) -> None:
    """Set a key of the matrix; one below ``links`` is set for every link."""
    key = keys[0]
    if len(keys) == 1:
        table[key] = value
        return
    if key == "links":
        for link in table.setdefault("links", [{}]):
            if isinstance(link, dict):
                _put(link, keys[1:], value, source, place)
        return
    inner = table.setdefault(key, {})
    if not isinstance(inner, dict):
        raise UnusableInputError(f"{key} is no table", source=source, place=place)
    _put(inner, keys[1:], value, source, place)


def _scenario(table: dict[str, Any], chosen: Mapping[str, Any], source: str, place: str) -> Scenario:
    try:
        checked = ScenarioTable.model_validate(table)
        name = checked.name or (checked.with_ if chosen else None)
        others = [f"{key}={value}" for key, value in chosen.items() if key != "with" or checked.name]
        if name and others:
            name += f" [{', '.join(others)}]"
        return checked.scenario(source, name)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            said = "there is no such key"
        raise UnusableInputError(said, source=source, place=f"{place}.{key}") from None
    except UnusableInputError as error:
        if error.source in (source, "--pacing", "scenario", "links", "faults", "recovery"):
            where = f"{place}.{error.place}" if error.source == "scenario" else place
            if error.source in ("--pacing", "faults", "recovery"):
                where = f"{place}.{error.source.removeprefix('--')}"
            raise UnusableInputError(error.message, source=source, place=where) from None
        raise


def schema() -> dict[str, Any]:
    """The JSON schema of scenario files."""
    return ScenarioFile.model_json_schema(by_alias=True)

"""What a replay is asked to do, as one validated value: topology, policy, pacing, links, target, seed.

Also reads the words of ``--with`` and ``--pacing``. Mistakes end in UnusableInputError naming the
option and the place in it. Knows no timeline: what a scenario leaves open (``None``) is filled from
calibration.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyzer.errors import UnusableInputError
from analyzer.replay.policies import POLICIES, POLICY_BY_NAME
from analyzer.replay.policies.interface import Policy

MAX_LINKS = 64
MAX_WINDOW = 4096
BASELINE = "as-recorded"

_WITH = re.compile(r"(?P<topology>[a-z-]+)(:(?P<links>\d+))?(/(?P<policy>[^()]+)(\((?P<options>[^()]*)\))?)?")


class Topology(StrEnum):
    """What paths exist, and over what set CmdSN order is kept."""

    SINGLE = "single"  # one session with one connection
    MCS = "mcs"  # one session, one connection on each link: one order over all
    MPIO = "mpio"  # one session with one connection on each link: an order for each
    AS_RECORDED = "as-recorded"  # the recorded sessions, connections and links


class Pacing(StrEnum):
    """When the application asks for the next request."""

    RECORDED = "recorded"  # open loop: at the recorded time
    CLOSED = "closed"  # closed loop: when the completion came that the request followed in the recording
    DEPTH = "depth"  # closed loop: so many at any time, in recorded order


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Rate = Annotated[int, Field(ge=0, le=10**13)]
Delay = Annotated[int, Field(ge=0, le=10**11)]


class LinkModel(_Value):
    """One link, both directions. At rate 0 sending takes no time; None is taken from the capture."""

    rate_to_target_bps: Rate | None = None
    rate_from_target_bps: Rate | None = None
    delay_to_target_ns: Delay | None = None
    delay_from_target_ns: Delay | None = None
    mtu_bytes: Annotated[int, Field(ge=128, le=1 << 20)] | None = None
    # Per packet: 38 bytes of Ethernet with preamble and gap, 20 of IPv4, 32 of TCP with time stamps.
    packet_overhead_bytes: Annotated[int, Field(ge=0, le=1000)] = 90
    # Of those, the bytes that count towards the MTU (IP and TCP).
    header_in_mtu_bytes: Annotated[int, Field(ge=0, le=120)] = 52
    bucket_bytes: Annotated[int, Field(ge=0, le=1 << 30)] = 0


class TargetModel(_Value):
    """The target. None is taken from the capture; ``servers`` 0 is no limit."""

    gate: Annotated[str, Field(pattern="^(in-order|none)$")] = "in-order"
    window: Annotated[int, Field(ge=1, le=MAX_WINDOW)] | None = None
    window_follows: Annotated[str, Field(pattern="^(arrival|completion)$")] | None = None
    servers: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    service_ns: Annotated[int, Field(ge=0, le=10**12)] | None = None


class Scenario(_Value):
    """One what-if. ``link_count`` None is the recorded number; ``links`` are used in turn by the paths."""

    topology: Topology
    link_count: Annotated[int, Field(ge=1, le=MAX_LINKS)] | None = None
    policy: str
    policy_options: dict[str, float | str] = {}
    pacing: Pacing = Pacing.CLOSED
    depth: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    links: tuple[LinkModel, ...] = (LinkModel(),)
    target: TargetModel = TargetModel()
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    @property
    def is_baseline(self) -> bool:
        """Whether this repeats the recording: recorded topology, recorded path of each task."""
        return self.topology is Topology.AS_RECORDED

    @property
    def label(self) -> str:
        """The scenario in the words of ``--with``."""
        if self.is_baseline:
            return BASELINE
        count = f":{self.link_count}" if self.topology is not Topology.SINGLE and self.link_count else ""
        options = ",".join(f"{name}={_number_text(value)}" for name, value in self.policy_options.items())
        policy = "-" if self.topology is Topology.SINGLE and self.policy == "failover-only" else self.policy
        return f"{self.topology}{count}/{policy}" + (f"({options})" if options else "")

    @property
    def pacing_text(self) -> str:
        """The pacing in the words of ``--pacing``."""
        return f"depth:{self.depth}" if self.pacing is Pacing.DEPTH else str(self.pacing)

    @property
    def declared_policy(self) -> Policy:
        """The policy that ``policy`` names."""
        return POLICY_BY_NAME[self.policy]

    @property
    def option_values(self) -> list[float]:
        """The options of the policy in declared order, choices as their place."""
        values = []
        for option in self.declared_policy.options:
            given = self.policy_options.get(option.name, option.default)
            values.append(float(option.choices.index(given)) if isinstance(given, str) else float(given))
        return values


def scenario_of(
    words: str, *, pacing: str = "closed", seed: int = 0, links: Any = None, target: Any = None
) -> Scenario:
    """The scenario of a ``--with`` argument and its companions.

    ``links`` is a LinkModel, a mapping of its fields, or a sequence of them (one for each path); ``target``
    a TargetModel or a mapping. Raises UnusableInputError naming the option and what is wrong in it.
    """
    match = _WITH.fullmatch(words.strip())
    if match is None:
        raise UnusableInputError(
            f"{words!r} is not TOPOLOGY/POLICY, for example mcs:2/round-robin", source="--with"
        )
    topology = _topology(match["topology"], words)
    policy, options = _policy(topology, match["policy"], match["options"], words)
    count = int(match["links"]) if match["links"] else None
    if topology is Topology.SINGLE:
        if count not in (None, 1):
            raise UnusableInputError("single has one link", source="--with", place=words)
        count = 1
    if topology is Topology.AS_RECORDED and count is not None:
        raise UnusableInputError("as-recorded takes no number of links", source="--with", place=words)
    pace, depth = _pacing(pacing)
    given: dict[str, Any] = {
        "topology": topology,
        "link_count": count,
        "policy": policy.name,
        "policy_options": options,
        "pacing": pace,
        "depth": depth,
        "seed": seed,
    }
    if links is not None:
        given["links"] = (links,) if isinstance(links, (LinkModel, dict)) else tuple(links)
        if not given["links"]:
            raise UnusableInputError("no link is given", source="links")
    if target is not None:
        given["target"] = target
    try:
        return Scenario.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnusableInputError(first["msg"].lower(), source="scenario", place=place) from None


def _topology(name: str, words: str) -> Topology:
    try:
        return Topology(name)
    except ValueError:
        known = ", ".join(Topology)
        raise UnusableInputError(
            f"no topology {name!r}; there are {known}", source="--with", place=words
        ) from None


def _policy(
    topology: Topology, name: str | None, options: str | None, words: str
) -> tuple[Policy, dict[str, float | str]]:
    if topology is Topology.AS_RECORDED:
        if name not in (None, BASELINE):
            raise UnusableInputError(
                "the recorded topology keeps the recorded paths and takes no policy",
                source="--with",
                place=words,
            )
        name = BASELINE
    if name == "-" and topology is Topology.SINGLE:
        name = "failover-only"
    if name is None or name == "-":
        raise UnusableInputError("names no policy", source="--with", place=words)
    if name not in POLICY_BY_NAME:
        known = ", ".join(policy.name for policy in POLICIES)
        raise UnusableInputError(f"no policy {name!r}; there are {known}", source="--with", place=words)
    policy = POLICY_BY_NAME[name]
    return policy, _options(policy, options, words)


def _options(policy: Policy, text: str | None, words: str) -> dict[str, float | str]:
    declared = {option.name: option for option in policy.options}
    values: dict[str, float | str] = {}
    for item in (text or "").split(","):
        if not item.strip():
            continue
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise UnusableInputError(
                f"{policy.name} has no option {name!r}; its options: {known}", source="--with", place=words
            )
        option = declared[name]
        if option.choices:
            if value not in option.choices:
                raise UnusableInputError(
                    f"{name} is one of {', '.join(option.choices)}", source="--with", place=words
                )
            values[name] = value
            continue
        try:
            values[name] = float(value)
        except ValueError:
            raise UnusableInputError(f"{name} wants a number", source="--with", place=words) from None
        if not equals or not float(values[name]) >= option.minimum:
            raise UnusableInputError(f"{name} is at least {option.minimum:g}", source="--with", place=words)
    return values


def _pacing(words: str) -> tuple[Pacing, int | None]:
    name, colon, number = words.strip().partition(":")
    if name == Pacing.DEPTH and number.isdecimal() and 0 < int(number) <= 1 << 20:
        return Pacing.DEPTH, int(number)
    if not colon and name in (Pacing.RECORDED, Pacing.CLOSED):
        return Pacing(name), None
    raise UnusableInputError(f"{words!r} is none of recorded, closed, depth:N", source="--pacing")


def _number_text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"

"""The words of ``--with`` and ``--pacing``, read into a scenario.

    single/-                     one link
    mcs:2/round-robin            one session over 2 links
    mpio:2/service-time(ties=lowest-path)
    mpio:2xmcs:2/service-time+round-robin     a policy for sessions, one for their connections
    bond:2/balance-rr            one connection over 2 bonded links
    bond:4:layer3+4xmpio:4/round-robin        4 sessions over a bond that hashes addresses and ports

Mistakes end in UnusableInputError naming the option and the place in it.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from analyzer.errors import UnusableInputError
from analyzer.replay.policies.interface import Option, Policy
from analyzer.replay.policies.loading import policy_named
from analyzer.replay.scenario import (
    BASELINE,
    BondMode,
    LinkModel,
    OptionValue,
    Pacing,
    Scenario,
    Topology,
)

_POLICY = re.compile(r"(?P<name>[^()]+)(\((?P<options>[^()]*)\))?")
_WITH = re.compile(r"(?P<topology>[^/()]+)(/(?P<policy>.+))?")
# Path groups, for any policy: it sees the paths of the highest priority of which one works (dm-multipath's
# group_by_prio, ALUA states, VMware's useANO=0).
PRIORITIES = Option(
    "priorities", 0.0, "Priority of each path; only the group of the highest is used.", is_per_path=True
)
_BOND_ALIASES = {"802.3ad": BondMode.LAYER2}


def scenario_of(
    words: str,
    *,
    pacing: str = "closed",
    seed: int = 0,
    links: Any = None,
    target: Any = None,
    source: str = "--with",
    **more: Any,
) -> Scenario:
    """The scenario of a ``--with`` argument and its companions.

    ``links`` is a LinkModel, a mapping of its fields, or a sequence of them (one for each path); ``target``
    a TargetModel or a mapping; ``more`` are other fields of Scenario. Raises UnusableInputError naming the
    option and what is wrong in it.
    """
    text = words.strip()
    match = _WITH.fullmatch(text)
    if match is None:
        raise UnusableInputError(
            f"{words!r} is not TOPOLOGY/POLICY, for example mcs:2/round-robin", source=source
        )
    given: dict[str, Any] = {**_topology(match["topology"], text, source), "seed": seed, **more}
    _add_policies(given, match["policy"], text, source)
    given["pacing"], given["depth"] = pacing_of(pacing)
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


def _topology(text: str, words: str, source: str) -> dict[str, Any]:
    """The fields of a scenario that the words before the slash decide."""
    parts = text.split("x") if not text.startswith(BASELINE) else [text]
    name, *arguments = parts[0].split(":")
    try:
        topology = Topology(name)
    except ValueError:
        known = ", ".join(Topology)
        raise UnusableInputError(
            f"no topology {name!r}; there are {known}", source=source, place=words
        ) from None
    given: dict[str, Any] = {"topology": topology}
    mode = arguments.pop() if topology is Topology.BOND and len(arguments) == 2 else None
    if len(arguments) > 1 or (arguments and not arguments[0].isdecimal()):
        raise UnusableInputError(f"{parts[0]!r} is not {name}:N", source=source, place=words)
    count = int(arguments[0]) if arguments else None
    if topology is Topology.SINGLE:
        if count not in (None, 1):
            raise UnusableInputError("single has one link", source=source, place=words)
        count = 1
    if topology is Topology.AS_RECORDED and count is not None:
        raise UnusableInputError("as-recorded takes no number of links", source=source, place=words)
    given["link_count"] = count
    if topology is Topology.BOND:
        if count is None:
            raise UnusableInputError(
                "bond wants its number of links, as in bond:2", source=source, place=words
            )
        given["bond_mode"] = _bond_mode(mode, words, source) if mode else None
    for part in parts[1:]:
        inner, _, number = part.partition(":")
        allowed = {Topology.MPIO: ("mcs",), Topology.BOND: ("mpio", "mcs")}.get(topology, ())
        field = {"mpio": "sessions", "mcs": "connections"}.get(inner, "")
        if inner not in allowed or not number.isdecimal() or field in given:
            raise UnusableInputError(
                f"{part!r} cannot stand behind {name}; there are mpio:NxMCS:M as mpio:2xmcs:2, "
                "and bond:N:MODE with xmpio:N, xmcs:N or both",
                source=source,
                place=words,
            )
        given[field] = int(number)
    return given


def _bond_mode(text: str, words: str, source: str) -> BondMode:
    try:
        return _BOND_ALIASES.get(text) or BondMode(text)
    except ValueError:
        known = ", ".join((*BondMode, *_BOND_ALIASES))
        raise UnusableInputError(
            f"no bond mode {text!r}; there are {known}", source=source, place=words
        ) from None


def _add_policies(given: dict[str, Any], text: str | None, words: str, source: str) -> None:
    """Read what stands behind the slash: a policy, two of them, a bond mode, or nothing to choose."""
    topology = given["topology"]
    if topology is Topology.AS_RECORDED:
        if text not in (None, BASELINE):
            raise UnusableInputError(
                "the recorded topology keeps the recorded paths and takes no policy",
                source=source,
                place=words,
            )
        text = BASELINE
    several = given.get("sessions", 1) > 1 or given.get("connections", 1) > 1
    if topology is Topology.BOND and not several:
        if text not in (None, "-") and given["bond_mode"] is None:
            given["bond_mode"] = _bond_mode(text, words, source)
            text = "-"
        text = "-" if text is None else text
    if topology is Topology.BOND and given["bond_mode"] is None:
        given["bond_mode"] = BondMode.BALANCE_RR
    if text == "-" and not several and topology in (Topology.SINGLE, Topology.BOND):
        text = "failover-only"
    if text is None or text == "-":
        raise UnusableInputError("names no policy", source=source, place=words)
    is_nested = given.get("connections", 1) > 1 and (
        topology is Topology.MPIO or given.get("sessions", 1) > 1
    )
    outer, plus, inner = text.partition("+") if is_nested else (text, "", "")
    given["policy"], given["policy_options"] = _policy(outer, words, source)
    if plus:
        given["inner_policy"], given["inner_policy_options"] = _policy(inner, words, source)


def _policy(text: str, words: str, source: str) -> tuple[str, dict[str, OptionValue]]:
    match = _POLICY.fullmatch(text)
    if match is None:
        raise UnusableInputError(
            f"{words!r} is not TOPOLOGY/POLICY, for example mcs:2/round-robin", source=source
        )
    try:
        policy = policy_named(match["name"])
    except UnusableInputError as error:
        if error.source != "--with":
            raise
        raise UnusableInputError(error.message, source=source, place=words) from None
    return policy.name, options_of(policy, match["options"] or "", words, source)


def options_of(policy: Policy, text: str, words: str, source: str = "--with") -> dict[str, OptionValue]:
    """The options in brackets behind a policy, checked against what it declares."""
    declared = {option.name: option for option in (*policy.options, PRIORITIES)}
    values: dict[str, OptionValue] = {}
    for item in text.split(","):
        if not item.strip():
            continue
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise UnusableInputError(
                f"{policy.name} has no option {name!r}; its options: {known}", source=source, place=words
            )
        try:
            values[name] = _option_value(declared[name], value)
        except ValueError as error:
            raise UnusableInputError(f"{name} {error}", source=source, place=words) from None
    return values


def _option_value(option: Option, text: str) -> OptionValue:
    """One value. Raises ValueError with the rest of a sentence that begins with the name of the option."""
    if option.choices:
        if text not in option.choices:
            raise ValueError(f"is one of {', '.join(option.choices)}")
        return text
    if option.is_per_path:
        parts = text.split(":")
        if not all(part.isdecimal() for part in parts):
            raise ValueError("wants a whole number for each path, as in 1:2")
        numbers = tuple(int(part) for part in parts)
    else:
        try:
            numbers = (float(text),)  # type: ignore[assignment]
        except ValueError:
            raise ValueError("wants a number") from None
    for number in numbers:
        if not number >= option.minimum:
            raise ValueError(f"is at least {option.minimum:g}")
        if number > option.maximum:
            raise ValueError(f"is at most {option.maximum:g}")
    return numbers if option.is_per_path else float(numbers[0])


def pacing_of(words: str) -> tuple[Pacing, int | None]:
    """The pacing that ``--pacing`` names, and its depth."""
    name, colon, number = words.strip().partition(":")
    if name == Pacing.DEPTH and number.isdecimal() and 0 < int(number) <= 1 << 20:
        return Pacing.DEPTH, int(number)
    if not colon and name in (Pacing.RECORDED, Pacing.CLOSED):
        return Pacing(name), None
    raise UnusableInputError(f"{words!r} is none of recorded, closed, depth:N", source="--pacing")

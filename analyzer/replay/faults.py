"""What may go wrong with links: the kinds of fault, and how one is written.

    --fault down,link=1,at=5s                  the carrier of link 1 goes at 5 s and stays away
    --fault black-hole,link=0,at=50%,for=30s   packets vanish for 30 s from when half of the requests are done
    --fault reset,link=1,at=after-task:500     its connections are reset behind the 500th completion
    --fault slow,link=1,at=2s,factor=0.1       a tenth of its rate
    --fault flap,link=1,at=2s,for=20s,period=4s    down for half of every 4 s

Decides nothing about detection or recovery (``recovery.py``, ``failover.py``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analyzer.errors import UnusableInputError
from analyzer.replay.quantities import nanoseconds, per_billion

MOST_FAULTS = 64
_MOMENT = re.compile(r"after-task:(?P<count>\d+)|(?P<percent>\d+(\.\d+)?)%")


class FaultKind(StrEnum):
    """What happens."""

    DOWN = "down"  # the carrier goes: the initiator's port can see it
    BLACK_HOLE = "black-hole"  # packets vanish, the carrier stays
    RESET = "reset"  # the TCP connections are reset; the link works
    PORTAL = "portal"  # the target's portal goes: connections are reset, logins are refused
    SLOW = "slow"  # the rate falls by a factor, the delay grows
    LOSSY = "lossy"  # packets are lost
    FLAP = "flap"  # the carrier comes and goes


TAKES_LINK_AWAY = (FaultKind.DOWN, FaultKind.BLACK_HOLE, FaultKind.FLAP)
ENDS_CONNECTIONS = (FaultKind.RESET, FaultKind.PORTAL)

Duration = Annotated[int, Field(ge=0, le=10**15)]


class Fault(BaseModel):
    """One fault. One of ``at_ns``, ``after_requests``, ``at_share`` and ``is_at_peak`` says when it begins.

    ``link`` None is every link (of the first host). ``for_ns`` None is for good; a reset takes no time.
    ``after_requests`` counts completions, ``at_share`` is their share of all requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    link: Annotated[int, Field(ge=0, lt=64)] | None = None
    at_ns: Duration | None = None
    after_requests: Annotated[int, Field(ge=1)] | None = None
    at_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    is_at_peak: bool = False
    for_ns: Duration | None = None
    factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    delay_ns: Duration = 0
    loss_per_billion: Annotated[int, Field(ge=0, le=10**9 // 10)] = 0
    period_ns: Annotated[int, Field(ge=10**6, le=10**12)] = 2 * 10**9

    @model_validator(mode="after")
    def _is_whole(self) -> Fault:
        moments = (self.at_ns, self.after_requests, self.at_share, self.is_at_peak or None)
        if sum(one is not None for one in moments) != 1:
            raise ValueError("wants one moment, as at=5s, at=50%, at=after-task:500 or at=peak")
        if self.kind is FaultKind.SLOW and self.factor == 1 and not self.delay_ns:
            raise ValueError("slow wants factor= or delay=")
        if self.kind is FaultKind.LOSSY and not self.loss_per_billion:
            raise ValueError("lossy wants loss=")
        if self.kind is FaultKind.FLAP and self.for_ns is None:
            raise ValueError("flap wants for=")
        return self

    @property
    def words(self) -> str:
        """The fault as it is written behind ``--fault``."""
        parts = [str(self.kind), "link=all" if self.link is None else f"link={self.link}"]
        if self.at_ns is not None:
            parts.append(f"at={_seconds(self.at_ns)}")
        elif self.after_requests is not None:
            parts.append(f"at=after-task:{self.after_requests}")
        elif self.at_share is not None:
            parts.append(f"at={self.at_share * 100:g}%")
        else:
            parts.append("at=peak")
        if self.for_ns is not None:
            parts.append(f"for={_seconds(self.for_ns)}")
        if self.factor != 1:
            parts.append(f"factor={self.factor:g}")
        if self.delay_ns:
            parts.append(f"delay={_seconds(self.delay_ns)}")
        if self.loss_per_billion:
            parts.append(f"loss={self.loss_per_billion / 1e7:g}%")
        if self.kind is FaultKind.FLAP:
            parts.append(f"period={_seconds(self.period_ns)}")
        return ",".join(parts)


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.9g}s" if time_ns >= 10**9 or not time_ns else f"{time_ns / 1e6:.9g}ms"


def fault_of(words: str | dict[str, Any] | Fault, *, source: str = "--fault") -> Fault:
    """The fault that ``words`` (or a table of a scenario file with the same keys) describe.

    Raises UnusableInputError naming what is wrong.
    """
    if isinstance(words, Fault):
        return words
    given = (
        _keys(words, source) if isinstance(words, str) else {key: str(value) for key, value in words.items()}
    )
    text = words if isinstance(words, str) else ", ".join(f"{key}={value}" for key, value in given.items())
    fields: dict[str, Any] = {}
    try:
        for key, value in given.items():
            fields |= _field(key, value)
        return Fault.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "enum":
            said = f"no fault {given.get('kind')!r}; there are {', '.join(FaultKind)}"
        raise UnusableInputError(said, source=source, place=text) from None
    except ValueError as error:
        raise UnusableInputError(str(error), source=source, place=text) from None


def _keys(words: str, source: str) -> dict[str, str]:
    kind, *rest = (part.strip() for part in words.split(","))
    given = {"kind": kind}
    for part in rest:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in given:
            raise UnusableInputError(
                "is not KIND,key=value,..., for example down,link=1,at=5s", source=source, place=words
            )
        given[key] = value
    return given


def _field(key: str, value: str) -> dict[str, Any]:
    """One key as fields of ``Fault``. Raises ValueError with a whole sentence."""
    readers = {
        "for": ("for_ns", nanoseconds),
        "delay": ("delay_ns", nanoseconds),
        "period": ("period_ns", nanoseconds),
        "loss": ("loss_per_billion", per_billion),
    }
    if key == "kind":
        return {"kind": value}
    if key == "link":
        if value != "all" and not value.isdecimal():
            raise ValueError("link wants a number from 0, or all")
        return {"link": None if value == "all" else int(value)}
    if key == "at":
        return _moment(value)
    if key == "factor":
        return {"factor": float(value)}
    if key in readers:
        field, read = readers[key]
        try:
            return {field: read(value)}
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    raise ValueError(f"no key {key!r}; there are link, at, for, {', '.join(list(readers)[1:])}, factor")


def _moment(value: str) -> dict[str, Any]:
    if value == "peak":
        return {"is_at_peak": True}
    match = _MOMENT.fullmatch(value)
    if match is None:
        try:
            return {"at_ns": nanoseconds(value)}
        except ValueError as error:
            raise ValueError(f"at {error}, or 50%, after-task:500, peak") from None
    if match["count"]:
        return {"after_requests": int(match["count"])}
    return {"at_share": float(match["percent"]) / 100}

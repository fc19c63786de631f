"""Numbers with units as people write them (rates, times, sizes, shares) as whole numbers, and times as said.

Each reader raises ValueError with the rest of a sentence that begins with the name of the key.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z/%]*)\s*")
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TIME_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}


def _parts(text: str | int | float, example: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(str(text))
    if match is None:
        raise ValueError(f"wants a number with its unit, as in {example}")
    return float(match["number"]), match["unit"]


def bits_per_second(text: str | int) -> int:
    """A rate: a whole number of bit/s, or text such as 10Gbps, 40Mbit/s."""
    number, unit = _parts(text, "10Gbps")
    prefix = re.sub(r"(bps|bits?/s|bit)$", "", unit.lower())
    if prefix not in _PREFIX:
        raise ValueError(f"has the unit {unit!r}; a rate is in bps, kbps, Mbps, Gbps or Tbps")
    return round(number * _PREFIX[prefix])


def nanoseconds(text: str | int) -> int:
    """A time: a whole number of ns, or text such as 50us, 2ms, 10s."""
    number, unit = _parts(text, "50us")
    if (unit.lower() or "ns") not in _TIME_NS:
        raise ValueError(f"has the unit {unit!r}; a time is in ns, us, ms, s or min")
    return round(number * _TIME_NS[unit.lower() or "ns"])


def time_said(nanoseconds: int) -> str:
    """A time in a sentence."""
    return f"{nanoseconds / 1e9:.3g} s" if nanoseconds >= 1e9 else f"{nanoseconds / 1e6:.3g} ms"


def byte_count(text: str | int) -> int:
    """A size: a whole number of bytes, or text such as 64KiB, 10MB."""
    number, unit = _parts(text, "64KiB")
    if unit.lower() not in _BYTES:
        raise ValueError(f"has the unit {unit!r}; a size is in B, KB, MB, GB, KiB, MiB or GiB")
    return round(number * _BYTES[unit.lower()])


def bytes_per_second(text: str | int) -> int:
    """A speed of a medium: bytes per second, or text such as 35MB/s."""
    return byte_count(str(text).strip().removesuffix("/s"))


def per_billion(text: str | float) -> int:
    """A probability: a number from 0 to 1, or text such as 0.1%."""
    number, unit = _parts(text, "0.1%")
    if unit not in ("", "%"):
        raise ValueError(f"has the unit {unit!r}; a share is a number or a percentage")
    return round(number * (10**9 if unit == "" else 10**7))

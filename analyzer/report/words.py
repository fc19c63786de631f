"""Numbers and names as people read them: units chosen by size, three significant digits, plain words.

Decides presentation only; nothing here computes a figure. A missing figure is an en dash.
"""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import UTC, datetime

MISSING = "–"  # noqa: RUF001  the typographic mark for an empty cell
NARROW_SPACE = "\u202f"


def significant(value: float, digits: int = 3) -> str:
    """``value`` with that many significant digits and grouped thousands: 1234.5 is ``1,234``."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(value: float | None, steps: tuple[tuple[float, str], ...]) -> str:
    """``value`` in the largest unit that leaves at least one; ``steps`` go from large to small."""
    if value is None:
        return MISSING
    for factor, unit in steps:
        if abs(value) >= factor:
            return f"{significant(value / factor)}{NARROW_SPACE}{unit}"
    factor, unit = steps[-1]
    return f"{significant(value / factor)}{NARROW_SPACE}{unit}"


def duration(nanoseconds: float | None) -> str:
    """A time span: ``1.25 ms``."""
    return scaled(nanoseconds, ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")))


def size(value: float | None) -> str:
    """The size of one transfer or buffer: ``4 KiB`` where whole in binary units, else as ``amount``."""
    if value is not None and value >= 1024 and value % 1024 == 0:
        for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if value % factor == 0:
                return f"{significant(value / factor, 4)}{NARROW_SPACE}{unit}"
    return amount(value)


def amount(value: float | None) -> str:
    """A sum of bytes, in decimal units."""
    return scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def rate(value: float | None) -> str:
    """Bytes per second."""
    return scaled(value, ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")))


def bit_rate(value: float | None) -> str:
    """Bits per second."""
    return scaled(value, ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")))


def count(value: float | None) -> str:
    """A whole number with grouped thousands."""
    return MISSING if value is None else f"{round(value):,}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """``value`` percent."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value != 0 and abs(value) < 0.05:
        return f"±0{NARROW_SPACE}%" if signed else f"under 0.1{NARROW_SPACE}%"
    text = f"{value:,.0f}" if abs(value) >= 99.95 or value == int(value) else f"{value:.1f}"
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{text}{NARROW_SPACE}%".replace("-", "\N{MINUS SIGN}")


def figure(value: float | None, unit: str) -> str:
    """A figure of ``analyzer.measures`` in its unit."""
    if unit == "ns":
        return duration(value)
    if unit == "s":
        return duration(None if value is None else value * 1e9)
    if unit == "bytes/s":
        return rate(value)
    if unit == "bytes":
        return amount(value)
    if value is None:
        return MISSING
    if unit == "requests/s":
        return f"{significant(value)}/s"
    if unit == "requests" and value == int(value):
        return count(value)
    return significant(value)


def between(ends: tuple[float, float] | None, unit: str) -> str:
    """An interval of a figure; empty where there is none or it has no width."""
    if ends is None or ends[0] == ends[1]:
        return ""
    return f"{figure(ends[0], unit)} to {figure(ends[1], unit)}"


def percent_between(low: float | None, high: float | None) -> str:
    """An interval of a signed difference, as in ``+1.2 to +3.4 %``; empty where it has no width."""
    if low is None or high is None or low == high:
        return ""
    first, last = percent(low, signed=True), percent(high, signed=True)
    return f"{first.removesuffix(f'{NARROW_SPACE}%')} to {last}"


def beside(text: str, interval: str) -> str:
    """A figure with its interval in brackets, where it has one."""
    return f"{text} ({interval})" if interval else text


def plural(number: float, singular: str, many: str = "") -> str:
    """``3 commands``, ``1 command``, ``no command``: the number with its noun."""
    noun = singular if round(number) == 1 else (many or f"{singular}s")
    return f"{count(number)} {noun}" if number else f"no {singular}"


def sentence(text: str) -> str:
    """``text`` with a capital at its head and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def moment(nanoseconds: int) -> str:
    """An absolute time in UTC to the microsecond; the Unix epoch itself means unknown."""
    if nanoseconds <= 0:
        return "unknown"
    try:
        whole = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return "unknown"
    return f"{whole:%Y-%m-%d %H:%M:%S}.{nanoseconds % 1_000_000_000 // 1000:06d} UTC"


def visible(text: str) -> str:
    """A foreign name with control, format and unassigned characters shown as escapes, never acted on."""
    return "".join(
        character if not unicodedata.category(character).startswith(("C", "Zl", "Zp")) else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, limit: int = 60) -> str:
    """A visible name, its middle left out where it is longer than ``limit`` characters."""
    text = visible(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def told(detail: str, begin_ns: int = 0, limit: int = 400) -> str:
    """The JSON object of an event as ``key: value`` phrases; any other text as it stands.

    Durations and moments (``_ns``) are said in their unit, moments counted from ``begin_ns``.
    """
    try:
        value = json.loads(detail)
    except ValueError:
        return shortened(detail, limit)
    if not isinstance(value, dict):
        return shortened(str(value), limit)
    parts = []
    for key, item in value.items():
        if item is None or item == "" or item == [] or item == {}:
            continue
        parts.append(_phrase(str(key), item, begin_ns))
    return shortened("; ".join(parts), limit)


_MOMENT_NS = 10**17
"""From three years after the epoch on, a number of nanoseconds is a moment and no duration."""


def _phrase(key: str, item: object, begin_ns: int) -> str:
    words = key.replace("_", " ")
    if isinstance(item, bool):
        return f"{words}: {'yes' if item else 'no'}"
    if isinstance(item, int) and key.endswith("_ns"):
        words = words.removesuffix(" ns")
        if item >= _MOMENT_NS:
            return f"{words} at: {(item - begin_ns) / 1e9:.6f}{NARROW_SPACE}s"
        return f"{words}: {duration(item)}"
    if isinstance(item, int) and key.endswith("_s"):
        return f"{words.removesuffix(' s')}: {item}{NARROW_SPACE}s"
    if isinstance(item, int) and key in ("asc", "ascq", "sense_key"):
        return f"{words}: 0x{item:02x}"
    return f"{words}: {_plain(item)}"


def _plain(item: object) -> str:
    if isinstance(item, list):
        return ", ".join(_plain(one) for one in item)
    if isinstance(item, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in item.items())
    return str(item)

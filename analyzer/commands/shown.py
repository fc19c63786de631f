"""How figures look on a terminal: units, tables, and the same data as one JSON document.

Nothing is measured here. Text that came from a capture passes through ``plain`` first, since a
name may hold control characters or what looks like markup.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

MISSING = "–"  # noqa: RUF001 - an en dash stands for "no such figure"

_TIME_UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0))
_BYTE_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


class _ResultConsole(Console):
    """Leaves it to the command how it ends when nobody reads on; rich itself ends it with exit code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output_console() -> Console:
    """The console for results, on stdout."""
    return _ResultConsole(highlight=False)


def plain(text: Any) -> str:
    """Text from a capture made safe for a terminal: printable, and not read as markup."""
    if text is None:
        return MISSING
    return escape("".join(_printable(character) for character in str(text)))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() and character not in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else "?"


def duration(nanoseconds: float | None) -> str:
    """A time span with three significant digits in the unit that suits it."""
    if nanoseconds is None:
        return MISSING
    return _scaled(nanoseconds, _TIME_UNITS)


def byte_count(count: float | None) -> str:
    """Bytes with three significant digits; decimal units, as link rates are."""
    return MISSING if count is None else _scaled(count, _BYTE_UNITS)


def figure(value: float | None, unit: str) -> str:
    """A measure in its declared unit."""
    if value is None or math.isnan(value):
        return MISSING
    if unit == "ns":
        return duration(value)
    if unit == "s":
        return duration(value * 1e9)
    if unit == "bytes/s":
        return byte_count(value) + "/s"
    if unit == "bytes":
        return byte_count(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ends(interval: tuple[float, float] | None, value: float | None, unit: str) -> str:
    """An interval in the unit that suits ``value``, without the unit; empty where it has no width."""
    if interval is None or value is None or interval[0] == interval[1]:
        return ""
    scale, digits = _scale(value, unit)
    low, high = (f"{end / scale:,.{digits}f}" for end in interval)
    return f"{low}…{high}"


def _scale(value: float, unit: str) -> tuple[float, int]:
    """By what ``figure`` divides a value, and how many decimals it then shows."""
    units = {"ns": _TIME_UNITS, "bytes/s": _BYTE_UNITS, "bytes": _BYTE_UNITS}.get(unit, ((unit, 1.0),))
    scale = next((size for _, size in units if abs(value) >= size), units[-1][1])
    return scale, _decimals(value / scale)


def percent(value: float | None) -> str:
    """A signed difference in percent."""
    return MISSING if value is None else f"{value:+.1f} %"


def table(title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Table:
    """A table of finished strings; each column is (heading, how it is set).

    ``right`` sets figures, which never break over lines; ``label`` sets names that may not break
    either; an empty word sets text, which gives way when the terminal is narrow.
    """
    drawn = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    drawn.show_edge = drawn.pad_edge = False
    drawn.padding = (0, 1, 0, 0)
    for heading, kind in columns:
        justify: Literal["right", "left"] = "right" if kind == "right" else "left"
        drawn.add_column(heading, justify=justify, overflow="fold", no_wrap=bool(kind), vertical="top")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def print_json(document: Any) -> None:
    """Print one JSON document on stdout and nothing else."""
    print(json.dumps(_without_nan(document), indent=1, ensure_ascii=False, allow_nan=False))


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    for unit, size in units:
        if abs(value) >= size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / units[-1][1])} {units[-1][0]}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:,.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    """Decimals that leave three significant digits, also where rounding adds one before the point."""
    return max(0, 2 - math.floor(math.log10(float(f"{abs(value):.2e}")))) if value else 0


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

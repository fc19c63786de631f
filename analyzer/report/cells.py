"""Cells of tables from values: the text that is shown and the value that sorts, made in one place."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analyzer.report.blocks import Cell
from analyzer.report.words import (
    MISSING,
    amount,
    count,
    duration,
    percent,
    shortened,
    significant,
    size,
)


def time_cell(nanoseconds: float | None, tone: str = "") -> Cell:
    """A time span."""
    return Cell(duration(nanoseconds), nanoseconds, tone)


def moment_cell(seconds: float | None) -> Cell:
    """A moment, in seconds since the start of the capture."""
    return Cell(MISSING if seconds is None else f"{seconds:.6f}", seconds)


def count_cell(value: float | None, tone: str = "") -> Cell:
    """A whole number."""
    return Cell(count(value), value, tone)


def amount_cell(value: float | None) -> Cell:
    """A sum of bytes."""
    return Cell(amount(value), value)


def size_cell(value: float | None) -> Cell:
    """The bytes of one transfer."""
    return Cell(size(value), value)


def share_cell(share: float | None) -> Cell:
    """A share between 0 and 1, as percent."""
    return Cell(percent(None if share is None else share * 100), share)


def plain_cell(value: float | None) -> Cell:
    """A number with three significant digits."""
    return Cell(MISSING if value is None else significant(value), value)


def name_cell(text: str | None, limit: int = 80, tone: str = "", color: str = "") -> Cell:
    """A name, perhaps a foreign one: shown without control characters and not at any length."""
    shown = MISSING if text is None else shortened(text, limit)
    return Cell(shown, None if text is None else shown, tone, color)


def maybe(value: Any) -> Any:
    """``value``, or None for any of the nulls of pandas."""
    return None if value is None or value is pd.NA or value is pd.NaT else value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column name."""
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]

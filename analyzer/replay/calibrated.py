"""A value that was taken from a recording, with what it rests on and how far it can be trusted.

Decides the words and the three grades of confidence; works out no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Confidence(StrEnum):
    """How far a value can be trusted."""

    HIGH = "high"  # many observations that agree
    MEDIUM = "medium"  # few observations, or some that disagree
    LOW = "low"  # assumed, or a bound that was taken for the value


@dataclass(frozen=True, slots=True)
class CalibratedValue:
    """A number of the model. ``low`` and ``high`` bound it, in its unit; None where nothing does.

    ``key`` is the key of a scenario that gives the value instead (``--set KEY=VALUE``), empty for none.
    """

    name: str
    value: float | int | str | None
    unit: str
    rests_on: str
    confidence: Confidence = Confidence.LOW
    low: float | None = None
    high: float | None = None
    key: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON data, as the manifest of an outcome has it."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "rests_on": self.rests_on,
            "confidence": str(self.confidence),
            "low": self.low,
            "high": self.high,
            "key": self.key,
        }

"""What a claim is, and what comes of trying one.

Decides nothing about any claim. Values only: the terminal and the page show them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.comparison.claims.trial import Experiment, Trial


class Verdict(StrEnum):
    """What a recording says of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNTRIED = "cannot be tried"


@dataclass(frozen=True, slots=True)
class Number:
    """One figure behind a verdict, in a unit of ``analyzer.measures`` or in ``%``."""

    label: str
    value: float | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict with its reason in a sentence, and the figures it rests on."""

    verdict: Verdict
    reason: str
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the debate and the experiment that tries it."""

    number: int
    """As the debate counts them."""
    sentence: str
    is_run: str
    """What is run, or what of the recording is looked at."""
    is_measured: str
    """What is measured, and from where on the claim holds."""
    section: str
    """Section of the page with the plots."""
    judge: Callable[[Trial], Judgement]
    experiments: Callable[[Trial], tuple[Experiment, ...]] | None = None
    """The replays that ``judge`` will ask for, so that those of all claims run together; None where it looks
    at the recording alone."""

    @property
    def is_replayed(self) -> bool:
        """Whether the verdict rests on replays, not on the recording alone."""
        return self.experiments is not None


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with what came of it.

    ``caveat`` says why to doubt it, ``excerpt`` which part of the recording was replayed; both are empty
    where there is nothing to say.
    """

    claim: Claim
    judgement: Judgement
    caveat: str = ""
    excerpt: str = ""


def untried(reason: str, *numbers: Number) -> Judgement:
    """The judgement of a claim that the recording cannot support."""
    return Judgement(Verdict.UNTRIED, reason, numbers)


def verdict(holds: bool) -> Verdict:
    """The verdict of a claim that was tried."""
    return Verdict.HOLDS if holds else Verdict.FAILS

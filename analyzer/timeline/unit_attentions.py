"""Unit attentions and what most likely brought them about.

Decides among the resets, preemptions, clearings and logins that the capture shows: the latest one before
the unit attention that reaches its logical unit and explains its code. Does not follow reservations.
Rules: SAM-5 section 5.14, SPC-4 sections 5.13 and 6.16, table of unit attentions in RFC 7143 section 7.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

RESETS = ((0x29, 0x00), (0x29, 0x01), (0x29, 0x02), (0x29, 0x03), (0x29, 0x04))
NEXUS_LOST = ((0x29, 0x07), (0x29, 0x00))
CLEARED = ((0x2F, 0x00),)
PREEMPTED = ((0x2A, 0x03), (0x2A, 0x05))
RELEASED = ((0x2A, 0x04),)
MODE_CHANGED = ((0x2A, 0x01), (0x2A, 0x00))


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that can bring unit attentions about."""

    at_ns: int
    target: int
    lun: int | None
    """None where all units of the target are meant."""
    session: int
    codes: tuple[tuple[int, int], ...]
    words: str
    reaches_sender: bool
    """Whether the session that did it hears of it too."""
    reaches_others: bool = True


class CauseFinder:
    """Answers which cause explains a unit attention best."""

    def __init__(self, causes: Sequence[Cause]) -> None:
        """Causes in any order."""
        self._by_target: dict[int, list[Cause]] = {}
        for cause in sorted(causes, key=lambda one: one.at_ns):
            self._by_target.setdefault(cause.target, []).append(cause)
        self._times = {target: [cause.at_ns for cause in own] for target, own in self._by_target.items()}

    def explain(
        self, code: tuple[int, int], at_ns: int, target: int, lun: int, sessions: set[int]
    ) -> Cause | None:
        """The latest fitting cause, None where the capture shows none.

        ``sessions`` are those of the I_T nexus that got it.
        """
        causes = self._by_target.get(target, [])
        for place in range(bisect.bisect_right(self._times.get(target, []), at_ns) - 1, -1, -1):
            cause = causes[place]
            is_own = cause.session in sessions
            reaches = cause.reaches_sender if is_own else cause.reaches_others
            if code in cause.codes and cause.lun in (None, lun) and reaches:
                return cause
        return None

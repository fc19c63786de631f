"""Sessions of connections whose login was not recorded, judged by their CmdSNs.

Decides, and says so, which connections share one command sequence: CmdSN is counted per session
(RFC 7143 section 4.2.2.1), so the connections of an MC/S session each show a sequence with holes that
the others fill, while a session of one connection shows one without. Knows no names and no tags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.serial_numbers import unwrap

_LONE_HOLES_SHARE = 0.02
_SHARED_BY_MISTAKE = 0.1
_CLOSE_DISTANCE = 1 << 16

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CommandSequence:
    """The CmdSNs that some connections used up, each once, rising, as 64-bit numbers; and when."""

    numbers: Int64s
    first_ns: int
    last_ns: int

    @staticmethod
    def of(cmd_sn: npt.NDArray[np.uint32], first_ns: int, last_ns: int) -> CommandSequence:
        """From the CmdSNs of non-immediate requests in order of time, shape (n,)."""
        return CommandSequence(_distinct(unwrap(cmd_sn)), first_ns, last_ns)

    @property
    def holes(self) -> int:
        """Numbers between the first and the last that were not seen."""
        if not len(self.numbers):
            return 0
        return int(self.numbers[-1] - self.numbers[0]) + 1 - len(self.numbers)

    @property
    def is_alone(self) -> bool:
        """Whether it has so few holes that no other connection need have part in it."""
        return self.holes <= _LONE_HOLES_SHARE * len(self.numbers)


def interleave(one: CommandSequence, other: CommandSequence) -> CommandSequence | None:
    """Both as one sequence where they take their numbers from one counter, else None.

    They must overlap in time and in number. Where one has the share p of the numbers of that stretch and
    the other the share q, unrelated counters would have about p * q of it in common; one counter gives
    no number twice (but for a few retries).
    """
    if one.last_ns < other.first_ns or other.last_ns < one.first_ns:
        return None
    if not len(one.numbers) or not len(other.numbers):
        return None
    # Each was counted from its own first number; bring the other onto the same turn of the counter.
    turn = round(float(one.numbers[0] - other.numbers[0]) / (1 << 32)) << 32
    numbers = other.numbers + turn
    low, high = max(one.numbers[0], numbers[0]), min(one.numbers[-1], numbers[-1])
    if high <= low or abs(int(one.numbers[0] - numbers[0])) > _CLOSE_DISTANCE:
        return None
    both = _distinct(np.concatenate([one.numbers, numbers]))
    shared = len(one.numbers) + len(numbers) - len(both)
    within_one, within_other = _count_within(one.numbers, low, high), _count_within(numbers, low, high)
    expected_shared = within_one * within_other / (int(high - low) + 1)
    if expected_shared < 1.0 or shared > _SHARED_BY_MISTAKE * expected_shared:
        return None
    return CommandSequence(both, min(one.first_ns, other.first_ns), max(one.last_ns, other.last_ns))


def group_sequences(known: list[CommandSequence | None], loose: list[CommandSequence]) -> list[int]:
    """The group of each loose sequence, each joining the first group that it completes.

    A number below ``len(known)`` joins that known session; any other names a new group.
    """
    groups: list[CommandSequence | None] = list(known)
    answers: list[int] = []
    for sequence in loose:
        answer = None
        if not sequence.is_alone:
            for number, group in enumerate(groups):
                if group is None or group.is_alone:
                    continue
                merged = interleave(group, sequence)
                if merged is not None:
                    groups[number] = merged
                    answer = number
                    break
        if answer is None:
            answer = len(groups)
            groups.append(sequence)
        answers.append(answer)
    return answers


def _distinct(numbers: Int64s) -> Int64s:
    """Each number once, rising. Numbers come in long rising runs, which a stable sort merges quickly."""
    rising = np.sort(numbers, kind="stable")
    return rising[np.diff(rising, prepend=rising[:1] - 1) > 0]


def _count_within(numbers: Int64s, low: int, high: int) -> int:
    return int(np.searchsorted(numbers, high, side="right") - np.searchsorted(numbers, low, side="left"))

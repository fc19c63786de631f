"""What a path policy is: a declaration, a small function that chooses a path, and one that may learn.

The functions know the request, the paths of their scope and a memory of their own; they do not know links,
targets or what will happen. They are compiled for fixed signatures, so the engine is compiled once for all
policies. A path is named by its place in the scope, from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.state import MEMBER

Int64s = npt.NDArray[np.int64]


class PathRequest(NamedTuple):
    """The request that needs a path: all that a policy may know of it.

    ``stream`` numbers who asks: requests of one chain (one place of the queue depth) share it.
    """

    now_ns: int
    lun: int
    lba: int
    data_bytes: int
    is_write: int
    recorded_path: int
    stream: int


class PathStates(NamedTuple):
    """The paths of the scope, shape (paths,): commands and bytes given to each and not completed.

    ``value`` is what the option of the policy that has one number for each path gives it.
    """

    is_usable: npt.NDArray[np.int8]
    outstanding: Int64s
    outstanding_bytes: Int64s
    value: Int64s


class Completion(NamedTuple):
    """A request that has ended: the path that carried it, and when it was given to that path."""

    now_ns: int
    path: int
    dispatched_ns: int
    data_bytes: int
    is_write: int


# From request, paths, memory (words,) and options (options,) to a path, or -1 for none.
Choose = Callable[[PathRequest, PathStates, Int64s, npt.NDArray[np.float64]], int]
# Called behind each completion, when the path no longer counts it as outstanding; gives 0.
Finish = Callable[[Completion, PathStates, Int64s, npt.NDArray[np.float64]], int]


class Rules(NamedTuple):
    """The compiled functions of a run: of the policy, and of the one that chooses inside a session."""

    choose: Choose
    finish: Finish
    choose_inner: Choose
    finish_inner: Finish


@dataclass(frozen=True, slots=True)
class Option:
    """A number that tunes a policy, or one of ``choices`` (handed to it as their place in the tuple).

    ``is_per_path``: a whole number for each path, written ``1:2:3``; a policy has at most one such, and
    finds it in ``PathStates.value``. Paths without one take the default.
    """

    name: str
    default: float | str
    sentence: str
    minimum: float = 0.0
    maximum: float = 1e15
    choices: tuple[str, ...] = ()
    is_per_path: bool = False


def a_word_for_each_path_and_one(paths: int) -> int:
    """The memory that ``mark_used`` needs."""
    return paths + 1


def no_memory(paths: int) -> int:
    """The memory of a policy that keeps none."""
    return 0 * paths


def nothing_learnt(
    completion: Completion, paths: PathStates, memory: Int64s, options: npt.NDArray[np.float64]
) -> int:
    """What a policy without interest in completions does with them."""
    return 0


@dataclass(frozen=True, slots=True)
class Policy:
    """A declared policy. ``source`` says where its rule is written down.

    ``memory_words`` gives the number of int64 words it keeps for a scope of so many paths; they begin as 0.
    ``finish`` is told of every completion.
    """

    name: str
    sentence: str
    source: str
    choose: Choose
    aliases: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    memory_words: Callable[[int], int] = a_word_for_each_path_and_one
    finish: Finish = nothing_learnt

    @property
    def scalar_options(self) -> tuple[Option, ...]:
        """The options handed over as ``options``, in declared order."""
        return tuple(option for option in self.options if not option.is_per_path)

    @property
    def path_option(self) -> Option | None:
        """The option with a number for each path, if there is one."""
        return next((option for option in self.options if option.is_per_path), None)


TIES = Option(
    "ties",
    "least-recently-used",
    "Which of equal paths: the least recently used, as Linux does, or the one with the lowest number.",
    choices=("least-recently-used", "lowest-path"),
)
TIES_BY_USE, TIES_BY_NUMBER = 0.0, 1.0


@njit(cache=True, nogil=True)
def mark_used(memory: Int64s, path: int) -> int:
    """Note that ``path`` was chosen now and give it back; word 0 counts choices, word 1 + path is its latest.

    Smaller words come first, so this is the list of the Linux selectors in which a chosen path
    moves to the tail.
    """
    memory[0] += 1
    memory[1 + path] = memory[0]
    return path


@njit(cache=True, nogil=True)
def is_longer_unused(memory: Int64s, path: int, other: int) -> bool:
    """Whether ``path`` was chosen longer ago than ``other``: nearer to the head of the list."""
    return bool(memory[1 + path] < memory[1 + other])


def example_arguments() -> tuple[Any, ...]:
    """Arguments of the types that ``choose`` is compiled for: states are fields of records."""
    members: Any = np.zeros((2, 2), MEMBER).view(np.recarray)[1]
    return (
        PathRequest(0, 0, 0, 0, 0, 0, 0),
        PathStates(members.is_usable, members.outstanding, members.outstanding_bytes, members.value),
        np.zeros(1, np.int64),
        np.zeros(1, np.float64),
    )


def example_completion() -> tuple[Any, ...]:
    """Arguments of the types that ``finish`` is compiled for."""
    return (Completion(0, 0, 0, 0, 0), *example_arguments()[1:])

"""What a path policy is: a declaration, and one small function that chooses a path.

The function knows the request, the paths of its scope and a memory of its own; it does not know links,
targets or what will happen. It is compiled for one fixed signature, so the engine is compiled once for all
policies. A path is named by its place in the scope, from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]


class PathRequest(NamedTuple):
    """The request that needs a path: all that a policy may know of it."""

    now_ns: int
    lun: int
    lba: int
    data_bytes: int
    is_write: int
    recorded_path: int


class PathStates(NamedTuple):
    """The paths of the scope, shape (paths,): commands and bytes given to each and not completed."""

    is_usable: npt.NDArray[np.int8]
    outstanding: Int64s
    outstanding_bytes: Int64s


# From request, paths, memory (words,) and options (options,) to a path, or -1 for none.
Choose = Callable[[PathRequest, PathStates, Int64s, npt.NDArray[np.float64]], int]


@dataclass(frozen=True, slots=True)
class Option:
    """A number that tunes a policy, or one of ``choices`` (handed to it as their place in the tuple)."""

    name: str
    default: float | str
    sentence: str
    minimum: float = 0.0
    choices: tuple[str, ...] = ()


def a_word_for_each_path_and_one(paths: int) -> int:
    """The memory that ``mark_used`` needs."""
    return paths + 1


def no_memory(paths: int) -> int:
    """The memory of a policy that keeps none."""
    return 0 * paths


@dataclass(frozen=True, slots=True)
class Policy:
    """A declared policy. ``source`` says where its rule is written down.

    ``memory_words`` gives the number of int64 words it keeps for a scope of so many paths; they begin as 0.
    """

    name: str
    sentence: str
    source: str
    choose: Choose
    aliases: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    memory_words: Callable[[int], int] = a_word_for_each_path_and_one


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


def example_arguments() -> tuple[Any, ...]:
    """Arguments of the types that ``choose`` is compiled for."""
    nothing = np.zeros(1, np.int64)
    return (
        PathRequest(0, 0, 0, 0, 0, 0),
        PathStates(np.zeros(1, np.int8), nothing, nothing),
        nothing,
        np.zeros(1, np.float64),
    )

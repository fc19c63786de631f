"""Policies by name: a declared one, or one from a user's Python file.

A file holds a function ``choose`` and, as it likes, ``finish``, ``memory_words``, ``OPTIONS`` and a
docstring; or a ``POLICY`` that declares all of it. It is tried on a few requests as plain Python before
anything else, so that a mistake in it is one line that names the file and the line.
"""

from __future__ import annotations

import functools
import inspect
import runpy
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import UnusableInputError
from analyzer.replay.policies import POLICIES, POLICY_BY_NAME
from analyzer.replay.policies.interface import (
    Completion,
    Option,
    PathRequest,
    PathStates,
    Policy,
    a_word_for_each_path_and_one,
    nothing_learnt,
)

TRIED_PATHS = (1, 2, 3, 4)
TRIED_REQUESTS = 40
PARAMETERS = {"choose": 4, "finish": 4, "memory_words": 1}


def policy_named(name: str) -> Policy:
    """The policy of that name or in that file. Raises UnusableInputError where there is none that works."""
    if name in POLICY_BY_NAME:
        return POLICY_BY_NAME[name]
    if name.endswith(".py"):
        path = Path(name)
        try:
            return _from_file(name, path.stat().st_mtime_ns)
        except OSError as error:
            raise UnusableInputError(f"cannot be read: {error.strerror}", source=name) from None
    known = ", ".join(policy.name for policy in POLICIES)
    raise UnusableInputError(f"no policy {name!r}; there are {known}, or a file ./NAME.py", source="--with")


@functools.cache
def _from_file(name: str, _changed_ns: int) -> Policy:
    try:
        found = runpy.run_path(name)
    except SyntaxError as error:
        raise UnusableInputError(str(error.msg), source=name, place=f"line {error.lineno}") from None
    except Exception as error:
        raise _mistake(name, error) from None
    policy = found.get("POLICY")
    if policy is None:
        policy = _declared(name, found)
    if not isinstance(policy, Policy):
        raise UnusableInputError("POLICY is no Policy", source=name)
    for role in ("choose", "finish", "memory_words"):
        _check_function(name, role, getattr(policy, role))
    _try(name, policy)
    return policy


def _declared(name: str, found: dict[str, Any]) -> Policy:
    if "choose" not in found:
        raise UnusableInputError(
            "defines neither choose(request, paths, memory, options) nor POLICY", source=name
        )
    options = found.get("OPTIONS", ())
    if not isinstance(options, tuple) or not all(isinstance(option, Option) for option in options):
        raise UnusableInputError("OPTIONS is no tuple of Option", source=name)
    return Policy(
        name=name,
        sentence=(found.get("__doc__") or "A policy of your own.").strip().splitlines()[0],
        source=name,
        choose=found["choose"],
        finish=found.get("finish", nothing_learnt),
        options=options,
        memory_words=found.get("memory_words", a_word_for_each_path_and_one),
    )


def _check_function(name: str, role: str, function: Any) -> None:
    plain = getattr(function, "py_func", function)
    if not inspect.isfunction(plain):
        raise UnusableInputError(f"{role} is no function", source=name)
    if len(inspect.signature(plain).parameters) != PARAMETERS[role]:
        wanted = "paths" if role == "memory_words" else "request, paths, memory, options"
        raise UnusableInputError(f"{role} does not take ({wanted})", source=name)


def _try(name: str, policy: Policy) -> None:
    """Run the functions as plain Python over some states. Raises UnusableInputError for what goes wrong."""
    choose: Any = getattr(policy.choose, "py_func", policy.choose)
    finish: Any = getattr(policy.finish, "py_func", policy.finish)
    random = np.random.default_rng(1)
    options = np.array([_default(option) for option in policy.scalar_options] or [0.0])
    for count in TRIED_PATHS:
        try:
            memory = np.zeros(max(1, int(policy.memory_words(count))), np.int64)
            for turn in range(TRIED_REQUESTS):
                commands = random.integers(0, 9, count)
                value = np.full(count, 1, np.int64)
                states = PathStates(np.ones(count, np.int8), commands, commands * 4096, value)
                request = PathRequest(turn * 1000, 0, turn * 8, 4096, turn % 2, turn % count, turn % 5)
                chosen = choose(request, states, memory, options)
                if not isinstance(chosen, (int, np.integer)) or not 0 <= chosen < count:
                    raise UnusableInputError(
                        f"choose gives {chosen!r} for {count} usable paths; a path is 0 to {count - 1}",
                        source=name,
                    )
                finish(
                    Completion(turn * 1000 + 500, int(chosen), turn * 1000, 4096, 0), states, memory, options
                )
        except UnusableInputError:
            raise
        except Exception as error:
            raise _mistake(name, error) from None


def _default(option: Option) -> float:
    if isinstance(option.default, str):
        return float(option.choices.index(option.default))
    return option.default


def _mistake(name: str, error: BaseException) -> UnusableInputError:
    """An exception of the user's code as one line with its place in the file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    place = f"line {lines[-1]}" if lines else None
    said = str(error).strip().splitlines()
    return UnusableInputError(f"{type(error).__name__}: {said[0] if said else ''}", source=name, place=place)

"""The policies of a scenario as the compiled engine calls them: first-class functions of one signature.

Decides what is kept on disk: the policies of the project are, those of a user are compiled anew.
"""

from __future__ import annotations

import functools
from typing import Any

import numba

from analyzer.compilation import kept_beside_its_sources
from analyzer.errors import UnusableInputError
from analyzer.replay.policies import POLICY_BY_NAME
from analyzer.replay.policies.interface import (
    Choose,
    Finish,
    Policy,
    Rules,
    example_arguments,
    example_completion,
)
from analyzer.replay.scenario import Scenario


def rules_of(scenario: Scenario) -> Rules:
    """The policies of a scenario as the engine takes them."""
    return Rules(
        *compiled(scenario.declared_policy),
        *compiled(scenario.declared_inner_policy if scenario.is_nested else scenario.declared_policy),
    )


@functools.cache
def compiled(policy: Policy) -> tuple[Choose, Finish]:
    """The functions of a policy as first-class functions; as they are where nothing is compiled.

    Raises UnusableInputError where Numba cannot compile a user's policy.
    """
    if getattr(numba.config, "DISABLE_JIT", False):
        return policy.choose, policy.finish
    choose = _compiled_function(policy, policy.choose, example_arguments())
    return choose, _compiled_function(policy, policy.finish, example_completion())


def _compiled_function(policy: Policy, function: Any, arguments: tuple[Any, ...]) -> Any:
    typeof: Any = numba.typeof
    signature = numba.types.int64(*(typeof(argument) for argument in arguments))
    is_ours = policy.name in POLICY_BY_NAME
    plain = getattr(function, "py_func", function)
    try:
        with kept_beside_its_sources(plain):
            return numba.cfunc(signature, cache=is_ours)(plain)
    except numba.core.errors.NumbaError as error:
        if is_ours:
            raise
        raise UnusableInputError(_numba_words(str(error)), source=policy.name) from None


def _numba_words(text: str) -> str:
    """What Numba has against a function, as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if not line.startswith(("Failed in", "\x1b", "File "))), "")
    place = next((line for line in lines if line.startswith("File ")), "")
    return f"cannot be compiled: {said} {place}".strip()

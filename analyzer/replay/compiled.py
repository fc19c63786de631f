"""How the engine is compiled: one decorator, so that the choice and its reason stand in one place.

The engine allocates nothing, so its functions are compiled without the reference counts that Numba
otherwise keeps for every array at every call; they would cost three quarters of the time. A
function that allocates does not belong under ``engine_function``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.compilation import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}

engine_function: Any = njit(**_OPTIONS)

# Widens a field of a record, so that functions are compiled for one kind of integer only.
int64: Any = np.int64

# For a function with one place or two from which it is called: it becomes part of its caller before
# anything is compiled. (Numba optimises a function again in each one above it, so that a chain of ten
# steps costs ten times its time.)
engine_step: Any = njit(inline="always", **_OPTIONS)

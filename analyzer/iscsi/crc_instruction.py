"""The processor's instruction for CRC32C, for compiled code, where there is one (x86 since SSE 4.2).

Decides only whether it may be used. The tables of ``digests`` do the same everywhere else: on other
processors, where Numba is told to compile for another one than this, and where nothing is compiled.
"""

from __future__ import annotations

import platform
from typing import Any

import numba
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

_INSTRUCTION = "llvm.x86.sse42.crc32.64.64"


def _is_usable() -> bool:
    config: Any = numba.config
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:
        return False
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    features: dict[str, bool] = binding.get_host_cpu_features()
    return features.get("sse4.2", False)


IS_USABLE = _is_usable()


def _step(_: Any, _crc: Any, _word: Any) -> Any:
    def generate(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(64)
        kind = ir.FunctionType(whole, [whole, whole])
        return builder.call(builder.module.declare_intrinsic(_INSTRUCTION, (), kind), arguments)

    return types.int64(types.int64, types.int64), generate


crc32c_step: Any = intrinsic(_step)
"""The running value (first) after eight bytes (second, one little-endian number); for compiled code only."""

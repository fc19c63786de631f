"""A slow device: compiles the shim of ``device_latency.c`` when a run asks for it, and says how to load it.

tgt has no delay of its own. The shim stands between tgt and the backing file; nothing else is changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Device
from benchmarks.lab.processes import run_tool

SOURCE = Path(__file__).with_name("device_latency.c")


def shim_environment(device: Device, folder: Path) -> dict[str, str]:
    """The environment in which tgt meets ``device``; empty for one without delay.

    Compiles into ``folder``. Raises UnusableInputError where no C compiler is there.
    """
    if not device.is_delayed:
        return {}
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise UnusableInputError("needs a C compiler (cc) for tgt's shim", source="--device-ms")
    shim = folder / "device_latency.so"
    run_tool(compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl")
    return {
        "LD_PRELOAD": str(shim),
        "LAB_READ_US": str(round(device.read_ms * 1000)),
        "LAB_WRITE_US": str(round(device.write_ms * 1000)),
        "LAB_JITTER_US": str(round(device.jitter_ms * 1000)),
    }

"""A slow device waits as long as it was told, always the same for the same block."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.errors import UnusableInputError
from benchmarks.lab import device_latency
from benchmarks.lab.configuration import Device
from benchmarks.lab.device_latency import shim_environment

PROBE = """
import os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
for name, offset in (("read", 0), ("read", 4096), ("read", 0), ("write", 0)):
    waits = []
    for _ in range(5):
        before = time.perf_counter()
        os.pread(file, 512, offset) if name == "read" else os.pwrite(file, bytes(512), offset)
        waits.append(time.perf_counter() - before)
    print(min(waits))  # a busy machine only adds
"""


def test_no_delay_needs_no_shim(tmp_path: Path) -> None:
    assert shim_environment(Device(), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_reads_and_writes_wait_their_time(tmp_path: Path) -> None:
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        pytest.skip("no C compiler on this machine")
    environment = shim_environment(Device(read_ms=20, write_ms=100, jitter_ms=10), tmp_path)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(8192))
    said = subprocess.run(
        [sys.executable, "-S", "-c", PROBE, str(disk)],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    first, other, again, write = map(float, said.stdout.split())
    assert all(0.01 <= wait < 0.06 for wait in (first, other, again))
    assert abs(first - again) < 0.003
    # The jitter of a block is the same in both directions.
    assert abs(write - first - 0.08) < 0.01


def test_a_missing_compiler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_latency.shutil, "which", lambda name: None)
    with pytest.raises(UnusableInputError, match=r"--device-ms: needs a C compiler"):
        shim_environment(Device(read_ms=1), tmp_path)

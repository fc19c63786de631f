"""Ctrl-C ends the work at once with one line, also in the middle of the first compilation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.real import capture_path

CAPTURE = capture_path("mcs-2conn-rr-mtu1500-tgt")


def test_stopping_the_first_compilation_says_so_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer.commands.main", "analyze", str(CAPTURE)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Compiling" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == ""
    assert complained == "analyzer: stopped\n"

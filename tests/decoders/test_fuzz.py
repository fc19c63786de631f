"""A short run of the fuzzer on the uncompiled decoder, whose arrays check their bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_mutated_captures_never_break_the_decoder() -> None:
    """Twelve seconds of new cases at each run would not repeat; so the seeds are the first ones."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.fuzz", "--seconds", "12"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "none failed" in done.stdout

"""Runs the command line as a user does: a process of its own, stdout and stderr apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ANALYZER = [sys.executable, "-m", "analyzer.commands.main"]
DEADLINE_S = 300


def run(
    arguments: Sequence[str | Path], *, columns: int = 80, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run one command on a terminal width; its output comes back as text."""
    done = subprocess.run(
        [*ANALYZER, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, "COLUMNS": str(columns)},
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

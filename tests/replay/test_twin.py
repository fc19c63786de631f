"""The same scenario and seed give the same events, in any process, compiled or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.twin import fingerprints

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("environment", [{}, {"NUMBA_DISABLE_JIT": "1"}], ids=["compiled", "uncompiled"])
def test_another_process_sees_the_same_events_to_the_bit(environment):
    """Uncompiled, the same functions run as plain Python: the slow twin of the engine."""
    other = subprocess.run(
        [sys.executable, "-m", "tests.replay.twin"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert other.stdout.splitlines() == fingerprints()

"""A recording that is longer takes hardly more memory: the whole verb, on a stream that lies nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.commands.run import ANALYZER, run
from tests.real import capture_path

ROOT = Path(__file__).parents[2]
CAPTURE = ROOT / "traces" / "mcs" / "mcs-2conn-rr-mtu1500-tgt.pcapng.zst"
LARGEST_BYTES = 500_000_000
MOST_GROWTH_BYTES = 75_000_000
"""Columns in memory would take some 100 bytes per PDU and 250 per command: 150 MB more for the longer one."""

RESIDENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(megabytes: int, output: Path) -> int:
    """The peak resident set of analyzing a real recording, repeated up to a size, and writing its folder."""
    made = [sys.executable, str(ROOT / "benchmarks" / "large_capture.py"), str(CAPTURE), "-"]
    feeder = subprocess.Popen([*made, "--megabytes", str(megabytes)], stdout=subprocess.PIPE, cwd=ROOT)
    # A process begins with the peak of the one that started it, which has run other tests: hence a small one.
    process = subprocess.Popen(
        [sys.executable, "-c", RESIDENT, *ANALYZER, "analyze", "-", "-o", str(output)],
        stdin=feeder.stdout,
        stdout=subprocess.PIPE,
    )
    assert feeder.stdout is not None
    feeder.stdout.close()
    said, _ = process.communicate()
    assert process.returncode == 0
    assert feeder.wait() == 0
    return int(said) * 1024


def test_twice_the_recording_takes_hardly_more_memory(tmp_path: Path) -> None:
    # What is compiled in a process stays in its memory.
    assert run(["analyze", capture_path("mcs-2conn-rr-mtu1500-tgt")]).returncode == 0
    short, long = (peak_bytes(megabytes, tmp_path / "timeline") for megabytes in (1500, 3000))
    assert long < LARGEST_BYTES
    assert long - short < MOST_GROWTH_BYTES

"""The capture: dumpcap on the interfaces of the run, started before the first packet, stopped after the last.

Knows interfaces and ports, not what is recorded. dumpcap writes the packets of several interfaces as
they reach it, so a file is in order of time within each interface only.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import UnusableInputError
from benchmarks.lab.processes import inside, stop, tool

SETTLE_S = 0.5
BUFFER_MIB = 64
_COUNTS = re.compile(rb"received/dropped on interface '[^']*': (\d+)/(\d+)")


@dataclass
class Recording:
    """What dumpcap said of itself; the counts are there once the recording has ended."""

    command: str
    packets: int | None = None
    dropped: int | None = None


@contextmanager
def recorded(
    capture: Path, interfaces: Sequence[str], port: int, *, longest_s: float, namespace: str | None = None
) -> Iterator[Recording]:
    """Record one TCP port on some interfaces into ``capture`` while inside, for at most ``longest_s``.

    Raises UnusableInputError where dumpcap may not record.
    """
    words = ["-q", "-B", str(BUFFER_MIB)]
    for interface in interfaces:
        words += ["-i", interface, "-f", f"tcp port {port}"]
    words += ["-w", str(capture), "-a", f"duration:{int(longest_s) + 1}"]
    command = inside(namespace, [tool("dumpcap"), *words])
    recorder = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert recorder.stderr is not None
    recording = Recording(" ".join(["dumpcap", *words[:-4], "-w", capture.name]))
    try:
        said = []
        # dumpcap names the file once it listens.
        for line in recorder.stderr:
            if line.startswith(b"File:"):
                break
            said.append(line.decode(errors="replace").strip())
        else:
            raise UnusableInputError(f"dumpcap could not record: {' '.join(said[-1:])}")
        yield recording
        # What the kernel has buffered still has to reach the recorder.
        time.sleep(SETTLE_S)
    finally:
        stop(recorder, signal.SIGINT)
        counts = _COUNTS.findall(recorder.stderr.read())
        recorder.stderr.close()
        if counts:
            recording.packets = sum(int(count) for count, _ in counts)
            recording.dropped = sum(int(dropped) for _, dropped in counts)

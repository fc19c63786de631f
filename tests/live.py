"""A real target on loopback, a real initiator and a real recorder, for tests of what goes over the wire now.

tgt serves a sparse file, libiscsi's tools are the initiator, dumpcap records. All ports are free ones
of 127.0.0.1, every wait is bounded, and everything started is stopped. How tgt and dumpcap are driven is
the lab's knowledge (``benchmarks/lab``).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab.processes import DEADLINE_S, tool
from benchmarks.lab.recorder import recorded as recorded_on
from benchmarks.lab.target import running_tgt

__all__ = ["TARGET_NAME", "Target", "free_port", "recorded", "running_target", "tool"]

TARGET_NAME = "iqn.2026-11.example.live:disk"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Target:
    """A running tgt with one logical unit, number 1."""

    port: int

    @property
    def portal(self) -> str:
        """The portal as libiscsi's tools want it."""
        return f"iscsi://127.0.0.1:{self.port}"

    @property
    def unit(self) -> str:
        """The logical unit as libiscsi's tools want it."""
        return f"{self.portal}/{TARGET_NAME}/1"


@contextmanager
def running_target(folder: Path, megabytes: int = 32) -> Iterator[Target]:
    """Start tgt over a sparse file in ``folder`` and stop it afterwards."""
    port = free_port()
    with running_tgt(folder, portal=f"127.0.0.1:{port}", name=TARGET_NAME, unit_bytes=megabytes << 20):
        yield Target(port)


@contextmanager
def recorded(port: int, capture: Path) -> Iterator[None]:
    """Record the loopback traffic of one TCP port into ``capture`` while inside."""
    with recorded_on(capture, ["lo"], port, longest_s=DEADLINE_S * 2):
        yield

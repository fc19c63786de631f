"""A real target on loopback, a real initiator and a real recorder, for tests of what goes over the wire now.

tgt serves a sparse file, libiscsi's tools are the initiator, dumpcap records. All ports are free ones
of 127.0.0.1, every wait is bounded, and everything started is stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TARGET_NAME = "iqn.2026-11.example.live:disk"
DEADLINE_S = 15.0


def tool(name: str) -> str:
    """The path of a tool that ``tests/install_tools.sh`` installs. Raises FileNotFoundError without it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; run tests/install_tools.sh")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: object, what: str) -> None:
    """Wait until ``condition()`` holds. Raises TimeoutError after the deadline."""
    assert callable(condition)
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], with_signal: int = signal.SIGTERM) -> None:
    """Ask a process to end and wait for it; kill it where it does not."""
    process.send_signal(with_signal)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
    disk = folder / "disk.img"
    with disk.open("wb") as file:
        file.truncate(megabytes << 20)
    port, control = free_port(), str(os.getpid() % 30_000)
    environment = {**os.environ, "TGT_IPC_SOCKET": str(folder / "tgt")}
    arguments = [tool("tgtd"), "-f", "-C", control, "--iscsi", f"portal=127.0.0.1:{port}"]
    with (folder / "tgtd.log").open("wb") as log:
        server = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
    admin = [tool("tgtadm"), "-C", control, "--lld", "iscsi"]

    def administer(*words: str) -> bool:
        done = subprocess.run([*admin, *words], env=environment, capture_output=True, check=False)
        return done.returncode == 0

    try:
        new_target = ("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET_NAME)
        wait_for(lambda: administer(*new_target), "tgt did not start")
        assert administer("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", str(disk))
        assert administer("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")
        yield Target(port)
    finally:
        stop(server, signal.SIGKILL)


@contextmanager
def recorded(port: int, capture: Path) -> Iterator[None]:
    """Record the loopback traffic of one TCP port into ``capture`` while inside."""
    arguments = [tool("dumpcap"), "-q", "-i", "lo", "-f", f"tcp port {port}", "-w", str(capture)]
    arguments += ["-a", f"duration:{int(DEADLINE_S * 2)}"]
    recorder = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert recorder.stderr is not None
    try:
        # dumpcap names the file once it listens.
        for line in recorder.stderr:
            if line.startswith(b"File:"):
                break
        else:
            raise RuntimeError("dumpcap could not record; it needs root or its capabilities")
        yield
        # What the kernel has buffered still has to reach the recorder.
        time.sleep(1.0)
    finally:
        stop(recorder, signal.SIGINT)
        recorder.stderr.close()

"""Tools of the machine: finding them, running them to their end, stopping what was started.

Every wait is bounded. Shared by the lab and by the tests that start real tools.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from analyzer.errors import UnusableInputError

DEADLINE_S = 15.0
INSTALL = "run tests/install_tools.sh"


def tool(name: str) -> str:
    """The path of a tool that ``tests/install_tools.sh`` installs. Raises UnusableInputError without it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise UnusableInputError(f"{name} is not installed; {INSTALL}")
    return found


def run_tool(name: str, *words: str) -> str:
    """Run a tool to its end; what it printed. Raises UnusableInputError with its words where it fails."""
    try:
        done = subprocess.run(
            [tool(name), *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnusableInputError(f"{name} {' '.join(words)}: no end after {DEADLINE_S:.0f} s") from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise UnusableInputError(f"{name} {' '.join(words)}: {said[0] if said else 'failed'}")
    return done.stdout


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until ``condition()`` holds. Raises TimeoutError, saying ``what``, after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], with_signal: int = signal.SIGTERM) -> None:
    """Ask a process to end and wait for it; kill it where it does not."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_alive(process_id: int) -> bool:
    """Whether a process of that number exists."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def inside(namespace: str | None, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` inside a network namespace, or here where that is None."""
    return list(command) if namespace is None else [tool("ip"), "netns", "exec", namespace, *command]

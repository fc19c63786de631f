"""What a lab calls its own, and the removal of all that: namespaces, the processes inside, folders.

Every name holds the process number of its lab, so that what a killed lab has left can be told from what
a living one is using. Nothing of any other name is ever touched.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analyzer.errors import UnusableInputError
from benchmarks.lab.processes import is_alive, run_tool

_PREFIX = "pathlab"
_NAMESPACE = re.compile(rf"{_PREFIX}-(\d+)-(initiator|target)")
_FOLDER = re.compile(rf"{_PREFIX}-(\d+)-folder-.*")


def namespace_name(side: str) -> str:
    """The name of this lab's namespace for ``initiator`` or ``target``."""
    return f"{_PREFIX}-{os.getpid()}-{side}"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this lab, removed on the way out."""
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}-{os.getpid()}-folder-") as folder:
        yield Path(folder)


def remove_leftovers() -> list[str]:
    """Remove what labs that are dead have left; the names of it."""
    removed = []
    for line in run_tool("ip", "netns", "list").splitlines():
        name = line.partition(" ")[0]
        if _is_left(_NAMESPACE.fullmatch(name)):
            remove_namespace(name)
            removed.append(name)
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        if _is_left(_FOLDER.fullmatch(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def _is_left(named: re.Match[str] | None) -> bool:
    return named is not None and not is_alive(int(named[1]))


def remove_namespace(name: str) -> None:
    """Remove a namespace, which ends its links, and kill whatever still runs inside."""
    with suppress(UnusableInputError):
        for word in run_tool("ip", "netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)
    with suppress(UnusableInputError):
        run_tool("ip", "netns", "del", name)

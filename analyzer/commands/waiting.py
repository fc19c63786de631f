"""What is shown on stderr while long work goes on: a progress bar, and why the first run is slow.

The bar is shown only on a terminal; the notice of compilation is a line that logs can hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int | None], None]


def _error_console() -> Console:
    from rich.console import Console  # imported late, since most runs on a pipe never need it

    return Console(stderr=True)


@contextmanager
def announced_if_compiling(sentence: str) -> Iterator[None]:
    """Print ``sentence`` on stderr once Numba begins to compile instead of loading what it has kept."""
    from numba.core import event  # as slow to import as what follows it anyway

    class Announcement(event.Listener):
        is_made = False

        def on_start(self, _: object) -> None:
            if not self.is_made:
                self.is_made = True
                _error_console().print(sentence, style="dim", highlight=False)

        def on_end(self, _: object) -> None:
            """Compilation ends without a word."""

    with event.install_listener("numba:compile", Announcement()):
        yield


@contextmanager
def progress_bar(title: str, is_bytes: bool = False) -> Iterator[Progress | None]:
    """Give a function of (done, total) that moves a bar, or None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (DownloadColumn(), TransferSpeedColumn()) if is_bytes else (MofNCompleteColumn(),)
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=_error_console(),
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""What is shown on stderr while long work goes on: a progress bar, and why the first run is slow.

The bar is shown only on a terminal; the notice of compilation is a line that logs can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Progress = Callable[[int, int | None], None]


@contextmanager
def announced_if_compiling(sentence: str) -> Iterator[None]:
    """Print ``sentence`` on stderr once Numba begins to compile instead of loading what it has kept."""
    from numba.core import event  # as slow to import as what follows it anyway

    class Announcement(event.Listener):
        is_made = False

        def on_start(self, _: object) -> None:
            if not self.is_made:
                self.is_made = True
                Console(stderr=True).print(sentence, style="dim", highlight=False)

        def on_end(self, _: object) -> None:
            """Compilation ends without a word."""

    with event.install_listener("numba:compile", Announcement()):
        yield


@contextmanager
def progress_bar(title: str, is_bytes: bool = False) -> Iterator[Progress | None]:
    """Give a function of (done, total) that moves a bar, or None where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
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
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""What is shown on stderr while long work goes on: a progress bar, and why the first run is slow.

Both only on a terminal, except for the notice of compilation, which is a line that logs can hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Progress = Callable[[int, int | None], None]
NOTICE_AFTER_S = 1.0


@contextmanager
def announced_if_slow(sentence: str) -> Iterator[None]:
    """Print ``sentence`` on stderr once the work inside takes longer than a second."""
    console = Console(stderr=True)
    timer = threading.Timer(NOTICE_AFTER_S, console.print, [sentence], {"style": "dim", "highlight": False})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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

"""Work beside the calling thread: what may overlap is begun here, and here alone.

Reading, decompressing, the compiled loops and Arrow's writer leave the interpreter to others; imports
and the trackers need it. Decides how a thread hands over its result, its exception, or its end.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")

SWITCH_INTERVAL_S = 0.0001
"""How long the interpreter may be held while a compiled loop in another thread waits for its next piece;
with Python's own 5 ms the loop would wait longer than it runs."""


class Alongside(Generic[Result]):
    """A call that runs in a thread of its own from now on.

    The thread ends with the process: nothing waits for it where the user has stopped the work.
    """

    def __init__(self, name: str, work: Callable[[], Result]) -> None:
        """``name`` is the thread's; ``work`` begins at once."""
        self._work = work
        self._results: list[Result] = []
        self._raised: BaseException | None = None
        self._interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self) -> Result:
        """What the call gave, once it has; raises what it raised."""
        try:
            self._thread.join()
        finally:
            sys.setswitchinterval(self._interval_s)
        if self._raised is not None:
            raise self._raised
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # handed over to the thread that asks for the result
            self._raised = error

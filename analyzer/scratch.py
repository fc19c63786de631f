"""Arrays that lie in unnamed files instead of memory, for recordings that are larger than it.

The kernel keeps their pages as it keeps those of any file: it writes them out when memory is short, and
they leave the process when ``let_go`` is called. Decides nothing of what is in them.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.errors import UnusableInputError

STEP = 1 << 16
"""Entries that are worked on at a time: with columns of some hundred bytes this is some ten megabytes."""


MAPPED_BYTES_LIMIT = 32 << 20
"""Pages of files that may be in the process beside those that were there before the first array."""

_LOOK_EVERY_S = 0.005

_M_MMAP_THRESHOLD = -3
_MAPPED_ALONE_BYTES = 1 << 20


class Scratch:
    """Makes such arrays; each ends with the last reference to it.

    While there are any, a thread sees to it that not many of their pages stay in the process.
    """

    def __init__(self, *, is_used: bool = True) -> None:
        """Where ``is_used`` is false, arrays are made in memory."""
        self._is_used = is_used
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._maps_lock = threading.Lock()
        if is_used:
            _give_back_freed_arrays()
            limit = _mapped_bytes() + MAPPED_BYTES_LIMIT
            threading.Thread(
                target=_keep_below, args=(weakref.ref(self), limit), name="scratch", daemon=True
            ).start()

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of the given shape. Raises UnusableInputError where the disk has no room for it."""
        kind = np.dtype(dtype)
        size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if not self._is_used or not size:
            return np.empty(shape, kind)
        with tempfile.TemporaryFile(prefix="analyzer-") as file:
            try:
                # Reserved here, since a full disk would end the process at the first touch of a page.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise UnusableInputError(
                    f"no room for {size:,} bytes ({error.strerror}); TMPDIR names another place",
                    source=tempfile.gettempdir(),
                ) from None
            pages = mmap.mmap(file.fileno(), size)
        with self._maps_lock:
            self._maps.add(pages)
        return np.frombuffer(pages, kind).reshape(shape)

    def moved(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``array`` itself where arrays are in memory, else a copy that is not; for what comes from NumPy."""
        if not self._is_used:
            return array
        place = self.empty(array.shape, array.dtype)
        for step in self.steps(len(array)):
            place[step] = array[step]
        return place

    def gathered(self, array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """``array[rows]`` in memory, of ``rows`` in ascending order, which may lie all over ``array``."""
        if not self._is_used:
            return array[rows]
        taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
        done = 0
        for step in self.steps(len(array)):
            until = int(np.searchsorted(rows, step.stop))
            taken[done:until] = array[rows[done:until]]
            done = until
        return taken

    def steps(self, count: int) -> Iterator[slice]:
        """``count`` entries in steps, after each of which the pages are let go; in memory one step.

        There is one step, an empty one, where there are no entries.
        """
        step = STEP if self._is_used else max(count, 1)
        for begin in range(0, max(count, 1), step):
            yield slice(begin, min(begin + step, count))
            self.let_go()

    def let_go(self) -> None:
        """Take the pages of all arrays out of the process; the next touch brings them back."""
        with self._maps_lock:
            maps = list(self._maps)
        for pages in maps:
            pages.madvise(mmap.MADV_DONTNEED)


def _give_back_freed_arrays() -> None:
    """Let every large array have a mapping of its own, which ends with it (mallopt(3)).

    Left alone, glibc raises the size from which it does so to that of the largest array freed, and keeps the
    room of smaller ones between others. Another C library may have no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_ALONE_BYTES)


def _keep_below(reference: weakref.ref[Scratch], limit: int) -> None:
    """Let the pages go whenever there are more than ``limit`` bytes, as long as the scratch is there."""
    while (scratch := reference()) is not None:
        if _mapped_bytes() > limit:
            scratch.let_go()
        del scratch
        time.sleep(_LOOK_EVERY_S)


def _mapped_bytes() -> int:
    """Bytes of files in the memory of this process (proc(5): ``statm``, the third number)."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[2]) * mmap.PAGESIZE

"""A capture file that is still being written, as a source of chunks that follows its end.

Hands out whatever has been written since, in the form of ``CaptureSource.chunks``. Whether more will come
is known to the caller, who also says how to wait for it; no clock is read here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from analyzer.byte_order import Bytes
from analyzer.capture.sources import CARRY_BYTES
from analyzer.errors import UnusableInputError

GROWING_CHUNK_BYTES = 1 << 20

_HEAD_BYTES = 64
"""A file is not looked at before it has so many bytes, by which its format is recognised."""


class GrowingSource:
    """One file being written. Raises UnusableInputError where it cannot be opened."""

    compression = "none"
    size_bytes = None
    fault = ""

    def __init__(self, path: Path, wait: Callable[[], bool]) -> None:
        """``wait`` is called when all was read: it returns, after a pause, whether more may come."""
        self.name = str(path)
        self._wait = wait
        self.bytes_read = 0
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise UnusableInputError(f"cannot be opened ({error.strerror})", source=self.name) from None

    def sha256(self) -> str | None:
        """A file that grows has no digest."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def chunks(self, chunk_bytes: int = GROWING_CHUNK_BYTES) -> Iterator[tuple[Bytes, int]]:
        """Buffers and the bytes in each, from ``CARRY_BYTES`` on; a buffer is reused at the next but one."""
        may_grow = True
        while may_grow and os.fstat(self._file.fileno()).st_size < _HEAD_BYTES:
            may_grow = self._wait()
        buffers = [np.empty(CARRY_BYTES + chunk_bytes, np.uint8) for _ in range(2)]
        used = 0
        while True:
            buffer = buffers[used % 2]
            size = self._file.readinto(buffer[CARRY_BYTES:].data) or 0
            self.bytes_read += size
            if size:
                used += 1
                yield buffer, size
            elif not may_grow:
                return
            else:
                may_grow = self._wait()

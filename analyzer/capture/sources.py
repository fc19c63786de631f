"""Where capture bytes come from: a file, a pipe or standard input, plain or compressed.

Opens a source, recognises compression by its first bytes, and hands out chunks that a second thread
reads (and, for files, hashes) ahead. Knows nothing of capture formats.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import queue
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import zstandard

from analyzer.byte_order import Bytes
from analyzer.errors import UnusableInputError

CHUNK_BYTES = 2 << 20
CARRY_BYTES = (4 << 20) + 4096
"""Room in front of each chunk for the record that the chunk before it cut in two."""

HASHED_BYTES_LIMIT = 256 << 20
"""Larger files are not hashed: it would take as long as decoding them."""

_BUFFERS = 3
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LARGEST_ZSTD_WINDOW = 1 << 30

STANDARD_INPUT = "-"


class _RawFile(io.RawIOBase):
    """The bytes as stored, hashed and counted as they pass; what was peeked at comes first."""

    def __init__(self, file: BinaryIO, *, is_hashed: bool) -> None:
        self._file = file
        self._peeked = b""
        self._digest = hashlib.sha256() if is_hashed else None
        self.bytes_read = 0

    def peek_head(self, size: int) -> bytes:
        """The first ``size`` bytes, or all where there are fewer; they will be read again."""
        while len(self._peeked) < size:
            more = self._file.read(size - len(self._peeked))
            if not more:
                break
            self._peeked += more
        return self._peeked

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._peeked:
            size = min(len(view), len(self._peeked))
            view[:size] = self._peeked[:size]
            self._peeked = self._peeked[size:]
        else:
            size = self._file.readinto(view) or 0  # type: ignore[attr-defined]
        self.bytes_read += size
        if self._digest is not None:
            self._digest.update(view[:size])
        return size

    def sha256(self) -> str | None:
        """Digest of the whole file, reading what is left of it."""
        if self._digest is None:
            return None
        rest = bytearray(1 << 20)
        while self.readinto(rest):
            pass
        return self._digest.hexdigest()

    def close(self) -> None:
        if not self.closed and self._file is not sys.stdin.buffer:
            self._file.close()
        super().close()


class CaptureSource:
    """One opened source. Raises UnusableInputError where it cannot be opened or is empty."""

    def __init__(self, source: str | Path, *, is_hashed: bool = True) -> None:
        """``is_hashed`` false leaves out the digest, for a look at the beginning only."""
        self.name = str(source)
        self.fault = ""
        """Why reading ended early, if it did: a sentence."""
        file, self.size_bytes = self._open()
        is_small = self.size_bytes is not None and self.size_bytes <= HASHED_BYTES_LIMIT
        self._raw = _RawFile(file, is_hashed=is_hashed and is_small)
        head = self._raw.peek_head(4)
        if not head:
            self._raw.close()
            raise UnusableInputError("is empty", source=self.name)
        self.compression = "none"
        self._read_some: Callable[[Any], int] = self._raw.readinto
        if head[:2] == _GZIP_MAGIC:
            self.compression = "gzip"
            # One step at a time, so that what precedes damage is not lost with it.
            self._read_some = gzip.GzipFile(fileobj=io.BufferedReader(self._raw, 1 << 20)).readinto1
        elif head == _ZSTD_MAGIC:
            self.compression = "zstd"
            decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_ZSTD_WINDOW)
            self._read_some = decompressor.stream_reader(
                cast(BinaryIO, self._raw), read_size=1 << 20, read_across_frames=True
            ).readinto

    @property
    def bytes_read(self) -> int:
        """Bytes of the stored (perhaps compressed) file read so far."""
        return self._raw.bytes_read

    def sha256(self) -> str | None:
        """Digest of the stored file; None for a pipe, and above ``HASHED_BYTES_LIMIT``."""
        return self._raw.sha256()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._raw.close()

    def _open(self) -> tuple[BinaryIO, int | None]:
        """The source and its size, where it has one."""
        if self.name == STANDARD_INPUT:
            self.name = "standard input"
            return sys.stdin.buffer, None
        path = Path(self.name)
        try:
            if path.is_dir():
                raise UnusableInputError("is a directory, no capture file", source=self.name)
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise UnusableInputError("no such file", source=self.name) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnusableInputError(f"cannot be opened ({reason})", source=self.name) from None
        status = os.fstat(file.fileno())
        return file, status.st_size if stat.S_ISREG(status.st_mode) else None

    def read_into(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as the source goes: bytes read, 0 at the end. Sets ``fault`` on damage."""
        view = memoryview(buffer)
        filled = 0
        while filled < len(view) and not self.fault:
            try:
                size = self._read_some(view[filled:])
            except EOFError:
                self.fault = "the compressed data end early"
            except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
                self.fault = f"the {self.compression} data are damaged"
            except OSError as error:
                self.fault = f"reading failed ({error.strerror})"
            else:
                if not size:
                    break
                filled += size
        return filled

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[Bytes, int]]:
        """Buffers and the bytes in each, from ``CARRY_BYTES`` on; read ahead by a thread of its own.

        A buffer is reused once the next but one is asked for. The room in front is the caller's.
        """
        free: queue.SimpleQueue[Bytes | None] = queue.SimpleQueue()
        full: queue.SimpleQueue[tuple[Bytes, int] | BaseException] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            free.put(np.empty(CARRY_BYTES + chunk_bytes, np.uint8))

        def read_ahead() -> None:
            try:
                while (buffer := free.get()) is not None:
                    size = self.read_into(buffer[CARRY_BYTES:].data)
                    full.put((buffer, size))
                    if not size:
                        return
            except BaseException as error:  # handed over to the caller's thread
                full.put(error)

        reader = threading.Thread(target=read_ahead, name="capture-reader", daemon=True)
        reader.start()
        held: Bytes | None = None
        try:
            while True:
                item = full.get()
                if isinstance(item, BaseException):
                    raise item
                if not item[1]:
                    return
                yield item
                if held is not None:
                    free.put(held)
                held = item[0]
        finally:
            free.put(None)
            # A pipe may stay silent; the thread ends with the process then.
            reader.join(timeout=1.0)

"""The rows of a decoding: in memory while they are few, in a file of their own once they are many.

A long capture brings more PDUs than memory holds. Rows that will not change any more are taken out of the
framing, put in order of time, and written away; what is still in motion stays behind. Decides when that
happens and gives all rows back in order. Knows no protocol.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes
from analyzer.iscsi.frames import HOLE, ROW, Frames, settled_rows

ROWS_IN_MEMORY = 300_000
"""Rows of the framing that may wait before they are written away; a capture of fewer stays in memory."""

_HELD_BACK = 1 << 14
"""Settled rows that wait for earlier ones, which reassembly may still deliver."""

_BLOCK_ROWS = 1 << 16

_KEPT_ROW = np.dtype([("row", ROW), ("serial", "i8")])
"""``serial`` counts rows in the order in which they were framed."""

KeptRows = npt.NDArray[np.void]


class RowStore:
    """All rows that one pipeline settled."""

    def __init__(self, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        """``rows_in_memory`` is how many may gather before they are written away."""
        self._limit = rows_in_memory
        self._file: IO[bytes] | None = None
        self._written = 0
        self._is_in_order = True
        self._last_key: tuple[int, ...] | None = None
        self._waiting = np.zeros(0, _KEPT_ROW)
        self._serials = np.zeros(0, np.int64)  # of the rows that stayed in the framing
        self._next_serial = 0
        self._forgotten: list[tuple[int, npt.NDArray[np.int64]]] = []
        self._segments: list[Bytes] = []
        self._segment_bytes = 0
        self._holes: list[npt.NDArray[np.void]] = []

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()

    def take_many(self, frames: Frames, stream_count: int) -> None:
        """Take the settled rows out of ``frames`` where they have become many."""
        if int(frames.ledger[0].rows) >= self._limit + len(self._serials):
            self._take(frames, stream_count)
            self._write(self._before_open(frames))

    def forget(self, connections: npt.NDArray[np.int64]) -> None:
        """Rows so far of connections whose numbers will be given to others count no more."""
        self._forgotten.append((self._next_serial, connections))

    def finish(self, frames: Frames) -> None:
        """Take all that is left, once nothing changes any more."""
        count = int(frames.ledger[0].rows)
        before = self._segment_bytes
        self._keep_beside_rows(frames)
        self._wait(frames.rows[:count], self._serials_of(count), before)
        self._waiting = self._waiting[_time_order(self._waiting)]
        if len(self._waiting):
            self._follow(_key(self._waiting[0]))

    @property
    def is_written(self) -> bool:
        """Whether there were too many rows for memory."""
        return self._written > 0

    def __len__(self) -> int:
        """How many rows there are; some may turn out to be forgotten."""
        return self._written + len(self._waiting)

    @property
    def holes(self) -> npt.NDArray[np.void]:
        """All holes, in order of framing."""
        return np.concatenate([np.zeros(0, HOLE), *self._holes])

    @property
    def segments(self) -> Bytes:
        """Kept bytes, in which the rows name their places."""
        return np.concatenate([np.zeros(0, np.uint8), *self._segments])

    def in_order_of_framing(self) -> npt.NDArray[np.void]:
        """All rows at once, in memory."""
        together = np.concatenate([*self._written_blocks(), self._waiting])
        return self._remembered(together[np.argsort(together["serial"])])

    def in_order_of_time(self) -> Iterator[npt.NDArray[np.void]]:
        """All rows, by ``(time_ns, file_index, packet, place in the packet)``, in blocks."""
        if self._is_in_order:
            for block in self._written_blocks():
                yield self._remembered(block)
            yield self._remembered(self._waiting)
            return
        together = np.concatenate([*self._written_blocks(), self._waiting])
        yield self._remembered(together[_time_order(together)])

    def _written_blocks(self) -> Iterator[KeptRows]:
        if self._file is None:
            return
        self._file.seek(0)
        left = self._written
        while left:
            block = np.fromfile(self._file, _KEPT_ROW, min(left, _BLOCK_ROWS))
            left -= len(block)
            yield block

    def _remembered(self, kept: KeptRows) -> npt.NDArray[np.void]:
        """The rows of connections that were not forgotten."""
        is_remembered = np.ones(len(kept), np.bool_)
        for before, connections in self._forgotten:
            is_remembered &= (kept["serial"] >= before) | ~np.isin(kept["row"]["stream"] >> 1, connections)
        rows: npt.NDArray[np.void] = kept["row"][is_remembered]
        return rows

    def _take(self, frames: Frames, stream_count: int) -> None:
        serials = self._serials_of(int(frames.ledger[0].rows))
        before = self._segment_bytes
        self._keep_beside_rows(frames)
        rows, held = settled_rows(frames, stream_count)
        is_done = np.ones(len(serials), np.bool_)
        is_done[held] = False
        self._wait(rows, serials[is_done], before)
        self._serials = serials[held]

    def _serials_of(self, count: int) -> npt.NDArray[np.int64]:
        """Of all rows in the framing: those that stayed there come first."""
        fresh = count - len(self._serials)
        begin, self._next_serial = self._next_serial, self._next_serial + fresh
        return np.concatenate([self._serials, np.arange(begin, self._next_serial, dtype=np.int64)])

    def _keep_beside_rows(self, frames: Frames) -> None:
        used = frames.ledger[0]
        segments = frames.segments[: int(used.segment_bytes)].copy()
        self._segments.append(segments)
        self._segment_bytes += len(segments)
        self._holes.append(frames.holes[: int(used.holes)].copy())

    def _wait(self, rows: npt.NDArray[np.void], serials: npt.NDArray[np.int64], before: int) -> None:
        """Rows whose kept bytes lie behind the ``before`` bytes kept earlier join those that wait."""
        kept = np.empty(len(rows), _KEPT_ROW)
        kept["row"], kept["serial"] = rows, serials
        kept["row"]["segment_offset"] += before
        self._waiting = np.concatenate([self._waiting, kept[rows["is_void"] == 0]])

    def _before_open(self, frames: Frames) -> int:
        """Put the waiting rows in order of time; how many of them no row to come is known to precede."""
        self._waiting = self._waiting[_time_order(self._waiting)]
        open_rows = frames.rows[: int(frames.ledger[0].rows)]
        times = self._waiting["row"]["time_ns"]
        count = max(len(times) - _HELD_BACK, 0)
        if len(open_rows):
            count = min(count, int(np.searchsorted(times, open_rows["time_ns"].min())))
        return count

    def _write(self, count: int) -> None:
        if not count:
            return
        self._follow(_key(self._waiting[0]))
        self._last_key = _key(self._waiting[count - 1])
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="analyzer-rows-")  # noqa: SIM115 - closed by ``close``
        self._waiting[:count].tofile(self._file)
        self._written += count
        self._waiting = self._waiting[count:].copy()

    def _follow(self, key: tuple[int, ...]) -> None:
        self._is_in_order &= self._last_key is None or self._last_key < key


def _time_order(kept: KeptRows) -> npt.NDArray[np.int64]:
    rows = kept["row"]
    return np.lexsort((kept["serial"], rows["packet"], rows["file_index"], rows["time_ns"]))


def _key(kept: np.void) -> tuple[int, ...]:
    row = kept["row"]
    return int(row["time_ns"]), int(row["file_index"]), int(row["packet"]), int(kept["serial"])

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
from analyzer.compilation import njit
from analyzer.iscsi.frames import HOLE, ROW, Frames, Record, gathered, settled_rows

ROWS_IN_MEMORY = 300_000
"""Rows of the framing that may wait before they are written away; a capture of fewer stays in memory."""

_HELD_BACK = 1 << 14
"""Settled rows that wait for earlier ones, which reassembly may still deliver."""

_BLOCK_ROWS = 1 << 16

_MOVES_PER_ROW = 8
"""Rows are framed nearly in order of time: few need to be moved, and by few places."""

Rows = npt.NDArray[np.void]
"""Records of ROW, shape (n,)."""

Int64s = npt.NDArray[np.int64]


class RowStore:
    """All rows that one pipeline settled."""

    def __init__(self, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        """``rows_in_memory`` is how many may gather before they are written away."""
        self._limit = rows_in_memory
        self._file: IO[bytes] | None = None
        self._written = 0
        self._is_in_order = True
        self._last: Rows = np.zeros(0, ROW)  # the last row written
        self._waiting: Rows = np.zeros(0, ROW)
        self._held = 0  # rows that stayed in the framing
        self._forgotten: list[tuple[int, Int64s]] = []
        self._segments: list[Bytes] = []
        self._segment_bytes = 0
        self._holes: list[npt.NDArray[np.void]] = []

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()

    def take_many(self, frames: Frames, stream_count: int) -> None:
        """Take the settled rows out of ``frames`` where they have become many."""
        if int(frames.ledger[0].rows) < self._limit + self._held:
            return
        before = self._keep_beside_rows(frames)
        rows = settled_rows(frames, stream_count)
        self._held = int(frames.ledger[0].rows)
        self._wait(rows, before)
        self._waiting = gathered(self._waiting, time_order(self._waiting))
        self._write(self._before_open(frames))

    def forget(self, connections: Int64s, framed: int) -> None:
        """The first ``framed`` rows of connections whose numbers will be given to others count no more."""
        self._forgotten.append((framed, connections))

    def finish(self, frames: Frames) -> None:
        """Take all that is left, once nothing changes any more."""
        count = int(frames.ledger[0].rows)
        before = self._keep_beside_rows(frames)
        self._wait(frames.rows[:count], before)
        if self._written and len(self._waiting):
            self._follow(gathered(self._waiting, time_order(self._waiting)[:1]))

    @property
    def is_written(self) -> bool:
        """Whether there were too many rows for memory."""
        return self._written > 0

    def __len__(self) -> int:
        """How many rows there are; some may turn out to be void or forgotten."""
        return self._written + len(self._waiting)

    @property
    def holes(self) -> npt.NDArray[np.void]:
        """All holes, in order of framing."""
        return np.concatenate([np.zeros(0, HOLE), *self._holes])

    @property
    def segments(self) -> Bytes:
        """Kept bytes, in which the rows name their places."""
        return np.concatenate([np.zeros(0, np.uint8), *self._segments])

    def in_order_of_framing(self) -> Rows:
        """All rows at once, in memory."""
        together = np.concatenate([*self._written_blocks(), self._waiting])
        return gathered(together, self._remembered(together, np.argsort(together["serial"], kind="stable")))

    def in_order_of_time(self) -> Iterator[tuple[Rows, Int64s]]:
        """All rows in blocks, each with the numbers of its rows to be read one after another.

        That is by ``(time_ns, file_index, packet, place in the packet)``.
        """
        if self._is_in_order:
            for block in self._written_blocks():
                yield block, self._remembered(block, np.arange(len(block)))
            yield self._waiting, self._remembered(self._waiting, time_order(self._waiting))
            return
        together = np.concatenate([*self._written_blocks(), self._waiting])
        yield together, self._remembered(together, time_order(together))

    def _written_blocks(self) -> Iterator[Rows]:
        if self._file is None:
            return
        self._file.seek(0)
        left = self._written
        while left:
            block = np.fromfile(self._file, ROW, min(left, _BLOCK_ROWS))
            left -= len(block)
            yield block

    def _remembered(self, rows: Rows, numbers: Int64s) -> Int64s:
        """Those of ``numbers`` whose connections were not forgotten."""
        if not self._forgotten:
            return numbers
        is_remembered = np.ones(len(rows), np.bool_)
        for framed, connections in self._forgotten:
            is_remembered &= (rows["serial"] >= framed) | ~np.isin(rows["stream"] >> 1, connections)
        return numbers[is_remembered[numbers]]

    def _keep_beside_rows(self, frames: Frames) -> int:
        """Keep segments and holes: how many bytes of segments were kept before."""
        before, used = self._segment_bytes, frames.ledger[0]
        segments = frames.segments[: int(used.segment_bytes)].copy()
        self._segments.append(segments)
        self._segment_bytes += len(segments)
        self._holes.append(frames.holes[: int(used.holes)].copy())
        return before

    def _wait(self, rows: Rows, before: int) -> None:
        """Rows whose kept bytes lie behind the ``before`` bytes kept earlier join those that wait."""
        rows["segment_offset"] += before
        if rows["is_void"].any():
            rows = gathered(rows, np.flatnonzero(rows["is_void"] == 0))
        # Without a copy where none waits, as in every capture that stays in memory.
        self._waiting = np.concatenate([self._waiting, rows]) if len(self._waiting) else rows

    def _before_open(self, frames: Frames) -> int:
        """How many of the waiting rows, which are in order of time, no row to come is known to precede."""
        open_rows = frames.rows[: int(frames.ledger[0].rows)]
        times = self._waiting["time_ns"]
        count = max(len(times) - _HELD_BACK, 0)
        if len(open_rows):
            count = min(count, int(np.searchsorted(times, open_rows["time_ns"].min())))
        return count

    def _write(self, count: int) -> None:
        if not count:
            return
        self._follow(self._waiting)
        self._last = self._waiting[count - 1 : count].copy()
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="analyzer-rows-")  # noqa: SIM115 - closed by ``close``
        self._waiting[:count].tofile(self._file)
        self._written += count
        self._waiting = self._waiting[count:].copy()

    def _follow(self, rows: Rows) -> None:
        """Note where the first of ``rows`` belongs before the last one written."""
        if len(self._last):
            both = np.concatenate([self._last, rows[:1]])
            self._is_in_order &= bool(time_order(both)[0] == 0)


def time_order(rows: Rows) -> Int64s:
    """Numbers of ``rows`` by ``(time_ns, file_index, packet, serial)``."""
    order = np.arange(len(rows))
    if _put_in_order(rows, order, _MOVES_PER_ROW * len(rows)):
        return order
    keys = (rows["serial"], rows["packet"], rows["file_index"], rows["time_ns"])
    sorted_order: Int64s = np.lexsort(keys)
    return sorted_order


@njit(cache=True, nogil=True)
def _put_in_order(rows: Rows, order: Int64s, most_moves: int) -> bool:
    """Sort ``order`` by insertion: false where that takes more than so many moves."""
    for place in range(1, len(order)):
        number = order[place]
        at = place
        while at > 0 and _is_before(rows[number], rows[order[at - 1]]):
            order[at] = order[at - 1]
            at -= 1
            most_moves -= 1
            if most_moves < 0:
                return False
        order[at] = number
    return True


@njit(cache=True, nogil=True)
def _is_before(first: Record, second: Record) -> bool:
    if first.time_ns != second.time_ns:
        return bool(first.time_ns < second.time_ns)
    if first.file_index != second.file_index:
        return bool(first.file_index < second.file_index)
    if first.packet != second.packet:
        return bool(first.packet < second.packet)
    return bool(first.serial < second.serial)

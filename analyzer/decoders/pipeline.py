"""From batches of packets to PDU rows: the state of the native decoder, and the room that it needs.

The stages themselves, packets to segments to runs of stream bytes to PDUs, are one compiled call
(``stages``). This file feeds it and makes room; it decides nothing about bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes
from analyzer.capture.packets import PACKETS_PER_BATCH, Packets
from analyzer.decoders.row_store import RowStore
from analyzer.decoders.stages import (
    ALL_DONE,
    NEEDS_CONNECTIONS,
    NEEDS_ROWS,
    NEEDS_STORE,
    advance,
    finish,
    nothing_done,
)
from analyzer.iscsi.frames import KEPT_LIMIT, no_frames, settled_rows, with_room
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.network.connections import (
    CONNECTION_COUNT,
    GIVEN_UP,
    LEFT_OUT,
    empty_table,
    grown,
    release,
    room_for_connections,
)
from analyzer.network.segments import COUNTS, empty_segments
from analyzer.network.sightings import Sightings, no_sightings, note_segments
from analyzer.network.waiting import compacted, drop_waiting, nothing_waiting

ISCSI_PORTS = (3260, 860)
"""The ports that IANA gave to iSCSI: a hint, never a proof."""

CONNECTIONS_LIMIT = 1 << 16

_ROWS_STEP = 32_768
_SEGMENT_BYTES_STEP = 4 << 20
_HOLES_STEP = 4096


class Pipeline:
    """The state of all stages; files of one call follow one another through it."""

    def __init__(
        self,
        ports: Sequence[int] = (),
        *,
        has_several_clocks: bool = False,
        store: RowStore | None = None,
    ) -> None:
        """``ports`` lower the evidence needed, as the well-known ports do.

        ``has_several_clocks``: the files may come from several recorders; ``sightings`` are kept then.
        ``store`` takes the rows; without one they stay in ``frames``.
        """
        self.store = store
        self.table = empty_table(2 * PACKETS_PER_BATCH)
        self.waiting = nothing_waiting()
        self.frames = no_frames(2 * len(self.table.connections))
        self.counts = np.zeros(COUNTS, np.int64)
        self.sightings: Sightings | None = no_sightings() if has_several_clocks else None
        self._segments = empty_segments()
        self._ports = np.array([*ISCSI_PORTS, *ports], np.int64)

    @property
    def left_out(self) -> int:
        """Packets of connections for which there was no room."""
        return int(self.table.counters[LEFT_OUT])

    @property
    def given_up(self) -> int:
        """Times that more bytes waited for their turn than are kept."""
        return int(self.table.counters[GIVEN_UP])

    def take(self, chunk: Bytes, packets: Packets, count: int, first_packet: int, file_index: int) -> None:
        """All stages over ``count`` packets that lie in ``chunk``."""
        progress = nothing_done()
        why = -1
        while why != ALL_DONE:
            why = advance(
                chunk,
                packets,
                count,
                first_packet,
                file_index,
                self._segments,
                self.counts,
                self.table,
                self.waiting,
                self.frames,
                self._ports,
                progress,
            )
            if why == NEEDS_CONNECTIONS:
                self._make_room_for_connections(int(progress[0].segments))
            elif why == NEEDS_STORE:
                self.waiting = compacted(self.waiting)
            elif why == NEEDS_ROWS:
                self._make_room_for_run(int(progress[0].next_run))
        if self.sightings is not None:
            note_segments(self.sightings, self._segments, int(progress[0].segments), self.table, file_index)
        if self.store is not None:
            self.store.take_many(self.frames, 2 * int(self.table.counters[CONNECTION_COUNT]))

    def take_settled(self) -> npt.NDArray[np.void]:
        """The rows that will not change any more, in the order in which they were framed; they are forgotten.

        Rows of PDUs under way, and those that wait to be borne out, stay. Kept data segments go with the
        rows, so only headers can be read from what is given. For decodings without an end.
        """
        return settled_rows(self.frames, 2 * int(self.table.counters[CONNECTION_COUNT]))

    def finish(self) -> None:
        """Nothing more comes: hand on what waits, settle what is open."""
        nothing, progress = np.zeros(0, np.uint8), nothing_done()
        streams = 2 * int(self.table.counters[CONNECTION_COUNT])
        while (
            finish(nothing, self.table, self.waiting, self.frames, self._ports, progress, streams) != ALL_DONE
        ):
            self._make_room_for_run(int(progress[0].next_run))
        if self.store is not None:
            self.store.finish(self.frames)

    def _make_room_for_run(self, position: int) -> None:
        """Room for what may lie in the run at ``position``, and some more."""
        length = int(self.waiting.runs[position].length)
        self.frames = with_room(
            self.frames,
            len(self.frames.streams),
            length // HEADER_BYTES + _ROWS_STEP,
            length + 3 * KEPT_LIMIT + _SEGMENT_BYTES_STEP,
            _HOLES_STEP,
        )

    def _make_room_for_connections(self, needed: int) -> None:
        """Room for a connection per segment: by growing, or by letting go of the oldest that are no iSCSI."""
        if room_for_connections(self.table) >= needed:
            return
        if len(self.table.connections) < CONNECTIONS_LIMIT:
            self.table = grown(self.table)
            self.frames = with_room(self.frames, 2 * len(self.table.connections), 0, 0, 0)
            return
        count = int(self.table.counters[CONNECTION_COUNT])
        connections = self.table.connections[:count]
        is_needless = (self.frames.streams["is_accepted"][0 : 2 * count : 2] == 0) & (
            connections["is_used"] == 1
        )
        needless = np.flatnonzero(is_needless)
        if not len(needless):
            return
        oldest = needless[np.argsort(connections["last_ns"][needless], kind="stable")][
            : (len(needless) + 1) // 2
        ]
        for index in oldest.tolist():
            for stream in (2 * index, 2 * index + 1):
                drop_waiting(self.waiting.nodes, self.waiting.ledger[0], self.table.streams[stream])
            self.frames.streams["is_open"][2 * index : 2 * index + 2] = 0
        ledger = self.frames.ledger[0]
        rows = self.frames.rows[: int(ledger.rows)]
        rows["is_void"][np.isin(rows["stream"] >> 1, oldest)] = 1
        if self.store is not None:
            self.store.forget(oldest, int(ledger.framed))
        release(self.table, oldest)

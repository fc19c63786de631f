"""When the same bytes were sent, acknowledged and recorded in each of several files: evidence of clocks.

Collects, file by file, the first time at which the end of a segment was sent, a byte was acknowledged, and
a packet was recorded. What that says about clocks is not decided here. Of a long recording a sample is kept
that is chosen by what was said, never by when, so that all files keep the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import wide
from analyzer.compilation import njit
from analyzer.network.connections import ConnectionTable, mix, place_of, side_of_sender
from analyzer.network.segments import ACK, FIN, RST, SYN, Segments

SENT, ACKNOWLEDGED, PACKET_FROM_SIDE_0, PACKET_FROM_SIDE_1 = range(4)

SIGHTING = np.dtype(
    (
        np.record,
        [
            # Of bytes: the stream and the sequence number behind them. Of a packet: all that it says.
            ("key", "i8"),
            ("kind", "i8"),
            ("file_index", "i8"),
            ("time_ns", "i8"),
            ("connection", "i8"),  # number in the table of connections
        ],
    )
)

SIGHTINGS_LIMIT = 1 << 18
_PER_SEGMENT = 3


class Sightings(NamedTuple):
    """What was kept; ``state`` is how many rows are filled and by how much the sample is thinned out."""

    rows: npt.NDArray[np.void]
    state: npt.NDArray[np.int64]
    """Shape (2,): rows filled; only keys whose mixed number has these bits clear are kept."""


def no_sightings(limit: int = SIGHTINGS_LIMIT) -> Sightings:
    """Nothing seen yet, and room for ``limit`` rows."""
    return Sightings(np.zeros(limit, SIGHTING), np.zeros(2, np.int64))


def first_sightings(sightings: Sightings) -> npt.NDArray[np.void]:
    """The earliest sighting of each key in each file, in order of key, kind and file."""
    rows = sightings.rows[: int(sightings.state[0])]
    rows = rows[np.lexsort((rows["time_ns"], rows["file_index"], rows["kind"], rows["key"]))]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (
        (rows["key"][1:] != rows["key"][:-1])
        | (rows["kind"][1:] != rows["kind"][:-1])
        | (rows["file_index"][1:] != rows["file_index"][:-1])
    )
    kept: npt.NDArray[np.void] = rows[is_first]
    return kept


def note_segments(
    sightings: Sightings, segments: Segments, count: int, table: ConnectionTable, file_index: int
) -> None:
    """Note what the first ``count`` segments say; their connections stand in ``table``."""
    done = 0
    while done < count:
        done = _note(sightings.rows, sightings.state, segments, done, count, table, file_index)
        if done < count:
            _make_room(sightings)


def _make_room(sightings: Sightings) -> None:
    """Forget what was seen again, and thin the sample out until half of the room is free."""
    rows = first_sightings(sightings)
    while len(rows) > len(sightings.rows) // 2:
        sightings.state[1] = 2 * sightings.state[1] + 1
        rows = rows[_is_kept(rows["key"], int(sightings.state[1]))]
    sightings.rows[: len(rows)] = rows
    sightings.state[0] = len(rows)


@njit(cache=True, nogil=True)
def _is_sampled(key: int, thinning: int) -> bool:
    return mix((key >> 31) & 0x7FFFFFFF, key & 0x7FFFFFFF) & thinning == 0


@njit(cache=True, nogil=True)
def _is_kept(keys: npt.NDArray[np.int64], thinning: int) -> npt.NDArray[np.bool_]:
    is_kept = np.empty(len(keys), np.bool_)
    for row in range(len(keys)):
        is_kept[row] = _is_sampled(keys[row], thinning)
    return is_kept


@njit(cache=True, nogil=True)
def _note(
    rows: npt.NDArray[np.void],
    state: npt.NDArray[np.int64],
    segments: Segments,
    first: int,
    count: int,
    table: ConnectionTable,
    file_index: int,
) -> int:
    """Note segments ``first`` to ``count``: the first for which there was no room."""
    for row in range(first, count):
        if state[0] + _PER_SEGMENT > len(rows):
            return row
        segment = segments[row]
        side = side_of_sender(segment)
        connection = wide(table.slots[place_of(table.connections, table.slots, segment, side)]) - 1
        if connection < 0 or table.connections[connection].is_ignored:
            continue
        flags, stream = segment.control_bits, 2 * connection + side
        if flags & RST:
            continue
        # SYN and FIN have a sequence number each (RFC 9293 section 3.4).
        size = segment.length + (flags & SYN != 0) + (flags & FIN != 0)
        if size:
            end = (segment.sequence + size) & 0xFFFFFFFF
            _add(rows, state, (stream << 32) | end, SENT, file_index, segment.time_ns, connection)
        if flags & ACK:
            key = ((stream ^ 1) << 32) | segment.acknowledgement
            _add(rows, state, key, ACKNOWLEDGED, file_index, segment.time_ns, connection)
        # The checksum is left out: where the sender's card fills it in, it is not that of the wire.
        said = mix(segment.sequence & 0x7FFFFFFF, segment.acknowledgement & 0x7FFFFFFF)
        rest = mix(segment.mark >> 16, ((stream << 24) ^ (segment.length << 8) ^ flags) & 0x7FFFFFFF)
        kind = PACKET_FROM_SIDE_1 if side else PACKET_FROM_SIDE_0
        _add(rows, state, (said << 31) | rest, kind, file_index, segment.time_ns, connection)
    return count


@njit(cache=True, nogil=True)
def _add(
    rows: npt.NDArray[np.void],
    state: npt.NDArray[np.int64],
    key: int,
    kind: int,
    file_index: int,
    time_ns: int,
    connection: int,
) -> None:
    if _is_sampled(key, state[1]):
        new = rows[state[0]]
        state[0] += 1
        new.key, new.kind, new.file_index = key, kind, file_index
        new.time_ns, new.connection = time_ns, connection

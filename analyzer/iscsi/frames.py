"""The state of framing and what comes out of it: records and growing columns.

Only shapes and their growth; the walk itself is in ``framing``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes
from analyzer.compilation import njit
from analyzer.iscsi.headers import HEADER_BYTES

Record = Any
"""One row of a record array, seen by its field names."""

# What the next byte of a stream belongs to: the parts of a PDU in order, then the states outside of PDUs.
HEADER, AHS, HEADER_DIGEST, DATA, PADDING, DATA_DIGEST, PDU_DONE, SEARCH, IGNORED = range(9)

DIGEST_OFF, DIGEST_ON, DIGEST_UNKNOWN = range(3)

# How a digest compared; the same numbers as in the tables of decoders.
DIGEST_NOT_CHECKED, DIGEST_MATCH, DIGEST_MISMATCH = range(3)

PHASE_JOINED, PHASE_LOGIN, PHASE_FULL_FEATURE = range(3)
"""Not begun under our eyes, in the login phase, or past it with digests known from the login."""

ORIGIN_NONE, ORIGIN_NEGOTIATED, ORIGIN_ASSUMED = range(3)

KEPT_DATA_LIMIT = 16 << 10
"""Data bytes kept of one PDU of the kinds that are kept."""
LARGEST_AHS_BYTES = 255 * 4
KEPT_LIMIT = KEPT_DATA_LIMIT + LARGEST_AHS_BYTES

STREAM = np.dtype(
    (
        np.record,
        [
            # Shared by both directions; in force in the even record of a pair.
            ("is_accepted", "i8"),  # it speaks iSCSI
            ("is_hinted", "i8"),  # a port says it may
            ("phase", "i8"),  # PHASE_*
            ("digest_origin", "i8"),  # ORIGIN_*
            ("header_digest", "i8"),  # DIGEST_*
            ("data_digest", "i8"),
            ("negotiated_header", "i8"),
            ("negotiated_data", "i8"),
            ("offered_keys", "i8"),
            ("is_login_cut", "i8"),  # login text is missing, perhaps with a key that was agreed on
            # Where the walk is.
            ("is_open", "i8"),
            ("state", "i8"),
            ("role", "i8"),  # who sends: 0 = not known
            ("position", "i8"),  # of the next byte
            ("part", "u1", (48,)),  # a header that came in pieces
            ("held", "u1", (96,)),  # the last bytes searched, which may begin a header
            ("alignment", "i8"),  # position modulo 4 of headers; -1 = not known
            ("left", "i8"),  # bytes of the present part to come
            ("have", "i8"),  # header bytes collected, or bytes held back while searching
            # The PDU under way.
            ("row", "i8"),
            ("opcode", "i8"),
            ("begin_ns", "i8"),
            ("begin_packet", "i8"),
            ("begin_file", "i8"),
            ("last_ns", "i8"),
            ("ahs_bytes", "i8"),
            ("data_bytes", "i8"),
            ("has_header_digest", "i8"),  # DIGEST_*
            ("has_data_digest", "i8"),
            ("crc", "i8"),
            ("is_crc_whole", "i8"),  # no byte under it was missing
            ("digest_word", "i8"),
            ("keep_at", "i8"),
            ("keep_left", "i8"),
            ("reserve_tag", "i8"),  # of the last PERSISTENT RESERVE OUT, whose Data-Outs are kept; -1 = none
            ("is_last_login", "i8"),  # the response that ends the login phase
            # How much the framing is to be believed.
            ("is_confirmed", "i8"),
            ("chain", "i8"),  # headers in a row
            ("untried_position", "i8"),  # where a data digest may stand that could not be tried; -1 = nowhere
            ("tentative_0", "i8"),  # rows to be withdrawn should the chain break; -1 = none
            ("tentative_1", "i8"),
            ("was_confirmed", "i8"),  # at any time before
            ("knows_command_number", "i8"),
            ("command_number", "i8"),
            ("knows_status_number", "i8"),
            ("status_number", "i8"),
            ("searched_bytes", "i8"),
            ("headers_lost", "i8"),  # times that framing ended in bytes that are missing
            ("resynchronised", "i8"),
            ("first_lost_packet", "i8"),
            ("first_lost_ns", "i8"),
            # Login text under way.
            ("text_at", "i8"),
            ("text_keys", "i8"),
            ("text_value", "i8"),
            ("text_is_list", "i8"),
        ],
    )
)

ROW = np.dtype(
    (
        np.record,
        [
            ("header", "u1", (48,)),
            ("time_ns", "i8"),
            ("time_last_ns", "i8"),
            ("packet", "i8"),
            ("position", "i8"),  # of the first byte in its stream
            ("segment_offset", "i8"),
            ("serial", "i8"),  # counts rows in the order in which they were framed
            ("file_index", "i4"),
            ("stream", "i4"),
            ("ahs_bytes", "i4"),
            ("segment_bytes", "i4"),
            ("header_digest", "u1"),
            ("data_digest", "u1"),
            ("is_resynchronised", "u1"),
            ("is_inferred", "u1"),
            ("is_unfinished", "u1"),  # nothing more came before its last byte
            ("is_void", "u1"),
        ],
    )
)

HOLE = np.dtype(
    (
        np.record,
        [
            ("stream", "i8"),
            ("at_ns", "i8"),
            ("file_index", "i8"),
            ("packet", "i8"),
            ("lost_bytes", "i8"),
            ("is_framing_kept", "i8"),
        ],
    )
)

_ROW_REFERENCES = ("row", "tentative_0", "tentative_1")
"""Fields of a stream that name a row."""

LEDGER = np.dtype((np.record, [("rows", "i8"), ("segment_bytes", "i8"), ("holes", "i8"), ("framed", "i8")]))
"""How much of each growing column is used, and how many rows were ever framed."""


class Frames(NamedTuple):
    """Framing of all streams, and the PDUs found so far."""

    streams: npt.NDArray[np.void]
    rows: npt.NDArray[np.void]
    segments: Bytes
    holes: npt.NDArray[np.void]
    ledger: npt.NDArray[np.void]
    """Shape (1,)."""


def no_frames(streams: int) -> Frames:
    """Framing of so many streams of which nothing is known."""
    return Frames(
        np.zeros(streams, STREAM),
        np.zeros(4096, ROW),
        np.zeros(1 << 20, np.uint8),
        np.zeros(1024, HOLE),
        np.zeros(1, LEDGER),
    )


def with_room(frames: Frames, streams: int, rows: int, segment_bytes: int, holes: int) -> Frames:
    """The same with room for ``streams`` in all, and for so many more rows, kept bytes and holes."""
    used = frames.ledger[0]
    return Frames(
        _with_length(frames.streams, streams),
        _with_length(frames.rows, int(used.rows) + rows),
        _with_length(frames.segments, int(used.segment_bytes) + segment_bytes),
        _with_length(frames.holes, int(used.holes) + holes),
        frames.ledger,
    )


def settled_rows(frames: Frames, stream_count: int) -> npt.NDArray[np.void]:
    """The rows of PDUs that are done, in the order in which they were framed, taken out of ``frames``.

    Those of PDUs under way, and those that wait to be borne out, stay with their kept bytes and move to the
    front. Holes are forgotten too.
    """
    streams, ledger = frames.streams[:stream_count], frames.ledger[0]
    is_open = streams["is_open"] == 1
    references = np.concatenate([streams[name][is_open] for name in _ROW_REFERENCES])
    held = np.unique(references[references >= 0])
    is_done = np.ones(int(ledger.rows), np.bool_)
    is_done[held] = False
    settled = gathered(frames.rows, np.flatnonzero(is_done))
    ends = {int(row): _reserved_end(frames, int(row)) for row in held}
    for stream in streams[is_open & (streams["row"] >= 0)]:
        under_way = stream.left if stream.state == AHS else 0
        ends[int(stream.row)] = int(stream.keep_at + stream.keep_left + under_way)
    moved = np.zeros(len(held), np.int64)
    used = 0
    # Held rows are in order, so nothing is overwritten before it has moved.
    for place, (row, end) in enumerate(sorted(ends.items())):
        begin = int(frames.rows[row]["segment_offset"])
        frames.segments[used : used + end - begin] = frames.segments[begin:end].copy()
        frames.rows[place] = frames.rows[row]
        frames.rows[place]["segment_offset"] = used
        moved[place] = begin - used
        used += end - begin
    _move_references(streams, is_open, held, moved)
    ledger.rows, ledger.segment_bytes, ledger.holes = len(held), used, 0
    return settled


def gathered(rows: npt.NDArray[np.void], chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """A copy of the ``chosen`` rows, in that order; NumPy itself would copy field by field."""
    copy = np.empty(len(chosen), rows.dtype)
    _gather(rows, chosen, copy)
    return copy


@njit(cache=True, nogil=True)
def _gather(rows: npt.NDArray[np.void], chosen: npt.NDArray[np.int64], copy: npt.NDArray[np.void]) -> None:
    for place in range(len(chosen)):
        copy[place] = rows[chosen[place]]


def _reserved_end(frames: Frames, row: int) -> int:
    entry = frames.rows[row]
    return int(entry["segment_offset"]) + int(entry["ahs_bytes"]) + int(entry["segment_bytes"])


def _move_references(
    streams: npt.NDArray[np.void],
    is_open: npt.NDArray[np.bool_],
    held: npt.NDArray[np.int64],
    moved: npt.NDArray[np.int64],
) -> None:
    """Let streams name their rows by the new places; ``moved`` is how far the kept bytes of each row went."""
    under_way = np.flatnonzero(is_open & (streams["row"] >= 0))
    streams["keep_at"][under_way] -= moved[np.searchsorted(held, streams["row"][under_way])]
    for name in _ROW_REFERENCES:
        named = np.flatnonzero(is_open & (streams[name] >= 0))
        streams[name][named] = np.searchsorted(held, streams[name][named])


def _with_length(array: npt.NDArray[Any], needed: int) -> npt.NDArray[Any]:
    if needed <= len(array):
        return array
    larger = np.zeros(max(needed, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def reset_framing(stream: Record, state: int, alignment: int) -> None:
    """A stream that begins anew. What its pair shares is reset with the even record."""
    stream.state, stream.alignment, stream.role = state, alignment, 0
    stream.position, stream.left, stream.have, stream.row = 0, HEADER_BYTES, 0, -1
    stream.is_confirmed, stream.chain, stream.was_confirmed = 0, 0, 0
    stream.tentative_0, stream.tentative_1 = -1, -1
    stream.knows_command_number, stream.knows_status_number = 0, 0
    stream.searched_bytes, stream.headers_lost, stream.resynchronised = 0, 0, 0
    stream.is_last_login, stream.keep_left, stream.untried_position = 0, 0, -1
    stream.reserve_tag = -1


@njit(cache=True, nogil=True)
def reset_pair(stream: Record, is_hinted: int) -> None:
    """A connection that begins anew; ``stream`` is the even record."""
    stream.is_accepted, stream.is_hinted, stream.phase = 0, is_hinted, PHASE_JOINED
    stream.digest_origin = ORIGIN_NONE
    stream.header_digest, stream.data_digest = DIGEST_UNKNOWN, DIGEST_UNKNOWN
    stream.negotiated_header, stream.negotiated_data, stream.offered_keys = 0, 0, 0
    stream.is_login_cut = 0

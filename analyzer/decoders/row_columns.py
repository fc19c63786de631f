"""Rows of the framing as the columns of ``decoded``: one compiled step over records.

Decides how the marks of a row become the enumerations of a column, and that rows of connections which do not
speak iSCSI are none. NumPy alone would walk over the records once for each column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.decoders.decoded import QUALITY_INFERRED, QUALITY_RESYNCHRONISED, QUALITY_WHOLE
from analyzer.iscsi.headers import HEADER_BYTES

TAKEN_OVER = (
    *("time_ns", "time_last_ns", "packet", "file_index", "header_digest", "data_digest"),
    *("segment_offset", "ahs_bytes", "segment_bytes"),
)
"""Columns that are fields of a row, of the same type."""


class RowColumns(NamedTuple):
    """The columns to be filled, as in ``decoded.PduColumns``."""

    headers: npt.NDArray[np.uint8]
    time_ns: npt.NDArray[np.int64]
    time_last_ns: npt.NDArray[np.int64]
    packet: npt.NDArray[np.int64]
    file_index: npt.NDArray[np.int32]
    header_digest: npt.NDArray[np.uint8]
    data_digest: npt.NDArray[np.uint8]
    segment_offset: npt.NDArray[np.int64]
    ahs_bytes: npt.NDArray[np.int32]
    segment_bytes: npt.NDArray[np.int32]
    connection_index: npt.NDArray[np.int32]
    from_target: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.uint8]
    is_complete: npt.NDArray[np.bool_]


@njit(cache=True, nogil=True)
def fill(
    columns: RowColumns,
    done: int,
    rows: npt.NDArray[np.void],
    order: npt.NDArray[np.int64],
    number_of_connection: npt.NDArray[np.int32],
    is_target_stream: npt.NDArray[np.bool_],
) -> int:
    """Put ``rows``, one after another as ``order`` says, behind the first ``done`` entries: entries then.

    ``number_of_connection`` is negative for those that do not speak iSCSI.
    """
    for place in order:
        row = rows[place]
        number = number_of_connection[row.stream >> 1]
        if number < 0:
            continue
        header = row.header
        for byte in range(HEADER_BYTES):
            columns.headers[done, byte] = header[byte]
        columns.time_ns[done] = row.time_ns
        columns.time_last_ns[done] = row.time_last_ns
        columns.packet[done] = row.packet
        columns.file_index[done] = row.file_index
        columns.header_digest[done] = row.header_digest
        columns.data_digest[done] = row.data_digest
        columns.segment_offset[done] = row.segment_offset
        columns.ahs_bytes[done] = row.ahs_bytes
        columns.segment_bytes[done] = row.segment_bytes
        columns.connection_index[done] = number
        columns.from_target[done] = is_target_stream[row.stream]
        columns.is_complete[done] = row.is_unfinished == 0
        if row.is_inferred:
            columns.quality[done] = QUALITY_INFERRED
        elif row.is_resynchronised:
            columns.quality[done] = QUALITY_RESYNCHRONISED
        else:
            columns.quality[done] = QUALITY_WHOLE
        done += 1
    return done

"""The classic pcap format: recognising it, its file header, and the walk over its records.

Layout after the libpcap file format (draft-ietf-opsawg-pcap): a 24-byte header, then 16-byte record
headers. Knows nothing of what the packets hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, unsigned_32
from analyzer.capture.packets import (
    LARGEST_PACKET_BYTES,
    WALK_CHUNK_DONE,
    WALK_DAMAGED,
    WALK_MORE,
    Packets,
)
from analyzer.compilation import njit
from analyzer.errors import UnusableInputError

NAME = "pcap"

_FILE_HEADER_BYTES = 24
_RECORD_HEADER_BYTES = 16

# First four bytes of the file -> (big-endian, nanoseconds in one unit of the time fraction).
_MAGIC: dict[bytes, tuple[int, int]] = {
    b"\xa1\xb2\xc3\xd4": (1, 1000),
    b"\xd4\xc3\xb2\xa1": (0, 1000),
    b"\xa1\xb2\x3c\x4d": (1, 1),
    b"\x4d\x3c\xb2\xa1": (0, 1),
}


class PcapFormat:
    """One pcap file being read."""

    name = NAME
    dropped_packets = 0

    def __init__(self, head: bytes, source: str) -> None:
        """``head`` holds the first bytes of the file. Raises UnusableInputError where they are too few."""
        if len(head) < _FILE_HEADER_BYTES:
            raise UnusableInputError("ends inside the pcap file header", source=source)
        is_big, fraction_ns = _MAGIC[head[:4]]
        link_field = int.from_bytes(head[20:24], "big" if is_big else "little")
        # The upper bits tell the length of a frame check sequence, which the IP length cuts off anyway.
        self._settings = np.array([is_big, fraction_ns, link_field & 0xFFFF], np.int64)
        self.header_bytes = _FILE_HEADER_BYTES

    @staticmethod
    def recognises(head: bytes) -> bool:
        """Whether ``head``, the first bytes of a file, begins a file of this format."""
        return head[:4] in _MAGIC

    def walk(self, chunk: Bytes, start: int, end: int, batch: Packets) -> tuple[int, int, int]:
        """Fill ``batch`` from ``chunk[start:end]``: (packets, first byte not used, WALK_*)."""
        count, position, why = _walk_records(chunk, start, end, self._settings, batch)
        return count, position, why


@njit(cache=True, nogil=True)
def _walk_records(
    chunk: Bytes, start: int, end: int, settings: npt.NDArray[np.int64], batch: Packets
) -> tuple[int, int, int]:
    is_big, fraction_ns, link_type = settings[0], settings[1], settings[2]
    position = start
    for count in range(len(batch)):
        if end - position < _RECORD_HEADER_BYTES:
            return count, position, WALK_CHUNK_DONE
        captured = unsigned_32(chunk, position + 8, is_big)
        if captured > LARGEST_PACKET_BYTES:
            return count, position, WALK_DAMAGED
        if captured > end - position - _RECORD_HEADER_BYTES:
            return count, position, WALK_CHUNK_DONE
        seconds = unsigned_32(chunk, position, is_big)
        fraction = unsigned_32(chunk, position + 4, is_big)
        packet = batch[count]
        packet.time_ns = seconds * 1_000_000_000 + fraction * fraction_ns
        packet.link_type = link_type
        packet.offset = position + _RECORD_HEADER_BYTES
        packet.captured = captured
        packet.original = max(unsigned_32(chunk, position + 12, is_big), captured)
        position += _RECORD_HEADER_BYTES + captured
    return len(batch), position, WALK_MORE

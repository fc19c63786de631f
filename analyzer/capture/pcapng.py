"""The pcapng format: recognising it, its sections and interfaces, and the walk over its packet blocks.

Layout after draft-ietf-opsawg-pcapng. The compiled walk reads the blocks that hold packets (Enhanced,
Simple and the obsolete Packet Block) and skips unknown ones; section headers, interface descriptions
and statistics are rare and are read here in Python. Knows nothing of what the packets hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, unsigned_16, unsigned_32, wide
from analyzer.capture.packets import (
    LARGEST_PACKET_BYTES,
    WALK_CHUNK_DONE,
    WALK_DAMAGED,
    WALK_DECLARATION,
    WALK_MORE,
    Packets,
)
from analyzer.compilation import njit
from analyzer.errors import UnusableInputError

NAME = "pcapng"

_SECTION_HEADER = 0x0A0D0D0A  # the same in both byte orders
_INTERFACE_DESCRIPTION = 1
_OBSOLETE_PACKET = 2
_SIMPLE_PACKET = 3
_INTERFACE_STATISTICS = 5
_ENHANCED_PACKET = 6

_BIG_MAGIC = b"\x1a\x2b\x3c\x4d"
_LITTLE_MAGIC = b"\x4d\x3c\x2b\x1a"

_OPTION_END = 0
_OPTION_TIME_RESOLUTION = 9
_OPTION_TIME_OFFSET = 14
_OPTION_INTERFACE_DROPS = 5
_OPTION_SYSTEM_DROPS = 7

_LARGEST_INTERFACE_COUNT = 65_536
_LARGEST_TICKS = 1 << 62
_LARGEST_OFFSET_S = 1 << 32

# Columns of the interface table.
_LINK_TYPE, _SNAP_LENGTH, _SCALE, _FACTOR, _OFFSET_NS = range(5)
_SCALE_MULTIPLY, _SCALE_DIVIDE, _SCALE_SHIFT = range(3)

# Items of the walk's settings.
_IS_BIG, _INTERFACE_COUNT, _LAST_TIME_NS = range(3)


class PcapngFormat:
    """One pcapng file being read; sections follow one another, each with its own interfaces."""

    name = NAME

    def __init__(self, head: bytes, source: str) -> None:
        """``head`` holds the first bytes of the file. Raises UnusableInputError where they are too few."""
        if len(head) < 12:
            raise UnusableInputError("ends inside the pcapng section header", source=source)
        self.header_bytes = 0
        self.dropped_packets = 0
        self._settings = np.zeros(3, np.int64)
        self._interfaces = np.zeros((8, 5), np.int64)
        self._settings[_IS_BIG] = int(head[8:12] == _BIG_MAGIC)
        self._drops: dict[int, int] = {}

    @staticmethod
    def recognises(head: bytes) -> bool:
        """Whether ``head``, the first bytes of a file, begins a file of this format."""
        return head[:4] == b"\x0a\x0d\x0d\x0a" and head[8:12] in (_BIG_MAGIC, _LITTLE_MAGIC)

    def walk(self, chunk: Bytes, start: int, end: int, batch: Packets) -> tuple[int, int, int]:
        """Fill ``batch`` from ``chunk[start:end]``: (packets, first byte not used, WALK_*).

        The first byte not used may lie beyond ``end``: so much of what follows is to be skipped.
        """
        count, position, why = _walk_blocks(chunk, start, end, self._settings, self._interfaces, batch)
        return count, position, why

    def declare(self, chunk: Bytes, start: int) -> int:
        """Read the block at ``start`` that is no packet: bytes it takes, or 0 where it is damaged."""
        kind = bytes(chunk[start : start + 4])
        if kind == b"\x0a\x0d\x0d\x0a":
            magic = bytes(chunk[start + 8 : start + 12])
            if magic not in (_BIG_MAGIC, _LITTLE_MAGIC):
                return 0
            self._settings[_IS_BIG] = int(magic == _BIG_MAGIC)
            self._settings[_INTERFACE_COUNT] = 0
            self._drops.clear()
        is_big = int(self._settings[_IS_BIG])
        length = unsigned_32(chunk, start + 4, is_big)
        body = bytes(chunk[start + 8 : start + length - 4])
        order = "big" if is_big else "little"
        code = int.from_bytes(kind, order)  # type: ignore[arg-type]
        if code == _INTERFACE_DESCRIPTION and not self._add_interface(body, is_big):
            return 0
        if code == _INTERFACE_STATISTICS:
            self._add_statistics(body, is_big)
        return int(length)

    def _add_interface(self, body: bytes, is_big: int) -> bool:
        count = int(self._settings[_INTERFACE_COUNT])
        if len(body) < 8 or count >= _LARGEST_INTERFACE_COUNT:
            return False
        if count == len(self._interfaces):
            self._interfaces = np.concatenate([self._interfaces, np.zeros_like(self._interfaces)])
        order = "big" if is_big else "little"
        row = self._interfaces[count]
        row[_LINK_TYPE] = int.from_bytes(body[0:2], order)  # type: ignore[arg-type]
        row[_SNAP_LENGTH] = int.from_bytes(body[4:8], order)  # type: ignore[arg-type]
        options = _options(body[8:], is_big)
        row[_SCALE], row[_FACTOR] = _time_scale((options.get(_OPTION_TIME_RESOLUTION) or b"\x06")[0])
        offset = options.get(_OPTION_TIME_OFFSET, b"")
        seconds = int.from_bytes(offset[:8], order, signed=True)  # type: ignore[arg-type]
        row[_OFFSET_NS] = max(-_LARGEST_OFFSET_S, min(_LARGEST_OFFSET_S, seconds)) * 1_000_000_000
        self._settings[_INTERFACE_COUNT] = count + 1
        return True

    def _add_statistics(self, body: bytes, is_big: int) -> None:
        if len(body) < 12:
            return
        order = "big" if is_big else "little"
        interface = int.from_bytes(body[0:4], order)  # type: ignore[arg-type]
        options = _options(body[12:], is_big)
        drops = 0
        for kind in (_OPTION_INTERFACE_DROPS, _OPTION_SYSTEM_DROPS):
            drops += int.from_bytes(options.get(kind, b"")[:8], order)  # type: ignore[arg-type]
        # Statistics are totals since the start, so a later block replaces an earlier one.
        self.dropped_packets += drops - self._drops.get(interface, 0)
        self._drops[interface] = drops


def _options(data: bytes, is_big: int) -> dict[int, bytes]:
    order = "big" if is_big else "little"
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code = int.from_bytes(data[at : at + 2], order)  # type: ignore[arg-type]
        length = int.from_bytes(data[at + 2 : at + 4], order)  # type: ignore[arg-type]
        if code == _OPTION_END or at + 4 + length > len(data):
            break
        found.setdefault(code, data[at + 4 : at + 4 + length])
        at += 4 + (length + 3) // 4 * 4
    return found


def _time_scale(resolution: int) -> tuple[int, int]:
    """How ticks become nanoseconds, from ``if_tsresol``: a power of ten, or of two where bit 7 is set."""
    exponent = resolution & 0x7F
    if resolution & 0x80:
        return _SCALE_SHIFT, min(exponent, 62)
    if exponent <= 9:
        return _SCALE_MULTIPLY, 10 ** (9 - exponent)
    return _SCALE_DIVIDE, 10 ** min(exponent - 9, 18)


@njit(cache=True, nogil=True)
def _nanoseconds(ticks: int, scale: int, factor: int) -> int:
    if scale == _SCALE_DIVIDE:
        return ticks // factor
    if scale == _SCALE_MULTIPLY:
        return min(ticks, _LARGEST_TICKS // factor) * factor
    seconds = min(ticks >> factor, _LARGEST_TICKS // 1_000_000_000)
    fraction = ticks & ((wide(1) << factor) - 1)
    bits = factor
    if bits > 30:
        # Thirty bits tell a nanosecond and keep the product below within 64 bits.
        fraction >>= bits - 30
        bits = wide(30)
    return seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> bits)


@njit(cache=True, nogil=True)
def _walk_blocks(
    chunk: Bytes,
    start: int,
    end: int,
    settings: npt.NDArray[np.int64],
    interfaces: npt.NDArray[np.int64],
    batch: Packets,
) -> tuple[int, int, int]:
    is_big, interface_count = settings[_IS_BIG], settings[_INTERFACE_COUNT]
    position = wide(start)
    count = 0
    while count < len(batch):
        if end - position < 12:
            return count, position, WALK_CHUNK_DONE
        kind = unsigned_32(chunk, position, is_big)
        if kind == _SECTION_HEADER:
            # The byte order of a section is told behind its length.
            is_big_here = 1 if chunk[position + 8] == 0x1A else 0
            length = unsigned_32(chunk, position + 4, is_big_here)
        else:
            length = unsigned_32(chunk, position + 4, is_big)
        if length < 12 or length % 4:
            return count, position, WALK_DAMAGED
        is_packet = kind in (_ENHANCED_PACKET, _SIMPLE_PACKET, _OBSOLETE_PACKET)
        is_declaration = kind in (_SECTION_HEADER, _INTERFACE_DESCRIPTION, _INTERFACE_STATISTICS)
        if length > LARGEST_PACKET_BYTES and (is_packet or is_declaration):
            return count, position, WALK_DAMAGED
        if not is_packet and not is_declaration:
            position += length
            if position > end:
                return count, position, WALK_CHUNK_DONE
            continue
        if length > end - position:
            return count, position, WALK_CHUNK_DONE
        if is_declaration:
            return count, position, WALK_DECLARATION
        interface = wide(0)
        body = position + 8
        ticks = wide(-1)
        if kind == _SIMPLE_PACKET:
            if length < 16 or interface_count == 0:
                return count, position, WALK_DAMAGED
            original = unsigned_32(chunk, body, is_big)
            captured = min(original, length - 16)
            if interfaces[0, _SNAP_LENGTH] > 0:
                captured = min(captured, interfaces[0, _SNAP_LENGTH])
            data = body + 4
        else:
            if length < 32:
                return count, position, WALK_DAMAGED
            if kind == _ENHANCED_PACKET:
                interface = unsigned_32(chunk, body, is_big)
            else:
                interface = unsigned_16(chunk, body, is_big)
            captured = unsigned_32(chunk, body + 12, is_big)
            original = unsigned_32(chunk, body + 16, is_big)
            if captured > length - 32 or interface >= interface_count:
                return count, position, WALK_DAMAGED
            high = unsigned_32(chunk, body + 4, is_big)
            ticks = (min(high, 0x7FFFFFFF) << 32) | unsigned_32(chunk, body + 8, is_big)
            data = body + 20
        if ticks >= 0:
            settings[_LAST_TIME_NS] = interfaces[interface, _OFFSET_NS] + _nanoseconds(
                ticks, interfaces[interface, _SCALE], interfaces[interface, _FACTOR]
            )
        # A simple packet has no time of its own; the time of the packet before it is nearest.
        packet = batch[count]
        packet.time_ns = settings[_LAST_TIME_NS]
        packet.link_type = interfaces[interface, _LINK_TYPE]
        packet.offset = data
        packet.captured = captured
        packet.original = max(original, captured)
        count += 1
        position += length
    return count, position, WALK_MORE

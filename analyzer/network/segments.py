"""TCP segments out of packets: addresses, sequence numbers, and where the payload lies.

A segment is a row of columns. Lengths are those of the wire, so that a packet cut by the snap
length still moves its stream forward. Whose connection it is, is decided elsewhere.
Sources: RFC 791, RFC 8200 (extension headers), RFC 9293 section 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from analyzer.byte_order import Bytes, big_16, big_32, big_64, wide
from analyzer.capture.packets import PACKETS_PER_BATCH, PacketBatch
from analyzer.network.link_layers import UNKNOWN_LINK_TYPE, find_network_layer

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# What was met, counted; ``dissect`` adds to an array of this length.
COUNT_TCP, COUNT_CUT, COUNT_UNKNOWN_LINK, COUNT_FRAGMENT, COUNT_HEADER_CUT, COUNTS = range(6)

_MAPPED_IPV4 = 0xFFFF << 32
"""An IPv4 address is kept as the low half of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)."""

_TCP = 6
_LARGEST_EXTENSION_DEPTH = 16
_NOT_TCP = -1
_FRAGMENT = -2
_HEADER_CUT = -3


class SegmentBatch(NamedTuple):
    """Columns of shape (PACKETS_PER_BATCH,); ``dissect`` fills the first so many."""

    packet: npt.NDArray[np.int64]
    """Row of the packet in its batch."""
    source_high: npt.NDArray[np.int64]
    source_low: npt.NDArray[np.int64]
    target_high: npt.NDArray[np.int64]
    target_low: npt.NDArray[np.int64]
    source_port: npt.NDArray[np.int64]
    target_port: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    acknowledgement: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    """First payload byte in the chunk."""
    captured: npt.NDArray[np.int64]
    """Payload bytes recorded."""
    length: npt.NDArray[np.int64]
    """Payload bytes on the wire."""


def empty_segments() -> SegmentBatch:
    """A batch to be filled."""
    return SegmentBatch(*(np.zeros(PACKETS_PER_BATCH, np.int64) for _ in SegmentBatch._fields))


@njit(cache=True, nogil=True)
def dissect(
    chunk: Bytes,
    packets: PacketBatch,
    count: int,
    segments: SegmentBatch,
    counts: npt.NDArray[np.int64],
) -> int:
    """Find the TCP segments among the first ``count`` packets: how many rows of ``segments`` were filled."""
    link_types, offsets, captureds, originals = (
        packets.link_type,
        packets.offset,
        packets.captured,
        packets.original,
    )
    found = wide(0)
    for packet in range(count):
        start = offsets[packet]
        end = start + captureds[packet]
        wire_end = start + originals[packet]
        if end < wire_end:
            counts[COUNT_CUT] += 1
        network = find_network_layer(chunk, start, end, link_types[packet])
        if network < 0:
            if network == UNKNOWN_LINK_TYPE:
                counts[COUNT_UNKNOWN_LINK] += 1
            continue
        transport, ip_end = _find_transport(chunk, network, end, wire_end)
        if transport >= 0:
            if _read_tcp(chunk, transport, end, ip_end, segments, found):
                _read_addresses(chunk, network, segments, found)
                segments.packet[found] = packet
                found += 1
            else:
                counts[COUNT_HEADER_CUT] += 1
        elif transport == _FRAGMENT:
            counts[COUNT_FRAGMENT] += 1
        elif transport == _HEADER_CUT:
            counts[COUNT_HEADER_CUT] += 1
    counts[COUNT_TCP] += found
    return found


@njit(cache=True, nogil=True)
def _find_transport(data: Bytes, at: int, end: int, wire_end: int) -> tuple[int, int]:
    """First byte of the TCP header (or a negative reason) and the end of the IP packet on the wire."""
    if at + 20 > end:
        return _HEADER_CUT, wide(0)
    version = data[at] >> 4
    if version == 4:
        return _find_transport_4(data, at, end, wire_end)
    if version == 6 and at + 40 <= end:
        return _find_transport_6(data, at, end, wire_end)
    return _NOT_TCP, wide(0)


@njit(cache=True, nogil=True)
def _find_transport_4(data: Bytes, at: int, end: int, wire_end: int) -> tuple[int, int]:
    header_bytes = wide(data[at] & 0x0F) * 4
    total = big_16(data, at + 2)
    if header_bytes < 20 or data[at + 9] != _TCP:
        return _NOT_TCP, wide(0)
    if big_16(data, at + 6) & 0x3FFF:
        return _FRAGMENT, wide(0)
    # An offload engine hands over packets larger than the field can tell, with length 0.
    ip_end = at + total if total else wire_end
    if ip_end < at + header_bytes:
        return _NOT_TCP, wide(0)
    return at + header_bytes, ip_end


@njit(cache=True, nogil=True)
def _find_transport_6(data: Bytes, at: int, end: int, wire_end: int) -> tuple[int, int]:
    payload = big_16(data, at + 4)
    ip_end = at + 40 + payload if payload else wire_end
    kind = wide(data[at + 6])
    at += 40
    for _ in range(_LARGEST_EXTENSION_DEPTH):
        if kind == _TCP:
            return at, ip_end
        if at + 8 > end:
            return _HEADER_CUT, wide(0)
        if kind == 44:
            if big_16(data, at + 2) & 0xFFF9:
                return _FRAGMENT, wide(0)
            step = wide(8)
        elif kind == 51:
            step = (wide(data[at + 1]) + 2) * 4
        elif kind == 0 or kind == 43 or kind == 60 or kind == 135 or kind == 139 or kind == 140:
            step = (wide(data[at + 1]) + 1) * 8
        else:
            return _NOT_TCP, wide(0)
        kind = wide(data[at])
        at += step
    return _NOT_TCP, wide(0)


@njit(cache=True, nogil=True)
def _read_tcp(data: Bytes, at: int, end: int, ip_end: int, segments: SegmentBatch, row: int) -> bool:
    if at + 20 > end or at + 20 > ip_end:
        return False
    payload = at + wide(data[at + 12] >> 4) * 4
    if payload < at + 20 or payload > ip_end:
        return False
    segments.source_port[row] = big_16(data, at)
    segments.target_port[row] = big_16(data, at + 2)
    segments.sequence[row] = big_32(data, at + 4)
    segments.acknowledgement[row] = big_32(data, at + 8)
    segments.flags[row] = data[at + 13]
    segments.offset[row] = payload
    segments.captured[row] = max(min(end, ip_end) - payload, 0)
    segments.length[row] = ip_end - payload
    return True


@njit(cache=True, nogil=True)
def _read_addresses(data: Bytes, at: int, segments: SegmentBatch, row: int) -> None:
    if data[at] >> 4 == 4:
        segments.source_high[row] = 0
        segments.source_low[row] = _MAPPED_IPV4 | big_32(data, at + 12)
        segments.target_high[row] = 0
        segments.target_low[row] = _MAPPED_IPV4 | big_32(data, at + 16)
    else:
        segments.source_high[row] = big_64(data, at + 8)
        segments.source_low[row] = big_64(data, at + 16)
        segments.target_high[row] = big_64(data, at + 24)
        segments.target_low[row] = big_64(data, at + 32)

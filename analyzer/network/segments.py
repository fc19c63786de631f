"""TCP segments out of packets: addresses, sequence numbers, and where the payload lies.

A segment is a record. Lengths are those of the wire, so that a packet cut by the snap
length still moves its stream forward. Whose connection it is, is decided elsewhere.
Sources: RFC 791, RFC 8200 (extension headers), RFC 9293 section 3.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, big_16, big_32, big_64, wide
from analyzer.capture.packets import PACKETS_PER_BATCH, Packets
from analyzer.compilation import njit
from analyzer.network.link_layers import UNKNOWN_LINK_TYPE, find_network_layer
from analyzer.network.tunnels import find_inner_network_layer

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# What was met, counted; ``dissect`` adds to an array of this length.
COUNT_TCP, COUNT_CUT, COUNT_UNKNOWN_LINK, COUNT_FRAGMENT, COUNT_HEADER_CUT, COUNTS = range(6)

_MAPPED_IPV4 = 0xFFFF << 32
"""An IPv4 address is kept as the low half of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)."""

_TCP = 6
_LARGEST_EXTENSION_DEPTH = 16
_LARGEST_TUNNEL_DEPTH = 2
_NOT_TCP = -1
_FRAGMENT = -2
_HEADER_CUT = -3


SEGMENT = np.dtype(
    (
        np.record,
        [
            ("packet", "i8"),  # row of the packet in its batch
            ("time_ns", "i8"),
            ("source_high", "i8"),
            ("source_low", "i8"),
            ("target_high", "i8"),
            ("target_low", "i8"),
            ("source_port", "i8"),
            ("target_port", "i8"),
            ("sequence", "i8"),
            ("acknowledgement", "i8"),
            ("control_bits", "i8"),
            ("mark", "i8"),  # IP identification and TCP checksum, the same in a copy of the packet
            ("offset", "i8"),  # first payload byte in the chunk
            ("captured", "i8"),  # payload bytes recorded
            ("length", "i8"),  # payload bytes on the wire
        ],
    )
)

Segments = npt.NDArray[np.void]
"""Records of SEGMENT, shape (PACKETS_PER_BATCH,); ``dissect`` fills the first so many."""

Record = Any
"""One row of a record array, seen by its field names."""


def empty_segments() -> Segments:
    """A batch to be filled."""
    return np.zeros(PACKETS_PER_BATCH, SEGMENT)


@njit(cache=True, nogil=True)
def dissect(
    chunk: Bytes,
    packets: Packets,
    count: int,
    segments: Segments,
    counts: npt.NDArray[np.int64],
) -> int:
    """Find the TCP segments among the first ``count`` packets: how many rows of ``segments`` were filled."""
    found = wide(0)
    for row in range(count):
        packet = packets[row]
        start = packet.offset
        end = start + packet.captured
        wire_end = start + packet.original
        if end < wire_end:
            counts[COUNT_CUT] += 1
        network = find_network_layer(chunk, start, end, packet.link_type)
        if network < 0:
            if network == UNKNOWN_LINK_TYPE:
                counts[COUNT_UNKNOWN_LINK] += 1
            continue
        for _ in range(_LARGEST_TUNNEL_DEPTH):
            inner = find_inner_network_layer(chunk, network, end)
            if inner < 0:
                break
            network = inner
        transport, ip_end = _find_transport(chunk, network, end, wire_end)
        if transport >= 0:
            segment = segments[found]
            if _read_tcp(chunk, transport, end, ip_end, segment):
                _read_addresses(chunk, network, segment)
                segment.packet, segment.time_ns = row, packet.time_ns
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
        return _find_transport_4(data, at, wire_end)
    if version == 6 and at + 40 <= end:
        return _find_transport_6(data, at, end, wire_end)
    return _NOT_TCP, wide(0)


@njit(cache=True, nogil=True)
def _find_transport_4(data: Bytes, at: int, wire_end: int) -> tuple[int, int]:
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
def _read_tcp(data: Bytes, at: int, end: int, ip_end: int, segment: Record) -> bool:
    if at + 20 > end or at + 20 > ip_end:
        return False
    payload = at + wide(data[at + 12] >> 4) * 4
    if payload < at + 20 or payload > ip_end:
        return False
    segment.source_port = big_16(data, at)
    segment.target_port = big_16(data, at + 2)
    segment.sequence = big_32(data, at + 4)
    segment.acknowledgement = big_32(data, at + 8)
    segment.control_bits = data[at + 13]
    segment.mark = big_16(data, at + 16)
    segment.offset = payload
    segment.captured = max(min(end, ip_end) - payload, 0)
    segment.length = ip_end - payload
    return True


@njit(cache=True, nogil=True)
def _read_addresses(data: Bytes, at: int, segment: Record) -> None:
    if data[at] >> 4 == 4:
        segment.mark |= big_16(data, at + 4) << 16
        segment.source_high = 0
        segment.source_low = _MAPPED_IPV4 | big_32(data, at + 12)
        segment.target_high = 0
        segment.target_low = _MAPPED_IPV4 | big_32(data, at + 16)
    else:
        segment.source_high = big_64(data, at + 8)
        segment.source_low = big_64(data, at + 16)
        segment.target_high = big_64(data, at + 24)
        segment.target_low = big_64(data, at + 32)

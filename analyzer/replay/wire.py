"""What bytes take on a link: PDUs into a TCP stream, the stream into packets, packets into time.

A direction of a link sends first in, first out. Bytes handed over at once travel as one stream
of full packets, so the time of its last byte follows from arithmetic and no event per packet is needed.
Acknowledgements of TCP take no time here (docs/replay-model.md says what that costs).
"""

from __future__ import annotations

from typing import Any

from analyzer.replay.compiled import engine_function
from analyzer.replay.state import LOG_TRANSFERS, Log

EXACT_BYTES = 1 << 29  # 8e9 times this still fits 63 bits


@engine_function
def pdu_stream_bytes(data_bytes: int, segment_bytes: int, header_bytes: int, digest_bytes: int) -> int:
    """Bytes of the fewest PDUs that carry ``data_bytes``, none longer than ``segment_bytes`` of data.

    One PDU without data where there is none. Data is padded to four bytes (RFC 7143 section 11.2.2).
    """
    if data_bytes <= 0:
        return header_bytes
    full = (data_bytes - 1) // segment_bytes
    last = data_bytes - full * segment_bytes
    padded = full * ((segment_bytes + 3) & ~3) + ((last + 3) & ~3)
    return (full + 1) * (header_bytes + digest_bytes) + padded


@engine_function
def sending_ns(wire_bytes: int, rate_bps: int) -> int:
    """Nanoseconds that ``wire_bytes`` take at ``rate_bps``, rounded up; 0 for the rate 0."""
    if rate_bps == 0:
        return 0
    chunks = wire_bytes // EXACT_BYTES
    rest = wire_bytes - chunks * EXACT_BYTES
    ns = (rest * 8_000_000_000 + rate_bps - 1) // rate_bps
    if chunks > 0:
        ns += chunks * ((EXACT_BYTES * 8_000_000_000 + rate_bps - 1) // rate_bps)
    return ns


@engine_function
def transmit(links: Any, log: Log, direction: int, now: int, stream_bytes: int, data_bytes: int) -> int:
    """Hand ``stream_bytes`` to a direction at ``now``; gives the time at which the last of them arrives.

    Behind an idle time a token bucket lets up to its size go at once and is paid later (Linux tbf);
    a wire has no bucket. ``data_bytes`` of the stream are SCSI data.
    """
    link = links[direction]
    packets = (stream_bytes + link.segment_bytes - 1) // link.segment_bytes
    wire_bytes = stream_bytes + packets * link.packet_overhead_bytes
    duration = sending_ns(wire_bytes, link.rate_bps)
    free = max(now, link.free_ns) + duration
    link.free_ns = free
    link.busy_ns += duration
    link.wire_bytes += wire_bytes
    link.packets += packets
    delivered: int = max(now, free - link.credit_ns) + link.delay_ns
    row = log.used[LOG_TRANSFERS]
    log.used[LOG_TRANSFERS] += 1
    if row < len(log.transfers):
        entry = log.transfers[row]
        entry[0] = direction
        entry[1] = now
        entry[2] = free
        entry[3] = delivered
        entry[4] = wire_bytes
        entry[5] = data_bytes
    return delivered

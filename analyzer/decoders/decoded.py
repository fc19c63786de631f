"""What every decoder gives: PDU headers as columns, connections, and what was lost.

Nothing here knows what a session or a task is; that is the timeline's. All arrays of one record
have one length. PDUs are in order of ``(time_ns, file_index, packet, place in the packet)``, also
when several files were merged. Enumerations are small integers named by the constants below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.decoders.clock_bounds import ClockBound
from analyzer.diagnostics import DiagnosticLog
from analyzer.scratch import Scratch

DIGEST_NONE = 0
"""No digest is in use, or not all bytes under it were recorded."""
DIGEST_OK = 1
DIGEST_BAD = 2

QUALITY_WHOLE = 0
QUALITY_RESYNCHRONISED = 1
QUALITY_INFERRED = 2

END_OPEN = 0
"""No FIN or RST was recorded."""
END_FIN = 1
END_RESET = 2


@dataclass(frozen=True, slots=True)
class CaptureFile:
    """One input file; the fields are those of the ``captures`` table."""

    file_index: int
    name: str
    format: str
    compression: str
    size_bytes: int | None
    sha256: str | None
    packets: int
    tcp_packets: int
    cut_packets: int
    first_ns: int | None
    last_ns: int | None
    clock_offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class PduColumns:
    """One entry per PDU, n in all."""

    headers: npt.NDArray[np.uint8]
    """Shape (n, 48): the Basic Header Segments as sent."""
    time_ns: npt.NDArray[np.int64]
    """Packet with the first byte, ns since the epoch."""
    time_last_ns: npt.NDArray[np.int64]
    """When it was whole (padding and digest included): the packet with its last byte, or a later one that
    brought bytes missing before that; for a PDU that never was whole, the last packet seen of it."""
    packet: npt.NDArray[np.int64]
    """Packet with the first byte, counted from 1 in its file."""
    file_index: npt.NDArray[np.int32]
    connection_index: npt.NDArray[np.int32]
    from_target: npt.NDArray[np.bool_]
    header_digest: npt.NDArray[np.uint8]
    """DIGEST_*."""
    data_digest: npt.NDArray[np.uint8]
    """DIGEST_*."""
    quality: npt.NDArray[np.uint8]
    """QUALITY_*."""
    segment_offset: npt.NDArray[np.int64]
    """Where in ``segments`` the AHS and then the kept data segment lie; unpadded."""
    ahs_bytes: npt.NDArray[np.int32]
    """Kept AHS bytes at ``segment_offset``."""
    segment_bytes: npt.NDArray[np.int32]
    """Kept data bytes behind the AHS: the whole segment of login, text, SCSI response (sense),
    reject, async and NOP PDUs up to the decoder's limit, and of PERSISTENT RESERVE OUT commands and their
    Data-Outs (the keys); 0 for Data-In, other Data-Outs and all other commands."""
    segments: npt.NDArray[np.uint8]
    is_complete: npt.NDArray[np.bool_]
    """False where the connection or the recording ended inside the PDU."""

    def __len__(self) -> int:
        return len(self.headers)

    def segment(self, pdu: int) -> bytes:
        """The kept data segment of one PDU."""
        start = int(self.segment_offset[pdu]) + int(self.ahs_bytes[pdu])
        return self.segments[start : start + int(self.segment_bytes[pdu])].tobytes()


@dataclass(frozen=True, slots=True)
class ConnectionColumns:
    """One entry per TCP connection that spoke iSCSI, in order of its first packet."""

    initiator_address: list[str]
    initiator_port: npt.NDArray[np.uint16]
    target_address: list[str]
    target_port: npt.NDArray[np.uint16]
    opened_ns: npt.NDArray[np.int64]
    last_ns: npt.NDArray[np.int64]
    """Last packet of the connection."""
    ended_ns: npt.NDArray[np.int64]
    """FIN or RST, where ``end`` says one was seen; else ``last_ns``."""
    end: npt.NDArray[np.uint8]
    """END_*: the first FIN or RST decides, but a RST that follows a FIN of the same side is a reset."""
    end_from_target: npt.NDArray[np.bool_]
    """Side that sent it."""
    handshake_seen: npt.NDArray[np.bool_]
    """Whether the SYN was recorded."""
    packets: npt.NDArray[np.int64]
    retransmitted_segments: npt.NDArray[np.int64]
    lost_bytes: npt.NDArray[np.int64]
    rtt_ns_min: npt.NDArray[np.int64]
    """0 where not seen, as in the two parts of it."""
    target_side_rtt_ns_min: npt.NDArray[np.int64]
    """From the recorder to the target and back."""
    initiator_side_rtt_ns_min: npt.NDArray[np.int64]
    """From the recorder to the initiator and back."""
    queue_to_target_bytes: npt.NDArray[np.int64]
    """Most that passed between data of the other side and its acknowledgement; -1 where none was seen."""
    queue_from_target_bytes: npt.NDArray[np.int64]
    largest_segment_bytes: npt.NDArray[np.int64]
    header_digest: npt.NDArray[np.bool_]
    data_digest: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.opened_ns)


@dataclass(frozen=True, slots=True)
class HoleColumns:
    """One entry per stretch of TCP bytes that the recorder missed."""

    connection_index: npt.NDArray[np.int32]
    from_target: npt.NDArray[np.bool_]
    at_ns: npt.NDArray[np.int64]
    """First packet behind the hole."""
    file_index: npt.NDArray[np.int32]
    packet: npt.NDArray[np.int64]
    lost_bytes: npt.NDArray[np.int64]
    framing_kept: npt.NDArray[np.bool_]
    """Whether the hole lay in data of known length, so that no header was lost with it."""

    def __len__(self) -> int:
        return len(self.at_ns)


@dataclass(frozen=True, slots=True)
class DecodedCapture:
    """All that a decoder found."""

    files: tuple[CaptureFile, ...]
    pdus: PduColumns
    connections: ConnectionColumns
    holes: HoleColumns
    diagnostics: DiagnosticLog
    decoder: str
    """``native`` or ``wireshark <version>``."""
    notes: dict[str, Any]
    """Plain JSON data for the manifest (options, times spent)."""
    clock_bounds: tuple[ClockBound, ...] = ()
    """What TCP shows of the clocks of several files."""
    scratch: Scratch = field(default_factory=lambda: Scratch(is_used=False))
    """Where large arrays lie, where there are too many PDUs for memory."""

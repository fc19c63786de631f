"""Described conversations: PDUs said one after the other become a decoded capture, and so a timeline.

Independent of the decoders: headers are packed here with ``struct`` from the RFC's pictures. The clock
stands still unless moved, but for one microsecond per PDU, so that times in a test can be told by heart.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzer.decoders.decoded import (
    END_FIN,
    END_OPEN,
    END_RESET,
    CaptureFile,
    ConnectionColumns,
    DecodedCapture,
    HoleColumns,
    PduColumns,
)
from analyzer.diagnostics import DiagnosticLog
from analyzer.tables.folder import Timeline
from analyzer.timeline.build import build

START_NS = 1_700_000_000_000_000_000
PDU_NS = 1_000
MILLISECOND = 1_000_000
NO_TAG = 0xFFFFFFFF

FULL_FEATURE = {
    "InitialR2T": "Yes",
    "ImmediateData": "Yes",
    "MaxConnections": "4",
    "ErrorRecoveryLevel": "2",
    "MaxBurstLength": "262144",
    "MaxRecvDataSegmentLength": "65536",
}


def read_10(lba: int, blocks: int) -> bytes:
    return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)


def write_10(lba: int, blocks: int) -> bytes:
    return struct.pack(">BBIBHB", 0x2A, 0, lba, 0, blocks, 0)


def fixed_sense(key: int, asc: int, ascq: int) -> bytes:
    return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])


def text(keys: dict[str, str]) -> bytes:
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())


@dataclass
class _Pdu:
    header: bytes
    segment: bytes
    time_ns: int
    time_last_ns: int
    connection: int
    from_target: bool
    data_digest: int = 0
    ahs: bytes = b""
    is_complete: bool = True


@dataclass
class _Tcp:
    initiator: tuple[str, int]
    target: tuple[str, int]
    opened_ns: int
    end: int = END_OPEN
    ended_ns: int = 0
    end_from_target: bool = False


@dataclass
class Conversation:
    """Say PDUs with the methods below, then take ``decoded()`` or ``timeline()``."""

    now_ns: int = START_NS
    pdus: list[_Pdu] = field(default_factory=list)
    connections: list[_Tcp] = field(default_factory=list)
    exp_cmd_sn: int = 1
    max_cmd_sn: int = 1000
    stat_sn: dict[int, int] = field(default_factory=dict)
    """The next StatSN of each connection, 1 at first."""
    counted: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """Next DataSN or R2TSN by kind, task tag and transfer tag."""

    def wait_ms(self, milliseconds: float) -> None:
        self.now_ns += int(milliseconds * MILLISECOND)

    def connect(self, initiator: str = "10.0.0.1", target: str = "10.0.0.9", port: int = 3260) -> int:
        number = len(self.connections)
        self.connections.append(_Tcp((initiator, 50000 + number), (target, port), self.now_ns))
        return number

    def close(self, connection: int, *, reset: bool = False, from_target: bool = False) -> None:
        tcp = self.connections[connection]
        tcp.end, tcp.ended_ns, tcp.end_from_target = (
            END_RESET if reset else END_FIN,
            self.now_ns,
            from_target,
        )

    def say(
        self,
        connection: int,
        header: bytes,
        segment: bytes = b"",
        *,
        takes_ms: float = 0,
        data_digest: int = 0,
        ahs: bytes = b"",
        is_complete: bool = True,
    ) -> None:
        """Any PDU: a 48-byte header and the data segment that a decoder would keep."""
        assert len(header) == 48
        self.now_ns += PDU_NS
        last_ns = self.now_ns + int(takes_ms * MILLISECOND)
        from_target = header[0] & 0x3F >= 0x20
        times = self.now_ns, last_ns
        self.pdus.append(
            _Pdu(header, segment, *times, connection, from_target, data_digest, ahs, is_complete)
        )

    def login_request(
        self,
        connection: int,
        keys: dict[str, str] | bytes,
        *,
        isid: str = "00023d000001",
        tsih: int = 0,
        cid: int = 0,
        flags: int = 0x87,
        cmd_sn: int = 1,
    ) -> None:
        segment = keys if isinstance(keys, bytes) else text(keys)
        header = struct.pack(
            ">BBBBI6sHIHHII16x",
            0x43, flags, 0, 0, len(segment), bytes.fromhex(isid), tsih, 1, cid, 0, cmd_sn, 0,
        )  # fmt: skip
        self.say(connection, header, segment)

    def login_response(
        self,
        connection: int,
        keys: dict[str, str] | bytes,
        *,
        isid: str = "00023d000001",
        tsih: int = 1,
        flags: int = 0x87,
        status: tuple[int, int] = (0, 0),
    ) -> None:
        segment = keys if isinstance(keys, bytes) else text(keys)
        header = struct.pack(
            ">BBBBI6sHIIIIIBB10x",
            0x23, flags, 0, 0, len(segment), bytes.fromhex(isid), tsih, 1, 0,
            self._next_stat_sn(connection), self.exp_cmd_sn, self.max_cmd_sn, *status,
        )  # fmt: skip
        self.say(connection, header, segment)

    def login(
        self,
        connection: int,
        *,
        isid: str = "00023d000001",
        tsih: int = 0,
        gives: int = 1,
        cid: int = 0,
        initiator: str = "iqn.2026-11.test:host",
        target: str = "iqn.2026-11.test:disk",
        **keys: str,
    ) -> None:
        """A whole login in one exchange; ``tsih`` 0 asks for a new session, ``gives`` is its handle."""
        names = {"InitiatorName": initiator, "TargetName": target, "SessionType": "Normal"}
        asked = {**names, **({} if tsih else FULL_FEATURE), **keys}
        self.login_request(connection, asked, isid=isid, tsih=tsih, cid=cid)
        answer = {"TargetPortalGroupTag": "1", **({} if tsih else FULL_FEATURE), **keys}
        self.login_response(connection, answer, isid=isid, tsih=tsih or gives)

    def command(
        self,
        connection: int,
        tag: int,
        cmd_sn: int,
        cdb: bytes,
        *,
        expected: int | None = None,
        data: int = 0,
        lun: int = 0,
        is_immediate: bool = False,
        attribute: int = 1,
        exp_stat_sn: int = 0,
        takes_ms: float = 0,
        segment: bytes = b"",
        ahs: bytes = b"",
    ) -> None:
        """A SCSI Command; direction and length follow from READ(10) and WRITE(10), 512 bytes a block."""
        length = struct.unpack_from(">H", cdb, 7)[0] * 512 if len(cdb) == 10 else 0
        direction = {0x28: 0x40, 0x2A: 0x20}.get(cdb[0], 0)
        header = struct.pack(
            ">BBHIQIIII16s",
            0x41 if is_immediate else 0x01, 0x80 | direction | attribute, 0, data, lun << 48, tag,
            length if expected is None else expected, cmd_sn, exp_stat_sn, cdb.ljust(16, b"\0"),
        )  # fmt: skip
        self.counted = {key: number for key, number in self.counted.items() if key[1] != tag}
        header = header[:4] + bytes([len(ahs) // 4]) + header[5:]
        self.say(connection, header, segment, takes_ms=takes_ms, ahs=ahs)

    def response(
        self, connection: int, tag: int, *, status: int = 0, sense: bytes = b"", residual: int = 0
    ) -> None:
        segment = struct.pack(">H", len(sense)) + sense if sense else b""
        flags = 0x82 if residual > 0 else 0x84 if residual < 0 else 0x80
        header = struct.pack(
            ">BBBBI8xIIIIIIII",
            0x21, flags, 0, status, len(segment), tag, 0, self._next_stat_sn(connection),
            self.exp_cmd_sn, self.max_cmd_sn, 0, 0, abs(residual),
        )  # fmt: skip
        self.say(connection, header, segment)

    def data_in(
        self,
        connection: int,
        tag: int,
        length: int,
        *,
        offset: int = 0,
        status: int | None = None,
        is_complete: bool = True,
    ) -> None:
        has_status = status is not None
        header = struct.pack(
            ">BBBBI8xIIIIIIII",
            0x25, 0x81 if has_status else 0x80, 0, status or 0, length, tag, NO_TAG,
            self._next_stat_sn(connection) if has_status else 0, self.exp_cmd_sn, self.max_cmd_sn,
            self._count("data-in", tag), offset, 0,
        )  # fmt: skip
        self.say(connection, header, is_complete=is_complete)

    def data_out(
        self,
        connection: int,
        tag: int,
        length: int,
        *,
        transfer_tag: int = NO_TAG,
        is_final: bool = True,
        offset: int = 0,
        segment: bytes = b"",
    ) -> None:
        data_sn = self._count("data-out", tag, transfer_tag)
        flags = 0x80 if is_final else 0
        header = struct.pack(
            ">BBHI8xII4xI4xIII", 0x05, flags, 0, length, tag, transfer_tag, 0, data_sn, offset, 0
        )
        self.say(connection, header, segment)

    def r2t(self, connection: int, tag: int, length: int, *, transfer_tag: int = 5) -> None:
        header = struct.pack(
            ">BBHI8xIIIIIIII",
            0x31, 0x80, 0, 0, tag, transfer_tag, self.stat_sn.get(connection, 1), self.exp_cmd_sn,
            self.max_cmd_sn, self._count("r2t", tag), 0, length,
        )  # fmt: skip
        self.say(connection, header)

    def task_management(
        self, connection: int, tag: int, function: int, *, of: int = NO_TAG, lun: int = 0, cmd_sn: int = 1
    ) -> None:
        header = struct.pack(
            ">BBHIQIIIIII8x", 0x42, 0x80 | function, 0, 0, lun << 48, tag, of, cmd_sn, 0, 0, 0
        )
        self.say(connection, header)

    def task_management_response(self, connection: int, tag: int, response: int = 0) -> None:
        self.say(connection, self._answer(connection, 0x22, tag, response))

    def logout(self, connection: int, tag: int = 900, *, reason: int = 0, cid: int = 0) -> None:
        header = struct.pack(">BBHI8xIHHII16x", 0x46, 0x80 | reason, 0, 0, tag, cid, 0, 1, 0)
        self.say(connection, header)

    def logout_response(self, connection: int, tag: int = 900, response: int = 0) -> None:
        self.say(connection, self._answer(connection, 0x26, tag, response))

    def nop_out(self, connection: int, tag: int) -> None:
        header = struct.pack(">BBHI8xIIII16x", 0x40, 0x80, 0, 0, tag, NO_TAG, 1, 0)
        self.say(connection, header)

    def nop_in(self, connection: int, tag: int) -> None:
        self.say(connection, self._answer(connection, 0x20, tag, 0, transfer_tag=NO_TAG))

    def snack(self, connection: int, tag: int, begin: int = 0, length: int = 0) -> None:
        self.say(connection, struct.pack(">BBHI8xII4xI8xII", 0x10, 0x80, 0, 0, tag, NO_TAG, 0, begin, length))

    def reject(self, connection: int, reason: int, rejected: bytes) -> None:
        header = bytearray(self._answer(connection, 0x3F, NO_TAG, reason))
        header[5:8] = len(rejected).to_bytes(3, "big")
        self.say(connection, bytes(header), rejected)

    def async_message(
        self, connection: int, event: int, parameters: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        header = bytearray(self._answer(connection, 0x32, NO_TAG, 0))
        header[36:44] = struct.pack(">BBHHH", event, 0, *parameters)
        self.say(connection, bytes(header))

    def decoded(self, **connection_columns: Any) -> DecodedCapture:
        """What a decoder would give for all that was said."""
        pdus = sorted(self.pdus, key=lambda pdu: pdu.time_ns)
        count = len(pdus)
        lengths = [len(pdu.segment) for pdu in pdus]
        kept = [len(pdu.ahs) + len(pdu.segment) for pdu in pdus]
        none = np.zeros(count, np.uint8)
        columns = PduColumns(
            np.frombuffer(b"".join(pdu.header for pdu in pdus), np.uint8).reshape(count, 48),
            np.array([pdu.time_ns for pdu in pdus], np.int64),
            np.array([pdu.time_last_ns for pdu in pdus], np.int64),
            np.arange(1, count + 1, dtype=np.int64),
            np.zeros(count, np.int32),
            np.array([pdu.connection for pdu in pdus], np.int32),
            np.array([pdu.from_target for pdu in pdus], np.bool_),
            none,
            np.array([pdu.data_digest for pdu in pdus], np.uint8),
            none,
            np.concatenate([[0], np.cumsum(kept)[:-1]]).astype(np.int64) if count else np.zeros(0, np.int64),
            np.array([len(pdu.ahs) for pdu in pdus], np.int32),
            np.array(lengths, np.int32),
            np.frombuffer(b"".join(pdu.ahs + pdu.segment for pdu in pdus), np.uint8),
            np.array([pdu.is_complete for pdu in pdus], np.bool_),
        )
        first = pdus[0].time_ns if pdus else None
        last = self.now_ns if pdus else None
        file = CaptureFile(0, "said", "pcap", "none", None, None, count, count, 0, first, last)
        connections = self._connection_columns(**connection_columns)
        return DecodedCapture((file,), columns, connections, NO_HOLES, DiagnosticLog(), "said", {})

    def timeline(self) -> Timeline:
        return build(self.decoded())

    def _next_stat_sn(self, connection: int) -> int:
        number = self.stat_sn.get(connection, 1)
        self.stat_sn[connection] = number + 1
        return number

    def _count(self, kind: str, tag: int, transfer_tag: int = 0) -> int:
        key = (kind, tag, transfer_tag)
        self.counted[key] = self.counted.get(key, -1) + 1
        return self.counted[key]

    def _answer(self, connection: int, opcode: int, tag: int, byte_2: int, transfer_tag: int = 0) -> bytes:
        return struct.pack(
            ">BBBBI8xIIIII12x",
            opcode, 0x80, byte_2, 0, 0, tag, transfer_tag,
            self._next_stat_sn(connection), self.exp_cmd_sn, self.max_cmd_sn,
        )  # fmt: skip

    def _connection_columns(self, **given: Any) -> ConnectionColumns:
        tcp = self.connections
        count = len(tcp)
        zeros, no = np.zeros(count, np.int64), np.zeros(count, np.bool_)
        last = np.full(count, self.now_ns, np.int64)
        columns: dict[str, Any] = {
            "initiator_address": [one.initiator[0] for one in tcp],
            "initiator_port": np.array([one.initiator[1] for one in tcp], np.uint16),
            "target_address": [one.target[0] for one in tcp],
            "target_port": np.array([one.target[1] for one in tcp], np.uint16),
            "opened_ns": np.array([one.opened_ns for one in tcp], np.int64),
            "last_ns": last,
            "ended_ns": np.array([one.ended_ns or self.now_ns for one in tcp], np.int64),
            "end": np.array([one.end for one in tcp], np.uint8),
            "end_from_target": np.array([one.end_from_target for one in tcp], np.bool_),
            "handshake_seen": ~no,
            "packets": zeros,
            "retransmitted_segments": zeros,
            "lost_bytes": zeros,
            "rtt_ns_min": zeros,
            "target_side_rtt_ns_min": zeros,
            "initiator_side_rtt_ns_min": zeros,
            "queue_to_target_bytes": zeros - 1,
            "queue_from_target_bytes": zeros - 1,
            "largest_segment_bytes": zeros,
            "header_digest": no,
            "data_digest": no,
        }
        return ConnectionColumns(**{**columns, **given})


NO_HOLES = HoleColumns(
    np.zeros(0, np.int32),
    np.zeros(0, np.bool_),
    np.zeros(0, np.int64),
    np.zeros(0, np.int32),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.bool_),
)


def two_connection_session() -> tuple[Conversation, int, int]:
    """An MC/S session with CIDs 0 and 1, logged in and idle."""
    said = Conversation()
    first, second = said.connect(), said.connect(target="10.0.1.9")
    said.login(first)
    said.login(second, tsih=1, cid=1)
    return said, first, second


def events_of(timeline: Timeline, *kinds: str) -> list[dict[str, Any]]:
    """Events of these kinds as plain rows, ``detail`` parsed."""
    import json

    rows = timeline.arrow["events"].to_pylist()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows if row["kind"] in kinds]


def rows_of(timeline: Timeline, table: str) -> list[dict[str, Any]]:
    """A table as plain rows."""
    return list(timeline.arrow[table].to_pylist())

"""Builds captures out of described packets, without any code of the decoder.

A conversation of two ends makes TCP packets; link and IP layers wrap them; a container holds them.
Everything is plain bytes, so a test can cut, double and shuffle them.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

INITIATOR, TARGET = 0, 1
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ETHERNET, RAW_IP, BSD_NULL, BSD_LOOP, LINUX_COOKED, LINUX_COOKED_2 = 1, 101, 0, 108, 113, 276
RESERVED_TAG = 0xFFFFFFFF
START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Packet:
    """One packet of a capture. ``captured`` is how much of it a snap length left; None = all."""

    time_ns: int
    data: bytes
    captured: int | None = None
    original: int | None = None

    @property
    def kept(self) -> bytes:
        return self.data if self.captured is None else self.data[: self.captured]


@dataclass(frozen=True)
class Segment:
    """One TCP segment of a conversation."""

    side: int
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes = b""


@dataclass
class Conversation:
    """One TCP connection: what its ends send, as segments with growing sequence numbers."""

    addresses: tuple[str, str] = ("192.0.2.1", "192.0.2.2")
    ports: tuple[int, int] = (49152, 3260)
    initial: tuple[int, int] = (1_000, 900_000)
    sent: list[int] = field(default_factory=lambda: [0, 0])
    packets: int = 0

    def open(self) -> list[Segment]:
        """The three-way handshake."""
        initiator, target = self.initial
        return [
            Segment(INITIATOR, initiator, 0, SYN),
            Segment(TARGET, target, (initiator + 1) % 2**32, SYN | ACK),
            Segment(INITIATOR, (initiator + 1) % 2**32, (target + 1) % 2**32, ACK),
        ]

    def number(self, side: int) -> int:
        """The sequence number of the next byte that ``side`` sends."""
        return (self.initial[side] + 1 + self.sent[side]) % 2**32

    def send(self, side: int, payload: bytes, sizes: Sequence[int] = (1448,)) -> list[Segment]:
        """``payload`` in segments of the given sizes, used over and over."""
        segments = []
        at = 0
        while at < len(payload):
            part = payload[at : at + sizes[len(segments) % len(sizes)]]
            flags = ACK | (PSH if at + len(part) == len(payload) else 0)
            segments.append(Segment(side, self.number(side), self.number(1 - side), flags, part))
            self.sent[side] += len(part)
            at += len(part)
        return segments

    def acknowledge(self, side: int) -> Segment:
        """A segment without payload in which ``side`` says what it has received."""
        return Segment(side, self.number(side), self.number(1 - side), ACK)

    def end(self, side: int, flags: int = FIN | ACK) -> Segment:
        """FIN or RST from ``side``."""
        return Segment(side, self.number(side), self.number(1 - side), flags)

    def packet(self, segment: Segment, time_ns: int, link_type: int = ETHERNET) -> Packet:
        """The segment as it is recorded."""
        source, destination = self.addresses[segment.side], self.addresses[1 - segment.side]
        ports = self.ports[segment.side], self.ports[1 - segment.side]
        # Every packet has an identification of its own, also one that is sent again (RFC 6864).
        self.packets += 1
        ip = ip_packet(source, destination, tcp_bytes(segment, ports), identification=self.packets & 0xFFFF)
        return Packet(time_ns, link_frame(ip, link_type))


def packets_of(
    conversation: Conversation, segments: Iterable[Segment], start_ns: int = START_NS, step_ns: int = 10_000
) -> list[Packet]:
    """The segments as packets, ``step_ns`` apart."""
    return [
        conversation.packet(segment, start_ns + number * step_ns) for number, segment in enumerate(segments)
    ]


def tcp_bytes(segment: Segment, ports: tuple[int, int], options: bytes = b"") -> bytes:
    """TCP header and payload; checksums are zero, as offload engines leave them."""
    words = 5 + len(options) // 4
    return (
        struct.pack(
            "!HHIIBBHHH",
            *ports,
            segment.sequence % 2**32,
            segment.acknowledgement % 2**32,
            words << 4,
            segment.flags,
            65535,
            0,
            0,
        )
        + options
        + segment.payload
    )


def ip_packet(
    source: str, destination: str, payload: bytes, *, zero_length: bool = False, identification: int = 1
) -> bytes:
    """An IPv4 or IPv6 packet; ``zero_length`` makes it a super-packet of an offload engine."""
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if first.version == 4:
        length = 0 if zero_length else 20 + len(payload)
        head = struct.pack("!BBHHHBBH", 0x45, 0, length, identification, 0x4000, 64, 6, 0)
    else:
        length = 0 if zero_length else len(payload)
        head = struct.pack("!IHBB", 6 << 28, length, 6, 64)
    return head + first.packed + second.packed + payload


def link_frame(ip: bytes, link_type: int = ETHERNET, vlans: Sequence[int] = ()) -> bytes:
    """An IP packet in the frame of a link layer; ``vlans`` are the tag types in front of it."""
    kind = struct.pack("!H", 0x0800 if ip[0] >> 4 == 4 else 0x86DD)
    tags = b"".join(struct.pack("!HH", tag, 7) for tag in vlans)
    if link_type == ETHERNET:
        return bytes(12) + tags + kind + ip
    if link_type == LINUX_COOKED:
        return bytes(14) + tags + kind + ip
    if link_type == LINUX_COOKED_2:
        return kind + bytes(18) + ip
    if link_type in (BSD_NULL, BSD_LOOP):
        return struct.pack("<I" if link_type == BSD_NULL else "!I", 2 if ip[0] >> 4 == 4 else 30) + ip
    return ip


def pcap(
    packets: Iterable[Packet],
    *,
    link_type: int = ETHERNET,
    big_endian: bool = False,
    nanoseconds: bool = True,
) -> bytes:
    """A classic pcap file."""
    order = ">" if big_endian else "<"
    unit = 1 if nanoseconds else 1000
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for packet in packets:
        seconds, rest = divmod(packet.time_ns, 10**9)
        length = len(packet.data) if packet.original is None else packet.original
        parts.append(struct.pack(order + "IIII", seconds, rest // unit, len(packet.kept), length))
        parts.append(packet.kept)
    return b"".join(parts)


def block(kind: int, body: bytes, *, big_endian: bool = False) -> bytes:
    """One pcapng block."""
    order = ">" if big_endian else "<"
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(*, big_endian: bool = False) -> bytes:
    """A pcapng Section Header Block."""
    order = ">" if big_endian else "<"
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), big_endian=big_endian)


def interface(
    *,
    link_type: int = ETHERNET,
    big_endian: bool = False,
    resolution: int = 9,
    offset_s: int = 0,
    snap: int = 0,
) -> bytes:
    """A pcapng Interface Description Block; ``resolution`` is ``if_tsresol`` as it is stored."""
    order = ">" if big_endian else "<"
    body = struct.pack(order + "HHI", link_type, 0, snap)
    body += struct.pack(order + "HHBxxx", 9, 1, resolution)
    body += struct.pack(order + "HHq", 14, 8, offset_s)
    return block(1, body + struct.pack(order + "HH", 0, 0), big_endian=big_endian)


def enhanced_packet(packet: Packet, ticks: int, *, number: int = 0, big_endian: bool = False) -> bytes:
    """A pcapng Enhanced Packet Block of interface ``number``."""
    order = ">" if big_endian else "<"
    length = len(packet.data) if packet.original is None else packet.original
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.kept), length)
    return block(6, head + packet.kept, big_endian=big_endian)


def pcapng(packets: Iterable[Packet], *, link_type: int = ETHERNET, big_endian: bool = False) -> bytes:
    """A pcapng file of one section and one interface with nanosecond times."""
    parts = [section(big_endian=big_endian), interface(link_type=link_type, big_endian=big_endian)]
    parts += [enhanced_packet(packet, packet.time_ns, big_endian=big_endian) for packet in packets]
    return b"".join(parts)


def crc32c(data: bytes) -> bytes:
    """The digest of ``data`` as it stands on the wire, bit by bit (RFC 3720 appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return struct.pack("<I", value ^ 0xFFFFFFFF)


@dataclass(frozen=True)
class Pdu:
    """One PDU: its header (AHS and data lengths are filled in), AHS and data segment."""

    header: bytes
    data: bytes = b""
    ahs: bytes = b""

    @property
    def full_header(self) -> bytes:
        lengths = struct.pack("!I", len(self.ahs) // 4 << 24 | len(self.data))
        return self.header[:4] + lengths + self.header[8:]

    def wire(self, *, header_digest: bool = False, data_digest: bool = False) -> bytes:
        """The PDU as it is sent."""
        head = self.full_header + self.ahs
        body = self.data + bytes(-len(self.data) % 4)
        digest = crc32c(head) if header_digest else b""
        return head + digest + body + (crc32c(body) if data_digest and self.data else b"")


def header(opcode: int, flags: int, fields: dict[int, int], *, high: bytes = b"\0\0") -> bytes:
    """48 bytes: ``fields`` maps the offset of a 32-bit field to its value; ``high`` is bytes 2 and 3."""
    content = bytearray(48)
    content[0], content[1], content[2:4] = opcode, flags, high
    for offset, value in fields.items():
        content[offset : offset + 4] = struct.pack("!I", value)
    return bytes(content)


def text(**keys: str) -> bytes:
    """Login text."""
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())


def login_request(keys: bytes, *, flags: int = 0x87, cmd_sn: int = 1, tag: int = 1) -> Pdu:
    return Pdu(header(0x43, flags, {8: 0x80123456, 16: tag, 24: cmd_sn}), keys)


def login_response(keys: bytes, *, flags: int = 0x87, stat_sn: int = 1, cmd_sn: int = 1, tag: int = 1) -> Pdu:
    return Pdu(header(0x23, flags, {8: 0x80123456, 16: tag, 24: stat_sn, 28: cmd_sn, 32: cmd_sn + 31}), keys)


def command(
    tag: int,
    cmd_sn: int,
    *,
    stat_sn: int = 2,
    read: int = 0,
    written: int = 0,
    data: bytes = b"",
    ahs: bytes = b"",
) -> Pdu:
    flags = 0x81 | (0x40 if read else 0) | (0x20 if written else 0)
    fields = {16: tag, 20: read or written, 24: cmd_sn, 28: stat_sn, 32: 0x28000000 if read else 0x2A000000}
    return Pdu(header(0x01, flags, fields), data, ahs)


def data_in(
    tag: int, data: bytes, *, stat_sn: int = 0, cmd_sn: int = 1, number: int = 0, offset: int = 0
) -> Pdu:
    flags = 0x81 if stat_sn else 0x80
    fields = {16: tag, 20: RESERVED_TAG, 24: stat_sn, 28: cmd_sn, 32: cmd_sn + 31, 36: number, 40: offset}
    return Pdu(header(0x25, flags, fields), data)


def data_out(tag: int, data: bytes, *, stat_sn: int = 2, number: int = 0, offset: int = 0) -> Pdu:
    fields = {16: tag, 20: RESERVED_TAG, 28: stat_sn, 36: number, 40: offset}
    return Pdu(header(0x05, 0x80, fields), data)


def response(tag: int, *, stat_sn: int, cmd_sn: int, sense: bytes = b"") -> Pdu:
    fields = {16: tag, 24: stat_sn, 28: cmd_sn, 32: cmd_sn + 31}
    return Pdu(header(0x21, 0x80, fields, high=b"\0\2" if sense else b"\0\0"), sense)


def nop_in(stat_sn: int, cmd_sn: int, data: bytes = b"") -> Pdu:
    fields = {16: RESERVED_TAG, 20: 9, 24: stat_sn, 28: cmd_sn, 32: cmd_sn + 31}
    return Pdu(header(0x20, 0x80, fields), data)


@dataclass(frozen=True)
class Dialogue:
    """What both ends say in one session, in order; the expectation a decoded capture is held against."""

    pdus: tuple[tuple[int, Pdu], ...]
    header_digest: bool = False
    data_digest: bool = False

    def wire(self, number: int) -> bytes:
        """PDU ``number`` as it is sent: digests are used behind the login."""
        _, pdu = self.pdus[number]
        is_login = pdu.header[0] & 0x3F in (0x03, 0x23)
        return pdu.wire(
            header_digest=self.header_digest and not is_login, data_digest=self.data_digest and not is_login
        )

    def segments(
        self, conversation: Conversation, sizes: Sequence[int] = (1448,), *, is_opened: bool = True
    ) -> list[Segment]:
        """The dialogue over TCP, each PDU acknowledged by the other end."""
        segments = conversation.open() if is_opened else []
        for number, (side, _) in enumerate(self.pdus):
            segments += conversation.send(side, self.wire(number), sizes)
            segments.append(conversation.acknowledge(1 - side))
        return segments

    def said(self, side: int) -> list[tuple[bytes, bytes]]:
        """Header and data of every PDU of one end."""
        return [(pdu.full_header, pdu.data) for sender, pdu in self.pdus if sender == side]


def dialogue(
    reads: int = 6,
    *,
    header_digest: bool = False,
    data_digest: bool = False,
    sizes: Sequence[int] = (512, 3, 9000),
) -> Dialogue:
    """A login, then reads and writes of data of ``sizes`` in turn, some with AHS, sense and a ping."""
    chosen = {"HeaderDigest": header_digest, "DataDigest": data_digest}
    offer = text(
        InitiatorName="iqn.i", TargetName="iqn.t", HeaderDigest="CRC32C,None", DataDigest="CRC32C,None"
    )
    answer = text(**{key: "CRC32C" if value else "None" for key, value in chosen.items()})
    pdus = [(INITIATOR, login_request(offer)), (TARGET, login_response(answer))]
    stat_sn = 2
    for number in range(reads):
        size, tag, cmd_sn = sizes[number % len(sizes)], 0x100 + number, 1 + number
        content = bytes((number * 7 + at * 11 + (at >> 8)) & 0xFF for at in range(size))
        if number % 3 == 2:
            pdus.append((INITIATOR, command(tag, cmd_sn, stat_sn=stat_sn, written=2 * size, data=content)))
            pdus.append((INITIATOR, data_out(tag, content, stat_sn=stat_sn, offset=size)))
            pdus.append(
                (TARGET, response(tag, stat_sn=stat_sn, cmd_sn=cmd_sn + 1, sense=b"\0\x12p" + bytes(17)))
            )
        else:
            ahs = struct.pack("!HBBI", 5, 2, 0, size) if number % 3 == 1 else b""
            pdus.append((INITIATOR, command(tag, cmd_sn, stat_sn=stat_sn, read=2 * size, ahs=ahs)))
            pdus.append((TARGET, data_in(tag, content, cmd_sn=cmd_sn + 1)))
            last = data_in(tag, content, stat_sn=stat_sn, cmd_sn=cmd_sn + 1, number=1, offset=size)
            pdus.append((TARGET, last))
        stat_sn += 1
    pdus.append((TARGET, nop_in(stat_sn, 1 + reads, b"ping")))
    return Dialogue(tuple(pdus), header_digest, data_digest)


def cut(packets: Iterable[Packet], snap_length: int) -> list[Packet]:
    """The packets as a recorder with that snap length keeps them."""
    return [replace(packet, captured=min(snap_length, len(packet.data))) for packet in packets]

"""Link layers and IP: the same dialogue in every wrapping decodes to the same PDUs."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from analyzer.decoders.decoded import DecodedCapture
from analyzer.decoders.native import decode
from tests.captures import (
    BSD_LOOP,
    BSD_NULL,
    ETHERNET,
    LINUX_COOKED,
    LINUX_COOKED_2,
    RAW_IP,
    START_NS,
    Conversation,
    Packet,
    dialogue,
    ip_packet,
    link_frame,
    packets_of,
    pcap,
    tcp_bytes,
)

SAID = dialogue(4)
V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")


def decode_frames(frames: list[bytes], tmp_path: Path, link_type: int = ETHERNET) -> DecodedCapture:
    packets = [Packet(START_NS + number, frame) for number, frame in enumerate(frames)]
    path = tmp_path / "made.pcap"
    path.write_bytes(pcap(packets, link_type=link_type))
    return decode([path])


def ip_packets(
    addresses: tuple[str, str] = V4, *, options: bytes = b"", zero_length: bool = False
) -> list[bytes]:
    conversation = Conversation(addresses=addresses)
    made = []
    for segment in SAID.segments(conversation):
        ports = conversation.ports[segment.side], conversation.ports[1 - segment.side]
        payload = tcp_bytes(segment, ports, options)
        source, destination = addresses[segment.side], addresses[1 - segment.side]
        made.append(ip_packet(source, destination, payload, zero_length=zero_length))
    return made


def expect_dialogue(capture: DecodedCapture, addresses: tuple[str, str]) -> None:
    assert capture.pdus.headers.tobytes() == b"".join(pdu.full_header for _, pdu in SAID.pdus)
    assert (capture.connections.initiator_address, capture.connections.target_address) == (
        [addresses[0]],
        [addresses[1]],
    )


@pytest.mark.parametrize("addresses", [V4, V6])
@pytest.mark.parametrize("link_type", [ETHERNET, RAW_IP, BSD_NULL, BSD_LOOP, LINUX_COOKED, LINUX_COOKED_2])
def test_link_layers(tmp_path: Path, link_type: int, addresses: tuple[str, str]) -> None:
    """Each link layer, with IPv4 and IPv6."""
    frames = [link_frame(ip, link_type) for ip in ip_packets(addresses)]
    expect_dialogue(decode_frames(frames, tmp_path, link_type), addresses)


@pytest.mark.parametrize("vlans", [(0x8100,), (0x88A8, 0x8100), (0x9100, 0x8100)])
def test_vlan_tags(tmp_path: Path, vlans: tuple[int, ...]) -> None:
    """One tag, and tags in tags."""
    frames = [link_frame(ip, vlans=vlans) for ip in ip_packets()]
    expect_dialogue(decode_frames(frames, tmp_path), V4)


def test_padding_and_options(tmp_path: Path) -> None:
    """Ethernet padding is no payload; TCP options are stepped over."""
    timestamps = b"\x01\x01\x08\x0a" + bytes(8)
    frames = [
        link_frame(ip).ljust(60, b"\xee") + b"\xee\xee\xee\xee" for ip in ip_packets(options=timestamps)
    ]
    expect_dialogue(decode_frames(frames, tmp_path), V4)


@pytest.mark.parametrize("addresses", [V4, V6])
def test_super_packets_of_length_zero(tmp_path: Path, addresses: tuple[str, str]) -> None:
    """An IP length of 0 means all of the packet."""
    frames = [link_frame(ip) for ip in ip_packets(addresses, zero_length=True)]
    expect_dialogue(decode_frames(frames, tmp_path), addresses)


def test_ipv6_extension_headers(tmp_path: Path) -> None:
    """Hop-by-hop, destination options, an atomic fragment header and an authentication header."""
    chain = b"".join(
        (
            bytes([60, 0]) + bytes(6),  # hop-by-hop, then destination options
            bytes([44, 1]) + bytes(14),  # destination options of 16 bytes, then fragment
            bytes([51, 0]) + bytes(6),  # a fragment header of a whole packet, then authentication
            bytes([6, 4]) + bytes(22),  # authentication of 24 bytes, then TCP
        )
    )
    frames = []
    for ip in ip_packets(V6):
        payload = chain + ip[40:]
        frames.append(link_frame(ip[:4] + struct.pack("!HB", len(payload), 0) + ip[7:40] + payload))
    expect_dialogue(decode_frames(frames, tmp_path), V6)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """Fragments, other link types and cut TCP headers are counted, not guessed at."""
    conversation = Conversation()
    packets = packets_of(conversation, SAID.segments(conversation))
    fragment = bytearray(packets[5].data)
    fragment[20:22] = b"\x20\x00"
    frames = [packet.data for packet in packets]
    capture = decode_frames([*frames[:-1], bytes(fragment), frames[-1][:40]], tmp_path)
    assert {entry.kind.code: entry.count for entry in capture.diagnostics} == {
        "ip-fragment": 1,
        "tcp-header-cut": 1,
    }
    capture = decode_frames(frames, tmp_path, link_type=147)
    assert {entry.kind.code for entry in capture.diagnostics} == {"link-type-unknown", "no-iscsi"}


def test_other_traffic_is_passed_over(tmp_path: Path) -> None:
    """ARP, UDP and empty frames beside the dialogue change nothing."""
    udp = bytearray(ip_packets()[0])
    udp[9] = 17
    others = [bytes(12) + b"\x08\x06" + bytes(28), link_frame(bytes(udp)), b"", bytes(13), bytes(14)]
    frames = [link_frame(ip) for ip in ip_packets()]
    capture = decode_frames([*others, *frames, *others], tmp_path)
    expect_dialogue(capture, V4)
    assert capture.files[0].packets == len(frames) + 10
    assert capture.files[0].tcp_packets == len(frames)


def gre(kind: int, inside: bytes, *, flags: int = 0, extra: bytes = b"") -> bytes:
    return struct.pack("!HH", flags, kind) + extra + inside


def tunnelled(protocol: int, payload: bytes) -> bytes:
    """An outer Ethernet frame and IPv4 packet around ``payload``."""
    packet = bytearray(ip_packet("203.0.113.1", "203.0.113.2", payload))
    packet[9] = protocol
    return link_frame(bytes(packet))


def vxlan(frame: bytes, port: int = 4789) -> bytes:
    return struct.pack("!HHHH", 50_000, port, 16 + len(frame), 0) + b"\x08" + bytes(7) + frame


TUNNELS = {
    "vxlan": lambda ip: tunnelled(17, vxlan(link_frame(ip))),
    "vxlan-old-port-vlan": lambda ip: tunnelled(17, vxlan(link_frame(ip, vlans=(0x8100,)), 8472)),
    "gre-ip": lambda ip: tunnelled(47, gre(0x0800 if ip[0] >> 4 == 4 else 0x86DD, ip)),
    "gre-key-checksum-bridged": lambda ip: tunnelled(
        47, gre(0x6558, link_frame(ip), flags=0xA000, extra=bytes(8))
    ),
    "erspan-1": lambda ip: tunnelled(47, gre(0x88BE, link_frame(ip))),
    "erspan-2": lambda ip: tunnelled(
        47, gre(0x88BE, b"\x10" + bytes(7) + link_frame(ip), flags=0x1000, extra=bytes(4))
    ),
    "erspan-3": lambda ip: tunnelled(
        47, gre(0x22EB, b"\x20" + bytes(11) + link_frame(ip), flags=0x1000, extra=bytes(4))
    ),
    "erspan-3-platform": lambda ip: tunnelled(
        47,
        gre(0x22EB, b"\x20" + bytes(10) + b"\x01" + bytes(8) + link_frame(ip), flags=0x1000, extra=bytes(4)),
    ),
    "vxlan-in-gre": lambda ip: tunnelled(47, gre(0x0800, tunnelled(17, vxlan(link_frame(ip)))[14:])),
}


@pytest.mark.parametrize("name", TUNNELS)
@pytest.mark.parametrize("addresses", [V4, V6], ids=["v4", "v6"])
def test_tunnels_are_looked_into(tmp_path: Path, name: str, addresses: tuple[str, str]) -> None:
    """Whatever mirror ports wrap around it, the connection is that of the inner addresses."""
    frames = [TUNNELS[name](packet) for packet in ip_packets(addresses)]
    expect_dialogue(decode_frames(frames, tmp_path), addresses)


@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels_cut_anywhere_are_no_segments(tmp_path: Path, name: str) -> None:
    """A frame that ends inside any of its headers is read no further."""
    whole = TUNNELS[name](ip_packets()[0])
    frames = [whole[:size] for size in range(len(whole))]
    assert len(decode_frames(frames, tmp_path).pdus) == 0

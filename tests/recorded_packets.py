"""The packets of real captures, to be split over files as several recorders would have written them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.capture.reader import CaptureReader
from analyzer.diagnostics import DiagnosticLog
from tests.captures import Packet, pcap

End = tuple[str, int]


@dataclass(frozen=True)
class RecordedPacket:
    """One TCP packet over IPv4 and Ethernet: as it was recorded, and between which ends it went."""

    packet: Packet
    sender: End
    receiver: End

    @property
    def ends(self) -> frozenset[End]:
        return frozenset((self.sender, self.receiver))

    def moved(self, by_ns: int) -> RecordedPacket:
        return replace(self, packet=replace(self.packet, time_ns=self.packet.time_ns + by_ns))


def recorded_packets(path: Path) -> list[RecordedPacket]:
    """The TCP packets over IPv4 of a capture on Ethernet, in order of time."""
    reader = CaptureReader(path, 0, DiagnosticLog())
    found = []
    for batch in reader.batches():
        for row in batch.packets[: batch.packet_count]:
            data = batch.chunk[row.offset : row.offset + row.captured].tobytes()
            if row.link_type != 1 or data[12:14] != b"\x08\x00" or data[23] != 6:
                continue
            ports = struct.unpack_from("!HH", data, 14 + 4 * (data[14] & 15))
            ends = [str(ipaddress.ip_address(data[at : at + 4])) for at in (26, 30)]
            packet = Packet(int(row.time_ns), data, original=int(row.original))
            found.append(RecordedPacket(packet, (ends[0], ports[0]), (ends[1], ports[1])))
    reader.source.close()
    return sorted(found, key=lambda one: one.packet.time_ns)


def by_link(packets: Iterable[RecordedPacket]) -> list[list[RecordedPacket]]:
    """The packets of each target portal: the end with the lower port, as all these captures have it."""
    links: dict[End, list[RecordedPacket]] = {}
    for one in packets:
        links.setdefault(min(one.ends, key=lambda end: end[1]), []).append(one)
    return list(links.values())


def by_direction(packets: Iterable[RecordedPacket]) -> list[list[RecordedPacket]]:
    """What the initiator sent and what the target sent, as two taps record them."""
    ways: list[list[RecordedPacket]] = [[], []]
    for one in packets:
        ways[one.sender[1] < one.receiver[1]].append(one)
    return ways


def at_both_ends(packets: Iterable[RecordedPacket], delay_ns: int) -> list[list[RecordedPacket]]:
    """Packets recorded at the target, and the same ones at the initiator ``delay_ns`` away."""
    there = list(packets)
    here = [one.moved(delay_ns if one.sender[1] < one.receiver[1] else -delay_ns) for one in there]
    return [there, sorted(here, key=lambda one: one.packet.time_ns)]


def written(
    folder: Path, files: Iterable[Iterable[RecordedPacket]], moved: Callable[[int], int] = lambda _: 0
) -> list[Path]:
    """Each of ``files`` as a pcap whose clock is ahead by what ``moved`` gives for its number."""
    paths = []
    for number, packets in enumerate(files):
        paths.append(folder / f"{number}.pcap")
        paths[-1].write_bytes(pcap(one.moved(moved(number)).packet for one in packets))
    return paths

"""Makes a capture of any size: a real one, repeated with changed addresses and times.

Every copy keeps the packets, sizes, order and pauses of the original, between hosts of its own
(10.x.y.1 and 10.x.y.2), so that a decoder meets as many connections as there are copies. The
original must be Ethernet with IPv4, and is converted with editcap to a classic nanosecond pcap.

    python benchmarks/large_capture.py ORIGINAL OUTPUT [--megabytes 1000]     OUTPUT may be - for stdout
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PCAP_HEADER_BYTES = 24
RECORD_HEADER = struct.Struct("<IIII")
NANOSECOND_MAGIC = 0xA1B23C4D
ETHERNET = 1
IPV4_SOURCE = 14 + 12


def nanosecond_pcap(original: Path) -> bytes:
    """The original as little-endian nanosecond pcap bytes."""
    with tempfile.TemporaryDirectory() as folder:
        plain, converted = original, Path(folder) / "converted.pcap"
        if original.suffix == ".zst":
            plain = Path(folder) / original.stem
            subprocess.run(["zstd", "-q", "-d", str(original), "-o", str(plain)], check=True)
        subprocess.run(["editcap", "-F", "nsecpcap", str(plain), str(converted)], check=True)
        content = converted.read_bytes()
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", content)
    if magic != NANOSECOND_MAGIC or link_type != ETHERNET:
        raise SystemExit(f"{original}: is not an Ethernet capture that editcap can convert")
    return content


def copies(content: bytes, wanted_bytes: int) -> Iterator[bytes]:
    """One changed copy of all records after another until ``wanted_bytes`` are reached."""
    records = bytearray(content[PCAP_HEADER_BYTES:])
    places = []
    position = 0
    while position < len(records):
        seconds, nanoseconds, captured, _ = RECORD_HEADER.unpack_from(records, position)
        at_ns = seconds * 1_000_000_000 + nanoseconds
        source, destination = struct.unpack_from(">II", records, position + 16 + IPV4_SOURCE)
        places.append((position, at_ns, source, destination))
        position += 16 + captured
    begin, end = min(place[1] for place in places), max(place[1] for place in places)
    stretch = end - begin + 1_000_000
    # The side that speaks first is the initiator: it sent the SYN. Both may share one address (loopback).
    ports = [struct.unpack_from(">HH", records, place[0] + 16 + 34) for place in places]
    target_ports = {
        destination
        for (_, destination), place in zip(ports, places, strict=True)
        if _is_syn(records, place[0])
    }
    for copy in range(-(-wanted_bytes // len(records))):
        low, high = copy & 0xFF, copy >> 8
        initiator = (10 << 24) | (high << 16) | (low << 8) | 1
        for (place, at_ns, _, _), (source_port, _) in zip(places, ports, strict=True):
            struct.pack_into("<II", records, place, *divmod(at_ns + copy * stretch, 1_000_000_000))
            from_target = source_port in target_ports
            addresses = (initiator + 1, initiator) if from_target else (initiator, initiator + 1)
            struct.pack_into(">II", records, place + 16 + IPV4_SOURCE, *addresses)
        yield bytes(records)


def _is_syn(records: bytearray, place: int) -> bool:
    header = place + 16 + 14
    flags = records[header + (records[header] & 0x0F) * 4 + 13]
    return flags & 0x12 == 0x02


def write(original: Path, output: BinaryIO, megabytes: int) -> None:
    """Write the repeated capture of at least ``megabytes`` (10**6 bytes) to ``output``."""
    content = nanosecond_pcap(original)
    output.write(content[:PCAP_HEADER_BYTES])
    for copy in copies(content, megabytes * 1_000_000):
        output.write(copy)


def main() -> None:
    """Read the arguments and write the capture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("original", type=Path)
    parser.add_argument("output")
    parser.add_argument("--megabytes", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.output == "-":
        write(arguments.original, sys.stdout.buffer, arguments.megabytes)
        return
    with Path(arguments.output).open("wb") as output:
        write(arguments.original, output, arguments.megabytes)


if __name__ == "__main__":
    main()

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

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]

SECOND_NS = 1_000_000_000
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
    records = np.frombuffer(content, np.uint8)[PCAP_HEADER_BYTES:].copy()
    places = _record_places(records)
    times = _words(records, places, "<u4").astype(np.int64) * SECOND_NS
    times += _words(records, places + 4, "<u4")
    stretch = int(times.max() - times.min()) + 1_000_000
    # The side that speaks first is the initiator: it sent the SYN. Both may share one address (loopback).
    ports = places + 16 + 34
    source_port, target_port = _words(records, ports, ">u2"), _words(records, ports + 2, ">u2")
    is_from_target = np.isin(source_port, target_port[_is_syn(records, places)])
    addresses = np.stack([is_from_target, ~is_from_target], axis=1).astype(np.int64)
    for copy in range(-(-wanted_bytes // len(records))):
        at_ns = times + copy * stretch
        _set_words(records, places, np.stack([at_ns // SECOND_NS, at_ns % SECOND_NS], axis=1), "<u4")
        initiator = (10 << 24) | (copy >> 8 << 16) | ((copy & 0xFF) << 8) | 1
        _set_words(records, places + 16 + IPV4_SOURCE, initiator + addresses, ">u4")
        yield records.tobytes()


def _record_places(records: Bytes) -> Int64s:
    """Where each record begins."""
    places = []
    position = 0
    while position < len(records):
        places.append(position)
        position += 16 + RECORD_HEADER.unpack_from(records, position)[2]
    return np.array(places)


def _words(records: Bytes, places: Int64s, kind: str) -> Int64s:
    """The numbers of the given kind that begin at each place, shape (n,)."""
    size = np.dtype(kind).itemsize
    return records[places[:, None] + np.arange(size)].view(kind)[:, 0].astype(np.int64)


def _set_words(records: Bytes, places: Int64s, values: Int64s, kind: str) -> None:
    """Put ``values``, shape (n, k), one behind the other at each of n places."""
    content = np.ascontiguousarray(values.astype(kind)).view(np.uint8)
    records[places[:, None] + np.arange(content.shape[1])] = content


def _is_syn(records: Bytes, places: Int64s) -> npt.NDArray[np.bool_]:
    header = places + 16 + 14
    flags = records[header + (records[header] & 0x0F).astype(np.int64) * 4 + 13]
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

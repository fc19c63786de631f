"""Mutated real captures against the decoder, for as long as asked.

Invariant: whatever the bytes, decoding gives PDUs and diagnostics or refuses the file in one line; it never
raises anything else, never hangs, never keeps memory, and what it gives is consistent. Array bounds are
checked, which ``make fuzz`` sees to with a compiled decoder of its own (NUMBA_BOUNDSCHECK=1). A failing
case is kept, and its name says the seed.

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.fuzz python -m tests.fuzz [--seconds 600] [--seed N]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from analyzer.capture.reader import CaptureReader
from analyzer.decoders.decoded import DecodedCapture
from analyzer.decoders.native import decode
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError
from tests.captures import ETHERNET, LINUX_COOKED_2, Packet, pcap, pcapng
from tests.real import TRACES, plain_bytes

LONGEST_CASE_S = 30.0
LARGEST_GROWTH_BYTES = 1 << 30
PACKETS_PER_CASE = 400
HEADERS_END = 130


class Corpus:
    """Real captures, as files and as packets."""

    def __init__(self, scratch: Path) -> None:
        self.files: list[bytes] = []
        self.packets: list[list[Packet]] = []
        for path in sorted(TRACES.rglob("*.pcap*")):
            content = plain_bytes(path)
            self.files.append(content[: 256 << 10])
            place = scratch / "original"
            place.write_bytes(content)
            reader = CaptureReader(place, 0, DiagnosticLog(), is_hashed=False)
            packets = []
            for batch in reader.batches():
                for packet in batch.packets[: min(batch.packet_count, PACKETS_PER_CASE)]:
                    data = batch.chunk[packet.offset : packet.offset + packet.captured].tobytes()
                    packets.append(Packet(int(packet.time_ns), data))
                break
            reader.source.close()
            self.packets.append(packets)


def flipped(data: bytes, chance: random.Random, end: int | None = None) -> bytes:
    """``data`` with a few bytes changed, many of them to telling values."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if changed:
            at = chance.randrange(min(len(changed), end or len(changed)))
            changed[at] = chance.choice(
                (0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ (1 << chance.randrange(8)), chance.randrange(256))
            )
    return bytes(changed)


def mutated_packets(corpus: Corpus, chance: random.Random) -> list[Packet]:
    """Packets of one or two captures: changed, lost, doubled, moved, cut."""
    packets = list(chance.choice(corpus.packets))
    if chance.random() < 0.2:
        packets += chance.choice(corpus.packets)
        chance.shuffle(packets)
    begin = chance.randrange(len(packets)) if chance.random() < 0.3 else 0
    packets = packets[begin : begin + chance.choice((20, 100, PACKETS_PER_CASE))]
    for _ in range(chance.choice((1, 3, 10, 40))):
        at = chance.randrange(len(packets))
        what = chance.randrange(7)
        if what < 3:
            end = HEADERS_END if chance.random() < 0.8 else None
            packets[at] = replace(packets[at], data=flipped(packets[at].data, chance, end))
        elif what == 3 and len(packets) > 1:
            del packets[at]
        elif what == 4:
            packets.insert(chance.randrange(len(packets)), packets[at])
        elif what == 5:
            packets[at] = replace(packets[at], captured=chance.randrange(len(packets[at].data) + 1))
        else:
            packets[at] = replace(packets[at], time_ns=chance.randrange(1 << 62))
    if chance.random() < 0.2:
        snap_length = chance.choice((54, 66, 96, 114, 128, 200))
        packets = [replace(packet, captured=min(snap_length, len(packet.data))) for packet in packets]
    return packets


def mutated(corpus: Corpus, chance: random.Random) -> bytes:
    """One hostile file."""
    if chance.random() < 0.3:
        content = bytearray(chance.choice(corpus.files))
        for _ in range(chance.choice((1, 10, 100))):
            content = bytearray(flipped(bytes(content), chance, chance.choice((64, 4096, None))))
        return bytes(content[: chance.randrange(len(content) + 1)] if chance.random() < 0.2 else content)
    packets = mutated_packets(corpus, chance)
    link_type = ETHERNET if chance.random() < 0.9 else LINUX_COOKED_2
    if chance.random() < 0.3:
        return pcapng(
            [replace(packet, time_ns=packet.time_ns & (1 << 62) - 1) for packet in packets],
            link_type=link_type,
        )
    return pcap(
        [replace(packet, time_ns=packet.time_ns % (10**9 << 32)) for packet in packets], link_type=link_type
    )


def check(capture: DecodedCapture) -> None:
    """What holds for every decoded capture."""
    pdus, connections = capture.pdus, capture.connections
    assert (np.diff(pdus.time_ns) >= 0).all()
    assert not len(pdus) or int(pdus.connection_index.max()) < len(connections)
    assert not len(pdus) or int(pdus.connection_index.min()) >= 0
    ends = pdus.segment_offset + pdus.ahs_bytes + pdus.segment_bytes
    assert not len(pdus) or int(ends.max()) <= len(pdus.segments)
    assert (pdus.packet >= 1).all()
    assert (connections.lost_bytes >= 0).all()
    assert (capture.holes.lost_bytes > 0).all()


def main() -> int:
    """Try cases until the time is over; exit code 1 and the seed at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0, help="the first case; each one has the next seed")
    arguments = parser.parse_args()
    cases = refused = pdus = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus = Corpus(Path(folder))
        place = Path(folder) / "case"
        began = time.monotonic()
        memory: int | None = None
        while time.monotonic() - began < arguments.seconds:
            seed = arguments.seed + cases
            content = mutated(corpus, random.Random(seed))
            place.write_bytes(content)
            case_began = time.monotonic()
            try:
                capture = decode([place])
                check(capture)
                pdus += len(capture.pdus)
            except UnusableInputError:
                refused += 1
            except Exception:
                traceback.print_exc()
                kept = Path(f"fuzz-{seed}.bin")
                kept.write_bytes(content)
                print(f"seed {seed} fails; the file is kept as {kept}", file=sys.stderr)
                return 1
            cases += 1
            if cases > 1 and time.monotonic() - case_began > LONGEST_CASE_S:
                print(f"seed {seed} took {time.monotonic() - case_began:.0f} s", file=sys.stderr)
                return 1
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            memory = memory if memory is not None and cases > 50 else peak
            if peak > memory + LARGEST_GROWTH_BYTES:
                print(f"seed {seed}: memory grew by {(peak - memory) / 1e6:.0f} MB", file=sys.stderr)
                return 1
    print(f"{cases} cases, {refused} refused, {pdus} PDUs, none failed; peak {peak / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How many PDUs are still found when packets are missing or cut, and how many are invented; tshark beside us.

A clean real capture, repeated to a size at which chance evens out, loses packets at random (the seed is
printed) or has them cut to a snap length. The PDUs of the untouched capture are the truth: a PDU counts as
found where its connection and all 48 header bytes agree, and one that the truth lacks counts as false. Of
inferred ones the acknowledging numbers (ExpStatSN, or ExpCmdSN and MaxCmdSN) are those of the PDU before
and are left out. For tshark connection, opcode and task tag have to do; it is asked with its out-of-order
option on and off. A PDU *can* be found where the packet with its first byte was left.

    python -m benchmarks.accuracy.decode_loss [--megabytes 100] [--seeds 3] [--without-tshark]
"""

from __future__ import annotations

import argparse
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from analyzer.decoders.decoded import QUALITY_INFERRED, DecodedCapture
from analyzer.decoders.native import decode
from benchmarks.large_capture import copies, nanosecond_pcap

TRACES = Path(__file__).parents[2] / "traces"
SMALL_PACKETS = TRACES / "mcs" / "mcs-2conn-rr-mtu1500-tgt.pcapng.zst"
OTHER_TARGET = TRACES / "mpio" / "mpio-rr.link1.pcap.zst"
LARGE_PACKETS = TRACES / "mcs" / "mcs-2conn-rr-r2t-tgt.pcapng.zst"

REQUIRED_FOUND = {0.0001: 0.9999, 0.001: 0.9985, 0.01: 0.989, 0.05: 0.945, 0.2: 0.795}
"""Share of packets lost -> share of PDUs that must be found, in a capture of small packets."""
SNAP_LENGTH = 128
REQUIRED_CUT = {SMALL_PACKETS: 0.82, LARGE_PACKETS: 0.98}

HEADER = 24
RECORD = struct.Struct("<IIII")


@dataclass(frozen=True)
class Found:
    """What one decoder made of one spoilt capture."""

    found: float
    false: int
    inferred: int = 0


@dataclass(frozen=True)
class Spoilt:
    """A capture with packets missing or cut."""

    path: Path
    findable: float | None = None
    """Share of the PDUs whose first packet is left; None where packets were cut."""


@dataclass(frozen=True)
class Records:
    """A pcap file taken apart."""

    header: bytes
    records: tuple[bytes, ...]

    def write(self, path: Path, records: Sequence[bytes]) -> Path:
        """A file of some of the records."""
        path.write_bytes(self.header + b"".join(records))
        return path


def repeated(original: Path, megabytes: float) -> Records:
    """The records of ``original``, repeated between other hosts up to a size."""
    content = nanosecond_pcap(original)
    whole = b"".join(copies(content, int(megabytes * 1e6)))
    records, at = [], 0
    while at < len(whole):
        size = RECORD.size + RECORD.unpack_from(whole, at)[2]
        records.append(whole[at : at + size])
        at += size
    return Records(content[:HEADER], tuple(records))


def survivors(count: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` records survive a random loss of ``share`` of them."""
    chance = random.Random(seed)
    return np.array([chance.random() >= share for _ in range(count)])


def cut(record: bytes, snap_length: int) -> bytes:
    """The record as a recorder with that snap length writes it."""
    seconds, rest, captured, original = RECORD.unpack_from(record)
    kept = min(captured, snap_length)
    return RECORD.pack(seconds, rest, kept, original) + record[RECORD.size : RECORD.size + kept]


def pdus_of(
    capture: DecodedCapture, chosen: npt.NDArray[np.bool_] | None = None
) -> Counter[tuple[tuple[str, int, str, int], bytes]]:
    """Connection and header of every PDU, or of the chosen ones."""
    connections, pdus = capture.connections, capture.pdus
    names = [
        (
            connections.initiator_address[index],
            int(connections.initiator_port[index]),
            connections.target_address[index],
            int(connections.target_port[index]),
        )
        for index in range(len(connections))
    ]
    rows = slice(None) if chosen is None else chosen
    return Counter(
        (names[connection], header.tobytes())
        for connection, header in zip(pdus.connection_index[rows].tolist(), pdus.headers[rows], strict=True)
    )


def by_native(path: Path, truth: DecodedCapture) -> Found:
    """Hold our decoding of ``path`` against the truth."""
    capture = decode([path])
    is_inferred = capture.pdus.quality == QUALITY_INFERRED
    expected, found = pdus_of(truth), pdus_of(capture, ~is_inferred)
    good = (expected & found).total()
    missing = Counter(
        (name, without_acknowledgement(header)) for name, header in (expected - found).elements()
    )
    inferred = Counter(
        (name, without_acknowledgement(header)) for name, header in pdus_of(capture, is_inferred).elements()
    )
    good_inferred = (missing & inferred).total()
    false = found.total() - good + inferred.total() - good_inferred
    return Found((good + good_inferred) / expected.total(), false, good_inferred)


def without_acknowledgement(header: bytes) -> bytes:
    """The header without the numbers that tell what its sender had received."""
    end = 36 if header[0] & 0x20 else 32
    return header[:28] + bytes(end - 28) + header[end:]


def by_tshark(path: Path, truth: DecodedCapture, *, is_reordering: bool) -> Found:
    """Hold tshark's decoding of ``path`` against the truth; ``is_reordering`` is its out-of-order option."""
    ports = sorted({int(port) for port in truth.connections.target_port})
    command = ["tshark", "-r", str(path), "-o", f"tcp.reassemble_out_of_order:{str(is_reordering).upper()}"]
    command += ["-o", "iscsi.bogus_pdu_max_data_len:16777215", "-Y", "iscsi", "-T", "fields"]
    command += [word for port in ports for word in ("-d", f"tcp.port=={port},iscsi")]
    for field in ("ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "iscsi.opcode", "iscsi.initiatortasktag"):
        command += ["-e", field]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: Counter[tuple[object, ...]] = Counter()
    for row in shown.splitlines():
        *ends, opcodes, tags = row.split("\t")
        for opcode, tag in zip(opcodes.split(","), tags.split(","), strict=False):
            found[(*ends, int(opcode, 0), int(tag, 0) if tag else 0)] += 1
    expected: Counter[tuple[object, ...]] = Counter()
    for (initiator, initiator_port, target, target_port), header in pdus_of(truth).elements():
        ends = [initiator, target, str(initiator_port), str(target_port)]
        if header[0] & 0x20:
            ends = [target, initiator, str(target_port), str(initiator_port)]
        expected[(*ends, header[0] & 0x3F, int.from_bytes(header[16:20], "big"))] += 1
    good = (expected & found).total()
    return Found(good / expected.total(), found.total() - good)


def measure(
    name: str,
    required: float | None,
    spoil: Callable[[int], Spoilt],
    seeds: Sequence[int],
    truth: DecodedCapture,
    table: Table,
    *,
    with_tshark: bool,
) -> bool:
    """Add one line to the table; whether the bounds hold."""
    ours, findable = [], []
    for seed in seeds:
        spoilt = spoil(seed)
        ours.append(by_native(spoilt.path, truth))
        findable.append(spoilt.findable)
    # Of the last seed; it takes minutes.
    theirs = [by_tshark(spoilt.path, truth, is_reordering=on) for on in (True, False)] if with_tshark else []
    known = [share for share in findable if share is not None]
    false = sum(result.false for result in ours)
    table.add_row(
        name,
        " ".join(f"{result.found:.2%}" for result in ours),
        str(false),
        str(max(result.inferred for result in ours)),
        " ".join(f"{share:.2%}" for share in known),
        "" if required is None else f"{required:.2%}",
        *(f"{result.found:.2%}" for result in theirs),
        *([" ".join(str(result.false) for result in theirs)] if theirs else []),
    )
    # What can be found scatters with the packets that chance takes; all of it has to be.
    is_all = all(result.found >= share for result, share in zip(ours, known, strict=False))
    mean = sum(result.found for result in ours) / len(ours)
    reachable = min([required or 0.0, *([sum(known) / len(known)] if known else [])])
    return false == 0 and is_all and mean >= reachable


def measure_capture(original: Path, arguments: argparse.Namespace, folder: Path, table: Table) -> bool:
    """All losses and the cut over one capture."""
    name = original.name.split(".pcap")[0]
    records = repeated(original, arguments.megabytes)
    truth = decode([records.write(folder / "whole.pcap", records.records)])
    spoilt = folder / "spoilt.pcap"

    def with_loss(share: float, seed: int) -> Spoilt:
        is_left = survivors(len(records.records), share, seed)
        left = [record for record, kept in zip(records.records, is_left, strict=True) if kept]
        return Spoilt(records.write(spoilt, left), float(is_left[truth.pdus.packet - 1].mean()))

    seeds = range(1, arguments.seeds + 1)
    is_good = True
    options = {"truth": truth, "table": table, "with_tshark": not arguments.without_tshark}
    for share, required in REQUIRED_FOUND.items() if original != LARGE_PACKETS else ():
        is_good &= measure(
            f"{name}, {share:.2%} lost",
            required,
            partial(with_loss, share),
            seeds,
            **options,
        )
    cut_records = [cut(record, SNAP_LENGTH) for record in records.records]
    is_good &= measure(
        f"{name}, cut to {SNAP_LENGTH} bytes",
        REQUIRED_CUT.get(original),
        lambda _: Spoilt(records.write(spoilt, cut_records)),
        [1],
        **options,
    )
    return is_good


def main() -> int:
    """Print the table; exit code 1 where a bound is missed or a PDU is false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--without-tshark", action="store_true")
    arguments = parser.parse_args()
    table = Table(title=f"PDUs found, seeds 1 to {arguments.seeds}", title_justify="left")
    headings = ["capture", "found", "false", "inferred", "can be found", "required"]
    if not arguments.without_tshark:
        headings += ["tshark reordering", "tshark not", "false of both"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "capture" else "right")
    is_good = True
    with tempfile.TemporaryDirectory(prefix="decode-loss-") as folder:
        for original in (SMALL_PACKETS, OTHER_TARGET, LARGE_PACKETS):
            is_good &= measure_capture(original, arguments, Path(folder), table)
    Console(width=140).print(table)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

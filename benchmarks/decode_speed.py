"""Speed of decoding against its peers, as ratios within one run on one capture.

Whole processes are timed, start-up included, on a capture that lies in the page cache: the analyzer
writing a timeline folder, tshark printing thirteen fields of every iSCSI PDU, tshark's own SCSI
response time statistics, and the mere counting of packets. Memory is the peak resident set.

    python benchmarks/decode_speed.py [--megabytes 1000] [--repeats 3] [--capture FILE]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
ORIGINAL = ROOT / "traces" / "mcs" / "mcs-2conn-rr-mtu1500-tgt.pcapng.zst"
DATA = ROOT / "benchmarks" / "data"
FIELDS = [
    *("frame.number", "frame.time_epoch", "tcp.stream"),
    *("iscsi.opcode", "scsi.lun", "iscsi.initiatortasktag"),
    *("iscsi.cmdsn", "iscsi.statsn", "iscsi.expcmdsn", "iscsi.maxcmdsn"),
    *("iscsi.datasn", "iscsi.bufferOffset", "iscsi.datasegmentlength"),
]
PORTS = (3260, 3270, 3271)
REQUIRED_RATIO = 12.0
REQUIRED_PEAK_BYTES = 600_000_000


@dataclass(frozen=True)
class Peer:
    """One command to be timed."""

    name: str
    command: list[str]
    repeats: int


@dataclass(frozen=True)
class Timing:
    """What was measured of one peer: median wall time and largest memory."""

    name: str
    seconds: float
    peak_bytes: int


def peers(capture: Path, scratch: Path, repeats: int) -> list[Peer]:
    """The commands, quickest first."""
    decode_as = [word for port in PORTS for word in ("-d", f"tcp.port=={port},iscsi")]
    options = [
        *decode_as,
        "-o",
        "tcp.reassemble_out_of_order:TRUE",
        "-o",
        "iscsi.bogus_pdu_max_data_len:16777215",
    ]
    fields = [word for field in FIELDS for word in ("-e", field)]
    analyzer = str(Path(sys.executable).parent / "analyzer")
    return [
        Peer("capinfos -c", ["capinfos", "-c", str(capture)], repeats),
        Peer(
            "analyzer analyze -o",
            [analyzer, "analyze", str(capture), "-o", str(scratch / "timeline")],
            repeats,
        ),
        Peer("tshark -z scsi,srt,0", ["tshark", "-r", str(capture), *options, "-q", "-z", "scsi,srt,0"], 1),
        Peer(
            f"tshark -Y iscsi -T fields ({len(FIELDS)} fields)",
            ["tshark", "-r", str(capture), *options, "-Y", "iscsi", "-T", "fields", *fields],
            1,
        ),
    ]


def timed(peer: Peer) -> Timing:
    """Run one peer; its output goes nowhere."""
    seconds, peak = [], 0
    for _ in range(peer.repeats):
        begin = time.perf_counter()
        process = subprocess.Popen(peer.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - begin)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{peer.name} ended with exit code {process.returncode}")
        peak = max(peak, usage.ru_maxrss * 1024)
    return Timing(peer.name, statistics.median(seconds), peak)


def read_into_page_cache(path: Path) -> None:
    """Read a file in pieces, since a child's peak memory begins with that of its parent."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def large_capture(megabytes: int) -> Path:
    """The repeated capture, made once and kept beside the benchmarks."""
    place = DATA / f"mtu1500-{megabytes}mb.pcap"
    if not place.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        script = [sys.executable, str(ROOT / "benchmarks" / "large_capture.py")]
        unfinished = place.with_suffix(".unfinished")
        subprocess.run([*script, str(ORIGINAL), str(unfinished), "--megabytes", str(megabytes)], check=True)
        unfinished.rename(place)
    return place


def main() -> int:
    """Time all peers and print the table; exit code 1 where a required bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--capture", type=Path)
    arguments = parser.parse_args()
    capture = arguments.capture or large_capture(arguments.megabytes)
    read_into_page_cache(capture)
    scratch = Path(tempfile.mkdtemp(prefix="decode-speed-"))
    try:
        warm_up = peers(capture, scratch, 1)[1]
        subprocess.run([*warm_up.command[:2], str(ORIGINAL)], check=True, stdout=subprocess.DEVNULL)
        timings = [timed(peer) for peer in peers(capture, scratch, arguments.repeats)]
    finally:
        shutil.rmtree(scratch)
    ours = next(timing for timing in timings if timing.name.startswith("analyzer"))
    size = capture.stat().st_size
    table = Table(title=f"{capture.name}: {size / 1e6:,.0f} MB", title_justify="left")
    for heading in ("whole process", "seconds", "MB/s", "peak memory", "times ours"):
        table.add_column(heading, justify="left" if heading == "whole process" else "right")
    for timing in timings:
        table.add_row(
            timing.name,
            f"{timing.seconds:.2f}",
            f"{size / 1e6 / timing.seconds:,.0f}",
            f"{timing.peak_bytes / 1e6:,.0f} MB",
            f"{timing.seconds / ours.seconds:.1f}",
        )
    Console().print(table)
    ratio = timings[-1].seconds / ours.seconds
    is_good = ratio >= REQUIRED_RATIO and ours.peak_bytes <= REQUIRED_PEAK_BYTES
    print(f"analyzer against tshark -T fields: {ratio:.1f} times as fast (required: {REQUIRED_RATIO:.0f})")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

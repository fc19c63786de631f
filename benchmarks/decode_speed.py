"""Speed of decoding against its peers, as ratios within one run on one capture.

Whole processes are timed, start-up included, on a capture that lies in the page cache: the analyzer
writing a timeline folder (from the plain capture and from compressed ones), tshark printing thirteen fields
of every iSCSI PDU, tshark's own SCSI response time statistics, and the mere counting of packets. Memory is
the peak resident set; cores are processor seconds by wall seconds. With ``--stream-megabytes`` a recording
of that size, made on the fly, is piped in as well, to see that memory stays flat.

    python benchmarks/decode_speed.py [--megabytes 1000] [--repeats 3] [--capture FILE]
                                      [--stream-megabytes 20000]
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
STREAMED = ORIGINAL
REQUIRED = {"tshark -T fields": 18.0, "tshark -z scsi,srt": 6.0}
"""How many times as long these must take."""
REQUIRED_OF_PLAIN = {"analyzer, zstd": 2.0}
"""How many times as long as from the plain capture a compressed one may take."""
REQUIRED_PEAK_BYTES = 600_000_000
OURS = "analyzer"


@dataclass(frozen=True)
class Peer:
    """One command to be timed, and what feeds its standard input."""

    name: str
    command: list[str]
    repeats: int
    feeder: list[str] | None = None


@dataclass(frozen=True)
class Timing:
    """What was measured of one peer: median wall time, cores in use meanwhile, and largest memory."""

    name: str
    seconds: float
    cores: float
    peak_bytes: int


def analyzing(source: Path | str, scratch: Path) -> list[str]:
    """The analyzer over one source."""
    return [
        str(Path(sys.executable).parent / "analyzer"),
        "analyze",
        str(source),
        "-o",
        str(scratch / "timeline"),
    ]


def peers(capture: Path, compressed: dict[str, Path], scratch: Path, repeats: int) -> list[Peer]:
    """The commands, the analyzer's first."""
    decode_as = [word for port in PORTS for word in ("-d", f"tcp.port=={port},iscsi")]
    options = [
        *decode_as,
        "-o",
        "tcp.reassemble_out_of_order:TRUE",
        "-o",
        "iscsi.bogus_pdu_max_data_len:16777215",
    ]
    fields = [word for field in FIELDS for word in ("-e", field)]
    tshark = ["tshark", "-r", str(capture), *options]
    return [
        Peer(OURS, analyzing(capture, scratch), repeats),
        *(Peer(f"{OURS}, {name}", analyzing(path, scratch), repeats) for name, path in compressed.items()),
        Peer("capinfos -c", ["capinfos", "-c", str(capture)], repeats),
        Peer("tshark -z scsi,srt", [*tshark, "-q", "-z", "scsi,srt,0"], 1),
        Peer("tshark -T fields", [*tshark, "-Y", "iscsi", "-T", "fields", *fields], 1),
    ]


def stream(megabytes: int, scratch: Path) -> Peer:
    """The analyzer over a long recording that lies nowhere."""
    made = [sys.executable, str(ROOT / "benchmarks" / "large_capture.py"), str(STREAMED), "-"]
    name = f"{OURS}, {megabytes / 1000:,.0f} GB through a pipe"
    return Peer(name, analyzing("-", scratch), 1, [*made, "--megabytes", str(megabytes)])


def timed(peer: Peer) -> Timing:
    """Run one peer; its output goes nowhere."""
    # Installed packages come with their bytecode; a checkout may write it too.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds, cores, peak = [], [], 0
    for _ in range(peer.repeats):
        feeder = subprocess.Popen(peer.feeder, stdout=subprocess.PIPE) if peer.feeder else None
        begin = time.perf_counter()
        process = subprocess.Popen(
            peer.command,
            stdin=feeder.stdout if feeder else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        if feeder and feeder.stdout:
            feeder.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - begin)
        cores.append((usage.ru_utime + usage.ru_stime) / seconds[-1])
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{peer.name} ended with exit code {process.returncode}")
        peak = max(peak, usage.ru_maxrss * 1024)
    return Timing(peer.name, statistics.median(seconds), statistics.median(cores), peak)


def compressed_copies(capture: Path, folder: Path) -> dict[str, Path]:
    """The same capture as the usual tools compress it."""
    copies = {"zstd": folder / f"{capture.name}.zst", "gzip": folder / f"{capture.name}.gz"}
    subprocess.run(["zstd", "-q", "-f", str(capture), "-o", str(copies["zstd"])], check=True)
    with copies["gzip"].open("wb") as output:
        subprocess.run(["gzip", "-1", "-c", str(capture)], stdout=output, check=True)
    return copies


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


def show(title: str, timings: list[Timing], size: int, ours: Timing) -> None:
    """Print what was measured of ``size`` bytes; ``ours`` is the analyzer over the plain capture."""
    table = Table(title=title, title_justify="left")
    for heading in ("whole process", "seconds", "MB/s", "cores", "peak memory", "times ours"):
        table.add_column(heading, justify="left" if heading == "whole process" else "right")
    for timing in timings:
        table.add_row(
            timing.name,
            f"{timing.seconds:.2f}",
            f"{size / 1e6 / timing.seconds:,.0f}",
            f"{timing.cores:.2f}",
            f"{timing.peak_bytes / 1e6:,.0f} MB",
            f"{timing.seconds / ours.seconds:.2f}",
        )
    Console().print(table)


def judged(timings: list[Timing]) -> bool:
    """Print each bound with what was measured: whether all are kept."""
    times_ours = {timing.name: timing.seconds / timings[0].seconds for timing in timings}
    is_good = True
    for name, ratio in REQUIRED.items():
        is_good &= times_ours[name] >= ratio
        print(f"{name}: {times_ours[name]:.1f} times as long as the analyzer (required: {ratio:.0f})")
    for name, ratio in REQUIRED_OF_PLAIN.items():
        is_good &= times_ours[name] <= ratio
        print(f"{name}: {times_ours[name]:.2f} times as long as the plain capture (allowed: {ratio:.0f})")
    peak = max(timing.peak_bytes for timing in timings if timing.name.startswith(OURS))
    is_good &= peak <= REQUIRED_PEAK_BYTES
    print(f"memory: {peak / 1e6:,.0f} MB at most (allowed: {REQUIRED_PEAK_BYTES / 1e6:,.0f})")
    return is_good


def main() -> int:
    """Time all peers and print the table; exit code 1 where a required bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--stream-megabytes", type=int, default=0)
    arguments = parser.parse_args()
    capture = arguments.capture or large_capture(arguments.megabytes)
    read_into_page_cache(capture)
    scratch = Path(tempfile.mkdtemp(prefix="decode-speed-"))
    try:
        compressed = compressed_copies(capture, scratch)
        run = peers(capture, compressed, scratch, arguments.repeats)
        timed(Peer("warm up", analyzing(ORIGINAL, scratch), 1))
        timed(Peer("warm up", run[0].command, 1))
        timings = [timed(peer) for peer in run]
        size = capture.stat().st_size
        show(f"{capture.name}: {size / 1e6:,.0f} MB", timings, size, timings[0])
        if arguments.stream_megabytes:
            long = timed(stream(arguments.stream_megabytes, scratch))
            show(f"{STREAMED.name}, repeated", [long], arguments.stream_megabytes * 1_000_000, timings[0])
            timings.append(long)
    finally:
        shutil.rmtree(scratch)
    return 0 if judged(timings) else 1


if __name__ == "__main__":
    sys.exit(main())

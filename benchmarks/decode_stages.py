"""Where the time of decoding goes: each stage of the fused pass timed with all stages before it.

The capture lies in the page cache; every stage runs the whole way from the file, so a line's ``more`` is
what the stage adds. Reading ahead has a thread of its own, so processor seconds can exceed wall seconds.

    python benchmarks/decode_stages.py [--capture FILE] [--repeats 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analyzer.capture.reader import CaptureReader
from analyzer.capture.sources import CaptureSource
from analyzer.decoders import native
from analyzer.decoders.pipeline import Pipeline
from analyzer.diagnostics import DiagnosticLog
from analyzer.network.ordering import ORDERED_ALL, order
from analyzer.network.segments import COUNTS, dissect, empty_segments
from analyzer.network.waiting import take_runs
from benchmarks.decode_speed import large_capture, read_into_page_cache

START_UP = {
    "import numba": "import numba",
    "import the decoder": "import analyzer.decoders.native",
    "load the kernels": "from analyzer.decoders import native; native.prepare()",
}
"""Stages of a fresh process; each holds the one before it."""


def read(capture: Path) -> None:
    """Bytes only."""
    for _ in CaptureSource(capture).chunks():
        pass


def walk(capture: Path) -> None:
    """Bytes to packets."""
    for _ in CaptureReader(capture, 0, DiagnosticLog()).batches():
        pass


def find_segments(capture: Path) -> None:
    """Packets to TCP segments."""
    import numpy as np

    segments, counts = empty_segments(), np.zeros(COUNTS, np.int64)
    for batch in CaptureReader(capture, 0, DiagnosticLog()).batches():
        dissect(batch.chunk, batch.packets, batch.packet_count, segments, counts)


def order_segments(capture: Path) -> None:
    """Segments to runs of stream bytes."""
    pipeline, segments = Pipeline(), empty_segments()
    for batch in CaptureReader(capture, 0, DiagnosticLog()).batches():
        found = dissect(batch.chunk, batch.packets, batch.packet_count, segments, pipeline.counts)
        row, why = 0, -1
        while why != ORDERED_ALL:
            row, why = order(
                batch.chunk,
                batch.first_packet,
                0,
                segments,
                row,
                found,
                pipeline.table,
                pipeline.waiting,
            )
            take_runs(pipeline.waiting)


def frame(capture: Path) -> None:
    """Runs to PDUs."""
    pipeline = Pipeline()
    for batch in CaptureReader(capture, 0, DiagnosticLog()).batches():
        pipeline.take(batch.chunk, batch.packets, batch.packet_count, batch.first_packet, 0)
    pipeline.finish()


def decode(capture: Path) -> None:
    """PDUs to columns, and what is said about them."""
    native.decode([capture])


STAGES: dict[str, Callable[[Path], None]] = {
    "read": read,
    "+ walk the packets": walk,
    "+ find TCP segments": find_segments,
    "+ order them": order_segments,
    "+ frame PDUs": frame,
    "+ make columns": decode,
}


def start_up_seconds(program: str, repeats: int) -> float:
    """The shortest time from the first line of ``program`` to its last, in a fresh process."""
    timed = f"import time; begin = time.perf_counter(); {program}; print(time.perf_counter() - begin)"
    runs = [
        subprocess.run([sys.executable, "-c", timed], capture_output=True, check=True) for _ in range(repeats)
    ]
    return min(float(run.stdout) for run in runs)


def shortest(stage: Callable[[Path], None], capture: Path, repeats: int) -> tuple[float, float]:
    """The shortest wall and processor seconds of several runs."""
    wall, processor = [], []
    for _ in range(repeats):
        began, began_processor = time.perf_counter(), time.process_time()
        stage(capture)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - began_processor)
    return min(wall), min(processor)


def main() -> None:
    """Time the stages and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    capture = arguments.capture or large_capture(1000)
    read_into_page_cache(capture)
    native.prepare()
    table = Table(title=f"{capture.name}: {capture.stat().st_size / 1e6:,.0f} MB", title_justify="left")
    for heading in ("stage", "wall s", "more", "processor s"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    before = 0.0
    for name, program in START_UP.items():
        seconds = start_up_seconds(program, arguments.repeats)
        table.add_row(name, f"{seconds:.3f}", f"{seconds - before:.3f}", "")
        before = seconds
    table.add_section()
    before = 0.0
    for name, stage in STAGES.items():
        seconds, processor = shortest(stage, capture, arguments.repeats)
        table.add_row(name, f"{seconds:.3f}", f"{seconds - before:.3f}", f"{processor:.3f}")
        before = seconds
    Console().print(table)


if __name__ == "__main__":
    main()

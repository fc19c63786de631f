"""One recording from start to end: the recorder runs, its file is followed, the counter is shown.

Everything read from the growing file is for the counter alone; the analysis reads the finished files again.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from analyzer.alongside import Alongside
from analyzer.capture.growing import GrowingSource
from analyzer.capture.reader import CaptureReader
from analyzer.capture.recorder import Recorder, RecordingOptions
from analyzer.commands.sources import COMPILING
from analyzer.commands.waiting import announced_if_compiling
from analyzer.decoders import native
from analyzer.decoders.live import LiveCounter, LiveFigures
from analyzer.decoders.pipeline import Pipeline
from analyzer.decoders.snap_length import WHOLE, header_snap_length
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError

PAUSE_S = 0.1
REFRESH_S = 0.5
SETTLE_S = 0.5
SAMPLE_S = 10.0
SAMPLE_PACKETS = 20_000


def record(options: RecordingOptions, output: Path, ports: Sequence[int]) -> list[Path]:
    """Record until the options, or the user, end it: the files that are there then, in order."""
    _prepare()
    with Recorder(options, output) as recorder:
        _follow(recorder, ports)
    return _finished(recorder)


def record_with_sample(
    options: RecordingOptions, output: Path, ports: Sequence[int], longest_sample_s: float = SAMPLE_S
) -> list[Path]:
    """Record a sample whole, choose the snap length by it, and record on with that: the sample comes first.

    The second recorder listens before the first one stops, so a few packets stand in both.
    """
    _prepare()
    console = Console(stderr=True)
    sample = output.with_name(f"{output.stem}.sample{output.suffix or '.pcapng'}")
    sample_s = min(longest_sample_s, options.duration_s or longest_sample_s)
    limit = min(SAMPLE_PACKETS, options.packets or SAMPLE_PACKETS)
    seen = 0

    def is_enough(packets: int) -> bool:
        nonlocal seen
        seen = packets
        return packets >= limit or time.monotonic() - began >= sample_s

    sampling = dataclasses.replace(options, snap_length=0, ring_files=None, duration_s=None, packets=None)
    began = time.monotonic()
    with Recorder(sampling, sample) as sampler:
        is_ended = not _follow(sampler, ports, is_enough)
        left_s = None if options.duration_s is None else options.duration_s - (time.monotonic() - began)
        if is_ended or (left_s is not None and left_s < PAUSE_S):
            return _finished_after(sampler)
        snap_length = header_snap_length(sample, seen)
        words = (
            "packets are kept whole" if snap_length == WHOLE else f"packets are cut to {snap_length} bytes"
        )
        console.print(f"By the sample, {words}.", highlight=False)
        chosen = dataclasses.replace(options, snap_length=snap_length, duration_s=left_s)
        with Recorder(chosen, output) as recorder:
            # What the kernel still holds for the first recorder would be lost between the two.
            time.sleep(SETTLE_S)
            sampler.stop()
            _follow(recorder, ports)
    return [*_finished(sampler), *_finished(recorder)]


def _prepare() -> None:
    with announced_if_compiling(COMPILING.format(seconds=30)):
        Alongside("compiler", native.prepare).result()


def _finished(recorder: Recorder) -> list[Path]:
    return [path for path in recorder.files if path.exists()]


def _finished_after(recorder: Recorder) -> list[Path]:
    recorder.stop()
    return _finished(recorder)


def _follow(
    recorder: Recorder, ports: Sequence[int], is_enough: Callable[[int], bool] = lambda _: False
) -> bool:
    """Show the counter until the recorder ends: false where the user ended it.

    With ``is_enough``, asked with the packets read so far, returns early and leaves the recorder running.
    """
    pipeline = Pipeline(ports)
    try:
        with _interruptible(), _counter_on_terminal(pipeline) as refresh:
            packets = 0
            position = 0
            while position < len(recorder.files) or recorder.is_running:
                if position == len(recorder.files):
                    time.sleep(PAUSE_S)
                    continue
                position += 1
                for count in _packets_of(recorder, position, pipeline, refresh, packets, is_enough):
                    packets = count
                if is_enough(packets):
                    return True
        return True
    except KeyboardInterrupt:
        recorder.stop()
        return False


def _packets_of(
    recorder: Recorder,
    position: int,
    pipeline: Pipeline,
    refresh: Callable[[int], None],
    packets: int,
    is_enough: Callable[[int], bool],
) -> Iterator[int]:
    """Feed one file of the recorder to the pipeline while it grows; gives the packets so far."""
    path = recorder.files[position - 1]

    def wait() -> bool:
        refresh(packets)
        if is_enough(packets) or position < len(recorder.files) or not recorder.is_running:
            return False
        time.sleep(PAUSE_S)
        return True

    try:
        source = GrowingSource(path, wait)
    except UnusableInputError:
        # A ring may write over a file at any moment before it is open.
        if path.exists():
            raise
        return
    reader = CaptureReader(source, position - 1, DiagnosticLog())
    try:
        for batch in reader.batches():
            pipeline.take(batch.chunk, batch.packets, batch.packet_count, batch.first_packet, position - 1)
            packets += batch.packet_count
            yield packets
            refresh(packets)
            if is_enough(packets):
                return
    finally:
        reader.source.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a request to terminate end the recording as Ctrl-C does."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _counter_on_terminal(pipeline: Pipeline) -> Iterator[Callable[[int], None]]:
    """Give a function of the packets so far that refreshes the counter; on no terminal nothing is shown."""
    counter = LiveCounter(pipeline)
    console = Console(stderr=True)
    began = time.monotonic()
    shown_at = began
    before = LiveFigures()
    live = Live(console=console, auto_refresh=False, transient=True)

    def refresh(packets: int) -> None:
        nonlocal shown_at, before
        now = time.monotonic()
        if now - shown_at < REFRESH_S:
            return
        figures = counter.figures()
        if console.is_terminal:
            live.update(Text(line(figures, before, now - began, now - shown_at, packets)), refresh=True)
        shown_at, before = now, figures

    if console.is_terminal:
        with live:
            yield refresh
    else:
        yield refresh


def line(figures: LiveFigures, before: LiveFigures, elapsed_s: float, step_s: float, packets: int) -> str:
    """What the counter shows: rates over the last ``step_s`` seconds, totals since the beginning."""
    commands = (figures.commands - before.commands) / step_s
    megabytes = (figures.data_bytes - before.data_bytes) / step_s / 1e6
    return (
        f"{elapsed_s:,.0f} s  {packets:,} packets  {figures.connections} connections  "
        f"{commands:,.0f} commands/s  {megabytes:,.1f} MB/s  outstanding {figures.outstanding:,}  "
        f"TMFs {figures.task_management:,}  order waits {figures.order_waits:,}"
    )

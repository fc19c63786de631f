"""How far the clocks of several capture files lie apart, judged by cause and effect; and what to say of it.

Decides offsets from the bounds that ``clock_evidence`` finds: none where the clocks as they are let every
cause precede its effect, else the middle of what the bounds leave, relative to the first file. One offset
per file: a clock that drifts or is set during the recording has none, which is said. Reads no PDU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.clock_bounds import ClockBound
from analyzer.decoders.decoded import CaptureFile
from analyzer.diagnostics import DiagnosticLog

UNCERTAINTY_OF_STAMPS_NS = 100_000
"""Effects that precede their cause by less than this do not speak against the clocks: packets are stamped
some while after they pass, and not in one place (up to 21 us in recordings of one host)."""

_NO_BOUND = np.inf


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What is to be added to the times of one file, and between what bounds that lies."""

    file_index: int
    offset_ns: int
    lowest_ns: int | None
    """None where nothing bounds it from below."""
    highest_ns: int | None
    evidence: str
    """The pairs that relate it to the other files, in words; empty where nothing does."""

    @property
    def is_contradicted(self) -> bool:
        """Whether no one offset lets every cause precede its effect."""
        if self.lowest_ns is None or self.highest_ns is None:
            return False
        return self.lowest_ns > self.highest_ns + 2 * UNCERTAINTY_OF_STAMPS_NS


def clock_offsets(file_count: int, bounds: list[ClockBound]) -> list[ClockOffset]:
    """The offset of each of ``file_count`` files, in order."""
    limit = _closest_limits(file_count, bounds)
    fixed = np.zeros(file_count, np.float64)
    offsets: list[ClockOffset] = []
    for number in range(file_count):
        before = np.arange(number)
        # offset(cause) - offset(effect) <= limit[cause, effect], against all files whose offset stands.
        highest = np.min(limit[number, before] + fixed[before], initial=_NO_BOUND)
        lowest = np.max(fixed[before] - limit[before, number], initial=-_NO_BOUND)
        fixed[number] = _choose(lowest, highest)
        offsets.append(
            ClockOffset(
                number,
                int(fixed[number]),
                int(lowest) if np.isfinite(lowest) else None,
                int(highest) if np.isfinite(highest) else None,
                _evidence_of(number, bounds),
            )
        )
    return offsets


def _closest_limits(file_count: int, bounds: list[ClockBound]) -> npt.NDArray[np.float64]:
    """The bounds between every two files, those that follow by way of other files included."""
    limit = np.full((file_count, file_count), _NO_BOUND)
    np.fill_diagonal(limit, 0.0)
    for bound in bounds:
        limit[bound.cause, bound.effect] = min(limit[bound.cause, bound.effect], float(bound.limit_ns))
    for by_way_of in range(file_count):
        limit = np.minimum(limit, limit[:, by_way_of, None] + limit[None, by_way_of, :])
    return limit


def _choose(lowest: float, highest: float) -> int:
    if lowest <= UNCERTAINTY_OF_STAMPS_NS and highest >= -UNCERTAINTY_OF_STAMPS_NS:
        return 0
    if np.isinf(lowest):
        return int(highest)
    if np.isinf(highest):
        return int(lowest)
    return int(lowest + (highest - lowest) / 2)


def _evidence_of(number: int, bounds: list[ClockBound]) -> str:
    pairs: dict[str, int] = {}
    for bound in bounds:
        if number in (bound.cause, bound.effect):
            pairs[bound.what] = pairs.get(bound.what, 0) + bound.pairs
    return ", ".join(f"{count:,} {what}" for what, count in pairs.items())


def emit_clock_diagnostics(
    offsets: list[ClockOffset], files: tuple[CaptureFile, ...], diagnostics: DiagnosticLog
) -> None:
    """Say which clocks were moved, which cannot be right, and which nothing relates to the others."""
    for offset in offsets:
        at_ns = files[offset.file_index].first_ns
        if offset.is_contradicted and offset.lowest_ns is not None and offset.highest_ns is not None:
            apart = _milliseconds(offset.lowest_ns - offset.highest_ns)
            detail = f"bounds {apart} ms apart: {offset.evidence}"
            diagnostics.emit("clock-unsteady", detail, file_index=offset.file_index, at_ns=at_ns)
        if offset.offset_ns:
            between = [
                "-" if at is None else _milliseconds(at) for at in (offset.lowest_ns, offset.highest_ns)
            ]
            detail = f"{_milliseconds(offset.offset_ns)} ms ({' to '.join(between)}): {offset.evidence}"
            diagnostics.emit("clock-offset-assumed", detail, file_index=offset.file_index, at_ns=at_ns)
        is_unrelated = offset.lowest_ns is None and offset.highest_ns is None
        if offset.file_index and is_unrelated and files[offset.file_index].tcp_packets:
            diagnostics.emit("clock-unrelated", file_index=offset.file_index, at_ns=at_ns)


def _milliseconds(ns: int) -> str:
    return f"{ns / 1e6:+.3f}"

"""Which snap length would still record every PDU header and login text, tried on a sample recorded whole.

PDU headers lie where the sender's segments put them: at the beginning of every packet with large
offloaded segments, anywhere in it at an MTU of 1500. So the sample is decoded as each length would
have cut it, and the shortest one that loses no header, no login text and no sense data wins. Writes nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analyzer.capture.reader import CaptureReader
from analyzer.decoders.pipeline import Pipeline
from analyzer.diagnostics import DiagnosticLog

SNAP_LENGTHS = (192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192, 16384)
"""Tried in this order. The shortest holds the headers of all layers and the sense data of a response."""

WHOLE = 0


def header_snap_length(sample: str | Path, packets: int) -> int:
    """The snap length for traffic like the first ``packets`` of ``sample``.

    It is one step above the shortest that loses nothing of them; WHOLE where no shorter one would do, or
    where there is no PDU among them. Raises UnusableInputError where ``sample`` is no capture.
    """
    everything = _kept(sample, packets, None)
    if not everything:
        return WHOLE
    for place, length in enumerate(SNAP_LENGTHS[:-1]):
        if _kept(sample, packets, length) == everything:
            return SNAP_LENGTHS[place + 1]
    return WHOLE


def _kept(sample: str | Path, packets: int, snap_length: int | None) -> list[bytes]:
    """Headers and kept segments that are found when packets are cut to ``snap_length``, sorted."""
    pipeline = Pipeline()
    reader = CaptureReader(sample, 0, DiagnosticLog(), is_hashed=False)
    try:
        for batch in reader.batches():
            if snap_length is not None:
                captured = batch.packets["captured"]
                np.minimum(captured, snap_length, out=captured)
            count = min(batch.packet_count, packets - batch.first_packet + 1)
            pipeline.take(batch.chunk, batch.packets, count, batch.first_packet, 0)
            if count < batch.packet_count:
                break
    finally:
        reader.source.close()
    pipeline.finish()
    rows = pipeline.frames.rows[: int(pipeline.frames.ledger[0].rows)]
    rows = rows[rows["is_void"] == 0]
    begins = rows["segment_offset"].tolist()
    ends = (rows["segment_offset"] + rows["ahs_bytes"] + rows["segment_bytes"]).tolist()
    segments = pipeline.frames.segments
    return sorted(
        header.tobytes() + segments[begin:end].tobytes()
        for header, begin, end in zip(rows["header"], begins, ends, strict=True)
    )

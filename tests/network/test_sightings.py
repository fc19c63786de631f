"""Sightings of the same bytes in several files: what is kept when there are more than fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analyzer.capture.reader import CaptureReader
from analyzer.decoders.pipeline import Pipeline
from analyzer.diagnostics import DiagnosticLog
from analyzer.network import sightings
from analyzer.network.sightings import first_sightings, no_sightings
from tests.captures import Conversation, dialogue, packets_of, pcap


def seen(paths: list[Path], limit: int) -> tuple[np.ndarray, int]:
    """First sightings of two files with room for ``limit`` rows, and by how much they were thinned out."""
    pipeline = Pipeline(has_several_clocks=True)
    pipeline.sightings = no_sightings(limit)
    for number, path in enumerate(paths):
        reader = CaptureReader(path, number, DiagnosticLog())
        for batch in reader.batches():
            pipeline.take(batch.chunk, batch.packets, batch.packet_count, batch.first_packet, number)
        reader.source.close()
    return first_sightings(pipeline.sightings), int(pipeline.sightings.state[1])


def test_a_full_store_keeps_the_same_keys_of_every_file(tmp_path: Path) -> None:
    """Two recorders saw the same packets; what is kept of one is kept of the other, and is the earliest."""
    packets = packets_of(Conversation(), dialogue(40).segments(Conversation(), sizes=(300,)))
    paths = [tmp_path / "a.pcap", tmp_path / "b.pcap"]
    for path in paths:
        path.write_bytes(pcap(packets))
    everything, none = seen(paths, 1 << 16)
    sample, thinned = seen(paths, 256)
    assert none == 0 < thinned
    assert 0 < len(sample) <= 256
    assert set(sample.tolist()) < set(everything.tolist())
    keys = [set(sample["key"][sample["file_index"] == number].tolist()) for number in (0, 1)]
    assert keys[0] == keys[1]
    kinds = {sightings.SENT, sightings.ACKNOWLEDGED}
    assert kinds <= set(sample["kind"].tolist())

"""The compiled kernels and the same functions run as plain Python give the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.decoders.native import decode
from tests.captures import Conversation, cut, dialogue, packets_of, pcap, pcapng

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from tests.decoders.test_twin import digest_of; print(*map(digest_of, sys.argv[1:]))"


def digest_of(path: str) -> str:
    """One hash over all that a decode gives."""
    capture = decode([path])
    total = hashlib.sha256()
    for columns in (capture.pdus, capture.connections, capture.holes):
        for name in columns.__slots__:
            value = getattr(columns, name)
            total.update(repr(value).encode() if isinstance(value, list) else value.tobytes())
    total.update(
        repr([(entry.kind.code, entry.detail, entry.count) for entry in capture.diagnostics]).encode()
    )
    return total.hexdigest()


@pytest.fixture
def captures(tmp_path: Path) -> list[str]:
    """Whole, lossy and shuffled, cut, and joined in the middle with digests."""
    said = dialogue(9, header_digest=True, data_digest=True, sizes=(300, 7, 1200))
    packets = packets_of(Conversation(), said.segments(Conversation(), (211,)))
    shuffled = [packet for index, packet in enumerate(packets) if index % 11 != 8]
    for index in range(5, len(shuffled) - 4, 7):
        shuffled[index], shuffled[index + 3] = shuffled[index + 3], shuffled[index]
    contents = (pcap(packets), pcapng(shuffled, big_endian=True), pcap(cut(packets, 130)), pcap(packets[9:]))
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


def test_compiled_equals_uncompiled(captures: list[str]) -> None:
    """With warnings as errors on the uncompiled side, so that no integer overflows unseen."""
    compiled = [digest_of(path) for path in captures]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", PROGRAM, *captures]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert done.stdout.split() == compiled
    assert len(set(compiled)) == len(compiled)

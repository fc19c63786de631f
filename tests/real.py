"""The real captures that tests read: those shipped in ``traces/``, and more beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import zstandard

TRACES = Path(__file__).parents[1] / "traces"
MORE_CAPTURES = Path(__file__).parents[2] / "shared" / "captures"
"""Captures of the same kind that are too large to ship; tests over them say so when they are absent."""


def capture_path(name: str) -> Path:
    """The shipped capture of that name (without suffix). Raises FileNotFoundError where there is none."""
    found = sorted(path for path in TRACES.rglob(f"{name}.pcap*"))
    if not found:
        raise FileNotFoundError(f"traces/ holds no capture named {name}")
    return found[0]


def capture_bytes(name: str) -> bytes:
    """The shipped capture of that name, decompressed."""
    return plain_bytes(capture_path(name))


def plain_bytes(path: Path) -> bytes:
    """The content of a file, decompressed where it is zstd."""
    content = path.read_bytes()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content


def truth_of(path: Path) -> dict[str, Any]:
    """What the initiator itself wrote down about the capture at ``path``."""
    stem = path.name.removesuffix(".zst").removesuffix(".pcapng").removesuffix(".pcap")
    for suffix in (".truth.json.zst", ".truth.json"):
        truth = path.with_name(stem + suffix)
        if truth.exists():
            content: dict[str, Any] = json.loads(plain_bytes(truth))
            return content
    raise FileNotFoundError(f"{path}: has no truth beside it")

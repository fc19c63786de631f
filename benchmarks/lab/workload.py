"""The list of commands of a workload: a function of its parameters and its seed, or read from an earlier run.

The list never depends on links, topology or policy, so that the same work can be done under each of
them. ``PRESETS`` are the workloads of the reference recordings.
"""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path
from typing import NamedTuple

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import BLOCK_BYTES, MAX_COMMANDS, Configuration, Device, Workload, WriteData

ALIGNMENT_BYTES = 4096
KIB = 1024


class Item(NamedTuple):
    """One command of the list: first block, length in bytes, and its direction."""

    lba: int
    length_bytes: int
    is_read: bool


class Preset(NamedTuple):
    """A workload with the device and the way of writing it was recorded with."""

    workload: Workload
    device: Device = Device()
    writes: WriteData = WriteData.IMMEDIATE


_MIXED = (4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB)


def _workload(
    name: str, commands: int, depth: int, sizes: tuple[int, ...], reads: float, seed: int
) -> Workload:
    return Workload(
        name=name,
        commands=commands,
        queue_depth=depth,
        sizes=sizes,
        read_ratio=reads,
        is_sequential=name in ("W3", "W5", "W5u"),
        seed=seed,
    )


PRESETS: dict[str, Preset] = {
    "W1": Preset(_workload("W1", 2000, 1, (4 * KIB,), 1.0, 101)),
    "W3": Preset(_workload("W3", 200, 1, (64 * KIB,), 1.0, 103)),
    "W5": Preset(_workload("W5", 240, 8, (64 * KIB,), 0.0, 105), writes=WriteData.SOLICITED),
    "W5u": Preset(_workload("W5u", 240, 8, (64 * KIB,), 0.0, 105), writes=WriteData.UNSOLICITED),
    "W6": Preset(_workload("W6", 800, 16, _MIXED, 0.7, 106)),
    "W9": Preset(
        _workload("W9", 1200, 8, (4 * KIB,), 1.0, 109), device=Device(read_ms=10, write_ms=10, jitter_ms=2)
    ),
}


def make_items(workload: Workload) -> list[Item]:
    """The command list of ``workload``; the same seed gives the same list."""
    chance = random.Random(workload.seed)
    items: list[Item] = []
    position = 0
    for _ in range(workload.commands):
        length = chance.choice(workload.sizes)
        is_read = chance.random() < workload.read_ratio
        if workload.is_sequential:
            if position + length > workload.lun_bytes:
                position = 0
            start, position = position, position + length
        else:
            start = ALIGNMENT_BYTES * chance.randrange((workload.lun_bytes - length) // ALIGNMENT_BYTES + 1)
        items.append(Item(start // BLOCK_BYTES, length, is_read))
    return items


def read_items(path: Path, configuration: Configuration) -> list[Item]:
    """The command list of a ``*.commands.csv.gz`` of an earlier run, in its order.

    Raises UnusableInputError where the file is none, or names blocks beyond the logical unit.
    """
    items: list[Item] = []
    try:
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                items.append(Item(int(row["lba"]), int(row["bytes"]), row["dir"] == "R"))
                if len(items) > MAX_COMMANDS:
                    raise UnusableInputError(f"lists more than {MAX_COMMANDS} commands", source=str(path))
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise UnusableInputError(f"is no list of commands ({error})", source=str(path)) from None
    unit_blocks = configuration.workload.lun_bytes // BLOCK_BYTES
    for line, item in enumerate(items, start=2):
        is_whole = item.length_bytes > 0 and item.length_bytes % BLOCK_BYTES == 0
        if not is_whole or item.lba < 0 or item.lba + item.length_bytes // BLOCK_BYTES > unit_blocks:
            raise UnusableInputError("does not fit the logical unit", source=str(path), place=f"line {line}")
    if not items:
        raise UnusableInputError("lists no command", source=str(path))
    return items

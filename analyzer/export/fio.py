"""The reads and writes of a timeline as an fio trace, to be run on a real device at the recorded pace.

Decides which commands become I/O and on which file. The format is version 3 of fio's trace file
(fio's HOWTO, *Trace file format v3*, since fio 3.31; ``iolog.c``): ``time file action offset length``, times
in microseconds. fio waits for the difference between neighbouring times and takes a time of 0 for none, so
times begin at 1. Version 2 is not written: its waits are whole milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.export.interface import Exported, Exporter, whole_file
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]

BLOCK_BYTES = 512
"""Of a logical unit whose transfers do not show it."""
LENGTH_LIMIT = 1 << 32
"""fio reads lengths as 32-bit numbers."""
OFFSET_LIMIT = 1 << 63
_TRANSFERS = ("READ(", "WRITE(", "WRITE AND VERIFY(")
_FLUSH = "SYNCHRONIZE CACHE("
_LINES_AT_A_TIME = 100_000


@dataclass(frozen=True, slots=True)
class Trace:
    """n actions in order of time, each array of shape (n,). ``left_out`` counts the tasks that are none."""

    at_us: Int64s
    unit: Int64s
    """Place in ``units`` of the logical unit."""
    action: npt.NDArray[np.int8]
    """Place in ``ACTIONS``."""
    offset: Int64s
    length: Int64s
    units: tuple[int, ...]
    left_out: int


ACTIONS = ("read", "write", "sync")


def trace_of(timeline: Timeline) -> Trace:
    """The tasks that fio can repeat: READ and WRITE of any size with an LBA and data, SYNCHRONIZE CACHE.

    Re-issues of failed commands are left out, since fio is the application and not the path below it.
    """
    operation = timeline.values("tasks", "operation").astype(str)
    direction = timeline.values("tasks", "direction").astype(str)
    blocks = timeline.values("tasks", "blocks", 0).astype(np.float64)
    size = timeline.values("tasks", "expected_bytes")
    is_first = timeline.is_null("tasks", "retry_of_task_index")
    is_transfer = np.zeros(len(operation), np.bool_)
    for name in _TRANSFERS:
        is_transfer |= np.char.startswith(operation, name)
    lun, unit = np.unique(timeline.values("tasks", "lun"), return_inverse=True)
    block = np.full(len(lun), BLOCK_BYTES, np.int64)
    is_transfer &= (
        is_first & ~timeline.is_null("tasks", "lba") & (size > 0) & (blocks > 0) & (size < LENGTH_LIMIT)
    )
    for place in range(len(lun)):
        mine = np.flatnonzero(is_transfer & (unit == place))
        block[place] = _block_bytes(size[mine], blocks[mine])
    # In floating point first: an LBA of a hostile capture may be any 64-bit number.
    offset = timeline.values("tasks", "lba", 0).astype(np.float64) * block[unit]
    is_transfer &= offset + size < OFFSET_LIMIT
    is_flush = is_first & np.char.startswith(operation, _FLUSH)
    chosen = np.flatnonzero(is_transfer | is_flush)
    begins = timeline.values("tasks", "command_ns")
    chosen = chosen[np.argsort(begins[chosen], kind="stable")]
    at_us = (begins[chosen] - (begins[chosen[0]] if len(chosen) else 0)) // 1000 + 1
    exact = np.zeros(len(operation), np.int64)
    exact[is_transfer] = (
        timeline.values("tasks", "lba", 0)[is_transfer].astype(np.int64) * block[unit[is_transfer]]
    )
    action = np.where(is_flush, 2, np.where(direction == "write", 1, 0)).astype(np.int8)
    return Trace(
        at_us,
        unit[chosen].astype(np.int64),
        action[chosen],
        exact[chosen],
        np.where(is_flush, 0, size)[chosen],
        tuple(int(one) for one in lun),
        len(operation) - len(chosen),
    )


def _block_bytes(size: Int64s, blocks: npt.NDArray[np.float64]) -> int:
    """Bytes of a logical block: the most frequent quotient of data and blocks that is a power of two."""
    quotient = size / np.maximum(blocks, 1)
    likely = quotient[
        (quotient >= BLOCK_BYTES) & (quotient <= 1 << 20) & (np.log2(np.maximum(quotient, 1)) % 1 == 0)
    ]
    if not len(likely):
        return BLOCK_BYTES
    values, counts = np.unique(likely, return_counts=True)
    return int(values[np.argmax(counts)])


def write(timeline: Timeline, place: Path) -> Exported:
    """Write the trace of a timeline."""
    trace = trace_of(timeline)
    names = [f"lun-{number}" for number in range(len(trace.units))]
    used = [names[number] for number in np.unique(trace.unit)]
    with whole_file(place) as file:
        file.write(b"fio version 3 iolog\n")
        file.writelines(f"1 {name} add\n1 {name} open\n".encode() for name in used)
        for first in range(0, len(trace.at_us), _LINES_AT_A_TIME):
            part = slice(first, first + _LINES_AT_A_TIME)
            rows = zip(
                trace.at_us[part].tolist(),
                trace.unit[part].tolist(),
                trace.action[part].tolist(),
                trace.offset[part].tolist(),
                trace.length[part].tolist(),
                strict=True,
            )
            lines = [
                f"{at} {names[unit]} {ACTIONS[act]} {offset} {size}\n" for at, unit, act, offset, size in rows
            ]
            file.write("".join(lines).encode())
        last = int(trace.at_us[-1]) if len(trace.at_us) else 1
        file.writelines(f"{last} {name} close\n".encode() for name in used)
    return Exported(place, f"{len(trace.at_us):,} actions", _remarks(trace, place, used))


def _remarks(trace: Trace, place: Path, used: list[str]) -> tuple[str, ...]:
    end = int((trace.offset + trace.length).max(initial=0))
    remarks = [
        f"Run it with: fio --name=replay --read_iolog={place} --replay_redirect=DEVICE --ioengine=libaio "
        f"--direct=1 --iodepth=64; DEVICE needs {end:,} bytes, and its content is overwritten by writes."
    ]
    if len(used) > 1:
        told = ", ".join(f"{name} is 0x{trace.units[int(name[4:])]:016x}" for name in used[:8])
        remarks.append(
            f"Several logical units: {told}. Without --replay_redirect fio uses files of these names."
        )
    if trace.left_out:
        remarks.append(
            f"{trace.left_out:,} tasks are left out: no read, write or flush, or a failed one tried again."
        )
    return tuple(remarks)


EXPORTER = Exporter(
    "fio", ".fio", "A trace for fio --read_iolog: reads, writes and flushes with their times.", write
)

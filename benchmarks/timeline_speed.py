"""How long a million commands take from PDU columns to finished timeline, and how much memory.

Makes an MC/S session of four connections whose commands overlap, a third of them writes by R2T, with some
losses of order on the way, and builds its timeline. Prints seconds and peak memory beside the goals.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from analyzer.decoders.decoded import (
    END_OPEN,
    CaptureFile,
    ConnectionColumns,
    DecodedCapture,
    HoleColumns,
    PduColumns,
)
from analyzer.diagnostics import DiagnosticLog
from analyzer.timeline.build import build

GOAL_S = 4.0
GOAL_MB = 1500
CONNECTIONS = 4
DEPTH = 64
_COMMAND, _DATA_IN, _DATA_OUT, _R2T, _RESPONSE = 0x01, 0x25, 0x05, 0x31, 0x21
_NO_TAG = 0xFFFFFFFF
_STEP_NS = 2_000


def make_pdus(tasks: int) -> PduColumns:
    """The PDUs of ``tasks`` commands: two for a read, four for a write."""
    random = np.random.default_rng(1)
    is_write = np.arange(tasks) % 3 == 2
    # Each connection lags more than the one before it, so that CmdSNs arrive out of order between them.
    lag = np.arange(tasks, dtype=np.int64) % CONNECTIONS * 3
    begin_ns = (np.arange(tasks, dtype=np.int64) + lag) * _STEP_NS
    spent_ns = DEPTH * _STEP_NS + random.integers(0, DEPTH * _STEP_NS, tasks)
    connection = (np.arange(tasks) % CONNECTIONS).astype(np.int32)
    parts = [
        (_COMMAND, np.arange(tasks), begin_ns),
        (_DATA_IN, np.flatnonzero(~is_write), begin_ns + spent_ns),
        (_R2T, np.flatnonzero(is_write), begin_ns + spent_ns // 4),
        (_DATA_OUT, np.flatnonzero(is_write), begin_ns + spent_ns // 2),
        (_RESPONSE, np.flatnonzero(is_write), begin_ns + spent_ns),
    ]
    opcode = np.concatenate([np.full(len(rows), code, np.uint8) for code, rows, _ in parts])
    task = np.concatenate([rows for _, rows, _ in parts])
    time_ns = np.concatenate([times[rows] for _, rows, times in parts])
    order = np.argsort(time_ns, kind="stable")
    opcode, task, time_ns = opcode[order], task[order], time_ns[order]
    count = len(order)
    headers = np.zeros((count, 48), np.uint8)
    headers[:, 0], headers[:, 1] = opcode, _flags(opcode, is_write[task])
    _put(headers, 4, np.where((opcode == _DATA_IN) | (opcode == _DATA_OUT), 4096, 0))
    _put(headers, 16, task)
    is_command, is_reply = opcode == _COMMAND, (opcode == _DATA_IN) | (opcode == _RESPONSE)
    _put(
        headers,
        20,
        np.where(is_command, 4096, np.where((opcode == _R2T) | (opcode == _DATA_OUT), 7, _NO_TAG)),
    )
    replies = _count_by_connection(is_reply, connection[task])
    _put(headers, 24, np.where(is_command, task, replies))
    _put(headers, 28, np.where(opcode >= 0x20, task + 1, replies))
    _put(headers, 32, np.where(is_command, np.where(is_write[task], 0x2A000000, 0x28000000), task + 100_000))
    _put(headers, 34, random.integers(0, 1 << 24, tasks)[task], only=is_command)
    _put(headers, 44, np.where(opcode == _R2T, 4096, 0), only=~is_command)
    headers[is_command, 40] = 8
    nothing = np.zeros(count, np.uint8)
    none = np.zeros(count, np.int32)
    return PduColumns(
        headers,
        time_ns,
        time_ns + 1_000,
        np.arange(1, count + 1, dtype=np.int64),
        none,
        connection[task],
        opcode >= 0x20,
        nothing,
        nothing,
        nothing,
        np.zeros(count, np.int64),
        none,
        none,
        np.zeros(0, np.uint8),
        np.ones(count, np.bool_),
    )


def _flags(opcode: np.ndarray, is_write: np.ndarray) -> np.ndarray:
    flags = np.full(len(opcode), 0x80, np.uint8)
    flags[opcode == _COMMAND] |= np.where(is_write[opcode == _COMMAND], 0x21, 0x41).astype(np.uint8)
    flags[opcode == _DATA_IN] |= 0x01
    return flags


def _put(headers: np.ndarray, byte: int, values: np.ndarray, only: np.ndarray | None = None) -> None:
    rows = np.flatnonzero(np.ones(len(headers), np.bool_) if only is None else only)
    headers[rows, byte : byte + 4] = values[rows].astype(">u4")[:, None].view(np.uint8)


def _count_by_connection(is_counted: np.ndarray, connection: np.ndarray) -> np.ndarray:
    """How many were counted before each, on its connection; the next StatSN."""
    numbers = np.zeros(len(connection), np.int64)
    for number in range(CONNECTIONS):
        own = connection == number
        numbers[own] = np.cumsum(is_counted[own]) - is_counted[own]
    return numbers


def decoded_of(pdus: PduColumns) -> DecodedCapture:
    """The PDUs as a decoder would hand them over: connections in mid-session, nothing lost."""
    zeros, no = np.zeros(CONNECTIONS, np.int64), np.zeros(CONNECTIONS, np.bool_)
    last_ns = int(pdus.time_last_ns.max())
    connections = ConnectionColumns(
        ["10.0.0.1"] * CONNECTIONS,
        np.arange(50000, 50000 + CONNECTIONS, dtype=np.uint16),
        ["10.0.0.9"] * CONNECTIONS,
        np.full(CONNECTIONS, 3260, np.uint16),
        zeros,
        zeros + last_ns,
        zeros + last_ns,
        np.full(CONNECTIONS, END_OPEN, np.uint8),
        no,
        no,
        zeros,
        zeros,
        zeros,
        zeros,
        zeros,
        no,
        no,
    )
    holes = HoleColumns(*(np.zeros(0, kind) for kind in (np.int32, np.bool_, *[np.int64] * 4, np.bool_)))
    file = CaptureFile(0, "made", "pcap", "none", None, None, len(pdus), len(pdus), 0, 0, last_ns)
    return DecodedCapture((file,), pdus, connections, holes, DiagnosticLog(), "made", {})


def main() -> None:
    """Build once to compile, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    tasks = parser.parse_args().tasks
    build(decoded_of(make_pdus(1_000)))
    decoded = decoded_of(make_pdus(tasks))
    begin, worked = time.perf_counter(), time.process_time()
    timeline = build(decoded)
    # Other work on the machine lengthens the time on the clock, hardly that of the processor.
    seconds, passed = time.process_time() - worked, time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answered = int((~timeline.is_null("tasks", "response_ns")).sum())
    print(f"{len(decoded.pdus):,} PDUs, {timeline.arrow['tasks'].num_rows:,} tasks, {answered:,} answered")
    print(f"{seconds:.2f} s of one processor (goal {GOAL_S:g} s), {passed:.2f} s on the clock")
    print(f"peak memory {peak_mb:,.0f} MB (goal {GOAL_MB:,} MB)")
    sys.exit(seconds > GOAL_S or peak_mb > GOAL_MB)


if __name__ == "__main__":
    main()

"""Timelines and outcomes made to measure, for tests of what reads tables.

The numbers are plausible rather than recorded: reads and writes on a few connections, with a
constant service time and some chance from a seed. Every table is valid by its declaration, and
any column of the tasks may be given to replace what is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from analyzer.measures import MEASURES, measure
from analyzer.tables.folder import Outcome, Timeline
from analyzer.tables.outcome_tables import (
    METRICS,
    OUTCOME_EVENTS,
    OUTCOME_INCIDENTS,
    PATHS,
    REPEATS,
    REQUESTS,
    UTILISATION,
)
from analyzer.tables.timeline_tables import (
    CAPTURES,
    CONNECTIONS,
    DIAGNOSTICS,
    EVENTS,
    INCIDENTS,
    PDUS,
    SESSIONS,
    TASK_FATES,
    TASKS,
)

ORDER_COLUMNS = (
    "arrival_inversions",
    "cmd_sn_holes",
    "stand_stills",
    "stood_still_ns",
    "longest_stand_still_ns",
    "window_closures",
    "window_closed_ns",
)
BEGIN_NS = 1_800_000_000_000_000_000
TARGET_NAME = "iqn.2026-11.example.target:disk"
INITIATOR_NAME = "iqn.2026-11.example.initiator:host"


def null_where(values: Any, is_null: Any) -> np.ma.MaskedArray:
    """Values with null where ``is_null`` is true."""
    return np.ma.MaskedArray(np.asarray(values), mask=np.asarray(is_null))


def make_timeline(
    *,
    tasks: int = 200,
    connections: int = 2,
    sessions: int = 1,
    depth: int = 8,
    read_bytes: int = 4096,
    service_ns: int = 500_000,
    seed: int = 1,
    initiator_name: str = INITIATOR_NAME,
    **task_columns: Any,
) -> Timeline:
    """Make a closed loop of ``depth`` commands over all connections, two thirds reads, round-robin.

    ``connections`` is per session: 1 session x 2 connections is MC/S, 2 x 1 is MPIO.
    """
    random = np.random.default_rng(seed)
    paths = connections * sessions
    path = np.arange(tasks, dtype=np.int32) % paths
    session = path // connections
    latency = service_ns + random.integers(0, service_ns // 2, tasks)
    command_ns = _closed_loop(latency, depth) + BEGIN_NS
    response_ns = command_ns + latency
    is_read = np.arange(tasks) % 3 != 2
    cmd_sn = np.zeros(tasks, np.uint32)
    for index in range(sessions):
        mine = session == index
        cmd_sn[mine] = np.arange(1, mine.sum() + 1)
    ended = np.sort(response_ns)
    outstanding = np.arange(tasks) - np.searchsorted(ended, command_ns, side="right")
    nothing = np.ones(tasks, bool)
    columns: dict[str, Any] = {
        "task_index": np.arange(tasks, dtype=np.int32),
        "session_index": session,
        "connection_index": path,
        "response_connection_index": path,
        "initiator_task_tag": np.arange(tasks, dtype=np.uint32) + 1,
        "cmd_sn": cmd_sn,
        "lun": np.ones(tasks, np.uint64),
        "is_immediate": np.zeros(tasks, bool),
        "attribute": ["simple"] * tasks,
        "operation": np.where(is_read, "READ(10)", "WRITE(10)").tolist(),
        "cdb": ["28" + "00" * 15] * tasks,
        "lba": random.integers(0, 65536, tasks).astype(np.uint64) * 8,
        "blocks": np.full(tasks, read_bytes // 512, np.uint64),
        "direction": np.where(is_read, "read", "write").tolist(),
        "expected_bytes": np.full(tasks, read_bytes),
        "immediate_bytes": np.where(is_read, 0, read_bytes),
        "unsolicited_bytes": np.zeros(tasks, np.int64),
        "transferred_bytes": np.full(tasks, read_bytes),
        "residual_bytes": np.zeros(tasks, np.int64),
        "command_ns": command_ns,
        "command_last_ns": command_ns,
        "command_packet": np.arange(tasks) * 2 + 1,
        "first_r2t_ns": null_where(np.zeros(tasks, np.int64), nothing),
        "first_data_ns": null_where(response_ns, ~is_read),
        "last_data_ns": null_where(response_ns, ~is_read),
        "response_ns": response_ns,
        "response_packet": np.arange(tasks) * 2 + 2,
        "latency_ns": latency,
        "order_wait_ns": np.zeros(tasks, np.int64),
        "outstanding": outstanding.astype(np.int32),
        "r2t_count": np.zeros(tasks, np.int32),
        "data_in_count": is_read.astype(np.int32),
        "data_out_count": np.zeros(tasks, np.int32),
        "status": np.zeros(tasks, np.uint8),
        "response": np.zeros(tasks, np.uint8),
        "sense_key": null_where(np.zeros(tasks, np.uint8), nothing),
        "asc": null_where(np.zeros(tasks, np.uint8), nothing),
        "ascq": null_where(np.zeros(tasks, np.uint8), nothing),
        "end": ["responded"] * tasks,
        "ended_ns": response_ns,
        "retry_count": np.zeros(tasks, np.int32),
        "reassign_count": np.zeros(tasks, np.int32),
        "retry_of_task_index": null_where(np.zeros(tasks, np.int32), nothing),
    }
    columns |= task_columns
    first_ns = int(command_ns.min()) if tasks else BEGIN_NS
    last_ns = int(response_ns.max()) if tasks else BEGIN_NS
    tables = {
        "captures": _captures(first_ns, last_ns, tasks),
        "sessions": _sessions(sessions, connections, first_ns, last_ns, initiator_name),
        "connections": _connections(sessions, connections, first_ns),
        "pdus": _pdus(columns, tasks),
        "tasks": TASKS.build(columns),
        "events": EVENTS.empty(),
        "incidents": INCIDENTS.empty(),
        "task_fates": TASK_FATES.empty(),
        "diagnostics": DIAGNOSTICS.empty(),
    }
    return Timeline(tables, {"made": {"seed": seed}})


def _closed_loop(latency: Any, depth: int) -> Any:
    """Issue times from 0 when each completion brings the next command."""
    issued = np.zeros(len(latency), np.int64)
    busy = [0] * depth
    for index, duration in enumerate(latency.tolist()):
        begun = min(busy)
        issued[index] = begun
        busy[busy.index(begun)] = begun + duration
    return issued


def _captures(first_ns: int, last_ns: int, tasks: int) -> pa.Table:
    return CAPTURES.build(
        {
            "file_index": [0],
            "name": ["made.pcapng"],
            "format": ["pcapng"],
            "compression": ["none"],
            "size_bytes": [1 << 20],
            "sha256": ["0" * 64],
            "packets": [2 * tasks],
            "tcp_packets": [2 * tasks],
            "cut_packets": [0],
            "first_ns": [first_ns],
            "last_ns": [last_ns],
            "clock_offset_ns": [0],
        }
    )


def _sessions(sessions: int, connections: int, first_ns: int, last_ns: int, initiator_name: str) -> pa.Table:
    return SESSIONS.build(
        {
            "session_index": list(range(sessions)),
            "initiator_name": [initiator_name] * sessions,
            "target_name": [TARGET_NAME] * sessions,
            "isid": [f"80000000000{index}" for index in range(sessions)],
            "tsih": list(range(1, sessions + 1)),
            "target_portal_group_tag": [1] * sessions,
            "session_type": ["normal"] * sessions,
            "max_connections": [connections] * sessions,
            "error_recovery_level": [0] * sessions,
            "max_burst_bytes": [262144] * sessions,
            "first_burst_bytes": [65536] * sessions,
            "initial_r2t": [True] * sessions,
            "immediate_data": [True] * sessions,
            "max_outstanding_r2t": [1] * sessions,
            "time2wait_s": [2] * sessions,
            "time2retain_s": [20] * sessions,
            "login_seen": [True] * sessions,
            "first_ns": [first_ns] * sessions,
            "last_ns": [last_ns] * sessions,
            **dict.fromkeys(ORDER_COLUMNS, [0] * sessions),
            "parameters": ["{}"] * sessions,
        }
    )


def _connections(sessions: int, connections: int, first_ns: int) -> pa.Table:
    count = sessions * connections
    return CONNECTIONS.build(
        {
            "connection_index": list(range(count)),
            "session_index": [index // connections for index in range(count)],
            "cid": [index % connections for index in range(count)],
            "initiator_address": [f"10.0.{index}.1" for index in range(count)],
            "initiator_port": [50000 + index for index in range(count)],
            "target_address": [f"10.0.{index}.2" for index in range(count)],
            "target_port": [3260] * count,
            "header_digest": [False] * count,
            "data_digest": [False] * count,
            "initiator_max_recv_bytes": [262144] * count,
            "target_max_recv_bytes": [262144] * count,
            "login_seen": [True] * count,
            "opened_ns": [first_ns] * count,
            "closed_ns": pa.nulls(count, pa.int64()),
            "end": ["capture-ended"] * count,
            "packets": [100] * count,
            "retransmitted_segments": [0] * count,
            "lost_bytes": [0] * count,
            "rtt_ns_min": [100_000] * count,
            "target_side_rtt_ns_min": [90_000] * count,
            "initiator_side_rtt_ns_min": [10_000] * count,
            "queue_to_target_bytes": pa.nulls(count, pa.int64()),
            "queue_from_target_bytes": pa.nulls(count, pa.int64()),
            "largest_segment_bytes": [1448] * count,
        }
    )


def _pdus(tasks: dict[str, Any], count: int) -> pa.Table:
    """A command and its response for each task, in order of time."""
    both = np.concatenate([np.asarray(tasks["command_ns"]), np.ma.getdata(tasks["response_ns"])])
    order = np.argsort(both, kind="stable")
    of_task = (order % max(count, 1)).astype(np.int32)
    from_target = order >= count
    is_read = np.asarray(tasks["direction"])[of_task] == "read" if count else np.zeros(0, bool)
    cmd_sn = np.asarray(tasks["cmd_sn"], np.uint32)[of_task]
    nothing = np.ones(2 * count, bool)
    zeros = np.zeros(2 * count, np.uint32)
    length = np.where(
        from_target == is_read, np.asarray(tasks["expected_bytes"], np.int32)[of_task], np.int32(0)
    )
    connection = np.asarray(tasks["connection_index"], np.int32)[of_task]
    answered = np.zeros(2 * count, np.uint32)
    for index in np.unique(connection):
        mine = connection == index
        answered[mine] = np.cumsum(from_target[mine])
    return PDUS.build(
        {
            "pdu_index": np.arange(2 * count),
            "time_ns": both[order],
            "time_last_ns": both[order],
            "file_index": np.zeros(2 * count, np.int32),
            "packet": np.arange(1, 2 * count + 1),
            "connection_index": connection,
            "from_target": from_target,
            "opcode": np.where(~from_target, 0x01, np.where(is_read, 0x25, 0x21)).astype(np.uint8),
            "is_immediate": np.zeros(2 * count, bool),
            "is_final": np.ones(2 * count, bool),
            "flags": np.where(from_target & is_read, 0x81, 0x80).astype(np.uint8),
            "lun": null_where(np.ones(2 * count, np.uint64), from_target),
            "initiator_task_tag": np.asarray(tasks["initiator_task_tag"], np.uint32)[of_task],
            "target_transfer_tag": null_where(zeros, nothing),
            "cmd_sn": null_where(cmd_sn, from_target),
            "stat_sn": null_where(answered, ~from_target),
            "exp_cmd_sn": null_where(cmd_sn + np.uint32(1), ~from_target),
            "max_cmd_sn": null_where(cmd_sn + np.uint32(64), ~from_target),
            "exp_stat_sn": null_where(answered + np.uint32(1), from_target),
            "data_sn": null_where(zeros, ~(from_target & is_read)),
            "buffer_offset": null_where(zeros, ~(from_target & is_read)),
            "desired_bytes": null_where(zeros, nothing),
            "data_length": length,
            "header_digest_ok": null_where(nothing, nothing),
            "data_digest_ok": null_where(nothing, nothing),
            "is_complete": [True] * (2 * count),
            "quality": ["whole"] * (2 * count),
            "task_index": of_task,
        }
    )


def make_outcome(timeline: Timeline, label: str = "mcs:2/round-robin", *, faster: float = 1.0) -> Outcome:
    """Make an outcome in which every request takes the recorded latency divided by ``faster``."""
    tasks = timeline.arrow["tasks"]
    count = tasks.num_rows
    ready = timeline.values("tasks", "command_ns")
    latency = (timeline.values("tasks", "latency_ns", 0) / faster).astype(np.int64)
    paths = timeline.arrow["connections"].num_rows
    path = np.arange(count, dtype=np.int32) % paths
    is_read = timeline.values("tasks", "direction") == "read"
    moved = timeline.values("tasks", "transferred_bytes")
    requests = {
        "request_index": np.arange(count, dtype=np.int32),
        "task_index": np.arange(count, dtype=np.int32),
        "initiator_index": np.zeros(count, np.int32),
        "path_index": path,
        "cmd_sn": tasks.column("cmd_sn"),
        "lun": tasks.column("lun"),
        "operation": tasks.column("operation"),
        "direction": tasks.column("direction"),
        "transferred_bytes": moved,
        "ready_ns": ready,
        "dispatched_ns": ready,
        "sent_ns": ready,
        "arrived_ns": ready + latency // 4,
        "released_ns": ready + latency // 3,
        "started_ns": ready + latency // 3,
        "completed_ns": ready + latency,
        "latency_ns": latency,
        "seen_latency_ns": latency,
        "end": ["completed"] * count,
        "retry_count": np.zeros(count, np.int32),
        "reassign_count": np.zeros(count, np.int32),
    }
    figures = measure(
        ready_ns=ready,
        completed_ns=ready + latency,
        is_completed=np.ones(count, bool),
        read_bytes=int(moved.sum(where=is_read)),
        written_bytes=int(moved.sum(where=~is_read)),
        order_wait_ns=latency // 3 - latency // 4,
    )
    metrics = METRICS.build(
        {
            "metric": [item.name for item in MEASURES],
            "value": [figures[item.name] for item in MEASURES],
            "unit": [item.unit for item in MEASURES],
            "low": [None] * len(MEASURES),
            "high": [None] * len(MEASURES),
            "median": [None] * len(figures),
            "withheld": [
                None if figures[item.name] is not None else "nothing completed" for item in MEASURES
            ],
        }
    )
    share = np.bincount(path, minlength=paths)
    read = np.bincount(path, np.where(is_read, moved, 0), minlength=paths).astype(np.int64)
    written = np.bincount(path, np.where(is_read, 0, moved), minlength=paths).astype(np.int64)
    path_table = PATHS.build(
        {
            "path_index": list(range(paths)),
            "name": [f"{label.split('/')[0]} path {index}" for index in range(paths)],
            "nexus_index": [0] * paths,
            "link_index": list(range(paths)),
            "rate_to_target_bps": [1e9] * paths,
            "rate_from_target_bps": [1e9] * paths,
            "delay_to_target_ns": [50_000] * paths,
            "delay_from_target_ns": [50_000] * paths,
            "requests": share,
            "read_bytes": read,
            "written_bytes": written,
            "wire_bytes_to_target": written + 100 * share,
            "wire_bytes_from_target": read + 100 * share,
            "busy_to_target_ns": written * 8,
            "busy_from_target_ns": read * 8,
        }
    )
    tables = {
        "requests": REQUESTS.build(requests),
        "paths": path_table,
        "events": OUTCOME_EVENTS.empty(),
        "incidents": OUTCOME_INCIDENTS.empty(),
        "utilisation": UTILISATION.empty(),
        "metrics": metrics,
        "repeats": REPEATS.empty(),
    }
    manifest = {
        "label": label,
        "is_baseline": label == "as-recorded",
        "pacing": "closed",
        "seed": 0,
        "assumptions": ["The outcome was made for a test."],
    }
    return Outcome(tables, manifest)

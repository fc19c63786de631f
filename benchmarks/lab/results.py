"""The result of a run over its repeats, and the files that hold it.

A folder of results has the same shape as the reference recordings, so that one reader serves both:
``NAME.result.json``, ``NAME.rN.commands.csv.gz``, and of the first repeat ``NAME.pcapng.zst`` and
``NAME.truth.json``. ``docs/lab.md`` describes them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import zstandard

from benchmarks.lab.configuration import Configuration
from benchmarks.lab.experiment import Repeat
from benchmarks.lab.figures import Json, compared, figures_of
from benchmarks.lab.machine_load import HOST_BUSY
from benchmarks.lab.network import BUCKET_BYTES, MTU_BYTES, PORTAL_PORT, QUEUE_BYTES, Network
from benchmarks.lab.workload import Item

COMMAND_COLUMNS = (
    "index",
    "lba",
    "bytes",
    "dir",
    "path",
    "cmdsn",
    "submit_us",
    "complete_us",
    "attempts",
    "final_path",
    "final_cmdsn",
)
WIDE_SPREAD_PERCENT = 10
_WATCHED = ("iops", "lat_p50_ms", "lat_p99_ms")


def result_of(
    name: str, configuration: Configuration, items: Sequence[Item], repeats: Sequence[Repeat]
) -> Json:
    """The whole result of a run over its repeats."""
    figures = [figures_of(repeat, number, configuration) for number, repeat in enumerate(repeats, start=1)]
    flat = [compared(row) for row in figures]
    shared = [key for key in flat[0] if all(key in row for row in flat)]
    median = {key: statistics.median(row[key] for row in flat) for key in shared}
    spread = {
        key: round(
            100 * (max(row[key] for row in flat) - min(row[key] for row in flat)) / abs(median[key]), 1
        )
        for key in shared
        if median[key]
    }
    workload = configuration.workload.model_dump(mode="json") | {"commands": len(items), "block_size": 512}
    device = configuration.device
    facts = repeats[0].facts
    return {
        "name": name,
        "workload": configuration.workload.name,
        "config": configuration.name,
        "workload_parameters": workload | {"sequential": workload.pop("is_sequential")},
        "links": [_link(path, configuration) for path in range(configuration.paths)],
        "topology": configuration.topology,
        "paths": configuration.paths,
        "policy": configuration.policy,
        "device_servers": device.servers,
        "device_latency_ms": {"read": device.read_ms, "write": device.write_ms, "jitter": device.jitter_ms},
        "negotiated": facts["negotiated"],
        "target_mrdsl": configuration.target_segment_bytes,
        "initiator_mrdsl": configuration.initiator_segment_bytes,
        "max_cmdsn_window": facts["window"],
        "warmup_commands": facts["own_commands"],
        "tie_rule": "lowest path number",
        "captured_repeat": 1,
        "capture": f"{name}.pcapng.zst",
        "configuration": configuration.model_dump(mode="json"),
        "median": median,
        "spread_pct": spread,
        "spread_over_10_pct": [key for key in _WATCHED if spread.get(key, 0) > WIDE_SPREAD_PERCENT],
        "repeats": figures,
    }


def _link(path: int, configuration: Configuration) -> Json:
    link = configuration.links[path]
    return {
        "path": path,
        "rate_mbit": link.to_initiator_mbit,
        "rate_to_target_mbit": link.to_target_mbit,
        "rate_to_initiator_mbit": link.to_initiator_mbit,
        "one_way_delay_ms": link.one_way_delay_ms,
        "mtu": MTU_BYTES,
        "tbf_burst_bytes": BUCKET_BYTES,
        "tbf_limit_bytes": QUEUE_BYTES,
        "initiator": Network.initiator_address(path),
        "target": f"{Network.target_address(path)}:{PORTAL_PORT}",
    }


def write_result(folder: Path, name: str, result: Json, repeats: Sequence[Repeat], capture: Path) -> None:
    """Write all files of a run into ``folder``; ``capture`` is that of the first repeat, uncompressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, repeat in enumerate(repeats, start=1):
        (folder / f"{name}.r{number}.commands.csv.gz").write_bytes(_commands(repeat))
    truth = repeats[0].truth
    truth["meta"]["capture"] = result["capture"]
    (folder / f"{name}.truth.json").write_text(json.dumps(truth) + "\n")
    with capture.open("rb") as plain, (folder / result["capture"]).open("wb") as packed:
        zstandard.ZstdCompressor(level=9).copy_stream(plain, packed)
    (folder / f"{name}.result.json").write_text(json.dumps(result, indent=1) + "\n")


def _commands(repeat: Repeat) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COMMAND_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(repeat.facts["rows"])
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _summary_row(result: Json) -> Json:
    median, spread = result["median"], result["spread_pct"]
    iops = [row["iops"] for row in result["repeats"] if "iops" in row]
    errors = [row["errors"] for row in result["repeats"] if row["errors"]]
    shares = (result["repeats"][0].get("per_path") or [])[: result["paths"]]
    device = result["device_latency_ms"]
    return {
        "workload": result["workload"],
        "config": result["config"],
        "topology": result["topology"],
        "paths": result["paths"],
        "policy": result["policy"],
        "rates_mbit": "+".join(f"{link['rate_mbit']:g}" for link in result["links"]),
        "qd": result["workload_parameters"]["queue_depth"],
        "device_ms": f"{device['read']:g}/{device['write']:g}+-{device['jitter']:g}",
        "repeats": len(result["repeats"]),
        "commands": result["workload_parameters"]["commands"],
        "iops": median.get("iops"),
        "iops_min": min(iops, default=None),
        "iops_max": max(iops, default=None),
        "iops_spread_pct": spread.get("iops"),
        "mb_per_s": median.get("mb_per_s"),
        "p50_ms": median.get("lat_p50_ms"),
        "p50_spread_pct": spread.get("lat_p50_ms"),
        "p90_ms": median.get("lat_p90_ms"),
        "p99_ms": median.get("lat_p99_ms"),
        "p99_spread_pct": spread.get("lat_p99_ms"),
        "max_ms": median.get("lat_max_ms"),
        "share_commands": " ".join(f"{row['share_commands']:.3f}" for row in shares),
        "share_bytes": " ".join(f"{row['share_bytes']:.3f}" for row in shares),
        **_loads(result["repeats"]),
        "retransmissions": sum(sum(row.get("tcp_retransmissions", {}).values()) for row in result["repeats"]),
        "drops": sum(
            row.get("qdisc_drops", 0) + (row.get("capture_drops") or 0) for row in result["repeats"]
        ),
        "errors": "; ".join(errors),
        "spread_over_10_pct": " ".join(result["spread_over_10_pct"]),
        "fault_affected": median.get("failover_affected_commands"),
        "fault_first_affected_ms": median.get("failover_first_affected_completion_ms"),
        "fault_last_affected_ms": median.get("failover_last_affected_completion_ms"),
        "fault_slowest_ms": median.get("failover_slowest_command_ms"),
        "fault_longest_gap_ms": median.get("failover_longest_gap_ms"),
    }


def _loads(repeats: Sequence[Json]) -> Json:
    """How busy the machine was, medians over the repeats."""
    cpu = [row["cpu"] for row in repeats if row.get("cpu")]
    if not cpu:
        return {}
    host = [busy_percent(row) for row in cpu]
    return {
        "cpu_initiator_pct": statistics.median(row["initiator_python_pct"] for row in cpu),
        "cpu_tgtd_pct": statistics.median(row["tgtd_pct"] for row in cpu),
        "cpu_host_pct": statistics.median(host),
        "cpu_host_max_pct": max(host),
    }


def busy_percent(cpu: Json) -> float:
    """The busy share of all cores in the ``cpu`` of a repeat."""
    return float(next(value for key, value in cpu.items() if key.startswith(HOST_BUSY)))


def write_summary(folder: Path) -> Path:
    """Write ``summary.csv`` over all results of a folder, one row each; its path."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.result.json"))]
    rows = [_summary_row(result) for result in results]
    path = folder / "summary.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path

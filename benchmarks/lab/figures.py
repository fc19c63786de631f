"""The figures of one repeat: rates, latencies, shares of the paths, and what a lost path did.

Measured from the initiator's own record, never from the capture, so that the analyzer can be held
against them. Latency is submission to completion as the initiator saw it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.lab.configuration import Configuration
from benchmarks.lab.experiment import Repeat

Json = dict[str, Any]


def figures_of(repeat: Repeat, number: int, configuration: Configuration) -> Json:
    """One repeat in figures; ``errors`` is None where every command ended GOOD."""
    rows = repeat.facts["rows"]
    done = [row for row in rows if row["complete_us"] is not None]
    if not done:
        return {"repeat": number, "commands": 0, "errors": repeat.facts["failure"] or "no command completed"}
    duration_s = max(row["complete_us"] for row in done) / 1e6
    size = sum(row["bytes"] for row in done)
    latency_ms = np.array([row["complete_us"] - row["submit_us"] for row in done]) / 1000
    quantiles = {f"p{q}": round(float(np.percentile(latency_ms, q)), 3) for q in (50, 90, 99)}
    bad = sum(bool(row["status"]) for row in done)
    unfinished = len(rows) - len(done)
    failures = [f"{bad} commands not GOOD"] * bool(bad) + [f"{unfinished} commands unfinished"] * bool(
        unfinished
    )
    first_submit = repeat.facts["t_first_submit"]
    return {
        "repeat": number,
        "commands": len(done),
        "bytes": size,
        "duration_s": round(duration_s, 6),
        "t_first_submit": first_submit,
        "t_last_complete": first_submit + duration_s,
        "iops": round(len(done) / duration_s, 2),
        "mb_per_s": round(size / duration_s / 1e6, 4),
        "latency_ms": {
            "mean": round(float(latency_ms.mean()), 3),
            **quantiles,
            "max": round(float(latency_ms.max()), 3),
        },
        "per_path": [_share(path, done, configuration) for path in range(configuration.paths)],
        "errors": "; ".join(filter(None, [repeat.facts["failure"], *failures])) or None,
        "tcp_retransmissions": {
            "initiator": repeat.facts["retransmissions"],
            "target": repeat.target_retransmissions,
        },
        "qdisc_drops": repeat.qdisc_drops,
        "capture_drops": repeat.capture_drops,
        "cpu": repeat.cpu,
        "failover": _failover(repeat, done, configuration),
    }


def _share(path: int, done: list[Json], configuration: Configuration) -> Json:
    """What ended on a path, of all that ended."""
    own = [row for row in done if row["final_path"] == path]
    size, all_bytes = sum(row["bytes"] for row in own), sum(row["bytes"] for row in done)
    return {
        "path": path,
        "rate_mbit": configuration.links[path].to_initiator_mbit,
        "commands": len(own),
        "bytes": size,
        "share_commands": round(len(own) / len(done), 4),
        "share_bytes": round(size / all_bytes, 4),
    }


def _failover(repeat: Repeat, done: list[Json], configuration: Configuration) -> Json | None:
    """What the loss of a path did, in milliseconds after the fault; None where none was lost."""
    if not repeat.facts["recoveries"]:
        return None
    recovery: Json = repeat.facts["recoveries"][0]
    began = repeat.facts["t_first_submit"]
    fault_at = repeat.facts["t_fault"] or recovery["t_fault"]
    fault_us = (fault_at - began) * 1e6
    affected = set(recovery["affected"])

    def after_ms(times_us: list[int], choose: Callable[[list[int]], int]) -> float | None:
        return round((choose(times_us) - fault_us) / 1000, 3) if times_us else None

    later = sorted(row["complete_us"] for row in done if row["complete_us"] >= fault_us)
    of_affected = [row["complete_us"] for row in done if row["index"] in affected]
    slowest = max(done, key=lambda row: int(row["complete_us"] - row["submit_us"]))
    gaps = [(after - before, before) for before, after in itertools.pairwise(later)]
    gap, gap_at = max(gaps, default=(None, None))
    before, rest_s = len(done) - len(later), (max(later, default=fault_us) - fault_us) / 1e6
    sent_at = recovery["t_recovery_sent"]
    fault = configuration.fault
    return {
        "kind": fault.kind if fault else None,
        "path": fault.path if fault else None,
        "nop_interval_s": configuration.nop_interval_s,
        "nop_timeout_s": configuration.nop_timeout_s,
        **{key: recovery[key] for key in ("method", "affected", "outstanding_on_survivor")},
        **{
            key: recovery[key]
            for key in ("retry_same_cmdsn", "reissued", "aborted_on_survivor", "tmf_response")
        },
        "t_fault_after_first_submit_s": round(fault_us / 1e6, 6),
        "t_fault": fault_at,
        "detected_after_fault_ms": round((recovery["t_fault"] - fault_at) * 1000, 3),
        "affected_commands": len(affected),
        "tmf_ms": None if recovery["tmf_s"] is None else round(recovery["tmf_s"] * 1000, 3),
        "recovery_sent_after_fault_ms": None if sent_at is None else round((sent_at - fault_at) * 1000, 3),
        "first_affected_completion_ms": after_ms(of_affected, min),
        "last_affected_completion_ms": after_ms(of_affected, max),
        "first_any_completion_ms": after_ms(later, min),
        "slowest_command_ms": (slowest["complete_us"] - slowest["submit_us"]) / 1000,
        "slowest_command_index": slowest["index"],
        "longest_gap_ms": None if gap is None else gap / 1000,
        "longest_gap_starts_after_fault_ms": None if gap_at is None else round((gap_at - fault_us) / 1000, 3),
        "check_conditions": repeat.facts["check_conditions"],
        "iops_before": round(before / (fault_us / 1e6), 2),
        "iops_after": round(len(later) / rest_s, 2) if rest_s > 0 else None,
    }


def compared(figures: Json) -> dict[str, float]:
    """The figures of a repeat that are compared over repeats, under the names of ``median``."""
    flat: dict[str, Any] = {key: figures.get(key) for key in ("duration_s", "iops", "mb_per_s")}
    flat |= {f"lat_{key}_ms": value for key, value in figures.get("latency_ms", {}).items()}
    paths = figures.get("per_path", [])
    # The last share follows from the others, where there are others.
    for row in paths[:-1] or paths:
        flat[f"share_commands_path{row['path']}"] = row["share_commands"]
        flat[f"share_bytes_path{row['path']}"] = row["share_bytes"]
    for key, value in (figures.get("failover") or {}).items():
        if isinstance(value, int | float) and not key.startswith(("t_", "tmf_response", "slowest_command_i")):
            flat[f"failover_{key}"] = value
    return {key: value for key, value in flat.items() if value is not None}

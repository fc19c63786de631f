"""The figures of a run are those that one would count by hand, and its files hold them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab.configuration import Configuration, Workload
from benchmarks.lab.experiment import Repeat
from benchmarks.lab.figures import figures_of
from benchmarks.lab.results import result_of, write_result, write_summary
from benchmarks.lab.workload import Item

CONFIGURATION = Configuration(workload=Workload(commands=4))
ITEMS = [Item(8 * index, 4096, True) for index in range(4)]


def row(index: int, submit_us: int, complete_us: int | None, path: int, attempts: int = 1) -> dict[str, Any]:
    final = {"attempts": attempts, "final_path": path, "final_cmdsn": index + 1, "status": 0}
    times = {"submit_us": submit_us, "complete_us": complete_us}
    return {
        "index": index,
        "lba": 8 * index,
        "bytes": 4096,
        "dir": "R",
        "path": index % 2,
        "cmdsn": 2,
        **times,
        **final,
    }


def repeat(*rows: dict[str, Any], recoveries: list[dict[str, Any]] | None = None) -> Repeat:
    facts = {
        "t_first_submit": 100.0,
        "failure": None,
        "check_conditions": 0,
        "own_commands": 2,
        "negotiated": {},
    }
    facts |= {
        "window": 129,
        "retransmissions": 1,
        "rows": list(rows),
        "recoveries": recoveries or [],
        "t_fault": None,
    }
    cpu = {"initiator_python_pct": 10.0, "tgtd_pct": 5.0, "host_busy_pct_of_2_cores": 20.0}
    return Repeat({"meta": {}}, facts, cpu, 0, 0, 2)


def test_rates_and_latencies_are_counted_by_hand() -> None:
    figures = figures_of(
        repeat(row(0, 0, 1000, 0), row(1, 0, 3000, 1), row(2, 1000, 2000, 0), row(3, 2000, 4000, 1)),
        1,
        CONFIGURATION,
    )
    assert (figures["commands"], figures["duration_s"], figures["iops"]) == (4, 0.004, 1000.0)
    assert figures["latency_ms"] == {"mean": 1.75, "p50": 1.5, "p90": 2.7, "p99": 2.97, "max": 3.0}
    assert [path["share_commands"] for path in figures["per_path"]] == [0.5, 0.5]
    assert figures["t_last_complete"] == pytest.approx(100.004)
    assert (figures["errors"], figures["failover"]) == (None, None)


def test_what_is_unfinished_or_failed_is_said() -> None:
    failed = row(1, 0, 500, 1) | {"status": 2}
    figures = figures_of(repeat(row(0, 0, 1000, 0), failed, row(2, 0, None, 0)), 1, CONFIGURATION)
    assert figures["errors"] == "1 commands not GOOD; 1 commands unfinished"
    nothing = figures_of(repeat(row(0, 0, None, 0)), 1, CONFIGURATION)
    assert nothing["errors"] == "no command completed"


def test_a_lost_path_is_measured_from_its_fault() -> None:
    """Fault at 2.5 ms; command 1 was on the lost path and ends at 9 ms."""
    recovery = {
        "method": "mcs-retry",
        "t_fault": 100.0025,
        "affected": [1],
        "outstanding_on_survivor": 1,
        "retry_same_cmdsn": 1,
        "reissued": 0,
        "aborted_on_survivor": [],
        "tmf_response": None,
        "tmf_s": None,
        "t_recovery_sent": 100.004,
    }
    rows = (
        row(0, 0, 1000, 0),
        row(1, 1000, 9000, 0, attempts=2),
        row(2, 1000, 3000, 0),
        row(3, 1000, 5000, 0),
    )
    failover = figures_of(repeat(*rows, recoveries=[recovery]), 1, CONFIGURATION)["failover"]
    assert failover["affected_commands"] == 1
    assert failover["recovery_sent_after_fault_ms"] == pytest.approx(1.5)
    assert (
        failover["first_affected_completion_ms"]
        == failover["last_affected_completion_ms"]
        == pytest.approx(6.5)
    )
    assert failover["first_any_completion_ms"] == pytest.approx(0.5)
    assert (failover["longest_gap_ms"], failover["slowest_command_index"]) == (4.0, 1)


def test_the_files_of_a_run_hold_its_figures(tmp_path: Path) -> None:
    capture = tmp_path / "plain.pcapng"
    capture.write_bytes(b"capture")
    rows = [row(index, 0, 1000 * (index + 1), index % 2) for index in range(4)]
    repeats = [repeat(*rows), repeat(*[one | {"complete_us": 2 * one["complete_us"]} for one in rows])]
    result = result_of("W-mcs2-rr", CONFIGURATION, ITEMS, repeats)
    folder = tmp_path / "out"
    write_result(folder, "W-mcs2-rr", result, repeats, capture)
    assert {path.name for path in folder.iterdir()} == {
        "W-mcs2-rr.pcapng.zst",
        "W-mcs2-rr.truth.json",
        "W-mcs2-rr.result.json",
        "W-mcs2-rr.r1.commands.csv.gz",
        "W-mcs2-rr.r2.commands.csv.gz",
    }
    written = json.loads((folder / "W-mcs2-rr.result.json").read_text())
    assert written["median"]["iops"] == 750.0
    assert written["spread_pct"]["iops"] == pytest.approx(66.7)
    assert written["workload_parameters"]["sequential"] is False
    with gzip.open(folder / "W-mcs2-rr.r2.commands.csv.gz", "rt") as file:
        assert [int(one["complete_us"]) for one in csv.DictReader(file)] == [2000, 4000, 6000, 8000]
    with write_summary(folder).open() as file:
        (summary,) = csv.DictReader(file)
    assert (summary["config"], summary["iops_min"], summary["iops_max"]) == ("mcs2-rr", "500.0", "1000.0")
    assert (summary["cpu_host_pct"], summary["retransmissions"], summary["rates_mbit"]) == (
        "20.0",
        "6",
        "40+40",
    )

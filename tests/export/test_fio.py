"""The trace for fio: its lines, and what fio itself makes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import analyzer
from analyzer.export import fio
from analyzer.tables.folder import Timeline
from tests.made import BEGIN_NS, make_timeline, null_where
from tests.real import capture_path

FIO = shutil.which("fio")
needs_fio = pytest.mark.skipif(FIO is None, reason="fio is not installed")


def lines_of(timeline: Timeline, tmp_path: Path) -> list[str]:
    place = tmp_path / "made.fio"
    fio.write(timeline, place)
    return place.read_text().splitlines()


def replayed(timeline: Timeline, tmp_path: Path, *options: str) -> dict:
    """What fio reports of running the trace on a sparse file."""
    place, device = tmp_path / "made.fio", tmp_path / "device"
    fio.write(timeline, place)
    trace = fio.trace_of(timeline)
    with device.open("wb") as file:
        file.truncate(int((trace.offset + trace.length).max()) + 4096)
    command = [
        FIO,
        "--name=replay",
        f"--read_iolog={place}",
        f"--replay_redirect={device}",
        "--ioengine=psync",
    ]
    done = subprocess.run(
        [*command, "--output-format=json", *options], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    return json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]


@needs_fio
@pytest.mark.tools
def test_fio_reads_and_writes_what_the_capture_did(tmp_path: Path):
    """Count and bytes of reads and writes of a real capture, as fio counts them."""
    timeline = analyzer.analyze(capture_path("mcs-2conn-rr-mtu1500-tgt"))
    job = replayed(timeline, tmp_path)
    tasks = timeline.tasks
    for way in ("read", "write"):
        mine = tasks[(tasks["direction"] == way) & tasks["operation"].str.match(r"(READ|WRITE)\(")]
        assert len(mine) > 20
        assert job[way]["total_ios"] == len(mine)
        assert job[way]["io_bytes"] == mine["expected_bytes"].sum()
    assert job["error"] == 0


@needs_fio
@pytest.mark.tools
def test_fio_keeps_the_recorded_pace(tmp_path: Path):
    """A second and a half of commands takes fio as long; the pause of a stall is kept."""
    at = np.arange(60) * 10_000_000
    at[30:] += 900_000_000
    timeline = make_timeline(tasks=60, command_ns=BEGIN_NS + at, connections=1)
    job = replayed(timeline, tmp_path)
    assert job["read"]["total_ios"] + job["write"]["total_ios"] == 60
    assert 1_450 <= job["job_runtime"] <= 2_500


def test_lines_are_time_file_action_offset_length(tmp_path: Path):
    timeline = make_timeline(
        tasks=3,
        command_ns=BEGIN_NS + np.array([0, 2_500_999, 9_000_000]),
        operation=["READ(10)", "WRITE(16)", "SYNCHRONIZE CACHE(10)"],
        direction=["read", "write", "none"],
        lba=np.array([10, 3, 0], np.uint64),
    )
    assert lines_of(timeline, tmp_path) == [
        "fio version 3 iolog",
        "1 lun-0 add",
        "1 lun-0 open",
        "1 lun-0 read 5120 4096",
        "2501 lun-0 write 1536 4096",
        "9001 lun-0 sync 0 0",
        "9001 lun-0 close",
    ]


def test_blocks_are_as_large_as_the_transfers_show(tmp_path: Path):
    """8 blocks of 4096 bytes make 32768; one odd transfer does not change that."""
    size = np.full(9, 32768)
    size[4] = 1000
    timeline = make_timeline(
        tasks=9, blocks=np.full(9, 8, np.uint64), expected_bytes=size, lba=np.full(9, 2, np.uint64)
    )
    assert set(fio.trace_of(timeline).offset.tolist()) == {8192}


def test_each_logical_unit_is_a_file(tmp_path: Path):
    timeline = make_timeline(tasks=4, lun=np.array([0, 1 << 48, 0, 1 << 48], np.uint64))
    files = [line.split()[1] for line in lines_of(timeline, tmp_path) if line.split()[2] in fio.ACTIONS]
    assert files == ["lun-0", "lun-1", "lun-0", "lun-1"]
    assert any("Several logical units" in one for one in fio.write(timeline, tmp_path / "x").remarks)


def test_what_is_no_io_is_left_out_and_counted(tmp_path: Path):
    """Inquiries, commands without data, re-issues, and what no device has."""
    timeline = make_timeline(
        tasks=6,
        operation=["INQUIRY", "READ(10)", "READ(10)", "READ CAPACITY(10)", "READ(16)", "WRITE(10)"],
        direction=["read", "read", "read", "read", "read", "write"],
        expected_bytes=np.array([96, 0, 4096, 8, 4096, 4096]),
        lba=np.array([0, 0, 8, 0, 2**64 - 1, 16], np.uint64),
        retry_of_task_index=null_where(np.zeros(6, np.int32), [True, True, False, True, True, True]),
    )
    trace = fio.trace_of(timeline)
    assert trace.offset.tolist() == [16 * 512]
    assert trace.left_out == 5
    assert any("5 tasks are left out" in one for one in fio.write(timeline, tmp_path / "x").remarks)


def test_a_timeline_without_io_has_a_trace_without_lines(tmp_path: Path):
    assert lines_of(make_timeline(tasks=0), tmp_path) == ["fio version 3 iolog"]

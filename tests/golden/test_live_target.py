"""What a real initiator does to a real target now is what the timeline says it did."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import analyzer
from tests.live import TARGET_NAME, recorded, running_target, tool

pytestmark = pytest.mark.tools


def test_a_live_workload_is_counted_command_by_command(tmp_path: Path) -> None:
    """libiscsi logs in, discovers, inquires and reads at random; tshark counts beside us."""
    capture = tmp_path / "live.pcapng"
    with running_target(tmp_path) as target, recorded(target.port, capture):
        subprocess.run([tool("iscsi-ls"), target.portal], check=True, capture_output=True)
        inquiry = subprocess.run(
            [tool("iscsi-inq"), "-i", "iqn.2026-11.example.live:probe", target.unit],
            check=True,
            capture_output=True,
        )
        assert b"DIRECT_ACCESS" in inquiry.stdout
        subprocess.run(
            [tool("iscsi-perf"), "-r", "-m", "2", "-t", "1", target.unit], check=True, capture_output=True
        )
    timeline = analyzer.analyze(capture)
    sessions, tasks = timeline.sessions, timeline.tasks
    assert sessions["login_seen"].all()
    assert set(sessions["session_type"]) == {"discovery", "normal"}
    assert set(sessions.loc[sessions["session_type"] == "normal", "target_name"]) == {TARGET_NAME}
    assert "iqn.2026-11.example.live:probe" in set(sessions["initiator_name"])
    operations = Counter(tasks["operation"])
    assert operations["INQUIRY"] >= 1
    reads = sum(count for name, count in operations.items() if re.fullmatch(r"READ\(\d+\)", name))
    assert reads > 100
    assert not timeline.connections["lost_bytes"].any()
    assert opcodes(timeline) == opcodes_by_tshark(capture, target.port)


def opcodes(timeline: analyzer.Timeline) -> Counter[int]:
    """How often each opcode occurs."""
    return Counter(timeline.pdus["opcode"].astype(int))


def opcodes_by_tshark(capture: Path, port: int) -> Counter[int]:
    """The same, counted by Wireshark's dissector."""
    command = [tool("tshark"), "-r", str(capture), "-d", f"tcp.port=={port},iscsi"]
    command += ["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "iscsi.bogus_pdu_max_data_len:16777215"]
    command += ["-Y", "iscsi", "-T", "fields", "-e", "iscsi.opcode"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Counter(int(word, 16) for line in shown.splitlines() for word in line.split(","))

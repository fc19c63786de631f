"""A tape drive on the wire: the shipped recording is what its initiator saw, and another can be made."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import analyzer
from analyzer.comparison.claims.catalogue import try_claims
from analyzer.comparison.claims.interface import Finding, Verdict
from analyzer.tables.folder import Timeline
from benchmarks.lab.tape import BLOCK_BYTES, FILES, NAME, backup, main
from tests.live import free_port
from tests.real import capture_path, truth_of


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return analyzer.analyze(capture_path("tape-backup-tgt"))


@pytest.fixture(scope="module")
def findings(timeline: Timeline) -> dict[int, Finding]:
    return {finding.claim.number: finding for finding in try_claims(timeline)}


def equals_truth(timeline: Timeline, truth: dict) -> bool:
    """Each command by CmdSN, CDB, status, bytes and time: not seen before it was sent or after its end."""
    tasks = timeline.tasks.sort_values("cmd_sn")
    told = sorted(truth["commands"], key=lambda one: one["cmdsn"])
    assert tasks["cmd_sn"].tolist() == [one["cmdsn"] for one in told]
    assert [cdb[:12] for cdb in tasks["cdb"]] == [one["cdb"] for one in told]
    assert tasks["status"].tolist() == [one["status"] for one in told]
    moved = [one["bytes"] for one in told]
    assert tasks["expected_bytes"].tolist() == moved
    sent = tasks["command_ns"].to_numpy() / 1e9 - [one["t_submit"] for one in told]
    ended = [one["t_complete"] for one in told] - tasks["response_ns"].to_numpy() / 1e9
    return bool((sent > -1e-4).all() and (ended > -1e-4).all())


def test_the_shipped_recording_is_what_its_initiator_saw(timeline: Timeline):
    assert equals_truth(timeline, truth_of(capture_path("tape-backup-tgt")))
    assert timeline.diagnostics.empty
    assert timeline.tasks["outstanding"].max() == 0


def test_its_commands_are_those_of_a_tape(timeline: Timeline):
    assert timeline.tasks["operation"].value_counts().to_dict() == {
        "WRITE(6)": 96,
        "READ(6)": 24,
        "WRITE FILEMARKS(6)": 4,
        "REWIND": 3,
        "TEST UNIT READY": 1,
    }
    assert timeline.tasks["lba"].isna().all()


@pytest.mark.parametrize(
    ("number", "verdict", "said"),
    [
        (7, Verdict.HOLDS, "±0.0\N{NO-BREAK SPACE}% under MC/S, ±0.0\N{NO-BREAK SPACE}% under MPIO"),
        (14, Verdict.HOLDS, "100 % of the data commands were issued alone"),
        (8, Verdict.UNTRIED, "Nothing was overtaken"),
        (9, Verdict.UNTRIED, "has a logical block address"),
        (13, Verdict.HOLDS, "since they may not be sent again"),
    ],
)
def test_claims_say_of_a_tape_what_an_expert_would(
    findings: dict[int, Finding], number: int, verdict: Verdict, said: str
):
    assert findings[number].judgement.verdict is verdict
    assert said in findings[number].judgement.reason


def test_a_backup_writes_files_with_marks_between():
    commands = list(backup(3))
    writes = [command.cdb[0] for command in commands if command.is_write or command.cdb[0] == 0x10]
    assert writes == [0x0A, 0x0A, 0x0A, 0x10] * FILES
    assert {int.from_bytes(one.cdb[2:5], "big") for one in commands if one.is_write} == {BLOCK_BYTES}
    assert len(list(itertools.dropwhile(lambda one: not one.is_read, commands))) == 4


@pytest.mark.tools
def test_a_backup_is_recorded_as_it_happens(tmp_path: Path):
    """tgt's own tape drive, our initiator, dumpcap: two blocks to a file."""
    main(tmp_path, blocks=2, port=free_port(), seed=2)
    made = tmp_path / f"{NAME}.pcapng"
    timeline = analyzer.analyze(made, ports=[])
    assert equals_truth(timeline, truth_of(made))
    assert np.isin(timeline.tasks["status"], (0, 2)).all()

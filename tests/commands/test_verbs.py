"""The verbs, alone and one after the other, on real captures: what they print, write and return."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numba
import pytest

import analyzer
from analyzer.commands import waiting
from analyzer.commands.shown import byte_count, duration, figure, percent, plain
from tests.commands.run import run
from tests.real import capture_bytes, capture_path

MCS = "mcs-2conn-rr-tgt"
MPIO = ("mpio-rr.link1", "mpio-rr.link2")


def test_help_names_every_verb_with_its_sentence() -> None:
    result = run(["--help"])
    assert result.returncode == 0
    for verb in ("analyze", "replay", "report", "policies", "verify"):
        assert verb in result.stdout
        assert run([verb, "--help"]).returncode == 0


def test_analyze_prints_the_sessions_and_their_figures(tmp_path: Path) -> None:
    result = run(["analyze", *map(capture_path, MPIO), "-o", tmp_path / "timeline"])
    assert result.returncode == 0, result.stderr
    for heading in ("Captures", "Sessions", "Connections", "Latency by operation"):
        assert heading in result.stdout
    assert "READ(10)" in result.stdout
    timeline = analyzer.Timeline.read(tmp_path / "timeline")
    assert len(timeline.sessions) == 2
    assert timeline.manifest["format"] == "iscsi-timeline"


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for arguments in (["analyze", capture_path(MCS)], ["policies"]):
        result = run(arguments, columns=columns)
        assert result.returncode == 0
        assert max(len(line) for line in result.stdout.splitlines()) <= columns


def test_analyze_json_is_one_document_that_agrees_with_the_api() -> None:
    result = run(["analyze", capture_path(MCS), "--json"])
    document = json.loads(result.stdout)
    timeline = analyzer.analyze(capture_path(MCS))
    assert document["tasks"]["count"] == len(timeline.tasks)
    assert document["sessions"][0]["isid"] == timeline.sessions["isid"][0]
    assert document["tasks"]["measures"]["completed"] == (timeline.tasks["end"] == "responded").sum()


def test_a_capture_on_stdin_is_read_like_a_file() -> None:
    result = run(["analyze", "-", "--json"], stdin=capture_bytes(MCS))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["tasks"]["count"] == len(analyzer.analyze(capture_path(MCS)).tasks)


def test_the_three_verbs_one_after_the_other(tmp_path: Path) -> None:
    """Decode once, replay often, report: folders in between, the baseline always first."""
    timeline, outcomes, page = tmp_path / "timeline", tmp_path / "outcomes", tmp_path / "page.html"
    assert run(["analyze", capture_path(MCS), "-o", timeline]).returncode == 0
    replayed = run(
        ["replay", timeline, "--with", "mcs:2/round-robin", "--with", "mpio:2/service-time", "-o", outcomes]
    )
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.startswith("Baseline:")
    for label in ("recording", "as-recorded", "mcs:2/round-robin", "mpio:2/service-time"):
        assert label in replayed.stdout
    labels = [analyzer.Outcome.read(folder).label for folder in sorted(outcomes.iterdir())]
    assert labels == ["as-recorded", "mcs:2/round-robin", "mpio:2/service-time"]
    assert run(["replay", timeline, "--with", "single/-", "-o", outcomes]).returncode == 0
    labels = [analyzer.Outcome.read(folder).label for folder in sorted(outcomes.iterdir())]
    assert labels == ["as-recorded", "single/-"], "outcomes of an earlier run are replaced"
    reported = run(["report", timeline, outcomes, "-o", page])
    assert reported.returncode == 0, reported.stderr
    text = page.read_text()
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert "single/-" in text
    assert "mpio:2/service-time" not in text


def test_replay_json_holds_baseline_and_differences() -> None:
    document = json.loads(run(["replay", capture_path(MCS), "--with", "single/-", "--json"]).stdout)
    assert document["reference"] == "as-recorded"
    assert [outcome["label"] for outcome in document["outcomes"]] == ["as-recorded", "single/-"]
    assert set(document["baseline"]["errors_percent"]) >= {"iops", "latency_ns_p50", "latency_ns_p99"}
    assert (document["interval"]["level"], document["interval"]["repeats"]) == (0.9, 18)
    baseline, other = document["outcomes"]
    low, high = other["intervals"]["iops"]
    assert low < other["measures"]["iops"] < high
    assert baseline["differences"] is None
    found = other["differences"]["iops"]
    assert found["low_percent"] <= found["percent"] <= found["high_percent"]
    assert found["percent"] == other["differences_percent"]["iops"]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_comparison_keeps_its_intervals_whole_on_any_terminal(columns: int) -> None:
    """No figure is cut: each line of the table fits, and the interval of IOPS stands as --json has it."""
    policy = "mpio:2/least-queue-depth"
    arguments = ["replay", capture_path(MCS), "--with", policy, "--repeats", "4"]
    shown = run(arguments, columns=columns).stdout
    document = json.loads(run([*arguments, "--json"]).stdout)
    low, high = document["outcomes"][1]["intervals"]["iops"]
    lines = shown[shown.index("Comparison") :].splitlines()
    assert all(len(line) <= columns for line in lines)
    place = next(place for place, line in enumerate(lines) if line.startswith(policy))
    assert f"{low:,.0f}…{high:,.0f}" in lines[place + 1]
    assert " ".join(document["interval"]["meaning"].split()) in " ".join(shown.split())


def test_the_same_seed_prints_the_same() -> None:
    arguments = ["replay", capture_path(MCS), "--with", "mcs:2/least-queue-depth", "--seed", "7"]
    assert run(arguments).stdout == run(arguments).stdout


def test_policies_json_lists_what_replay_takes() -> None:
    document = json.loads(run(["policies", "--json"]).stdout)
    names = {policy["name"] for policy in document["policies"]}
    assert {"as-recorded", "failover-only", "round-robin", "least-queue-depth", "service-time"} <= names
    assert all(policy["sentence"] and policy["source"] for policy in document["policies"])


def test_verify_finds_no_unexplained_difference_on_a_clean_capture() -> None:
    result = run(["verify", capture_path("mcs-kill-write-r2t-tgt"), "--json"])
    assert result.returncode == 0, result.stdout
    document = json.loads(result.stdout)
    assert document["equal_pdus"] == document["native_pdus"] == document["wireshark_pdus"] > 0
    assert document["differences"] == []


def test_compilation_is_announced_once_and_loading_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    def double(value: int) -> int:
        return 2 * value

    compiled = numba.njit(double)
    with waiting.announced_if_compiling("Compiling ..."):
        assert compiled(1) == 2
        assert compiled(1.5) == 3
    shown = capsys.readouterr()
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown.err).strip() == "Compiling ..."
    assert shown.out == ""
    with waiting.announced_if_compiling("Compiling ..."):
        assert compiled(2) == 4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(1_234_567), "1.23 ms"),
        (duration(0), "0 ns"),
        (duration(None), "–"),  # noqa: RUF001
        (duration(59_999_000_000), "60.0 s"),
        (byte_count(1_048_576), "1.05 MB"),
        (figure(12_345.6, "requests/s"), "12,346"),
        (figure(0.5, "s"), "500 ms"),
        (percent(-0.04), "-0.0 %"),
        (plain("a\x1b[31mb[bold]"), "a?[31mb\\[bold]"),
        (plain("two\u00a0words\nline"), "two words?line"),
    ],
)
def test_figures_carry_the_unit_that_suits_them(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("columns", [80, 120])
def test_several_faults_at_once_are_told_apart_on_any_terminal(columns: int) -> None:
    faults = (
        "black-hole,link=1,at=50%,for=30s",
        "slow,link=0,at=60%,factor=0.1",
        "flap,link=1,at=peak,for=4s",
    )
    done = run(
        [
            *("replay", capture_path("mcs-2conn-rr-tgt"), "--with", "mpio:2/service-time"),
            *(word for fault in faults for word in ("--fault", fault)),
            *("--recovery", "linux-multipath,hold=2s", "--neighbours", "1", "--repeats", "0"),
        ],
        columns=columns,
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    table = lines[lines.index(next(line for line in lines if line.startswith("Faults"))) :]
    for name in ("black-hole link=1", "slow link=0", "flap link=1"):
        assert sum(line.startswith(name) for line in table) == 1
    said = " ".join(done.stdout.split())
    for word in ("noticed", "reassigned/", "retried/", "failed", "nothing"):
        assert word in said
    assert "black-hole,link=1,at=50%,for=30s: noticed after 10 s (a NOP-Out went unanswered)" in said

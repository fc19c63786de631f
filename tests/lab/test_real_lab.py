"""The lab as it really runs: its captures equal its truth, and whatever happens nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.errors import UnusableInputError
from analyzer.replay.recorded_links import recorded_links
from analyzer.replay.service_times import service_times
from benchmarks.lab import processes
from benchmarks.lab.__main__ import main
from benchmarks.lab.configuration import Link
from benchmarks.lab.experiment import ROOT, require_machine
from benchmarks.lab.leftovers import remove_leftovers
from benchmarks.lab.network import running_network
from benchmarks.lab.processes import run_tool, wait_for
from tests.golden.truth import differences

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def _lab_machine() -> None:
    """Skips where this machine does not let us build a network, with its own words."""
    try:
        require_machine()
        with running_network((Link(),)):
            pass
    except UnusableInputError as error:
        pytest.skip(f"no lab here: {error}")


def lab(*words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of the lab in this process."""
    monkeypatch.setattr(sys, "argv", ["lab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def traces_of_the_lab() -> list[str]:
    """Namespaces and folders of all labs."""
    names = [line.split()[0] for line in run_tool("ip", "netns", "list").splitlines()]
    folders = [path.name for path in Path(tempfile.gettempdir()).glob("pathlab-*")]
    return [name for name in (*names, *folders) if name.startswith("pathlab-")]


def read_truth(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.truth.json").read_text()))


@pytest.mark.usefixtures("_lab_machine")
def test_the_capture_of_a_session_of_two_connections_equals_its_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads and writes in turn over both, with digests: each command is exactly one task."""
    options = ("--with", "mcs:2/round-robin", "--commands", "120", "--digests", "both")
    lab("run", str(tmp_path), *options, monkeypatch=monkeypatch)
    truth = read_truth(tmp_path, "W-mcs2-rr-digest-both")
    assert truth["summary"]["completed"] == 121 + (truth["summary"]["by_opcode"]["TEST UNIT READY"] - 1)
    timeline = analyzer.analyze(tmp_path / "W-mcs2-rr-digest-both.pcapng.zst")
    assert differences(timeline, truth) == []
    assert list(timeline.connections["data_digest"]) == [True, True]
    result = json.loads((tmp_path / "W-mcs2-rr-digest-both.result.json").read_text())
    assert result["repeats"][0]["errors"] is None
    assert [path["share_commands"] for path in result["repeats"][0]["per_path"]] == [0.5, 0.5]
    # Two links of 40 Mbit/s carry at most 5 MB/s each, in each direction.
    assert 3 < result["median"]["mb_per_s"] < 20


# Reads under the reset of an MC/S connection: writes leave packets in the limiter, and a command among
# them reaches the wire after its own retry (docs/lab.md), which makes another order than the truth's.
@pytest.mark.parametrize(
    ("paths", "fault", "reads", "kind"),
    [
        ("mcs:2/round-robin", "reset:1@0.15", "1", "reissue-new-cmdsn"),
        ("mcs:2/round-robin", "black-hole:1@0.15", "0.7", "retry-same-cmdsn"),
        ("mpio:2/service-time", "reset:1@0.15", "0.7", "reissue-new-session"),
    ],
)
@pytest.mark.usefixtures("_lab_machine")
def test_a_lost_path_is_healed_and_the_capture_equals_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: str, fault: str, reads: str, kind: str
) -> None:
    """One path is lost in the middle: its commands end on the other, each in the way it has to."""
    options = ("--with", paths, "--commands", "300", "--fault", fault, "--reads", reads)
    lab("run", str(tmp_path), *options, monkeypatch=monkeypatch)
    (path,) = tmp_path.glob("*.result.json")
    result = json.loads(path.read_text())
    failover = result["repeats"][0]["failover"]
    assert result["repeats"][0]["errors"] is None
    assert failover["affected_commands"] > 0
    assert failover["retry_same_cmdsn"] + failover["reissued"] >= failover["affected_commands"]
    truth = read_truth(tmp_path, result["name"])
    moved = [command for command in truth["commands"] if command["retried"]]
    assert {command["status"] for command in moved} == {0}
    assert kind in {attempt["kind"] for command in moved for attempt in command["attempts"]}
    timeline = analyzer.analyze(tmp_path / result["capture"])
    assert differences(timeline, truth) == []
    assert "connection-lost" in set(timeline.events["kind"])
    # The second that a silent loss took is not the device's, though commands were sent again after it.
    times = service_times(timeline, recorded_links(timeline))
    assert max(times.service_ns.max(), times.grant_ns.max()) < 300_000_000


@pytest.mark.usefixtures("_lab_machine")
@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_lab_leaves_nothing_behind(tmp_path: Path, with_signal: signal.Signals) -> None:
    """Ended in the middle of a run; after a kill, the next lab or ``clean`` removes what is left."""
    command = [sys.executable, "-m", "benchmarks.lab", "run", str(tmp_path / "out"), "--commands", "100000"]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    own = f"pathlab-{running.pid}-"

    def is_working() -> bool:
        try:
            inside = run_tool("ip", "netns", "pids", f"{own}target").split()
            return "tgtd" in {Path(f"/proc/{word}/comm").read_text().strip() for word in inside}
        except (UnusableInputError, OSError):
            return False  # not yet, or just gone

    try:
        wait_for(is_working, "the lab did not start")
        running.send_signal(with_signal)
        running.wait(20)
    finally:
        running.kill()
        running.wait()
    if with_signal is signal.SIGKILL:
        assert f"{own}target" in remove_leftovers()
    assert [trace for trace in traces_of_the_lab() if trace.startswith(own)] == []
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def test_a_missing_tool_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what is missing, and where it comes from."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(processes.shutil, "which", lambda name, path=None: None)
    assert _exit_code(monkeypatch, "run", "out") == 2
    assert capsys.readouterr().err == "lab: ip is not installed; run tests/install_tools.sh\n"


def test_who_is_not_root_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is started."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _exit_code(monkeypatch, "run", "out") == 2
    assert "has to be run as root" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--with", "mcs:2/fastest"),
        ("--sizes", "four"),
        ("--device-ms", "slow"),
        ("--fault", "reset"),
        ("--rate", "x"),
        ("--workload", "W2"),
    ],
    ids=lambda words: words[0],
)
def test_a_wrong_option_is_one_line(
    words: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit_code(monkeypatch, "run", "out", *words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lab: {words[0]}: ")
    assert said.count("\n") == 1


def _exit_code(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["lab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code

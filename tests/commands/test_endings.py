"""However a verb ends, its output is whole and its exit code the one that was promised."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from analyzer.tables.folder import Timeline
from tests.commands.run import ANALYZER, run
from tests.real import capture_path

CAPTURE = capture_path("mcs-2conn-rr-tgt")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["policies"], 0),
        (["analyze", "no-such-file.pcap"], 2),
        (["analyze", CAPTURE, "--no-such-option"], 2),
        (["no-such-verb"], 2),
    ],
)
def test_exit_codes(arguments: list[str | Path], code: int) -> None:
    done = run(arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") == (code != 0)


def test_output_through_a_pipe_and_the_folder_are_whole(tmp_path: Path) -> None:
    done = run(["analyze", CAPTURE, "--json", "-o", tmp_path / "timeline"])
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert Timeline.read(tmp_path / "timeline").arrow["tasks"].num_rows == document["tasks"]["count"] > 0


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [*ANALYZER, "analyze", str(CAPTURE), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    complaints = [line for line in process.stderr.read().splitlines() if not line.startswith(b"Compiling")]
    process.stderr.close()
    assert complaints == []
    assert process.wait(timeout=60) == 0

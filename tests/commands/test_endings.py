"""However a verb ends, its output is whole and its exit code the one that was promised."""

from __future__ import annotations

import json
import os
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", CAPTURE, "--json"],
        ["analyze", CAPTURE],
        ["policies"],
        ["--help"],
        ["replay", "--help"],
        ["--version"],
        [],
    ],
)
def test_a_reader_that_went_away_is_no_error(arguments: list[str | Path], tmp_path: Path) -> None:
    # More than Python keeps in its buffer, and less: told while the verb runs, or behind it.
    folder = tmp_path / "timeline"
    if CAPTURE in arguments:
        arguments = [*arguments, "-o", folder]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*ANALYZER, *map(str, arguments)], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=300
        )
    finally:
        os.close(writer)
    assert [line for line in done.stderr.splitlines() if not line.startswith(b"Compiling")] == []
    assert done.returncode == 0
    if CAPTURE in arguments:
        assert Timeline.read(folder).arrow["tasks"].num_rows > 0

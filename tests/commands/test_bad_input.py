"""Whatever is given instead of a capture: one clear line naming it, the right exit code, no traceback."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.commands.run import run
from tests.real import capture_bytes


def unusable(tmp_path: Path) -> dict[str, Path]:
    """One file of every kind that is no capture."""
    files = {
        "missing.pcap": None,
        "notes.txt": b"dear diary, the link was slow again\n" * 40,
        "empty.pcap": b"",
        "short.pcap": b"\xd4\xc3\xb2\xa1\x02\x00",
        "garbage.pcap.gz": b"\x1f\x8b\x08\x00" + b"\xa5" * 100,
        "garbage.pcap.zst": b"\x28\xb5\x2f\xfd" + b"\xa5" * 100,
        "text.pcap.gz": gzip.compress(b"not a capture either"),
    }
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in files}


@pytest.mark.parametrize(
    "name",
    [
        "missing.pcap",
        "notes.txt",
        "empty.pcap",
        "short.pcap",
        "garbage.pcap.gz",
        "garbage.pcap.zst",
        "text.pcap.gz",
    ],
)
def test_what_is_no_capture_is_one_line_and_exit_code_2(tmp_path: Path, name: str) -> None:
    result = run(["analyze", unusable(tmp_path)[name]])
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert name in result.stderr


def test_a_directory_that_is_no_timeline_is_named(tmp_path: Path) -> None:
    result = run(["replay", tmp_path, "--with", "single/-"])
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_a_truncated_capture_is_analyzed_up_to_the_cut(tmp_path: Path) -> None:
    whole = capture_bytes("mcs-2conn-rr-tgt")
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    result = run(["analyze", cut])
    assert result.returncode == 0, result.stderr
    assert "capture-cut" in result.stdout
    strict = run(["analyze", cut, "--strict"])
    assert strict.returncode == 0, "a cut is a warning, not an error"


def test_a_capture_without_iscsi_says_so_and_is_an_error_only_with_strict(tmp_path: Path) -> None:
    header = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    quiet = tmp_path / "quiet.pcap"
    quiet.write_bytes(header)
    result = run(["analyze", quiet])
    assert result.returncode == 0, result.stderr
    assert "no-iscsi" in result.stdout
    assert run(["analyze", quiet, "--strict"]).returncode == 1


def test_names_with_control_characters_reach_no_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "red\x1b[31m\nline"
    result = run(["analyze", hostile])
    assert result.returncode == 2
    assert "\x1b" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "policy", ["mcs:2/no-such-policy", "ring:3/round-robin", "mcs:0/round-robin", "mcs:2", "", "/", "mcs:x/-"]
)
def test_a_wrong_policy_is_named(tmp_path: Path, policy: str) -> None:
    capture = tmp_path / "capture.pcapng"
    capture.write_bytes(capture_bytes("mcs-2conn-rr-tgt"))
    result = run(["replay", capture, "--with", policy])
    assert result.returncode == 2, result.stdout
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_options_and_verbs_are_refused_without_a_traceback() -> None:
    for arguments in (["analyze"], ["analyze", "x", "--nonsense"], ["fly"]):
        result = run(arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr

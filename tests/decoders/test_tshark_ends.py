"""However tshark ends, the second opinion is what it found up to there, and says what it said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from analyzer.decoders import wireshark
from analyzer.errors import UnusableInputError
from tests.real import capture_path, plain_bytes

pytestmark = pytest.mark.tools


@pytest.fixture(name="whole")
def _whole(tmp_path: Path) -> Path:
    path = tmp_path / "snack.pcapng"
    path.write_bytes(plain_bytes(capture_path("snack-data-tgt")))
    return path


def test_a_file_cut_short_gives_what_is_before_the_cut(whole: Path) -> None:
    everything = wireshark.decode([whole], ports=[3270, 3271])
    cut = whole.with_name("cut.pcapng")
    cut.write_bytes(whole.read_bytes()[:-2001])
    decoded = wireshark.decode([cut], ports=[3270, 3271])
    assert 0 < len(decoded.pdus) < len(everything.pdus)
    assert decoded.pdus.headers.tolist() == everything.pdus.headers[: len(decoded.pdus)].tolist()
    (complaint,) = decoded.diagnostics
    assert complaint.kind.code == "capture-cut"
    assert "cut short" in complaint.detail
    assert not list(everything.diagnostics)


def test_a_file_that_is_no_capture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.pcap"
    path.write_bytes(b"Dear Sir or Madam, " * 100)
    with pytest.raises(UnusableInputError, match=r"letter\.pcap: tshark does not take this file"):
        wireshark.decode([path])


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_tshark_that_takes_its_time_to_end_is_waited_for(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    # All output is there, and its end comes later: killing it would hide the exit code, or make one up.
    tshark = shutil.which("tshark")
    slow = tmp_path / "bin" / "tshark"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\n{tshark} "$@"\n[ "$1" = -v ] && exit\nexec >&-\nsleep {seconds}\nexit $STATUS\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STATUS", "0")
    assert not list(wireshark.decode([whole], ports=[3270, 3271]).diagnostics)
    monkeypatch.setenv("STATUS", "3")
    (complaint,) = wireshark.decode([whole], ports=[3270, 3271]).diagnostics
    assert complaint.kind.code == "tshark-failed"


@pytest.mark.filterwarnings("error")
def test_a_tshark_that_ends_at_once_is_named_with_the_file(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tshark = shutil.which("tshark")
    broken = tmp_path / "bin" / "tshark"
    broken.parent.mkdir()
    broken.write_text(f'#!/bin/sh\n[ "$1" = -v ] && exec {tshark} -v\necho "no room" >&2\nexit 4\n')
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
    for _ in range(5):
        with pytest.raises(UnusableInputError, match=r"snack\.pcapng: tshark does not take this file"):
            wireshark.decode([whole])

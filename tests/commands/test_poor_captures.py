"""What a capture lacks is said before any figure of a replay, by the command as by the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.run import run
from tests.real import capture_bytes, capture_path
from tests.recorded_packets import by_direction, recorded_packets, written

LOSSY_FROM, CUT_FROM = "mcs-2conn-rr-mtu1500-tgt", "W6-asym-mcs2-rr"


def lossy(folder: Path) -> Path:
    """One packet in fifty missed by the recorder."""
    packets = recorded_packets(capture_path(LOSSY_FROM))
    return written(folder, [[packet for place, packet in enumerate(packets) if place % 50 != 49]])[0]


def cut(folder: Path) -> Path:
    """A recording that ends in the middle of a packet, a third of the way."""
    content = capture_bytes(CUT_FROM)
    place = folder / "cut.pcapng"
    place.write_bytes(content[: len(content) // 3])
    return place


def to_target_only(folder: Path) -> Path:
    """What a tap on one fibre sees: commands without answers."""
    return written(folder, [by_direction(recorded_packets(capture_path("mcs-2conn-rr-tgt")))[0]])[0]


def half_a_session(folder: Path) -> Path:
    """One of the two connections over which the CmdSNs of a session went."""
    return capture_path("mcs-2conn-rr-tgt-link3270")


POOR = [
    (lossy, "The recorder missed", "Likely cause: the recorder missed"),
    (cut, "The capture ends in the middle of a packet", ""),
    (to_target_only, "no figure of this replay can be believed", ""),
    (half_a_session, "CmdSNs are missing", ""),
]


@pytest.mark.parametrize(("made", "said", "cause"), POOR, ids=[made.__name__ for made, _, _ in POOR])
def test_the_command_says_it_before_its_first_figure(made, said, cause, tmp_path):
    result = run(["replay", made(tmp_path), "--with", "mcs:2/round-robin"], columns=1000)
    assert result.returncode == 0, result.stderr
    assert 0 <= result.stdout.find(said) < result.stdout.find("Comparison")
    assert cause in result.stdout


@pytest.mark.parametrize(("made", "said", "cause"), POOR, ids=[made.__name__ for made, _, _ in POOR])
def test_the_outcome_and_the_page_say_it_too(made, said, cause, tmp_path):
    capture = made(tmp_path)
    result = run(["replay", capture, "--with", "mcs:2/round-robin", "--json", "-o", tmp_path / "outcomes"])
    assert result.returncode == 0, result.stderr
    for outcome in json.loads(result.stdout)["outcomes"]:
        assert any(said in sentence for sentence in outcome["manifest"]["assumptions"][:3])
    places = sorted((tmp_path / "outcomes").iterdir())
    page = tmp_path / "page.html"
    result = run(["report", capture, *places, "-o", page])
    assert result.returncode == 0, result.stderr
    assert said in page.read_text()


def test_only_the_direction_from_the_target_is_refused_with_its_reason(tmp_path):
    result = run(["replay", capture_path("mcs-2conn-rr-tgt-fromtarget"), "--with", "single/-"], columns=1000)
    assert result.returncode == 2
    assert "only the direction from the target was recorded" in result.stderr
    assert result.stdout == ""


def test_a_good_capture_has_no_such_sentence():
    result = run(["replay", capture_path("mcs-2conn-rr-tgt"), "--with", "mcs:2/round-robin"], columns=1000)
    assert result.returncode == 0, result.stderr
    for _, said, _ in POOR:
        assert said not in result.stdout
    assert "Recorded perhaps at the" in result.stdout

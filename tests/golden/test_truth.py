"""Real captures beside what their initiator wrote down: each attempt one task, none unknown, counts agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from tests.golden.truth import differences
from tests.real import MORE_CAPTURES, TRACES, truth_of

# The snap length cut headers themselves, the login's among them.
TRUNCATED = ("mcs-2conn-rr-snap96-tgt",)


def captures_with_truth(folder: Path) -> list[Path]:
    captures = []
    for truth in sorted(folder.glob("*.truth.json*")):
        name = truth.name.split(".truth.json")[0]
        if name not in TRUNCATED:
            captures += sorted(folder.glob(f"{name}.pcap*"))
    return captures


def assert_agrees(capture: Path) -> None:
    found = differences(analyze(capture), truth_of(capture))
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize(
    "capture", captures_with_truth(TRACES / "mcs"), ids=lambda path: path.name.split(".")[0]
)
def test_shipped_capture_agrees_with_its_truth(capture: Path) -> None:
    assert_agrees(capture)


def test_enough_captures_are_shipped() -> None:
    """An empty folder must not pass for agreement."""
    assert len(captures_with_truth(TRACES / "mcs")) >= 30


def test_captures_beside_the_checkout_agree_with_their_truth() -> None:
    folder = MORE_CAPTURES / "mcs"
    if not folder.exists():
        pytest.skip(f"no folder {folder}: the captures that are not shipped are not there")
    captures = captures_with_truth(folder)
    assert captures
    for capture in captures:
        assert_agrees(capture)


@pytest.mark.parametrize(
    ("name", "sessions"),
    [
        ("mpio-rr", 2),
        ("tmf-lunreset", 2),
        ("pr", 2),
        ("gso", 2),
        ("mpio-rr-snap128", 2),
        ("fo-linkdown-st", 3),
    ],
)
def test_multipath_pairs_are_one_timeline(name: str, sessions: int) -> None:
    """One file per link, given together: a session per link, and one more where it was reinstated."""
    timeline = analyze_pair(name)
    assert timeline.arrow["sessions"].num_rows == sessions
    assert set(timeline.arrow["sessions"]["initiator_name"].to_pylist()) == {"iqn.2026-11.lab.init:host1"}
    assert timeline.arrow["tasks"].num_rows > 100


def test_a_link_that_went_down_has_its_commands_repeated_on_the_other() -> None:
    """Eight commands in flight on link 1 were sent again on link 2 once the recovery timer had expired."""
    tasks = analyze_pair("fo-linkdown-st").tasks
    repeated = tasks[tasks.retry_of_task_index.notna()]
    assert len(repeated) == 8
    first = tasks.loc[repeated.retry_of_task_index]
    assert set(first.session_index) == {0}
    assert set(repeated.session_index) == {1}
    waited_s = (repeated.command_ns.to_numpy() - first.command_ns.to_numpy()) / 1e9
    assert waited_s.min() > 8.2
    assert waited_s.max() < 8.4


def test_a_lun_reset_ends_exactly_the_eight_commands_it_left_unanswered() -> None:
    timeline = analyze_pair("tmf-lunreset")
    assert (timeline.tasks.end == "aborted").sum() == 8
    assert (timeline.tasks.end == "responded").sum() == len(timeline.tasks) - 8


def test_a_recording_begun_in_mid_session_keeps_its_connections_together() -> None:
    timeline = analyze(TRACES / "mcs" / "mcs-2conn-rr-tgt-midstart.pcapng.zst")
    assert timeline.connections.session_index.tolist() == [0, 0]
    assert timeline.sessions.login_seen.tolist() == [False]
    assert "membership-assumed" in set(timeline.diagnostics.code)


def test_one_file_per_connection_is_the_same_as_one_file() -> None:
    """Merged by time, the two halves of a recording give the tasks of the whole."""
    whole = analyze(TRACES / "mcs" / "mcs-2conn-rr-tgt.pcapng.zst").tasks
    halves = analyze(
        *(TRACES / "mcs" / f"mcs-2conn-rr-tgt-link{port}.pcapng.zst" for port in (3270, 3271))
    ).tasks
    columns = [
        "initiator_task_tag",
        "cmd_sn",
        "operation",
        "lba",
        "command_ns",
        "response_ns",
        "order_wait_ns",
    ]
    assert halves[columns].equals(whole[columns])


def analyze_pair(name: str) -> Timeline:
    return analyze(*sorted((TRACES / "mpio").glob(f"{name}.link*.pcap*")))

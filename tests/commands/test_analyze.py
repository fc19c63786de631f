"""The page of ``analyze`` and its stories: what an expert looks for is there, at 80 and at 120 columns."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from analyzer.commands.analyze import as_document, show
from analyzer.commands.stories import incident_as_data, show_incident, show_task, task_as_data
from analyzer.comparison.recording import recorded_measures
from analyzer.errors import UnusableInputError
from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from tests.commands.run import run
from tests.conversations import Conversation, read_10
from tests.real import TRACES, capture_path
from tests.recorded_packets import by_link, recorded_packets, written


@pytest.fixture(scope="module")
def failover() -> Timeline:
    return analyze(*sorted((TRACES / "mpio").glob("fo-linkdown-st.link*.pcap*")))


def printed(width: int, tell: object, *arguments: object) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    assert callable(tell)
    tell(console, *arguments)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits_and_names_the_incident_and_the_slowest_command(failover: Timeline, width: int) -> None:
    page = printed(width, show, failover, recorded_measures(failover))
    assert max(map(len, page.splitlines())) <= width
    words = " ".join(page.split())
    # The late answer to the eighth was cut short by a reset.
    assert "1,332 commands answered, 8 not answered" in words
    assert "connection 0 fell silent; noticed after 3.00 s (nop-timeout," in words
    assert "recovery timer of 5 s" in words
    assert "1279 +29.464 s WRITE(10) 84124 338 ms 2" in words


def test_order_and_window_cost_stand_on_the_page_where_there_is_one() -> None:
    timeline = analyze(capture_path("mcs-4conn-one-stalls-tgt"))
    page = " ".join(printed(120, show, timeline, recorded_measures(timeline)).split())
    assert "CmdSN order: 18 of 202 completed tasks lay at the target for lower CmdSNs" in page
    assert "Session 0: stood still 1 times for 407 ms in all (6 arrivals out of order)" in page
    assert "commands waited for a lower CmdSN; 18 commands held: 18 answered late" in page


def test_a_quiet_capture_has_no_incidents_on_its_page() -> None:
    timeline = analyze(capture_path("mcs-2conn-rr-lio"))
    page = printed(80, show, timeline, recorded_measures(timeline))
    assert "Incidents" not in page
    assert "CmdSN order" not in page
    assert "Slowest commands" in page


@pytest.mark.parametrize("width", [80, 120])
def test_an_incident_is_told_in_full(failover: Timeline, width: int) -> None:
    story = printed(width, show_incident, failover, 0)
    assert max(map(len, story.splitlines())) <= width
    words = " ".join(story.split())
    assert "detected +17.944903 s by nop-timeout, inferred from the timers; NOP-Out interval 1 s," in words
    assert "held to +23.177154 s for 5.23 s" in words
    assert words.count("reissued as") == 8
    assert "session 2 in place of session 0" in words


def test_a_command_is_told_pdu_by_pdu(failover: Timeline) -> None:
    story = " ".join(printed(120, show_task, failover, 549).split())
    assert "Task 549: READ(10) at LBA 45420, 4 blocks on LUN 0" in story
    assert "Attempts at this work: tasks 549, 799." in story
    assert "Never answered: connection-lost 3.01 s after it was sent." in story
    assert "→ SCSI Command CmdSN 278" in story
    assert "← SCSI Data-In StatSN" in story
    assert "final, cut short" in story


def test_an_answer_that_came_too_late_is_told_as_one() -> None:
    """The other path had done the work again when the silent connection spoke once more."""
    said = Conversation()
    first, second = said.connect(), said.connect("10.0.1.1", "10.0.1.9")
    said.login(first)
    said.login(second, isid="00023d000002", gives=2)
    said.command(first, 1, 1, read_10(0, 8))
    said.data_in(first, 1, 4096, status=0)
    said.command(first, 2, 2, read_10(8, 8))
    said.wait_ms(15_000)
    said.command(second, 9, 1, read_10(8, 8))
    said.data_in(second, 9, 4096, status=0)
    said.wait_ms(100)
    said.data_in(first, 2, 4096, status=0)
    said.close(first, reset=True)
    story = " ".join(printed(120, show_task, said.timeline(), 1).split())
    assert "The answer came too late: the work was being done again." in story


def test_a_reassigned_command_shows_both_connections() -> None:
    timeline = analyze(capture_path("mcs-kill-erl2-reassign-lio"))
    (first, *_) = [fate["task_index"] for fate in incident_as_data(timeline, 0)["commands"]]
    story = printed(120, show_task, timeline, first)
    assert "task-reassigned" in story
    assert {pdu["connection_index"] for pdu in task_as_data(timeline, first)["pdus"]} == {0, 1}


def test_json_carries_all_of_it(failover: Timeline) -> None:
    document = json.loads(json.dumps(as_document(failover, recorded_measures(failover))))
    (incident,) = document["incidents"]
    assert incident["steps"][0]["what"] == "last-from-target"
    assert len(document["task_fates"]) == 8
    assert document["worst_tasks"][0]["task_index"] == 1279
    assert document["sessions"][0]["stand_stills"] == 0


def test_names_from_the_wire_do_no_harm_in_a_story() -> None:
    said = Conversation()
    connection = said.connect()
    said.login(connection, initiator="iqn.x:[bold]\x1b[31m")
    said.command(connection, 1, 1, read_10(0, 8))
    said.close(connection, reset=True)
    said.wait_ms(1)
    timeline = said.timeline()
    for text in (
        printed(80, show, timeline, recorded_measures(timeline)),
        printed(80, show_incident, timeline, 0),
        printed(80, show_task, timeline, 0),
    ):
        assert "\x1b" not in text


def test_a_number_that_is_not_there_is_said_in_one_line(failover: Timeline) -> None:
    with pytest.raises(UnusableInputError, match=r"--incident 7: .*numbered 0 to 0"):
        incident_as_data(failover, 7)
    with pytest.raises(UnusableInputError, match=r"--task 99999: .*numbered 0 to 1339"):
        task_as_data(failover, 99999)


def test_stories_come_from_a_timeline_folder_too(failover: Timeline, tmp_path: Path) -> None:
    folder = failover.write(tmp_path / "timeline")
    told = run(["analyze", folder, "--incident", "0"])
    assert (told.returncode, told.stderr) == (0, "")
    assert "Step by step" in told.stdout
    asked = run(["analyze", folder, "--task", "549", "--incident", "0", "--json"])
    document = json.loads(asked.stdout)
    assert document["task"]["attempts"] == [549, 799]
    assert len(document["incident"]["commands"]) == 8
    missing = run(["analyze", folder, "--incident", "7"])
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_clocks_that_were_moved_are_shown_with_their_files(tmp_path: Path) -> None:
    """The offset stands beside the file, its bounds and evidence among the diagnostics."""
    links = by_link(recorded_packets(capture_path("mcs-2conn-rr-tgt")))
    files = written(tmp_path, links, lambda number: number * 2_000_000_000)
    output = run(["analyze", *files]).stdout
    assert "clock moved by" in output
    assert "-2,000.00" in output
    assert "clock-offset-assumed" in output
    assert "CmdSNs acknowledged" in " ".join(output.split())
    assert "clock moved by" not in run(["analyze", files[0]]).stdout

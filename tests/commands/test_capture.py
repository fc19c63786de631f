"""Live recording on loopback against a real target: counted, cut, bounded, analyzed."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import analyzer
from analyzer.capture.recorder import RecordingOptions, portal_filter
from analyzer.commands.recording import _packets_of, line, record, record_with_sample
from analyzer.decoders import native
from analyzer.decoders.live import LiveFigures
from analyzer.decoders.pipeline import Pipeline
from analyzer.errors import UnusableInputError
from analyzer.tables.folder import Timeline
from tests.commands.run import ANALYZER, run
from tests.live import Target, running_target, tool

pytestmark = pytest.mark.tools


FILTER_SETTING_NS = 20_000_000


def work(target: Target, seconds: int = 1, depth: int = 4, blocks: int = 4) -> None:
    """Random reads of so many blocks, so many at once, for so long."""
    command = [tool("iscsi-perf"), "-r", "-b", str(blocks), "-m", str(depth), "-t", str(seconds), target.unit]
    subprocess.run(command, check=True, capture_output=True)


def test_a_recording_is_analyzed_at_its_end(tmp_path: Path) -> None:
    """The command records until its time is over; the tasks are those that the target served."""
    place = tmp_path / "x.pcapng"
    with running_target(tmp_path) as target:
        portal = f"127.0.0.1:{target.port}"
        words = ["capture", "-i", "lo", "--portal", portal, "--duration", "4", "-w", str(place), "--json"]
        process = subprocess.Popen([*ANALYZER, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(3):
            subprocess.run([tool("iscsi-inq"), target.unit], check=True, capture_output=True)
        work(target)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    document = json.loads(output)
    assert document["captures"][0]["name"] == str(place)
    assert document["tasks"]["count"] > 100
    assert {session["target_name"] for session in document["sessions"]} == {"iqn.2026-11.example.live:disk"}
    assert len(document["sessions"]) == 4
    assert errors.decode() == ""


def recorded_with_sample(folder: Path) -> tuple[list[Path], Timeline]:
    """A recording of five seconds behind a sample of one, and what is in it."""
    folder.mkdir()
    with running_target(folder) as target:
        options = RecordingOptions(("lo",), portal_filter([f"127.0.0.1:{target.port}"], []), duration_s=5)
        native.prepare()
        load = threading.Thread(target=work, args=(target, 5, 1, 1))
        load.start()
        files = record_with_sample(options, folder / "x.pcapng", [target.port], longest_sample_s=1)
        load.join()
    return files, analyzer.analyze(*files)


def test_packets_are_cut_to_what_the_sample_says(tmp_path: Path) -> None:
    """With auto, sample and rest together hold every header that the whole recording would.

    A machine that is busy with other tests may keep dumpcap from reading; it says so, and the attempt
    proves nothing.
    """
    for attempt in range(4):
        files, timeline = recorded_with_sample(tmp_path / str(attempt))
        if "packets-dropped-by-recorder" not in set(timeline.diagnostics["code"]):
            break
    else:
        pytest.fail("dumpcap dropped packets in each of four recordings")
    assert [path.name for path in files] == ["x.sample.pcapng", "x.pcapng"]
    sample, rest = timeline.arrow["captures"].to_pylist()
    assert sample["cut_packets"] == 0 < rest["cut_packets"]
    tasks = timeline.tasks
    assert len(tasks) > 100
    # What is still running at the end has no response, and nothing else lacks one.
    assert (tasks["end"] == "responded").sum() >= len(tasks) - 8
    # libpcap shuts packets out for a moment while it sets the filter, and keeps those before; later none is
    # lost, at the seam least of all.
    gaps = timeline.events[timeline.events["kind"] == "capture-gap"]
    assert (gaps["at_ns"] - sample["first_ns"] < FILTER_SETTING_NS).all()
    lost_bytes = sum(json.loads(detail)["lost_bytes"] for detail in gaps["detail"])
    assert timeline.connections["lost_bytes"].sum() == lost_bytes
    assert not timeline.connections["retransmitted_segments"].any()
    assert "mirror-duplicates" in set(timeline.diagnostics["code"])


def test_a_ring_keeps_the_last_files(tmp_path: Path) -> None:
    """Two files of one megabyte, the older ones are gone, and the recording ends by its packets."""
    with running_target(tmp_path) as target:
        options = RecordingOptions(
            ("lo",),
            portal_filter([], [target.port]),
            duration_s=4,
            ring_files=2,
            ring_file_megabytes=1,
        )
        load = threading.Thread(target=work, args=(target, 3))
        load.start()
        files = record(options, tmp_path / "ring.pcapng", [target.port])
        load.join()
    assert len(files) == 2
    assert sorted(tmp_path.glob("ring*")) == files
    assert not files[0].name.startswith("ring_00001")
    assert len(analyzer.analyze(*files).tasks) > 10


def test_a_file_that_the_ring_wrote_over_before_it_was_read_is_passed_by(tmp_path: Path) -> None:
    """The counter falls behind on a busy machine; the recording goes on. A file that is there is an error."""
    folder = tmp_path / "ring_00002.pcapng"
    folder.mkdir()
    recorder = SimpleNamespace(files=[tmp_path / "ring_00001.pcapng", folder], is_running=False)

    def read(position: int) -> list[int]:
        return list(_packets_of(recorder, position, Pipeline([]), lambda _: None, 7, lambda _: False))

    assert read(1) == []
    with pytest.raises(UnusableInputError, match="cannot be opened"):
        read(2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i", "no-such-interface"], "no-such-interface: dumpcap cannot record"),
        (["-i", "lo", "--portal", "a b"], "a b: is no portal"),
        (["-i", "lo", "--snaplen", "12"], "12: is no snap length"),
        (["-i", "lo", "--ring", "many"], "many: is no ring"),
        (["-i", "lo", "-w", "/no/such/folder/x.pcapng"], "/no/such/folder: no such folder"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    """Exit code 2 and the reason."""
    place = [] if "-w" in words else ["-w", tmp_path / "x.pcapng"]
    result = run(["capture", *words, *place])
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_counter_shows_rates_and_totals() -> None:
    """Rates are of the last step, the rest is of the whole recording."""
    before = LiveFigures(commands=100, data_bytes=1_000_000)
    now = LiveFigures(
        commands=1100, data_bytes=3_000_000, task_management=2, order_waits=7, outstanding=32, connections=4
    )
    assert line(now, before, 61.4, 0.5, 12_345) == (
        "61 s  12,345 packets  4 connections  2,000 commands/s  4.0 MB/s  outstanding 32  "
        "TMFs 2  order waits 7"
    )

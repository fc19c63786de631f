"""Incidents of real captures beside what kernel, fio and the initiator itself wrote down about them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from tests.conversations import events_of, rows_of
from tests.real import TRACES, capture_path, truth_of

KERNEL_CLOSENESS_S = 0.05


def analyze_pair(name: str) -> Timeline:
    return analyze(*sorted((TRACES / "mpio").glob(f"{name}.link*.pcap*")))


@pytest.fixture(scope="module")
def link_down() -> Timeline:
    return analyze_pair("fo-linkdown-st")


def test_a_link_that_went_down_is_one_incident_with_the_kernels_times(link_down: Timeline) -> None:
    truth = json.loads((TRACES / "mpio" / "fo-linkdown-st.truth.json").read_text())
    (incident,) = rows_of(link_down, "incidents")
    seen_s = {
        "last_received_s": incident["failed_ns"],
        "connection_error_s": incident["detected_ns"],
        "recovery_timer_expired_s": incident["hold_to_ns"],
        "first_retry_on_link_2_s": incident["first_retry_ns"],
        "slowest_io_done_s": incident["last_completion_ns"],
    }
    for what, at_ns in seen_s.items():
        assert at_ns / 1e9 == pytest.approx(truth[what], abs=KERNEL_CLOSENESS_S), what
    assert incident["stall_ns"] / 1e9 == pytest.approx(truth["slowest_io_latency_s"], abs=KERNEL_CLOSENESS_S)
    assert incident["noop_interval_s"] == truth["noop_interval_s"]
    assert incident["noop_timeout_s"] == truth["noop_timeout_s"]
    assert (incident["hold_timer"], incident["hold_setting_s"]) == (
        "recovery-timer",
        truth["recovery_timer_s"],
    )
    assert not incident["is_detection_seen"]
    assert json.loads(incident["sessions"]) == [0, 1]


def test_all_commands_in_flight_were_repeated_on_the_other_link(link_down: Timeline) -> None:
    truth = json.loads((TRACES / "mpio" / "fo-linkdown-st.truth.json").read_text())
    tasks = rows_of(link_down, "tasks")
    fates = rows_of(link_down, "task_fates")
    assert {tasks[fate["task_index"]]["lba"] for fate in fates} == set(truth["retried_lbas"])
    assert len(fates) == len(truth["retried_lbas"])
    assert {fate["fate"] for fate in fates} == {"reissued"}
    assert {fate["is_same_path"] for fate in fates} == {False}
    assert all(tasks[fate["again_task_index"]]["status"] == 0 for fate in fates)


def test_the_silent_connection_ended_by_timeout_not_by_the_late_reset(link_down: Timeline) -> None:
    connection = rows_of(link_down, "connections")[0]
    (timeout,) = events_of(link_down, "nop-timeout")
    assert connection["end"] == "timeout"
    assert connection["closed_ns"] == timeout["at_ns"]
    assert timeout["detail"]["is_inferred"]
    (stall,) = events_of(link_down, "stall")
    assert stall["detail"]["timer"] == "recovery-timer"


def test_the_steps_of_a_failover_tell_it_in_order(link_down: Timeline) -> None:
    (incident,) = rows_of(link_down, "incidents")
    steps = json.loads(incident["steps"])
    assert [step["at_ns"] for step in steps] == sorted(step["at_ns"] for step in steps)
    told = [step["what"] for step in steps]
    for earlier, later in (
        ("last-from-target", "detected"),
        ("detected", "hold-ends"),
        ("hold-ends", "first-completion"),
        ("last-completion", "reset"),
        ("reset", "session-reinstated"),
    ):
        assert told.index(earlier) < told.index(later)


def test_a_lun_reset_is_one_incident_of_eight_commands_repeated_on_their_path() -> None:
    timeline = analyze_pair("tmf-lunreset")
    (incident,) = [row for row in rows_of(timeline, "incidents") if row["kind"] == "task-management"]
    assert incident["outstanding"] == incident["retried_same_path"] == 8
    assert (incident["hold_to_ns"] - incident["hold_from_ns"]) / 1e9 == pytest.approx(0.83, abs=0.01)


KILLED = {
    "mcs-kill-erl2-reassign-lio": ("reassign", "reassigned"),
    "mcs-kill-rst-retry-tgt": ("reissue-new-cmdsn", "retried_other_path"),
    "mcs-kill-rst-retry-lio": ("reissue-new-cmdsn", "retried_other_path"),
    "mcs-kill-write-r2t-tgt": ("reissue-new-cmdsn", "retried_other_path"),
    "mcs-kill-erl2-reassign-nologout-tgt": ("reissue-new-cmdsn", "retried_other_path"),
    "mcs-kill-rst-conn-reinstate-tgt": ("reissue-new-cmdsn", "retried_same_path"),
    "mcs-kill-silent-conn-reinstate-tgt": ("reissue-new-cmdsn", "retried_same_path"),
}


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_connection_is_one_incident_with_every_command_it_held(name: str) -> None:
    """Times and fates are those of the initiator that killed it."""
    capture = capture_path(name)
    truth, timeline = truth_of(capture), analyze(capture)
    (incident,) = rows_of(timeline, "incidents")
    (kill,) = [event for event in truth["events"] if event["event"] == "connection_kill"]
    kind, column = KILLED[name]
    moved = [command for command in truth["commands"] if any(a["kind"] == kind for a in command["attempts"])]
    assert incident["failed_ns"] / 1e9 == pytest.approx(kill["t"], abs=0.005)
    assert incident[column] == incident["outstanding"] == len(moved)
    again_s = min(a["t_send"] for command in moved for a in command["attempts"] if a["kind"] == kind)
    assert incident["first_retry_ns"] / 1e9 == pytest.approx(again_s, abs=0.005)
    done_s = max(command["t_complete"] for command in moved)
    assert incident["last_completion_ns"] / 1e9 == pytest.approx(done_s, abs=0.03)


def test_a_session_lost_with_both_connections_is_one_incident() -> None:
    timeline = analyze(capture_path("mcs-kill-session-reinstate-tgt"))
    (incident,) = rows_of(timeline, "incidents")
    assert json.loads(incident["connections"]) == [0, 1]
    assert incident["outstanding"] == 16
    assert incident["lost"] == 0


def test_a_held_connection_is_a_stall_by_command_order() -> None:
    """The initiator kept what it sent on CID 2 back for 0.4 s; the commands of the others waited for it."""
    capture = capture_path("mcs-4conn-one-stalls-tgt")
    timeline = analyze(capture)
    (hold,) = [event for event in truth_of(capture)["events"] if event["event"] == "hold_on"]
    (incident,) = rows_of(timeline, "incidents")
    assert (incident["kind"], incident["cause"]) == ("stall", "command-order")
    assert rows_of(timeline, "connections")[incident["connection_index"]]["cid"] == hold["cid"]
    assert incident["stall_ns"] / 1e9 == pytest.approx(hold["seconds"], abs=0.02)


@pytest.mark.parametrize(
    "name",
    [
        "mcs-2conn-rr-tgt",
        "mcs-2conn-rr-lio",
        "mcs-4conn-reorder-tgt",
        "mcs-cmdsn-wrap-tgt",
        "mpio-2sess-rr-tgt",
    ],
)
def test_a_quiet_capture_has_no_incident(name: str) -> None:
    timeline = analyze(capture_path(name))
    rows: list[Any] = rows_of(timeline, "incidents")
    assert rows == []
    assert timeline.arrow["task_fates"].num_rows == 0

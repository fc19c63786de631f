"""Lives, parts, patterns and incidents: their numbers, without HTML."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analyzer.report.blocks import Shape, Stories
from analyzer.report.life_parts import parts_of
from analyzer.report.lives import MOMENTS, lives_of
from analyzer.report.page import extras
from analyzer.report.sections import incidents, latency, parts, pattern
from analyzer.report.study import Study
from tests.made import BEGIN_NS, make_timeline, null_where
from tests.report.described import with_fates, with_incident
from tests.report.test_render import HOSTILE


def sequence(count: int = 60, **columns) -> Study:
    """Reads of one sequence after another, one outstanding."""
    lba = np.arange(count, dtype=np.uint64) * 8
    return Study(
        make_timeline(
            tasks=count,
            depth=1,
            connections=1,
            lba=lba,
            direction=["read"] * count,
            operation=["READ(10)"] * count,
        )
        if not columns
        else make_timeline(
            tasks=count,
            depth=1,
            lba=lba,
            direction=["read"] * count,
            operation=["READ(10)"] * count,
            **columns,
        )
    )


# --- parts -----------------------------------------------------------------------------------------


def test_parts_add_up_to_the_latency_whatever_the_times():
    """Also where order wait and data times contradict each other."""
    random = np.random.default_rng(3)
    timeline = make_timeline(
        tasks=300,
        order_wait_ns=random.integers(0, 10**7, 300),
        command_last_ns=BEGIN_NS + random.integers(0, 10**9, 300),
    )
    study = Study(timeline)
    found = parts_of(study)
    columns = found.columns()
    assert np.array_equal(sum(columns), study.requests.latency_ns[found.task])
    assert all((column >= 0).all() for column in columns)


def test_the_parts_of_a_known_read_and_write():
    """A read: 1 us of sending, 2 of order wait, 5 of the target, 2 of answer. A write whose data took 4."""
    us = 1000
    command = BEGIN_NS + np.array([0, 100 * us])
    timeline = make_timeline(
        tasks=2,
        command_ns=command,
        command_last_ns=command + us,
        order_wait_ns=np.array([2 * us, 0]),
        direction=["read", "write"],
        first_data_ns=command + np.array([8, 3]) * us,
        last_data_ns=command + np.array([10, 7]) * us,
        response_ns=command + 10 * us,
        latency_ns=np.full(2, 10 * us),
    )
    found = parts_of(Study(timeline))
    assert [column.tolist() for column in found.columns()] == [
        [1 * us, 5 * us],
        [2 * us, 0],
        [5 * us, 5 * us],
        [2 * us, 0],
    ]


def test_bars_of_parts_end_at_the_mean_latency():
    study = Study(make_timeline(tasks=90))
    (figure,) = parts.build(study).figures()
    mean = [part.measures["latency_ns_mean"] / 1e6 for part in study.recorded.by_operation]
    assert figure.series[-1].end == pytest.approx(mean)
    assert np.array_equal(figure.series[0].x, np.zeros(2))


# --- access pattern ----------------------------------------------------------------------------------


def test_a_sequence_is_whole_as_sent_and_as_it_arrived():
    section = pattern.build(sequence())
    row = section.tables()[0].rows[0]
    assert [cell.value for cell in row[5:]] == pytest.approx([59 / 60] * 3)
    assert "98.3" in section.answer


def test_two_connections_break_a_sequence_and_command_order_mends_it():
    """Every second command arrives after its successor and the target holds that one back."""
    count = 40
    command = BEGIN_NS + np.arange(count) * 1000
    late = np.where(np.arange(count) % 2 == 0, 5000, 0)
    wait = np.where(np.arange(count) % 2 == 1, 5000, 0)
    study = sequence(
        count,
        connections=2,
        command_ns=command,
        command_last_ns=command + late,
        order_wait_ns=wait,
        response_ns=command + 50_000,
    )
    order = pattern.Orders(study, np.arange(count))
    assert order.share(order.sent) == pytest.approx(39 / 40)
    assert order.share(order.arrived) < 0.6
    assert order.share(order.delivered) > order.share(order.arrived)


def test_each_busy_logical_unit_has_a_figure():
    lun = np.where(np.arange(300) < 3, 2, np.arange(300) % 2).astype(np.uint64)
    section = pattern.build(Study(make_timeline(tasks=300, lun=lun)))
    assert [figure.name for figure in section.figures()] == ["pattern-1", "pattern-0"]
    assert len(section.tables()[0].rows) == 3


def test_without_addresses_there_is_no_pattern():
    study = Study(make_timeline(tasks=4, lba=null_where(np.zeros(4, np.uint64), np.ones(4, bool))))
    assert pattern.build(study).answer == "No command named a logical block."


# --- heat map ----------------------------------------------------------------------------------------


def test_cells_count_every_command_once():
    study = Study(make_timeline(tasks=777))
    (cells,) = latency.build(study).figures()[1].series
    assert cells.shape is Shape.HEAT
    assert cells.rank.sum() == 777
    (stratum,) = cells.hover
    assert len(set(zip(cells.x, cells.y, stratum.values, strict=True))) == len(cells.x)


def test_a_command_lies_in_its_cell():
    x, y, strata, counts = latency.heat_cells(
        np.array([0.35, 0.36, 1.0]), np.array([1.5, 1.5, 20.0]), 0.1, np.array([0, 0, 3])
    )
    assert strata.tolist() == [0, 3]
    assert counts.tolist() == [2, 1]
    assert x == pytest.approx([0.3, 1.0])
    assert (y <= [1.5, 20.0]).all()
    assert (y * 10 ** (1 / 12) > [1.5, 20.0]).all()


# --- lives -------------------------------------------------------------------------------------------


def test_a_life_has_its_moments_in_nanoseconds_after_the_command():
    study = Study(make_timeline(tasks=6, order_wait_ns=np.array([0, 0, 700, 0, 0, 0])))
    lives = lives_of(study)
    assert lives.task.tolist() == list(range(6))
    moments = dict(zip((label for label, _ in MOMENTS), lives.moments, strict=True))
    assert moments["response"].tolist() == study.requests.latency_ns.tolist()
    assert np.flatnonzero(~np.isnan(moments["let pass by command order"])).tolist() == [2]
    assert np.isnan(moments["first R2T"]).all()
    assert lives.names["status"][int(lives.facts["status"][0])] == "GOOD"


def test_the_worst_commands_always_have_a_life(monkeypatch: pytest.MonkeyPatch):
    """However few lives a page keeps, each row that can be chosen has one."""
    from analyzer.report import lives as module
    from analyzer.report.sections import worst

    monkeypatch.setattr(module, "LIMIT", 8)
    study = Study(make_timeline(tasks=400, status=np.where(np.arange(400) % 50 == 0, 2, 0).astype(np.uint8)))
    rows = worst.build(study).tables()[0].rows
    assert {int(row[0].value) for row in rows} <= set(lives_of(study).task.tolist())


def test_filters_name_what_there_is():
    study = Study(make_timeline(tasks=30, sessions=2, lun=(np.arange(30) % 2).astype(np.uint64)))
    found = extras(study)["filters"]
    assert found["session"] == [[0, "session 0"], [1, "session 1"]]
    assert found["lun"] == [[0, "0"], [1, "1"]]
    assert [name for _, name in found["operation"]] == list(study.requests.operation.names)


# --- incidents ---------------------------------------------------------------------------------------

SECOND = 1_000_000_000
RECOVERY = {
    "detected_ns": BEGIN_NS + 4 * SECOND,
    "hold_from_ns": BEGIN_NS + 4 * SECOND,
    "hold_to_ns": BEGIN_NS + 9 * SECOND,
    "hold_timer": "recovery-timer",
    "hold_setting_s": 5.0,
    "first_retry_ns": BEGIN_NS + 9 * SECOND,
    "last_completion_ns": BEGIN_NS + 10 * SECOND,
    "stall_ns": 9 * SECOND,
}


def test_an_incident_is_cut_into_detection_timer_and_retry():
    """Three seconds unnoticed, five held by the recovery timer, one until the last completed."""
    timeline = with_incident(make_timeline(tasks=9), failed=SECOND, ended=12 * SECOND, **RECOVERY)
    section = incidents.build(Study(timeline))
    (stories,) = [block for block in section.blocks if isinstance(block, Stories)]
    (story,) = stories.stories
    assert [one.label for one in story.stretches] == [
        "unnoticed",
        "held by recovery timer of 5 s",
        "sent again",
    ]
    assert [one.share for one in story.stretches] == pytest.approx([3 / 9, 5 / 9, 1 / 9])
    (mark,) = incidents.marks_of(Study(timeline))
    assert (mark["from"], mark["to"], mark["index"]) == (1.0, 12.0, story.incident)
    assert "8 sent again on another path" in story.remarks[0]
    assert "1 lost connection." in section.answer


def test_the_marks_of_incidents_name_the_commands_that_they_held(monkeypatch: pytest.MonkeyPatch):
    """The longest first, whichever began first; of many commands the first, and how many there are."""
    monkeypatch.setattr(incidents, "HELD_MARKED", 2)
    timeline = with_incident(make_timeline(tasks=9), failed=0, ended=SECOND)
    timeline = with_incident(timeline, failed=SECOND, ended=12 * SECOND, **RECOVERY)
    timeline = with_fates(timeline, [(1, 4), (1, 5), (1, 6), (0, 2)])
    marks = incidents.marks_of(Study(timeline))
    assert [(mark["index"], mark["held"], mark["tasks"]) for mark in marks] == [(1, 3, [4, 5]), (0, 1, [2])]
    rows = incidents.build(Study(timeline)).tables()[0].row_keys
    assert [keys["incident"] for keys in rows] == [0, 1]


def test_the_longest_incidents_are_told_in_order_of_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(incidents, "TOLD", 2)
    timeline = make_timeline(tasks=9)
    for begin, length in ((1, 5), (20, 1), (30, 9)):
        timeline = with_incident(timeline, failed=begin * SECOND, ended=(begin + length) * SECOND)
    section = incidents.build(Study(timeline))
    assert [story.title[-8:] for story in section.blocks[0].stories] == [" 1.000 s", "30.000 s"]
    assert len(section.tables()[0].rows) == 3


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", json.dumps([{"at_ns": "x"}]), HOSTILE])
def test_steps_from_anywhere_do_no_harm(text: str):
    timeline = with_incident(
        make_timeline(tasks=2), failed=0, ended=5, steps=text, neighbours=text, summary=HOSTILE
    )
    section = incidents.build(Study(timeline))
    assert section.blocks[0].stories[0].steps == ()
    assert "\x00" not in section.blocks[0].stories[0].summary


def test_an_incident_without_any_length_has_no_stretches():
    timeline = with_incident(make_timeline(tasks=2), failed=5, ended=5)
    assert incidents.build(Study(timeline)).blocks[0].stories[0].stretches == ()

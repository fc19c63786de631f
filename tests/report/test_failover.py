"""Failovers recorded and replayed, in one picture and one table, counted from the failure."""

from __future__ import annotations

import pytest

import analyzer
from analyzer.report.blocks import Section
from analyzer.report.sections.failover import build
from analyzer.report.study import Study
from analyzer.tables.folder import Outcome, Timeline
from tests.made import make_outcome, make_timeline
from tests.real import capture_path
from tests.report.described import with_incident
from tests.report.test_depth import RECOVERY, SECOND


def failed(**columns) -> Timeline:
    """A link lost at 1 s: noticed after 3 s, held 5 s, the last command completed after 9 s."""
    return with_incident(make_timeline(tasks=9), failed=SECOND, ended=12 * SECOND, **{**RECOVERY, **columns})


def replayed(timeline: Timeline, label: str, **columns) -> Outcome:
    """An outcome whose incidents have the shape of a recording's."""
    outcome = make_outcome(timeline, label)
    outcome.arrow["incidents"] = failed(**columns).arrow["incidents"]
    return outcome


def cells(section: Section, heading: str) -> list[str]:
    (table,) = section.tables()
    place = [one.label for one in table.headings].index(heading)
    return [row[place].text.replace("\u202f", " ") for row in table.rows]


def test_recorded_and_replayed_stand_side_by_side():
    timeline = failed()
    shorter = {"hold_to_ns": RECOVERY["hold_from_ns"], "stall_ns": 4 * SECOND, "hold_setting_s": None}
    study = Study(timeline, (replayed(timeline, "mcs:2/round-robin", **shorter),))
    section = build(study)
    assert cells(section, "Failover") == ["recorded at 1.000 s", "mcs:2/round-robin"]
    assert cells(section, "Noticed after") == ["3 s", "3 s"]
    assert cells(section, "Held for") == ["5 s", "0 ns"]
    assert cells(section, "Last completed") == ["9 s", "9 s"]
    assert cells(section, "Slowest command") == ["9 s", "4 s"]
    (figure,) = section.figures()
    assert [label for _, label in figure.y.ticks] == ["recorded at 1.000 s", "mcs:2/round-robin"]
    held = next(series for series in figure.series if series.name == "held by a timer")
    assert (held.x.tolist(), held.end.tolist()) == ([3.0], [8.0])
    assert "mcs:2/round-robin holds commands shortest, 4" in section.answer
    assert section.tables()[0].note == ""


def test_without_a_replayed_failure_it_is_said_how_to_get_one():
    timeline = failed()
    section = build(Study(timeline, (make_outcome(timeline),)))
    assert "no replay holds a failure" in section.answer
    assert "--fault" in section.tables()[0].note


def test_without_any_failure_there_is_a_sentence_only():
    section = build(Study(make_timeline(tasks=9)))
    assert section.blocks == ()
    assert "--fault" in section.answer


def test_a_dead_link_under_multipath_is_mostly_its_recovery_timer():
    """Link 1 goes down under dm-multipath: 3 s until noticed, 5.2 s held, 0.2 s until all is done."""
    study = Study(
        analyzer.analyze(capture_path("fo-linkdown-st.link1"), capture_path("fo-linkdown-st.link2"))
    )
    section = build(study)
    assert "recovery timer of 5 s" in section.answer
    ends = {series.name: series.end[0] for series in section.figures()[0].series}
    assert ends["not yet noticed"] == pytest.approx(3.0, abs=0.1)
    assert ends["held by a timer"] == pytest.approx(8.24, abs=0.1)
    assert ends["sent again"] == pytest.approx(8.46, abs=0.1)

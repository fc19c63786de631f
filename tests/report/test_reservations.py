"""The section on reservations: the history of a real capture, and what foreign details cannot break."""

from __future__ import annotations

import json

import pytest

import analyzer
from analyzer.report.blocks import Section
from analyzer.report.sections.reservations import LISTED, build, history, holdings
from analyzer.report.study import Study
from tests.made import BEGIN_NS, make_timeline
from tests.real import capture_path
from tests.report.described import with_events


@pytest.fixture(scope="module")
def study() -> Study:
    """Two sessions of one initiator that reserve, refuse and preempt each other with sg_persist."""
    return Study(analyzer.analyze(capture_path("pr.link1"), capture_path("pr.link2")))


@pytest.fixture(scope="module")
def section(study: Study) -> Section:
    return build(study)


def column(section: Section, table: str, heading: str) -> list[str]:
    found = next(one for one in section.tables() if one.name == table)
    place = [one.label for one in found.headings].index(heading)
    return [row[place].text for row in found.rows]


def test_every_step_is_told_with_key_and_holder(section: Section):
    assert column(section, "reservations", "Command") == [
        "PR OUT REGISTER",
        "PR OUT REGISTER",
        "PR OUT RESERVE",
        "PR OUT RESERVE",
        "PR OUT PREEMPT",
        "PR OUT REGISTER",
        "PR OUT PREEMPT AND ABORT",
        "PR OUT RELEASE",
        "PR OUT CLEAR",
    ]
    assert column(section, "reservations", "Held now by")[2] == "session 0, Write Exclusive"
    assert column(section, "reservations", "Came of it")[3] == "refused"
    assert column(section, "reservations", "Service action key")[0] == "000000000000abc1"
    assert column(section, "reservations", "Key")[0] == "–"  # noqa: RUF001  it had none yet


def test_holders_follow_one_another(study: Study):
    """Session 0 reserves, 1 preempts it, 0 preempts and aborts, and releases at last."""
    found = holdings(history(study))
    assert [(one.session, one.type) for one in found] == [
        (0, "Write Exclusive"),
        (1, "Write Exclusive"),
        (0, "Exclusive Access"),
    ]
    assert found[0].end_ns == found[1].begin_ns
    assert not any(one.is_left for one in found)


def test_conflicts_and_attentions_have_their_causes(section: Section):
    assert column(section, "reservation-conflicts", "Commands") == ["1"]
    assert column(section, "reservation-conflicts", "Holder") == ["0"]
    causes = column(section, "unit-attentions", "Most likely cause")
    assert causes == [
        "not in this capture",
        "PERSISTENT RESERVE OUT PREEMPT",
        "PERSISTENT RESERVE OUT PREEMPT AND ABORT",
    ]
    assert "3 unit attentions told of changes, 2 with" in section.answer


def test_nothing_reserved_is_said():
    section = build(Study(make_timeline(tasks=5)))
    assert section.blocks == ()
    assert section.answer.startswith("Nobody:")


def test_a_reservation_that_is_never_given_up_lasts_to_the_end():
    detail = {"operation": "RESERVE(6)", "lun": 1, "holder_session_index": 0}
    event = {"kind": "reservation", "at_ns": BEGIN_NS, "session_index": 0, "detail": json.dumps(detail)}
    study = Study(with_events(make_timeline(tasks=5), [event]))
    (held,) = holdings(history(study))
    assert held.type == "RESERVE"
    assert held.is_left
    assert held.end_ns == study.recorded.end_ns


@pytest.mark.parametrize(
    "detail", ["[", "[]", "{}", '{"lun": -1}', '{"lun": "1"}', '{"lun": 1, "asc": "x", "holder_type": 4}']
)
def test_details_from_anywhere_do_no_harm(detail: str):
    kinds = ("reservation", "reservation-conflict", "unit-attention")
    events = [{"kind": kind, "detail": detail, "session_index": place} for kind in kinds for place in (0, 99)]
    section = build(Study(with_events(make_timeline(tasks=5), events)))
    assert section.answer.endswith(".")


def test_long_histories_are_cut_and_said():
    detail = json.dumps({"operation": "RESERVE(6)", "lun": 1, "holder_session_index": 0})
    events = [{"kind": "reservation", "session_index": 0, "detail": detail}] * (LISTED + 5)
    section = build(Study(with_events(make_timeline(tasks=5), events)))
    (table,) = section.tables()
    assert len(table.rows) == LISTED
    assert "5 more" in table.note

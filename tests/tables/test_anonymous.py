"""Nothing private is left, nothing else is changed, and like stays like."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.tables.anonymous import MARK, Disguise
from analyzer.tables.folder import Timeline
from analyzer.tables.timeline_tables import SESSIONS
from tests.commands.run import run
from tests.made import make_outcome, make_timeline
from tests.real import capture_path
from tests.report.described import with_column, with_diagnostics, with_events, with_incident

SECRETS = ("iqn.2026-11.example", "host7", "10.0.", "made.pcapng", "customer", "0a000001c0ffee", "rack 12")


def private() -> Timeline:
    """Names in every place that may hold one."""
    timeline = make_timeline(tasks=20, sessions=2, initiator_name="iqn.2026-11.example.initiator:host7")
    detail = {
        "InitiatorAlias": "host7",
        "asked": "iqn.2026-11.example.other:disk, 10.0.99.1 and [fe80::10]",
        "nested": ["iqn.2026-11.example.initiator:host7"],
    }
    reserved = {"key": "0" * 16, "service_action_key": "000a000001c0ffee"}
    events = [("login", detail), ("reservation", reserved)]
    timeline = with_events(timeline, [{"kind": kind, "detail": json.dumps(told)} for kind, told in events])
    parameters = {
        "TargetAlias": {"value": "host7's disk", "origin": "declared"},
        "X-com.example.place": {"value": "rack 12", "origin": "declared"},
        "MaxConnections": {"value": "2", "origin": "negotiated"},
    }
    timeline = with_column(timeline, SESSIONS, "parameters", [json.dumps(parameters)] * 2)
    timeline = with_diagnostics(timeline, [{"detail": "made.pcapng: 10.0.1.2:3260 sent nonsense"}])
    timeline = with_incident(timeline, failed=1, ended=2, detail="10.0.0.1 fell silent")
    timeline.manifest["provenance"] = {"arguments": ["analyze", "/customer/made.pcapng", "--port", "3260"]}
    return timeline


def everything(timeline: Timeline) -> str:
    tables = {name: table.to_pylist() for name, table in timeline.arrow.items()}
    return json.dumps([tables, timeline.manifest], default=str)


def test_nothing_private_is_left():
    hidden = everything(Disguise([private()]).disguised(private()))
    assert not [secret for secret in SECRETS if secret in hidden]
    assert "fe80::10" not in hidden


def test_like_stays_like_and_all_else_stays_as_it_was():
    timeline = private()
    hidden = Disguise([timeline]).disguised(timeline)
    assert hidden.manifest[MARK] is True
    assert set(hidden.sessions["initiator_name"]) == {"initiator-1"}
    assert set(hidden.sessions["target_name"]) == {"target-1"}
    assert (
        hidden.connections["initiator_address"].nunique()
        == timeline.connections["initiator_address"].nunique()
    )
    assert hidden.arrow["tasks"].equals(timeline.arrow["tasks"])
    assert hidden.arrow["pdus"].equals(timeline.arrow["pdus"])
    address = hidden.connections["target_address"][1]
    assert f"{address}:3260 sent nonsense" in hidden.diagnostics["detail"][0]
    assert json.loads(hidden.events["detail"][0])["nested"] == ["initiator-1"]
    assert json.loads(hidden.events["detail"][1]) == {"key": "0" * 16, "service_action_key": f"{1:016x}"}
    parameters = json.loads(hidden.sessions["parameters"][0])
    assert parameters["TargetAlias"] == {"value": "alias-1", "origin": "declared"}
    assert parameters["MaxConnections"] == {"value": "2", "origin": "negotiated"}
    assert hidden.captures["name"][0] == "capture-1.pcapng"


def test_studies_of_one_page_share_their_names():
    one, two = private(), private()
    disguise = Disguise([one, two])
    assert everything(disguise.disguised(one)) == everything(disguise.disguised(two))


def test_an_outcome_is_disguised_with_its_timeline():
    timeline = private()
    outcome = make_outcome(timeline)
    outcome.manifest["assumptions"] = ["iqn.2026-11.example.initiator:host7 has two links."]
    _, (hidden,) = Disguise([timeline]).study(timeline, [outcome])
    assert hidden.manifest["assumptions"] == ["initiator-1 has two links."]
    assert hidden.label == outcome.label


def test_disguising_twice_changes_nothing_more():
    once = Disguise([private()]).disguised(private())
    assert everything(Disguise([once]).disguised(once)).count("initiator-1") == everything(once).count(
        "initiator-1"
    )


@given(st.text())
def test_any_text_can_be_disguised(text: str):
    """Invariant: no text raises, JSON stays JSON."""
    hidden = Disguise([]).text(text)
    try:
        value = json.loads(text)
    except ValueError:
        return
    if isinstance(value, (dict, list)):
        json.loads(hidden)


def test_a_real_capture_leaves_no_name_in_report_and_export(tmp_path: Path):
    """The page and the tables of a real recording, searched for what its peers are called."""
    capture = capture_path("mcs-2conn-rr-tgt")
    timeline = analyzer.analyze(capture)
    names = {*timeline.sessions["initiator_name"], *timeline.sessions["target_name"]}
    names |= {
        *timeline.connections["initiator_address"],
        *timeline.connections["target_address"],
        "mcs-2conn",
    }
    source = timeline.write(tmp_path / "timeline")
    done = run(["export", source, "--format", "csv", "--anonymize", "-o", tmp_path / "out"])
    assert done.returncode == 0, done.stderr
    texts = [path.read_text() for path in (tmp_path / "out").iterdir()]
    done = run(["report", source, "--anonymize", "--no-claims", "-o", tmp_path / "page.html"])
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    texts.append(page)
    for text in texts:
        assert not [name for name in names if name in text]
    assert "initiator-1" in page

"""The numbers of each section, on plain data, without HTML."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.replay.run import replay_all
from analyzer.report.blocks import AxisKind, Lines, Multiples, Section, Shape, Topology
from analyzer.report.page import sections
from analyzer.report.sections import (
    SECTIONS,
    claims,
    commands,
    events,
    latency,
    load,
    order,
    topology,
    verdict,
    worst,
)
from analyzer.report.study import Study
from analyzer.report.words import MISSING, NARROW_SPACE, between
from analyzer.tables.timeline_tables import PDUS
from tests.made import BEGIN_NS, make_outcome, make_timeline, null_where
from tests.real import capture_path
from tests.report.described import with_column, with_diagnostics, with_events, with_incident


def study_of(**options) -> Study:
    return Study(make_timeline(**options))


@pytest.mark.parametrize("build", SECTIONS, ids=lambda build: build.__module__.rsplit(".", 1)[-1])
@pytest.mark.parametrize("tasks", [0, 1, 60])
@pytest.mark.parametrize("is_replayed", [False, True])
def test_every_section_of_any_size_is_sound(build, tasks: int, is_replayed: bool):
    """The test of all sections: a sentence for an answer, columns of one length, words for every plot."""
    timeline = make_timeline(tasks=tasks)
    outcomes = (
        (make_outcome(timeline, "as-recorded"), make_outcome(timeline)) if is_replayed and tasks else ()
    )
    section = build(Study(timeline, outcomes))
    if section is None:
        assert not outcomes or build is claims.build
        return
    assert section.question.endswith("?")
    assert section.answer.endswith(".")
    assert not section.answer[0].islower()
    for figure in section.figures():
        assert figure.title
        assert figure.description.endswith(".")
        assert figure.x.title
        assert figure.y.title
        for series in figure.series:
            columns = [series.x, series.y, series.end, series.rank, *(hover.values for hover in series.hover)]
            assert {len(column) for column in columns if column is not None} == {len(series.x)}
            assert np.isfinite(series.x).all()
            assert np.isfinite(series.y).all()
            assert (series.end is None) == (series.shape not in (Shape.BARS, Shape.SPANS, Shape.BAND))
            for hover in series.hover:
                assert not hover.names or (hover.values < len(hover.names)).all()
    for table in section.tables():
        assert all(len(row) == len(table.headings) for row in table.rows)


def test_sections_have_names_of_their_own():
    """Names are anchors: no two sections, no two figures and no two tables share one."""
    timeline = make_timeline(tasks=30, sessions=3)
    built = sections(Study(timeline, (make_outcome(timeline, "as-recorded"), make_outcome(timeline))))
    for names in (
        [section.name for section in built],
        [figure.name for section in built for figure in section.figures()],
        [table.name for section in built for table in section.tables()],
    ):
        assert len(names) == len(set(names))


def test_every_plot_over_time_shares_one_axis():
    timeline = make_timeline(tasks=30, sessions=2)
    built = sections(Study(timeline, (make_outcome(timeline),)))
    ranges = {
        figure.x.range
        for section in built
        for figure in section.figures()
        if figure.x.kind is AxisKind.CAPTURE_TIME
    }
    assert len(ranges) == 1


def lines_of(section: Section) -> dict[str, str]:
    return {line.label: line.text for line in section.blocks[0].lines}


def test_the_verdict_is_five_lines():
    study = study_of(order_wait_ns=np.where(np.arange(200) < 30, 5_000_000, 0))
    section = verdict.build(study)
    assert isinstance(section.blocks[0], Lines)
    said = lines_of(section)
    assert list(said) == ["Workload", "Order", "Trouble", "Trust", "What if"]
    assert "30 of 200 commands (15" in said["Order"]
    assert "No replay was asked for" in said["What if"]


def test_the_verdict_counts_trouble():
    timeline = with_events(
        make_timeline(),
        [{"kind": "connection-lost"}] + [{"kind": "task-reassigned"}] * 3 + [{"kind": "login"}] * 5,
    )
    said = lines_of(verdict.build(Study(timeline)))
    assert said["Trouble"].startswith("1 lost connection and 3 reassigned commands.")


def test_the_verdict_tells_the_longest_stall_and_what_held_it():
    recovery = {
        "detected_ns": BEGIN_NS + 3_000_000_000,
        "hold_from_ns": BEGIN_NS + 3_000_000_000,
        "hold_to_ns": BEGIN_NS + 8_000_000_000,
        "hold_timer": "recovery-timer",
        "hold_setting_s": 5.0,
        "last_completion_ns": BEGIN_NS + 8_200_000_000,
        "stall_ns": 8_200_000_000,
    }
    timeline = with_incident(make_timeline(), failed=0, ended=9_000_000_000, **recovery)
    said = lines_of(verdict.build(Study(timeline)))["Trouble"].replace("\u202f", " ")
    assert "8 commands took up to 8.2 s: 3 s unnoticed, 5 s held by recovery timer of 5 s and 200 ms" in said


def test_the_verdict_compares_with_the_baseline():
    timeline = make_timeline()
    outcomes = (make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=2.0))
    said = lines_of(verdict.build(Study(timeline, outcomes)))
    assert said["What if"].startswith("Of what was tried, mcs:2/round-robin does best: ")
    assert "reproduces the recording well" in said["Trust"]


def test_bars_stand_where_the_commands_were():
    """Each task is one bar from its command to its end, in seconds, on its connection's rows."""
    study = study_of(tasks=40)
    (figure,) = commands.build(study).figures()
    bars = [series for series in figure.series if series.shape is Shape.BARS]
    assert [series.name for series in bars] == ["reads", "writes"]
    starts = np.sort(np.concatenate([series.x for series in bars]))
    expected = np.sort((study.timeline.values("tasks", "command_ns") - BEGIN_NS) / 1e9)
    assert np.array_equal(starts, expected)
    ends = np.sort(np.concatenate([series.end for series in bars]))
    assert np.array_equal(ends, np.sort((study.timeline.values("tasks", "response_ns") - BEGIN_NS) / 1e9))


def test_lanes_never_overlap():
    """No two commands share a row at one time, and no row belongs to two connections."""
    study = study_of(tasks=400, connections=3, depth=20)
    rows, ticks, total = commands.lanes(study)
    assert [label for _, label in ticks] == ["S0 CID 2", "S0 CID 1", "S0 CID 0"]
    assert rows.max() < total
    begin, end = study.requests.ready_ns, study.timeline.values("tasks", "ended_ns")
    for row in np.unique(rows):
        mine = np.flatnonzero(rows == row)
        assert len(np.unique(study.requests.path[mine])) == 1
        mine = mine[np.argsort(begin[mine])]
        assert (begin[mine][1:] >= end[mine][:-1]).all()


def test_waits_for_order_are_drawn_from_arrival_to_release():
    study = study_of(tasks=6, order_wait_ns=np.array([0, 0, 250_000, 0, 0, 0]))
    (figure,) = commands.build(study).figures()
    (waits,) = [series for series in figure.series if series.shape is Shape.SPANS]
    assert waits.end - waits.x == pytest.approx(250e-6)


def test_a_large_trace_keeps_its_slowest_command_and_says_what_it_left_out(monkeypatch):
    monkeypatch.setattr(commands, "LIMIT", 100)
    monkeypatch.setattr(latency, "LIMIT", 100)
    study = study_of(tasks=1000)
    slowest = int(np.argmax(study.requests.latency_ns))
    (figure,) = commands.build(study).figures()
    drawn = np.concatenate([series.hover[0].values for series in figure.series if series.shape is Shape.BARS])
    assert len(drawn) == 100
    assert slowest in drawn
    assert "Of 1,000 commands the page holds 100" in figure.note
    cloud = latency.build(study).figures()[2]
    assert max(series.y.max() for series in cloud.series) == study.requests.latency_ns.max() / 1e6
    assert "100 of 1,000 commands are kept" in cloud.note


def test_the_window_is_the_serial_maximum():
    """Stale values that arrive late on another connection do not pull the window back; numbers wrap."""
    wrap = 1 << 32
    timeline = make_timeline(tasks=4)
    from_target = timeline.values("pdus", "from_target")
    place = np.cumsum(from_target) - 1
    exp = np.array([wrap - 2, wrap - 3, 1, 0], np.uint64)[place.clip(0)]
    timeline = with_column(timeline, PDUS, "exp_cmd_sn", null_where(exp.astype(np.uint32), ~from_target))
    timeline = with_column(
        timeline, PDUS, "max_cmd_sn", null_where(((exp + 63) % wrap).astype(np.uint32), ~from_target)
    )
    numbers = order.ladder(Study(timeline), 0)
    assert numbers.window_exp.tolist() == [wrap - 2, wrap + 1, wrap + 1]
    assert (numbers.window_max - numbers.window_exp + 1).tolist() == [64, 64, 64]


def test_a_window_that_the_rfc_has_ignored_is_ignored():
    """MaxCmdSN below ExpCmdSN - 1 (RFC 7143 section 4.2.2.1)."""
    timeline = make_timeline(tasks=3)
    from_target = timeline.values("pdus", "from_target")
    place = (np.cumsum(from_target) - 1).clip(0)
    top = np.array([100, 0, 101], np.uint32)[place]
    timeline = with_column(timeline, PDUS, "max_cmd_sn", null_where(top, ~from_target))
    assert order.ladder(Study(timeline), 0).window_max.max() == 101
    assert (np.diff(order.ladder(Study(timeline), 0).window_max) >= 0).all()


def test_numbers_across_the_wrap_climb_on():
    """CmdSN 2**32 - 1 is followed by 0: the ladder goes on upwards, waits included."""
    count = 6
    cmd_sn = ((1 << 32) - 3 + np.arange(count)) % (1 << 32)
    wait = np.array([0, 0, 0, 0, 9000, 0])
    study = study_of(tasks=count, connections=1, depth=1, cmd_sn=cmd_sn.astype(np.uint32), order_wait_ns=wait)
    assert np.diff(order.ladder(study, 0).sent_cmd_sn).tolist() == [1] * (count - 1)
    figure = order.build(study).figures()[0]
    (waits,) = [series for series in figure.series if series.shape is Shape.SPANS]
    assert waits.y.tolist() == [(1 << 32) + 1]


def test_percentiles_of_the_table_are_those_of_the_tasks():
    study = study_of(tasks=999)
    table = latency.build(study).tables()[0]
    reads = table.rows[0]
    assert reads[0].text == "READ(10)"
    mine = study.timeline.values("tasks", "latency_ns")[study.timeline.values("tasks", "direction") == "read"]
    assert reads[5].value == np.sort(mine)[(len(mine) + 1) // 2 - 1]
    assert reads[9].value == mine.max()


def test_the_distribution_ends_at_the_slowest():
    curve = latency.distribution("all", "ink", np.arange(1, 100_001) * 1000)
    assert len(curve.x) <= 400
    assert curve.x[-1] == 100
    assert curve.y[-1] == 100
    assert curve.y[np.searchsorted(curve.x, 50.0)] == pytest.approx(50, abs=0.5)


def test_outstanding_steps_of_three_commands():
    """Two overlap, a third begins the moment the first ends: two in flight, not three."""
    times, level = load.outstanding_steps(np.array([0, 5, 10]), np.array([10, 20, 30]))
    assert times.tolist() == [0, 5, 10, 20, 30]
    assert level.tolist() == [1, 2, 2, 1, 0]


def test_throughput_adds_up_to_the_bytes_moved():
    study = study_of(tasks=500)
    throughput = load.build(study).figures()[1]
    moved = 0.0
    for series in throughput.series:
        moved += float((np.diff(series.x) * series.y[:-1]).sum())
    assert moved * 1e6 == pytest.approx(study.timeline.values("tasks", "transferred_bytes").sum())


def test_rare_events_are_listed_however_many_frequent_ones_there_are():
    kinds = np.array(["unit-attention"] * 5000 + ["connection-lost"] * 2 + ["login"] * 300)
    chosen = events.chosen_events(kinds, 400)
    listed = kinds[chosen]
    assert len(chosen) <= 400
    assert (listed == "connection-lost").sum() == 2
    assert (listed == "unit-attention").sum() > 100


def test_events_say_where_and_when():
    timeline = with_events(
        make_timeline(),
        [{"kind": "connection-lost", "at_ns": BEGIN_NS + 2_500_000, "connection_index": 1, "packet": 7}],
    )
    (table,) = events.build(Study(timeline)).tables()
    assert [cell.text for cell in table.rows[0][:5]] == ["0.002500", "connection-lost", "S0 CID 1", "", "7"]


def test_unhappy_commands_come_before_the_slowest():
    count = 80
    status = np.zeros(count, np.uint8)
    status[11] = 2
    timeline = make_timeline(
        tasks=count, status=status, end=["aborted" if i == 40 else "responded" for i in range(count)]
    )
    chosen, unhappy = worst.worst_tasks(Study(timeline))
    assert unhappy == 2
    assert set(chosen[:2].tolist()) == {11, 40}
    slowest = int(np.argmax(timeline.values("tasks", "latency_ns")))
    assert slowest in chosen[:4]
    (table,) = worst.build(Study(timeline)).tables()
    assert {row[4].text for row in table.rows[:2]} == {"CHECK CONDITION", "aborted"}


@pytest.mark.parametrize(
    ("lun", "text"),
    [
        (0, "0"),
        (0x0001 << 48, "1"),
        (0x4100 << 48, "256"),
        (0xC101_0000_0000_0000, "0xc101000000000000"),
    ],
)
def test_logical_units_are_numbered_as_people_do(lun: int, text: str):
    timeline = make_timeline(tasks=1, lun=np.array([lun], np.uint64))
    (table,) = worst.build(Study(timeline)).tables()
    assert table.rows[0][6].text == text


def test_the_topology_shares_add_up():
    section = topology.build(study_of(tasks=90, sessions=3, connections=1))
    (picture,) = [block for block in section.blocks if isinstance(block, Topology)]
    assert [nexus.name for nexus in picture.nexuses] == ["Session 0", "Session 1", "Session 2"]
    assert sum(link.share for nexus in picture.nexuses for link in nexus.links) == pytest.approx(1)
    assert "3 sessions, 3 connections to 3 portals and 1 logical unit" in section.answer


def test_the_topology_ends_at_the_logical_units():
    """Each session with those it had commands for, the busiest first; a long list ends in a number."""
    lun = np.where(np.arange(90) % 3 == 0, 5 << 48, 0).astype(np.uint64)
    (picture, _) = topology.build(study_of(tasks=90, lun=lun)).blocks
    assert picture.nexuses[0].units == ("LUN 0: 60 commands", "LUN 5: 30 commands")
    many = (np.arange(90, dtype=np.uint64) % np.uint64(30)) << np.uint64(48)
    (picture, _) = topology.build(study_of(tasks=90, lun=many)).blocks
    assert len(picture.nexuses[0].units) == 13
    assert picture.nexuses[0].units[-1] == "18 more"


def test_diagnostics_stand_gravest_first():
    timeline = with_diagnostics(
        make_timeline(),
        [{"severity": "info", "code": "a"}, {"severity": "error", "code": "b"}, {"severity": "warning"}],
    )
    built = {section.name: section for section in sections(Study(timeline))}
    rows = built["diagnostics"].tables()[0].rows
    assert [row[0].text for row in rows] == ["error", "warning", "info"]
    assert "1 diagnostic of severity error" in built["diagnostics"].answer


def test_the_comparison_shows_every_outcome_beside_the_recording():
    timeline = make_timeline()
    outcomes = (make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=2.0))
    built = {section.name: section for section in sections(Study(timeline, outcomes))}
    (multiples,) = [block for block in built["comparison"].blocks if isinstance(block, Multiples)]
    assert multiples.labels == ("recording", "as-recorded", "mcs:2/round-robin")
    median = next(chart for chart in multiples.charts if chart.title == "Median latency")
    assert median.values[2] == pytest.approx(median.values[0] / 2, rel=1e-3)
    assert median.tones == ("", "", "good")
    assert built["validity"].answer.startswith("The model reproduces the recording well")


def test_the_comparison_shows_intervals_where_replays_were_repeated():
    """As error bars, in the tables, and in words; a count without chance has none."""
    timeline = analyzer.analyze(capture_path("mcs-2conn-rr-tgt"))
    study = Study(timeline, tuple(replay_all(timeline, ["as-recorded", "mcs:2/least-queue-depth"])))
    section = next(one for one in sections(study) if one.name == "comparison")
    (multiples,) = [block for block in section.blocks if isinstance(block, Multiples)]
    chart = next(chart for chart in multiples.charts if chart.title == "Commands per second")
    low, high = chart.intervals[2]
    assert low < chart.values[2] < high <= chart.largest
    assert chart.intervals[0] is None, "the recording is as it is"
    tables = {table.name: table for table in section.tables()}
    replayed = tables["replays"].rows[1]
    assert replayed[1].text.endswith(f"({between((low, high), 'requests/s')})")
    assert " to " in replayed[2].text
    assert study.comparison.meaning == tables["replays"].note
    requests = tables["comparison"].rows[0]
    assert "(" not in requests[2].text
    assert any(line.text == study.comparison.meaning for line in section.blocks[0].lines)


def test_a_policy_within_the_models_own_error_is_not_told_apart():
    """The baseline errs by 5 %; a policy 3 % from it is no finding, one 30 % from it is."""
    timeline = make_timeline(tasks=300, service_ns=50_000_000)
    outcomes = (
        make_outcome(timeline, "as-recorded", faster=1.05),
        make_outcome(timeline, "mcs:2/near", faster=1.08),
        make_outcome(timeline, "mcs:2/far", faster=1.5),
    )
    study = Study(timeline, outcomes)
    assert not study.is_apart("latency_ns_p50", 0)
    assert not study.is_apart("latency_ns_p50", 1)
    assert study.is_apart("latency_ns_p50", 2)
    said = lines_of(verdict.build(study))["What if"]
    assert said.startswith("Of what was tried, mcs:2/far does best: ")
    alike = lines_of(verdict.build(Study(timeline, outcomes[:2])))["What if"]
    assert alike.startswith("Nothing that was tried can be told apart from as-recorded")


def test_a_wait_of_nanoseconds_is_nobodys_concern():
    """Half a microsecond of order wait against none is a large ratio and no difference."""
    timeline = make_timeline(tasks=50, service_ns=8000)
    outcomes = (make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=8.0))
    assert not Study(timeline, outcomes).is_apart("order_wait_ns_mean", 1)


def test_calibrated_values_say_what_they_rest_on():
    timeline = make_timeline(tasks=20)
    outcome = make_outcome(timeline, "as-recorded")
    outcome.manifest["calibration"] = [
        {
            "name": "round trip",
            "value": 8700,
            "unit": "ns",
            "rests_on": "handshake",
            "low": 8000.0,
            "high": 9000,
            "confidence": "high",
        },
        {"name": "window", "value": 64, "unit": "commands", "rests_on": "responses"},
        {"name": "rate", "value": None, "unit": "bit/s", "rests_on": "not shown"},
        {"name": "recorded at", "value": "target", "unit": "", "rests_on": "handshake", "confidence": "low"},
    ]
    built = {section.name: section for section in sections(Study(timeline, (outcome,)))}
    rows = built["validity"].tables()[1].rows
    assert [row[1].text.replace(NARROW_SPACE, " ") for row in rows] == [
        "8.7 µs",
        "64 commands",
        MISSING,
        "target",
    ]
    shown = [cell.text.replace(NARROW_SPACE, " ") for cell in rows[0][2:]]
    assert shown == ["8 µs to 9 µs", "high", "handshake"]
    assert (rows[0][3].tone, rows[3][3].tone) == ("good", "bad")
    assert rows[1][2].text == MISSING


def test_a_command_answered_elsewhere_is_marked():
    answering = np.arange(8) % 2
    answering[5] = 0
    study = study_of(tasks=8, response_connection_index=answering)
    (figure,) = commands.build(study).figures()
    (mark,) = [series for series in figure.series if series.name == "answered on another connection"]
    assert mark.hover[0].values.tolist() == [5]
    assert mark.hover[1].names[int(mark.hover[1].values[0])] == "S0 CID 0"


def test_the_longest_pause_of_a_replay_is_in_its_curve():
    """The level stretch of a stall is drawn from end to end, whatever is thinned."""
    count = 3000
    at = np.arange(count) * 1_000_000
    at[1700:] += 5_000_000_000
    timeline = make_timeline(
        tasks=count,
        command_ns=BEGIN_NS + at,
        response_ns=BEGIN_NS + at + 500_000,
        latency_ns=np.full(count, 500_000),
        ended_ns=BEGIN_NS + at + 500_000,
    )
    built = {section.name: section for section in sections(Study(timeline, (make_outcome(timeline),)))}
    progress = built["comparison"].figures()[1]
    for series in progress.series:
        assert np.diff(series.x).max() == pytest.approx(5.001, abs=1e-6)
        assert len(series.x) < 600


def test_times_keep_their_nanoseconds():
    """Seconds since the start are exact enough to tell neighbouring nanoseconds apart after a day."""
    study = study_of(tasks=1)
    day = 86_400_000_000_000
    times = study.seconds(np.array([BEGIN_NS + day, BEGIN_NS + day + 1]))
    assert np.round(np.diff(times) * 1e9).tolist() == [1.0]

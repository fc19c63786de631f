"""The claims on recordings whose verdict an expert would sign, each with its numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

import analyzer
from analyzer.comparison.claims import bystanders, failover, ordering, sequence, throughput
from analyzer.comparison.claims import trial as trials
from analyzer.comparison.claims.catalogue import CLAIMS, DOUBTFUL, try_claim, try_claims
from analyzer.comparison.claims.delivery import overtaken
from analyzer.comparison.claims.interface import Finding, Verdict
from analyzer.comparison.claims.trial import Delivered, Experiment, Trial
from analyzer.tables.folder import Timeline
from tests.made import BEGIN_NS, make_timeline, null_where
from tests.real import capture_path
from tests.report.described import with_events


def by_number(timeline: Timeline) -> dict[int, Finding]:
    return {finding.claim.number: finding for finding in try_claims(timeline)}


@pytest.fixture(scope="module")
def round_robin() -> dict[int, Finding]:
    return by_number(analyzer.analyze(capture_path("mcs-2conn-rr-mtu1500-tgt")))


@pytest.fixture(scope="module")
def one_stalls() -> dict[int, Finding]:
    return by_number(analyzer.analyze(capture_path("mcs-4conn-one-stalls-tgt")))


@pytest.fixture(scope="module")
def linkdown() -> dict[int, Finding]:
    links = (capture_path("fo-linkdown-st.link1"), capture_path("fo-linkdown-st.link2"))
    return by_number(analyzer.analyze(*links))


def test_claims_are_numbered_as_the_debate_has_them():
    numbers = [claim.number for claim in CLAIMS]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(1, 15))
    for claim in CLAIMS:
        assert claim.sentence.endswith(".")
        assert claim.is_run.endswith(".")
        assert claim.is_measured.endswith(".")


@pytest.mark.parametrize("tasks", [0, 1, 40])
def test_any_recording_gives_every_claim_a_verdict_with_a_reason(tasks: int):
    seen = []
    findings = try_claims(make_timeline(tasks=tasks), progress=lambda done, total: seen.append((done, total)))
    assert [finding.claim for finding in findings] == list(CLAIMS)
    assert all(finding.judgement.reason.endswith(".") for finding in findings)
    assert seen[-1][0] == seen[-1][1] >= len(CLAIMS)
    assert seen == sorted(seen)
    if not tasks:
        assert {finding.judgement.verdict for finding in findings} == {Verdict.UNTRIED}


def test_trying_twice_gives_the_same():
    timeline = make_timeline(tasks=60)
    assert try_claims(timeline, seed=3) == try_claims(timeline, seed=3)


def numbers_of(finding: Finding) -> dict[str, float | None]:
    return {number.label: number.value for number in finding.judgement.numbers}


def test_round_robin_over_two_connections_keeps_order_where_mpio_would_not(round_robin):
    """Mixed reads and writes put some commands behind later ones on the other session."""
    for number in (8, 12):
        assert round_robin[number].judgement.verdict is Verdict.HOLDS
    figures = numbers_of(round_robin[8])
    assert figures["overtaken, mcs:2/round-robin"] == 0
    assert figures["overtaken, mpio:2/round-robin"] > 0
    assert 40 <= numbers_of(round_robin[12])["carried by the idler link under MC/S"] <= 50


def test_one_command_at_a_time_gains_nothing_by_links(round_robin, one_stalls, linkdown):
    for findings in (round_robin, one_stalls, linkdown):
        assert findings[7].judgement.verdict is Verdict.HOLDS
        assert abs(numbers_of(findings[7])["gain of MPIO"]) < 1
        assert "the links are not the limit" in findings[7].judgement.reason


def test_a_bond_helps_one_command_whose_data_fill_the_link():
    """Reads of 64 kB one at a time at the rate of a link: the bond alone has two links for one transfer."""
    service = 20_000
    timeline = make_timeline(tasks=60, depth=1, connections=1, read_bytes=65536, service_ns=service)
    links = {"rate_to_target_bps": 10**8, "rate_from_target_bps": 10**8}
    trial = Trial(timeline, link=links)
    judgement = try_claim(throughput.ONE_OUTSTANDING, trial).judgement
    assert judgement.verdict is Verdict.HOLDS
    assert "only a bond helps" in judgement.reason


def test_a_target_that_held_commands_back_kept_their_order(one_stalls):
    """In the capture with one slow connection 18 commands came before lower CmdSNs and waited."""
    finding = one_stalls[8]
    assert finding.judgement.verdict is Verdict.HOLDS
    assert numbers_of(finding)["held back for lower CmdSNs in the recording"] == 18
    assert "held 18 back" in finding.judgement.reason


def test_order_is_a_bottleneck_only_where_something_waits(one_stalls):
    """Over links that never fill, 64 outstanding commands wait for nothing: that refutes nothing."""
    assert one_stalls[11].judgement.verdict is Verdict.UNTRIED
    assert "none waits for lower CmdSNs" in one_stalls[11].judgement.reason


def test_a_link_lost_at_the_peak_holds_commands_however_quick_the_replay(one_stalls):
    """The stalls of the recording are not in its replays, which are over before its busiest moment."""
    for number in (1, 2, 5):
        assert one_stalls[number].judgement.verdict is Verdict.HOLDS
        assert "Nothing of the kind was recorded" in one_stalls[number].judgement.reason


def test_random_work_has_no_sequence_to_break(round_robin, linkdown):
    for findings in (round_robin, linkdown):
        assert findings[9].judgement.verdict is Verdict.UNTRIED
        assert "not sequential" in findings[9].judgement.reason


def test_deep_queues_are_no_tape(round_robin, linkdown):
    for findings in (round_robin, linkdown):
        assert findings[14].judgement.verdict is Verdict.UNTRIED
        assert "outstanding" in findings[14].judgement.reason


def test_one_command_outstanding_is_a_tapes_way():
    """Queue depth 1: nothing is gained, nothing is overtaken, and the order claims have nothing to say."""
    findings = by_number(make_timeline(tasks=120, depth=1, connections=1))
    assert findings[14].judgement.verdict is Verdict.HOLDS
    assert numbers_of(findings[14])["data commands issued alone"] == 100
    for number in (8, 10, 12):
        assert findings[number].judgement.verdict is Verdict.UNTRIED
        assert "Nothing was overtaken" in findings[number].judgement.reason


def sequential(depth: int, size: int = 65536) -> Timeline:
    """Writes of one long sequence, large enough that two links overtake each other."""
    count = 160
    begins = make_timeline(tasks=count, depth=depth, connections=1).values("tasks", "command_ns")
    rank = np.empty(count, np.uint64)
    rank[np.argsort(begins, kind="stable")] = np.arange(count)
    return make_timeline(
        tasks=count,
        depth=depth,
        read_bytes=size,
        operation=["WRITE(10)"] * count,
        direction=["write"] * count,
        lba=rank * (size // 512),
        immediate_bytes=np.where(np.arange(count) % 3 == 0, 0, 8192),
        expected_bytes=np.full(count, size),
        connections=1,
    )


def test_a_sequence_is_judged_by_what_arrival_and_sorting_make_of_it():
    """The numbers agree with the verdict, whichever it is."""
    trial = Trial(sequential(depth=8))
    judgement = try_claim(sequence.LOST_ORDER, trial).judgement
    figures = {number.label: number.value for number in judgement.numbers}
    assert figures["sequences broken as sent"] < 2
    by_arrival = figures["broken in order of arrival under MPIO"]
    assert by_arrival >= figures["broken when the target sorts"]
    if judgement.verdict is not Verdict.UNTRIED:
        assert by_arrival >= 5


def test_sorting_mends_a_sequence_that_arrival_broke(monkeypatch: pytest.MonkeyPatch):
    """Every second command overtaken by its successor: naive pays, one that sorts does not."""

    def swapped(trial, policy, pacing) -> Delivered:
        task = np.arange(160)
        late = np.where(task % 2 == 0, task + 1, task - 1)
        return Delivered(task, np.zeros(160, np.int64), task * 1000, late * 1000, task % 2)

    monkeypatch.setattr(Trial, "delivered", swapped)
    judgement = try_claim(sequence.LOST_ORDER, Trial(sequential(depth=8))).judgement
    figures = {number.label: number.value for number in judgement.numbers}
    assert judgement.verdict is Verdict.HOLDS
    assert figures["broken in order of arrival under MPIO"] > 95
    assert figures["broken when the target sorts"] < 2


def test_overtaken_commands_are_those_behind_a_later_one():
    """0 1 2 sent to one unit arrive as 1 2 0: one is overtaken. Sent at one moment they have no order."""
    stream = np.zeros(3, np.int64)
    late = Delivered(stream, stream, np.array([0, 1, 2]), np.array([30, 10, 20]), stream)
    assert overtaken(late) == 1
    alike = Delivered(stream, stream, np.array([5, 5, 5]), np.array([30, 10, 20]), stream)
    assert overtaken(alike) == 0
    apart = Delivered(stream, np.arange(3), np.array([0, 1, 2]), np.array([30, 10, 20]), stream)
    assert overtaken(apart) == 0


def test_a_long_recording_is_replayed_in_part_and_says_so(monkeypatch: pytest.MonkeyPatch):
    """The claims that replay name the excerpt; those that look at the recording see all of it."""
    timeline = make_timeline(tasks=400, depth=16)
    whole = by_number(timeline)
    monkeypatch.setattr(trials, "REPLAYED_AT_MOST", 150)
    part = by_number(timeline)
    assert not any(finding.excerpt for finding in whole.values())
    for number in (7, 8, 11, 12):
        assert part[number].excerpt.startswith("Replayed are 150 of 400 commands")
        assert part[number].judgement.verdict is whole[number].judgement.verdict
    assert numbers_of(part[8])["commands"] == 150
    reset = with_events(timeline, [RESET])
    assert try_claim(bystanders.RESET_CLEARS, Trial(reset)).excerpt == ""


def test_a_model_that_errs_is_said_beside_the_verdict(one_stalls):
    """The stalled connection is not in the model: its verdicts stand with a doubt."""
    assert one_stalls[7].caveat == DOUBTFUL
    assert one_stalls[9].caveat == ""


def test_a_replay_is_run_once_for_all_claims():
    trial = Trial(make_timeline(tasks=30))
    first = trial.replayed("mcs:2/round-robin")
    try_claim(ordering.KEEPS_ORDER, trial)
    assert trial.replayed("mcs:2/round-robin") is first


def test_links_that_are_alike_are_not_made_alike_again():
    """The made recording has two like links; what differs from them is a replay of its own."""
    trial = Trial(make_timeline(tasks=40))
    try_claim(throughput.HIGH_RATE, trial)
    as_they_are = Experiment("mcs:2/round-robin", like_links=False)
    assert trial.replayed("mcs:2/round-robin") is trial.outcome_of(as_they_are)
    unlike = Trial(make_timeline(tasks=40), link={"rate_to_target_bps": 10**8})
    assert unlike.replayed("mcs:2/round-robin") is not unlike.outcome_of(as_they_are)


@pytest.mark.parametrize(
    ("capture", "verdict", "said"),
    [
        ("mcs-kill-erl2-reassign-lio", Verdict.HOLDS, "8 were reassigned"),
        ("mcs-kill-rst-retry-tgt", Verdict.FAILS, "8 issued anew"),
        ("mcs-kill-session-reinstate-tgt", Verdict.FAILS, "kept in 0 of 1"),
        ("mcs-2conn-rr-tgt", Verdict.HOLDS, "Nothing of the kind was recorded; replayed over two links"),
    ],
)
def test_mcs_failover_is_judged_by_what_became_of_the_commands(capture: str, verdict: Verdict, said: str):
    finding = try_claim(failover.REASSIGNS_ALL, Trial(analyzer.analyze(capture_path(capture))))
    assert finding.judgement.verdict is verdict
    assert said in finding.judgement.reason


def test_the_stall_of_a_dead_link_is_detection_and_timer_not_abort_and_retry(linkdown):
    """Link 1 goes down under dm-multipath: 3 s until noticed, 5 s recovery timer, then 0.2 s."""
    assert linkdown[2].judgement.verdict is Verdict.HOLDS
    assert linkdown[5].judgement.verdict is Verdict.HOLDS
    figures = numbers_of(linkdown[5])
    assert figures["detection"] == pytest.approx(3.0e9, rel=0.05)
    assert figures["held by a timer"] == pytest.approx(5.2e9, rel=0.05)
    assert figures["abort and retry"] == pytest.approx(0.216e9, rel=0.05)
    # Its initiator aborted nothing by task management, so that is tried in a replay.
    assert linkdown[6].judgement.verdict is Verdict.HOLDS
    assert "Nothing of the kind was recorded" in linkdown[6].judgement.reason


def test_a_failover_by_reset_takes_a_fraction_of_a_second():
    trial = Trial(analyzer.analyze(capture_path("mpio-failover-lun-reset-tgt")))
    judgement = try_claim(failover.FRACTION, trial).judgement
    assert judgement.verdict is Verdict.HOLDS
    assert "LOGICAL UNIT RESET" in judgement.reason


def test_failover_claims_need_no_replay(monkeypatch: pytest.MonkeyPatch):
    """What the recording itself answers is answered without the model."""
    monkeypatch.setattr(Trial, "replayed", lambda *_, **__: pytest.fail("replayed"))
    trial = Trial(make_timeline(tasks=9))
    for claim in CLAIMS:
        if not claim.is_replayed:
            assert try_claim(claim, trial).judgement.verdict is Verdict.UNTRIED


def tape() -> Timeline:
    """Commands that name no block."""
    nothing = null_where(np.zeros(20, np.uint64), np.ones(20, bool))
    return make_timeline(tasks=20, lba=nothing, operation=["WRITE(6)"] * 20, direction=["write"] * 20)


def test_a_tape_that_lost_no_connection_is_tried_in_replays():
    """Commands without an address fail where they are given to another path, and reassigned under MC/S."""
    judgement = try_claim(failover.NOT_RETRYABLE, Trial(tape())).judgement
    assert judgement.verdict is Verdict.HOLDS
    figures = {number.label: number.value for number in judgement.numbers}
    assert figures["failed under MC/S"] == 0 < figures["failed under MPIO"]


def test_where_nothing_was_lost_a_replay_says_what_a_lost_link_does():
    trial = Trial(analyzer.analyze(capture_path("mcs-2conn-rr-tgt")))
    for claim, said in (
        (failover.REASSIGNS_ALL, "7 were reassigned"),
        (bystanders.ABORTS_OTHERS, "commands of another initiator"),
        (failover.EXTRA_TIME, "noticing the loss took 10 s"),
        (failover.FRACTION, "one LUN RESET aborted what was at the target"),
        (bystanders.TELLS_OTHERS, "told by TASK ABORTED with TAS"),
    ):
        judgement = try_claim(claim, trial).judgement
        assert judgement.verdict is Verdict.HOLDS
        assert said in judgement.reason


def test_untold_initiators_with_nothing_left_to_send_wait_for_their_timer():
    """At the end of a workload no command comes that could meet the unit attention."""
    burst = make_timeline(tasks=16, depth=16, connections=1)
    judgement = try_claim(bystanders.TELLS_OTHERS, Trial(burst)).judgement
    figures = {number.label: number.value for number in judgement.numbers}
    assert figures["its slowest command with TAS"] < 1e9 < figures["its slowest command without TAS"]
    assert judgement.verdict is Verdict.FAILS
    assert "waited for its command timer" in judgement.reason


@pytest.mark.parametrize(
    ("events", "verdict", "said"),
    [
        ([], Verdict.UNTRIED, "would have cleared a RESERVE"),
        (["RESERVE(6)"], Verdict.HOLDS, "clears the 1 reservations by RESERVE"),
        (["PERSISTENT RESERVE OUT"], Verdict.HOLDS, "keeps its 1 persistent ones"),
    ],
)
def test_without_a_recorded_reset_a_replay_says_what_it_would_clear(
    events: list[str], verdict: Verdict, said: str
):
    recorded = analyzer.analyze(capture_path("mcs-2conn-rr-tgt"))
    first_ns = int(recorded.values("tasks", "command_ns")[0]) - BEGIN_NS
    held = [reservation(name, first_ns, "RESERVE" if "OUT" in name else None) for name in events]
    judgement = try_claim(bystanders.RESET_CLEARS, Trial(with_events(recorded, held))).judgement
    assert judgement.verdict is verdict
    assert said in judgement.reason
    assert {number.label: number.value for number in judgement.numbers}[
        "logical units whose settings were reset"
    ] == 1


def test_a_disk_can_retry():
    judgement = try_claim(failover.NOT_RETRYABLE, Trial(make_timeline(tasks=20))).judgement
    assert "can be retried" in judgement.reason


def reservation(operation: str, at: int, action: str | None) -> dict:
    detail = {"operation": operation, "lun": 1, "service_action": action, "holder_session_index": 0}
    return {"kind": "reservation", "at_ns": BEGIN_NS + at, "detail": json.dumps(detail)}


RESET = {
    "kind": "task-management",
    "at_ns": BEGIN_NS + 100,
    "detail": json.dumps({"function": "LOGICAL UNIT RESET", "response_code": 0, "lun": 1}),
}
CONFLICT = {"kind": "reservation-conflict", "at_ns": BEGIN_NS + 200, "detail": json.dumps({"lun": 1})}


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([RESET], Verdict.UNTRIED),
        ([reservation("RESERVE(6)", 10, None), RESET], Verdict.HOLDS),
        ([reservation("RESERVE(6)", 10, None), RESET, CONFLICT], Verdict.FAILS),
        ([reservation("PERSISTENT RESERVE OUT", 10, "RESERVE"), RESET, CONFLICT], Verdict.HOLDS),
        ([reservation("PERSISTENT RESERVE OUT", 10, "RESERVE"), RESET], Verdict.FAILS),
        ([reservation("RESERVE(6)", 300, None), RESET], Verdict.UNTRIED),
    ],
)
def test_conflicts_after_a_reset_show_what_it_cleared(events: list[dict], verdict: Verdict):
    trial = Trial(with_events(make_timeline(tasks=5), events))
    assert try_claim(bystanders.RESET_CLEARS, trial).judgement.verdict is verdict


def test_cleared_commands_are_told_by_status_or_unit_attention():
    told = Trial(make_timeline(tasks=5, status=np.array([0, 0, 0x40, 0, 0], np.uint8)))
    judgement = try_claim(bystanders.TELLS_OTHERS, told).judgement
    assert judgement.verdict is Verdict.HOLDS
    assert "1 TASK ABORTED" in judgement.reason


def test_details_from_anywhere_do_no_harm():
    """Events of a timeline that someone else wrote may hold anything as detail."""
    events = [{"kind": kind, "detail": "[not an object"} for kind in ("task-management", "reservation")]
    findings = try_claims(
        with_events(make_timeline(tasks=5), [*events, {"kind": "reservation", "detail": "[]"}])
    )
    assert len(findings) == len(CLAIMS)

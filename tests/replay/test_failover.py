"""Faults and recovery, rule by rule: who notices when, what is held how long, and which way commands go."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.replay.made import made_workload
from analyzer.replay.state import FAILED, GOOD
from analyzer.replay.workload import peak_of
from tests.real import capture_path
from tests.replay.played import disturbed, ideal_link

SECOND = 10**9
LINK = (ideal_link(10**9, 50_000),)


def reads(count=4000, **columns):
    """Read 4 KiB in 10 ms each."""
    return made_workload(count, **{"read_bytes": 4096, "service_ns": 10_000_000} | columns)


def failed(words, faults, recovery=None, workload=None, **more):
    """The world after a fault, and its story."""
    more = {"pacing": "depth:8"} | more
    world, failover = disturbed(
        reads() if workload is None else workload,
        words,
        [faults] if isinstance(faults, str) else faults,
        recovery,
        LINK,
        **more,
    )
    return world, failover.disturbances[0]


def stall_s(world, found):
    """The longest that a held command took."""
    rows = sorted(found.affected)
    return float((world.progress.completed_ns - world.progress.ready_ns)[rows].max()) / SECOND


@pytest.mark.parametrize(
    ("preset", "fault", "least", "most"),
    [
        # 5 to 15 s in the field (axboe/fio#1886): the recovery timer of 5 s, with or without NOP 5 + 5 s.
        ("linux-multipath", "portal,link=1,at=1s", 4.99, 5.1),
        ("linux-multipath", "black-hole,link=1,at=1s", 14.9, 15.1),
        # 123 s in longhorn/longhorn#8382, where 2 to 3 s were not the timer's.
        ("linux-no-multipathd", "portal,link=1,at=1s", 120, 123),
        # Red Hat article 2876: 5 + 10 + 15 s.
        ("redhat-tuned", "black-hole,link=1,at=1s", 29.9, 30.1),
        # LinkDownTime 15 s behind a carrier that is seen.
        ("windows-mpio", "down,link=1,at=1s", 14.99, 15.1),
        ("esx", "black-hole,link=1,at=1s", 34.9, 35.1),
    ],
)
def test_published_stalls_come_of_the_timers_alone(preset, fault, least, most):
    world, found = failed("mpio:2/round-robin", fault, preset)
    assert least <= stall_s(world, found) <= most
    assert len(found.retried_other_path) > 0
    assert not found.failed


def test_round_robin_stalls_the_whole_job_and_service_time_does_not():
    """As recorded: the other link was healthy all the time."""
    gaps = {}
    for policy in ("round-robin", "service-time"):
        world, found = failed(f"mpio:2/{policy}", "black-hole,link=1,at=1s", "linux-multipath", reads(9000))
        completed = np.sort(world.progress.completed_ns[:9000])
        gaps[policy] = int(np.diff(completed).max())
        assert found.detected_by == "nop-timeout"
    assert gaps["round-robin"] > 14 * SECOND
    assert gaps["service-time"] < SECOND // 10


def test_a_reset_connection_logs_in_again_and_commands_stay_on_their_path():
    _world, found = failed("mpio:2/service-time", "reset,link=1,at=1s", "linux-multipath")
    assert found.detected_ns == SECOND
    assert found.detected_by == "reset"
    assert found.first_retry_ns == pytest.approx(3.01 * SECOND, abs=SECOND // 100)  # Time2Wait and the login
    assert len(found.retried_same_path) == 4
    assert not found.retried_other_path
    assert found.reservation == "released"


def test_a_link_that_is_back_before_anyone_noticed_costs_a_retransmission():
    world, found = failed("mpio:2/round-robin", "black-hole,link=1,at=1s,for=3s", "linux-multipath")
    assert found.detected_ns is None
    # TCP tries 0.2, 0.6, 1.4 and 3.0 s after the fault.
    assert stall_s(world, found) == pytest.approx(3.0, abs=0.05)
    assert world.progress.retries.sum() == 0


def test_time2wait_is_the_difference_between_two_reassignments():
    ends = {}
    for wait in ("0s", "2s"):
        world, found = failed("mcs:2/round-robin", "reset,link=1,at=1s", f"lio-mcs-erl2,time2wait={wait}")
        assert found.reassigned
        assert not found.failed
        ends[wait] = max(int(world.progress.completed_ns[row]) for row in found.affected)
    assert ends["2s"] - ends["0s"] == pytest.approx(2 * SECOND, abs=SECOND // 20)


def test_a_hole_left_by_a_dead_connection_blocks_the_session_until_it_is_plugged():
    """Commands sent on into the dead connection never arrive; all later ones wait at the gate for them."""
    world, found = failed("mcs:2/round-robin", "black-hole,link=1,at=1s", "lio-mcs-erl2")
    progress = world.progress[: len(reads())]
    waited = progress.released_ns - progress.arrived_ns
    survivors = (progress.path == 0) & (progress.retries == 0) & (progress.reassigns == 0)
    assert waited[survivors].max() > 10 * SECOND
    plugged = found.retried_other_path - found.reassigned
    assert plugged, "some were never at the target and are sent again under their CmdSN"
    free = int(progress.released_ns[survivors & (waited > SECOND)].min())
    assert free >= min(int(progress.arrived_ns[row]) for row in plugged)


def test_mcs_keeps_the_session_and_every_task_is_reassigned():
    world, found = failed("mcs:2/least-queue-depth", "reset,link=1,at=1s", "lio-mcs-erl2")
    assert len(found.reassigned) == 4
    assert world.progress.reassigns.sum() == 4
    assert found.reservation == "kept"
    assert not found.neighbours
    assert not found.aborted


def test_without_recovery_level_2_lio_drops_the_whole_session():
    _world, found = failed("mcs:2/round-robin", "reset,link=1,at=1s", "lio-mcs-erl0")
    assert len(found.affected) == 8
    assert not found.reassigned
    assert found.hold_from_ns == 3 * SECOND  # 2 s after the connection
    assert len(found.retried_same_path) == 8
    assert found.reservation == "released"


def test_without_any_path_requests_fail_or_wait_as_told():
    world, found = failed("mpio:2/round-robin", "down,link=all,at=1s", "linux-multipath")
    assert (world.progress.end[: len(reads())] == FAILED).sum() == len(found.failed) > 0
    world, found = failed(
        "mpio:2/round-robin", "down,link=all,at=1s,for=30s", "linux-multipath,no_path_retries=-1"
    )
    assert (world.progress.end[: len(reads())] == GOOD).all()
    # queue_if_no_path: until the link, a login and the path checker are back.
    assert 30 < stall_s(world, found) < 30 + 3 + 5 + 1


def test_no_path_retry_counts_polling_intervals():
    world, found = failed(
        "mpio:2/round-robin",
        "down,link=all,at=1s",
        "linux-multipath,noop_interval=1s,noop_timeout=1s,hold=1s,no_path_retries=12",
    )
    first = min(int(world.progress.completed_ns[row]) for row in found.failed)
    assert first == pytest.approx((1 + 2 + 1 + 60) * SECOND, abs=SECOND // 10)


def test_a_bond_moves_the_connection_and_the_session_never_notices():
    for words in ("bond:2:active-backup/-", "bond:2:balance-rr/-"):
        world, found = failed(words, "down,link=0,at=1s", "bond-active-backup")
        assert found.detected_by == "bond"
        assert stall_s(world, found) < 0.5
        assert world.progress.retries.sum() == 0


def test_a_bond_does_not_see_a_black_hole():
    _world, found = failed("bond:2:active-backup/-", "black-hole,link=0,at=1s,for=20s", "bond-active-backup")
    assert found.detected_by == "nop-timeout"


def test_without_nops_the_command_timer_and_its_ladder_notice():
    _world, found = failed(
        "mpio:2/round-robin", "black-hole,link=1,at=1s", "linux-multipath,noop_interval=off"
    )
    # 30 s for the command, then abort 15, LUN reset 30 and target reset 30 s on the dead path.
    assert found.detected_by == "command-timer"
    assert found.detected_ns == pytest.approx((1 + 30 + 15 + 30 + 30) * SECOND, abs=SECOND // 10)


def test_a_slow_link_loses_nothing():
    for fault in ("slow,link=1,at=1s,factor=0.01", "lossy,link=1,at=1s,loss=5%"):
        world, found = failed("mpio:2/round-robin", fault)
        assert found.detected_ns is None
        assert (world.progress.end == GOOD).all()
        assert not world.progress.retries.any()


def test_a_slow_link_is_slower_by_its_factor():
    """What was under way is slowed too."""
    alone = made_workload(1, read_bytes=12_500_000)
    times = []
    for faults in ([], ["slow,link=0,at=60ms,factor=0.5"]):
        world, _ = disturbed(alone, "single/-", faults or ["reset,link=0,at=1min"], None, LINK)
        times.append(int(world.progress.completed_ns[0]))
    # 100 ms at full rate, of which 40 are left at 60 ms; they take twice as long.
    assert times[1] - times[0] == pytest.approx(40_000_000, rel=0.02)


def test_flapping_is_as_many_outages_as_it_says():
    _world, failover = disturbed(
        reads(), "mpio:2/round-robin", ["flap,link=1,at=1s,for=4s,period=1s"], None, LINK, pacing="depth:8"
    )
    kinds = [note.kind for note in failover.notes]
    assert kinds.count("link-down") == kinds.count("link-up") == 4


def test_moments_of_the_workload():
    for words, count in (("after-task:100", 100), ("25%", 1000)):
        world, found = failed("mpio:2/round-robin", f"reset,link=1,at={words}")
        before = (world.progress.completed_ns[:4000] <= found.failed_ns).sum()
        assert before == count


def test_several_faults_strike_at_once():
    world, failover = disturbed(
        reads(),
        "mpio:3/round-robin",
        ["black-hole,link=0,at=1s,for=60s", "reset,link=1,at=1s", "slow,link=2,at=2s,factor=0.5"],
        "linux-multipath",
        LINK,
        pacing="depth:8",
    )
    assert len(failover.disturbances) == 3
    assert (world.progress.end[:4000] == GOOD).all()


def test_a_path_comes_back_after_the_checker_saw_it():
    world, found = failed(
        "mpio:2/round-robin", "black-hole,link=1,at=1s,for=20s", "linux-multipath", reads(20000)
    )
    progress = world.progress[:20000]
    later = (progress.dispatched_ns > found.failed_ns + 30 * SECOND) & (progress.path == 1)
    assert later.any()
    between = (progress.dispatched_ns > 16.1 * SECOND) & (progress.dispatched_ns < 21 * SECOND)
    assert between.any()
    assert (progress.path[between] == 0).all()


def test_failback_goes_to_the_group_with_the_highest_priority():
    world, _found = failed(
        "mpio:2/round-robin(priorities=50:10)",
        "black-hole,link=0,at=1s,for=20s",
        "linux-multipath",
        reads(20000),
    )
    progress = world.progress[:20000]
    assert (progress.path[progress.dispatched_ns < SECOND] == 0).all()
    held = (progress.dispatched_ns > 16.1 * SECOND) & (progress.dispatched_ns < 21 * SECOND)
    assert (progress.path[held] == 1).all()
    assert (progress.path[progress.dispatched_ns > 35 * SECOND] == 0).all()


@pytest.mark.parametrize(
    ("words", "recovery"), [("mpio:2/round-robin", "linux-multipath"), ("mcs:2/round-robin", "lio-mcs-erl2")]
)
def test_with_all_links_gone_commands_are_held_by_the_recovery_timer_and_none_is_sent_again(words, recovery):
    _world, found = failed(words, "portal,link=all,at=1s", f"{recovery},hold=7s")
    assert found.hold_timer == "recovery-timer"
    assert found.hold_to_ns - found.hold_from_ns == pytest.approx(7 * SECOND, rel=0.01)
    assert not found.retried_other_path
    assert set(found.failed.values()) == {"no path"}


@pytest.mark.parametrize(("failback", "returns_s"), [("0s", 27), ("8s", 35), ("off", None)])
def test_failback_waits_as_long_as_it_is_told(failback, returns_s):
    """Immediate, deferred and manual (multipath.conf): the path is back 27 s after the beginning."""
    world, _found = failed(
        "mpio:2/round-robin(priorities=50:10)",
        "black-hole,link=0,at=1s,for=20s",
        f"linux-alua,failback={failback}",
        reads(30000),
    )
    progress = world.progress[:30000]
    back = progress.dispatched_ns[(progress.path == 0) & (progress.dispatched_ns > 16.5 * SECOND)]
    if returns_s is None:
        assert not len(back)
    else:
        assert back.min() / SECOND == pytest.approx(returns_s, abs=1.5)


def test_another_path_group_takes_its_time_to_be_activated():
    """QUEUE_IO: commands are held until the group is initialised, and none is sent there before."""
    stalls = []
    for switch in ("0s", "2s"):
        world, found = failed(
            "mpio:3/round-robin(priorities=50:10:10)",
            "portal,link=0,at=1s",
            f"linux-alua,hold=0s,group_switch={switch}",
        )
        stalls.append(stall_s(world, found))
        assert "group-switch" in [what for _, what, _ in found.steps]
    assert stalls[1] - stalls[0] == pytest.approx(2, abs=0.05)
    elsewhere = world.progress.sent_ns[:4000][world.progress.path[:4000] > 0]
    assert elsewhere.min() >= found.failed_ns + 2 * SECOND


def test_commands_held_on_a_failed_path_wait_for_its_cleanup_though_another_group_is_ready_sooner():
    """Let go with those of the other group they went to the lost path, and nobody brought them back."""
    world, found = failed(
        "mpio:2/round-robin(priorities=50:10)",
        "black-hole,link=0,at=1s",
        "linux-multipath,hold=200ms,group_switch=100ms,cleanup=clear-task-set,cleanup_time=300ms",
        reads(1000, issued_ns=np.arange(1000) * 20_000_000),
        pacing="closed",
        target={"window": 2000},
    )
    detected_ns = found.detected_ns
    is_held = (world.progress.ready_ns > detected_ns) & (world.progress.ready_ns < detected_ns + 200_000_000)
    assert is_held.sum() >= 8
    assert (world.progress.end[:1000] == GOOD).all()
    assert (world.progress.path[:1000][is_held[:1000]] == 1).all()
    assert (world.progress.sent_ns[:1000][is_held[:1000]] >= detected_ns + 500_000_000).all()


def test_a_path_lost_from_a_group_that_has_another_switches_no_group():
    _world, found = failed(
        "mpio:3/round-robin(priorities=50:50:10)", "portal,link=0,at=1s", "linux-alua,group_switch=2s"
    )
    assert "group-switch" not in [what for _, what, _ in found.steps]


def test_reads_resume_where_they_were():
    """ExpDataSN: what had come before the connection was lost is not sent again."""
    alone = made_workload(1, read_bytes=12_500_000)
    agreed = {"read_segment_bytes": 262_144}
    times = []
    for fault in ("reset,link=1,at=1min", "reset,link=0,at=60ms"):
        world, _ = disturbed(
            alone, "mcs:2/failover-only", [fault], "lio-mcs-erl2,time2wait=0s", LINK, **agreed
        )
        times.append(int(world.progress.completed_ns[0]))
    assert times[1] - times[0] < 5_000_000


def test_writes_are_asked_for_again_from_where_they_were():
    alone = made_workload(1, write_bytes=12_500_000)
    agreed = {"max_burst_bytes": 1 << 20, "write_segment_bytes": 262_144}
    for recovery in ("lio-mcs-erl2,time2wait=0s", "istgt-mcs,time2wait=0s"):
        world, _ = disturbed(alone, "mcs:2/failover-only", ["reset,link=0,at=60ms"], recovery, LINK, **agreed)
        assert world.progress.end[0] == GOOD
    took = int(world.progress.completed_ns[0])
    assert took > 160_000_000, "sent again from the beginning"


def test_task_management_waits_behind_the_data_of_its_connection():
    """A function is a PDU like any other: 50 ms for each write of 64 KiB that lies before it at 10 Mbit/s."""
    world, run = disturbed(
        made_workload(200, write_bytes=65536),
        "mpio:2/round-robin",
        ["portal,link=1,at=500ms"],
        "linux-multipath,hold=0s,cleanup=lun-reset",
        (ideal_link(10**7, 50_000),),
        pacing="depth:8",
        is_initial_r2t=False,
        first_burst_bytes=65536,
        immediate_bytes=0,
    )
    found = run.disturbances[0]
    (answered_ns,) = (at_ns for at_ns, what, _ in found.steps if what == "answered")
    assert 150_000_000 < answered_ns - found.failed_ns < 220_000_000
    survivors = world.progress[:200][world.progress.path[:200] == 0]
    sent = survivors.sent_ns[survivors.sent_ns > found.failed_ns]
    assert sent.min() >= answered_ns


def test_a_session_that_is_back_before_its_commands_were_cleaned_up_does_not_keep_them():
    """The portal is up again after 2.7 s; CLEAR TASK SET, sent at 5.7 s over the other session, takes 300 ms.

    Meanwhile the target has a new session on the old connection. The commands of the old one are sent again
    over the other session, once, and no TASK ABORTED comes for them.
    """
    world, run = disturbed(
        made_workload(3, read_bytes=np.array([15048, 3305, 35053]), service_ns=200_000_000),
        "mpio:2xmcs:2/round-robin+least-queue-depth",
        ["down,link=1,at=1ms", "portal,link=0,at=1ms,for=2701ms"],
        "linux-multipath,cleanup=clear-task-set,cleanup_time=300ms,connection_recovery=session,session_drop=700ms",
        (ideal_link(10**7),),
        pacing="depth:7",
        target={"task_sets": "shared", "is_abort_told": True, "window": 2},
    )
    progress = world.progress[:3]
    assert (progress.end == GOOD).all()
    assert progress.retries.tolist() == [1, 0, 1]
    assert world.paths.nexus[progress.path].tolist() == [1, 1, 1]
    steps = [what for _, what, _ in run.disturbances[1].steps]
    assert steps.index("login") < steps.index("answered") < steps.index("retry")


def test_an_immediate_command_that_gets_through_on_no_connection_is_given_up():
    """At 1 kbit/s the connections of the session take turns in being lost, and the command never arrives.

    It has no CmdSN that others would wait for, so it is not sent for ever.
    """
    world, run = disturbed(
        made_workload(
            7,
            write_bytes=np.array([122296, 0, 0, 40153, 88401, 0, 145399]),
            read_bytes=np.array([0, 6614, 34912, 0, 0, 69149, 0]),
            service_ns=100_000_000,
            is_immediate=np.arange(7) == 0,
        ),
        "mcs:2/round-robin",
        ["black-hole,link=0,at=2658ms,for=5729ms", "slow,link=all,at=59ms,factor=0.0001,delay=11ms"],
        "esx,cleanup=lun-reset,no_path_retries=-1,command_retries=0",
        (ideal_link(10**7, 5_000_000),),
        pacing="depth:7",
        target={"window": 1, "gate": "none"},
        immediate_bytes=8192,
        first_burst_bytes=65536,
    )
    assert (world.progress.end[:7] == FAILED).all()
    assert max(run.sent_again.values()) == 20


def test_a_lost_connection_is_added_again_once_its_tasks_have_moved():
    """TASK REASSIGN takes 38 ms more each way on a slow link, and login only 10 ms.

    A task whose service ends in between would else be answered on a connection that it has no allegiance to,
    and on the one that it moves to again.
    """
    world, run = disturbed(
        made_workload(20, read_bytes=4096, issued_ns=np.arange(20) * 20_000_000, service_ns=150_000_000),
        "mcs:3/least-queue-depth",
        ["slow,link=all,at=10ms,factor=0.3,delay=38ms", "reset,link=1,at=200ms"],
        "redhat-tuned,time2wait=0s,connection_recovery=reassign,resume_time=3ms",
        (ideal_link(10**9, 50_000),),
        pacing="recorded",
    )
    assert (world.progress.end[:20] == GOOD).all()
    reassigned = [note.at_ns for note in run.notes if note.kind == "request-reassigned"]
    (back,) = [note.at_ns for note in run.notes if note.kind == "path-reinstated"]
    assert len(reassigned) > 1
    assert back > max(reassigned)


def test_the_peak_lies_in_a_replay_however_quick():
    """At the time of the recorded peak a quicker replay is over; at as many completions it is not."""
    timeline = analyzer.analyze(capture_path("mcs-2conn-rr-tgt"))
    peak_ns = peak_of(timeline)
    done = int((timeline.values("tasks", "ended_ns") <= peak_ns).sum()) + 1
    for depth in (16, 64):
        outcome = analyzer.replay(
            timeline,
            "mpio:2/round-robin",
            pacing=f"depth:{depth}",
            faults=["portal,link=1,at=peak"],
            recovery="linux-multipath,hold=0s",
        )
        incident = outcome.arrow["incidents"].to_pylist()[0]
        completed = outcome.values("requests", "completed_ns", 0)
        assert int((completed <= incident["failed_ns"]).sum()) == done
        assert incident["outstanding"] > 0
    assert incident["failed_ns"] < peak_ns


ETHERNET = (ideal_link(10**9, 50_000, mtu_bytes=1460),)
BURST = {"max_burst_bytes": 262_144, "first_burst_bytes": 65_536, "immediate_bytes": 0}


@pytest.mark.parametrize(("factor", "is_given_up"), [(0.001, False), (0.0001, True)])
def test_writes_that_fill_a_slow_link_make_a_false_failover(factor, is_given_up):
    """A burst of 256 KiB, after which an R2T comes, takes 2 s at a 1000th of 1 Gbit/s, 21 s at a 10,000th."""
    world, failover = disturbed(
        made_workload(60, write_bytes=4_000_000, service_ns=1_000_000),
        "mpio:2/round-robin",
        [f"slow,link=1,at=10ms,factor={factor}"],
        "linux-multipath,command_timer=off",
        ETHERNET,
        pacing="depth:8",
    )
    found = failover.disturbances[0]
    assert (world.progress.end[:60] == GOOD).all()
    assert (found.detected_by == "nop-timeout") == is_given_up
    if is_given_up:
        # Interval and timeout behind the last R2T, which came within a burst.
        assert 10 * SECOND <= found.detected_ns - found.failed_ns <= (10 + 21) * SECOND
        assert found.retried_same_path


def test_a_command_that_is_cut_off_time_and_again_goes_to_another_path():
    """Behind each login come the same writes and the same false failover, until they are not sent again."""
    world, failover = disturbed(
        made_workload(12, write_bytes=4_000_000, service_ns=1_000_000),
        "mpio:2/round-robin",
        ["slow,link=1,at=10ms,factor=0.0001"],
        "linux-multipath,command_timer=off,command_retries=2,path_check=60min",
        ETHERNET,
        pacing="depth:4",
    )
    assert (world.progress.end[:12] == GOOD).all()
    assert world.progress.retries[:12].max() == 3
    assert "path-failed" in [what for _, what, _ in failover.disturbances[0].steps]


def test_a_command_that_is_cut_off_time_and_again_fails_without_another_path():
    world, failover = disturbed(
        made_workload(2, write_bytes=4_000_000, service_ns=1_000_000),
        "single/-",
        ["slow,link=0,at=10ms,factor=0.0001"],
        "linux-no-multipathd,command_timer=off,command_retries=3",
        ETHERNET,
        pacing="depth:2",
    )
    assert (world.progress.end[:2] == FAILED).all()
    assert set(failover.disturbances[0].failed.values()) == {"sent 3 times again"}


def test_data_in_that_trickles_in_is_heard():
    """Reads of 1 MB take 80 s each at a 10000th of the rate, but a packet comes every 0.12 s."""
    world, failover = disturbed(
        made_workload(60, read_bytes=1_000_000, service_ns=1_000_000),
        "mpio:2/round-robin",
        ["slow,link=1,at=10ms,factor=0.0001"],
        "linux-multipath",
        ETHERNET,
        pacing="depth:8",
    )
    assert failover.disturbances[0].detected_ns is None
    assert not world.progress.retries.any()
    assert int(world.progress.completed_ns.max()) > 60 * SECOND


def test_a_nop_out_between_commands_is_answered_in_time():
    """An idle connection on a slow link is asked every interval, and goes on."""
    sparse = made_workload(20, read_bytes=4096, service_ns=1_000_000, issued_ns=np.arange(20) * 7 * SECOND)
    world, found = failed(
        "mpio:2/round-robin", "slow,link=1,at=1s,factor=0.01", "linux-multipath", sparse, pacing="recorded"
    )
    assert found.detected_ns is None
    assert not world.progress.retries.any()

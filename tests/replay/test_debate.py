"""The sentences of the debate about what a failover does to others, each tried in the engine."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from analyzer.replay.state import FAILED, GOOD
from tests.replay.played import disturbed, ideal_link

SECOND = 10**9
LINK = (ideal_link(10**9, 50_000),)
COUNT = 2000


def two_initiators(depth_each=8, **columns):
    """Two initiators with chains of reads of 10 ms each on one logical unit."""
    host = np.arange(COUNT, dtype=np.int32) % 2
    predecessor = np.arange(COUNT, dtype=np.int32) - 2 * depth_each
    predecessor[predecessor < 0] = -1
    return made_workload(
        COUNT,
        **{
            "read_bytes": 4096,
            "service_ns": 10_000_000,
            "host": host,
            "lun_index": host,
            "device": 0,
            "predecessor": predecessor,
        }
        | columns,
    )


def failover(words, cleanup, target=None, workload=None, recovery="linux-multipath", links=LINK, **more):
    """The first initiator loses a link."""
    world, run = disturbed(
        two_initiators() if workload is None else workload,
        words,
        ["reset,link=1,at=200ms", "black-hole,link=1,at=200ms"],
        f"{recovery},hold=100ms,cleanup={cleanup}" if cleanup else recovery,
        links,
        target=target,
        hosts=2,
        **more,
    )
    return world, run.disturbances[0]


def others(world):
    """What the other initiator suffered: times its commands were sent again, and its slowest."""
    mine = np.arange(COUNT) % 2 == 1
    progress = world.progress[:COUNT]
    return int(progress.retries[mine].sum()), int((progress.completed_ns - progress.ready_ns)[mine].max())


def test_clear_task_set_aborts_commands_of_other_initiators_where_they_share_the_task_set():
    world, found = failover("mpio:2/round-robin", "clear-task-set", {"task_sets": "shared"})
    assert others(world)[0] > 0
    assert sum(one["aborted"] for one in found.neighbours.values()) > 0


def test_clear_task_set_touches_no_other_initiator_where_each_nexus_has_its_own_task_set():
    world, found = failover("mpio:2/round-robin", "clear-task-set", {"task_sets": "per-nexus"})
    assert others(world)[0] == 0
    assert not found.neighbours


def test_with_tas_the_others_get_task_aborted():
    world, found = failover(
        "mpio:2/round-robin", "clear-task-set", {"task_sets": "shared", "is_abort_told": True}
    )
    assert {one["how"] for one in found.neighbours.values()} == {"TASK ABORTED"}
    again, slowest = others(world)
    assert again == sum(one["aborted"] for one in found.neighbours.values())
    assert slowest < 50_000_000, "they are told at once"


def test_without_tas_the_others_get_commands_cleared_by_another_initiator():
    _world, found = failover("mpio:2/round-robin", "clear-task-set", {"task_sets": "shared"})
    assert {one["how"] for one in found.neighbours.values()} == {
        "COMMANDS CLEARED BY ANOTHER INITIATOR (2F/00)"
    }


def test_without_tas_the_others_can_retry_at_once_where_they_have_more_to_send():
    """The unit attention comes with the next command: an initiator with spare commands loses little."""
    issued = np.arange(COUNT) * 1_000_000
    busy = two_initiators(predecessor=-1, issued_ns=issued)
    world, _found = failover("mpio:2/round-robin", "clear-task-set", {"task_sets": "shared"}, busy)
    again, slowest = others(world)
    assert again > 0
    assert slowest < 50_000_000


def test_without_tas_an_initiator_with_all_its_commands_aborted_waits_for_its_command_timer():
    """A closed loop has nothing to send that could meet the unit attention: 30 s."""
    world, _found = failover("mpio:2/round-robin", "lun-reset")
    assert others(world)[1] == pytest.approx(30 * SECOND, rel=0.01)


def test_a_write_that_waits_for_data_outlives_a_reset_where_it_is_no_task_yet():
    """As tgt was recorded: the write is executed or, first behind the reset, meets the unit attention.

    So an initiator whose writes wait for data learns of the reset at once, and not by its command timer.
    """
    writes = two_initiators(read_bytes=0, write_bytes=65_536)
    slow = (ideal_link(100_000_000, 50_000),)
    slowest, ended = {}, {}
    for begin in ("with-command", "with-data"):
        world, found = failover(
            "mpio:2/round-robin", "lun-reset", {"tasks_begin": begin, "servers": 0}, writes, links=slow
        )
        again, slowest[begin] = others(world)
        ended[begin] = sum(one["aborted"] for one in found.neighbours.values())
        # Each of its two sessions has one command that meets the unit attention.
        assert again == ended[begin] + 2
    assert ended["with-command"] == 8
    assert 0 < ended["with-data"] < 8
    assert slowest["with-command"] == pytest.approx(30 * SECOND, rel=0.01)
    assert slowest["with-data"] < SECOND


def test_lun_reset_aborts_the_commands_of_every_initiator_and_clears_reserve():
    for task_sets in ("shared", "per-nexus"):
        world, found = failover("mpio:2/round-robin", "lun-reset", {"task_sets": task_sets})
        assert others(world)[0] > 0
        assert found.reservation == "cleared"


def test_lun_reset_resets_mode_pages_and_clear_task_set_does_not():
    for cleanup, is_reset in (("lun-reset", True), ("clear-task-set", False)):
        _, found = failover("mpio:2/round-robin", cleanup, {"task_sets": "shared"})
        assert ("mode-pages" in [what for _, what, _ in found.steps]) == is_reset


def test_lun_reset_is_a_unit_attention_for_the_nexus_that_sent_it_too():
    """SAM-5 section 6.3.3: tgt and LIO answered the next command of that session so."""
    counts = {}
    for cleanup in ("lun-reset", "clear-task-set"):
        world, found = failover("mpio:2/round-robin", cleanup, {"task_sets": "shared"})
        mine = np.arange(COUNT) % 2 == 0
        counts[cleanup] = int(world.progress.retries[:COUNT][mine].sum()) - len(found.retried_other_path)
    assert counts == {"lun-reset": 1, "clear-task-set": 0}


def test_abort_task_set_touches_no_other_initiator():
    world, found = failover("mpio:2/round-robin", "abort-task-set", {"task_sets": "shared"})
    assert others(world)[0] == 0
    assert not found.neighbours


def test_mcs_failover_touches_no_other_initiator_and_keeps_the_reservation():
    world, found = failover("mcs:2/round-robin", "", recovery="lio-mcs-erl2,time2wait=0s")
    assert others(world)[0] == 0
    assert not found.neighbours
    assert found.reservation == "kept"
    assert found.reassigned


def test_mpio_failover_without_reset_loses_the_reservation_of_the_lost_nexus_only():
    _world, found = failover("mpio:2/round-robin", "none")
    assert found.reservation == "released"
    assert not found.neighbours


def test_mpio_failover_sends_every_command_of_the_lost_nexus_again():
    world, found = failover("mpio:2/round-robin", "none")
    assert found.retried_other_path
    assert not found.reassigned
    progress = world.progress[:COUNT]
    assert (progress.retries[sorted(found.retried_other_path)] > 0).all()
    assert (progress.end == GOOD).all()


def test_commands_that_may_not_be_sent_again_fail_under_mpio_and_survive_under_mcs():
    """Tape: an implicit address, so a command sent twice acts twice."""
    tape = made_workload(
        400,
        write_bytes=65536,
        service_ns=10_000_000,
        cannot_repeat=True,
        predecessor=np.arange(400, dtype=np.int32) - 1,
    )
    agreed = {"is_initial_r2t": False, "immediate_bytes": 65536, "first_burst_bytes": 65536}
    ends = {}
    for words, recovery in (
        ("mpio:2/failover-only", "linux-multipath"),
        ("mcs:2/failover-only", "lio-mcs-erl2"),
    ):
        world, run = disturbed(
            tape,
            words,
            ["reset,link=0,at=1005ms", "black-hole,link=0,at=1005ms"],
            recovery,
            LINK,
            cannot_repeat=tape.cannot_repeat,
            **agreed,
        )
        ends[words] = world.progress.end[:400]
        if words.startswith("mpio"):
            assert set(run.disturbances[0].failed.values()) == {"may not be sent again"}
    assert (ends["mpio:2/failover-only"] == FAILED).sum() == 1
    assert (ends["mcs:2/failover-only"] == GOOD).all()


def test_with_nothing_to_wait_for_all_ways_cost_milliseconds():
    """Timers, not protocol work, make a failover long."""
    for words, recovery in (
        ("mcs:2/round-robin", "lio-mcs-erl2,time2wait=0s"),
        ("mcs:2/round-robin", "istgt-mcs,time2wait=0s"),
        ("mpio:2/round-robin", "linux-multipath,hold=0s"),
        ("mpio:2/round-robin", "linux-multipath,hold=0s,cleanup=lun-reset"),
    ):
        world, _found = failover(words, "", recovery=recovery)
        mine = np.arange(COUNT) % 2 == 0
        progress = world.progress[:COUNT]
        assert (progress.completed_ns - progress.ready_ns)[mine].max() < 40_000_000

"""What a CHECK CONDITION does to other commands of its task set (QERR, TST and TAS; SPC-4 section 7.5.8)."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from analyzer.replay.scenario_files import read_scenarios
from analyzer.replay.state import GOOD
from tests.replay.played import disturbed, ideal_link

COUNT, FAILING = 400, 200
LINK = (ideal_link(10**9, 50_000),)


def sent_again(target, faults=(), recovery="linux-multipath", **columns):
    """How often commands of the first and of the second initiator were sent again; one command fails."""
    host = np.arange(COUNT, dtype=np.int32) % 2
    is_failing = np.arange(COUNT) == FAILING
    workload = made_workload(
        COUNT,
        **{
            "read_bytes": 4096,
            "service_ns": np.where(is_failing, 1_000_000, 10_000_000),
            "ends_in_check": is_failing,
            "issued_ns": np.arange(COUNT) * 1_000_000,
            "host": host,
            "lun_index": host,
            "device": 0,
        }
        | columns,
    )
    world, run = disturbed(
        workload, "mpio:2/round-robin", faults, recovery, LINK, target=target, hosts=2, pacing="recorded"
    )
    progress = world.progress[:COUNT]
    assert (progress.end == GOOD).all()
    slowest = [int((progress.completed_ns - progress.ready_ns)[host == one].max()) for one in (0, 1)]
    return [int(progress.retries[host == one].sum()) for one in (0, 1)], slowest, run


@pytest.mark.parametrize("task_sets", ["shared", "per-nexus"])
def test_with_qerr_0_other_commands_go_on(task_sets):
    counts, slowest, _ = sent_again({"q_err": 0, "task_sets": task_sets})
    assert counts == [0, 0]
    assert max(slowest) < 11_000_000


def test_with_qerr_1_all_commands_of_a_shared_task_set_end():
    counts, slowest, _ = sent_again({"q_err": 1, "task_sets": "shared"})
    assert counts[0] >= 2
    assert counts[1] >= 4
    assert 11_000_000 < max(slowest) < 30_000_000


def test_with_qerr_1_and_a_task_set_for_each_nexus_only_its_own_end():
    counts, _, _ = sent_again({"q_err": 1, "task_sets": "per-nexus"})
    assert counts[0] >= 2
    assert counts[1] == 0


def test_with_qerr_3_only_commands_of_the_nexus_end():
    counts, _, _ = sent_again({"q_err": 3, "task_sets": "shared"})
    assert counts[0] >= 2
    assert counts[1] == 0


def test_commands_of_the_other_path_of_the_same_initiator_are_of_another_nexus():
    own, _, _ = sent_again({"q_err": 3, "task_sets": "shared"})
    all_of_it, _, _ = sent_again({"q_err": 1, "task_sets": "shared"})
    assert own[0] < all_of_it[0]


def test_without_tas_others_meet_a_unit_attention_besides_and_with_it_none():
    """One more answer than commands ended, for each nexus that has to learn of it."""
    silent, _, _ = sent_again({"q_err": 1, "task_sets": "shared"})
    told, _, _ = sent_again({"q_err": 1, "task_sets": "shared", "is_abort_told": True})
    assert silent[1] == told[1] + 2


def test_the_unit_attention_behind_a_reset_is_a_check_condition_too():
    faults = ["portal,link=1,at=100ms"]
    recovery = "linux-multipath,hold=0s,cleanup=lun-reset"
    counts = {
        q_err: sent_again({"q_err": q_err}, faults, recovery, ends_in_check=False)[0] for q_err in (0, 3)
    }
    assert sum(counts[3]) > sum(counts[0])


def test_a_scenario_file_gives_the_control_mode_page(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        '[[scenario]]\nwith = "mpio:2/round-robin"\n'
        'target = { task_sets = "shared", abort_told = true, q_err = 3 }\n'
    )
    (scenario,) = read_scenarios(file)
    assert (scenario.target.task_sets, scenario.target.is_abort_told, scenario.target.q_err) == (
        "shared",
        True,
        3,
    )


def test_a_command_that_waits_for_order_is_no_task_yet_and_goes_on():
    """The second command stands at the gate behind one that a dead link swallowed, while another host fails.

    QERR 1 ends what is in the task set. Ended too, its CmdSN would be a gap that no one fills, for its own
    connection is lost next, and the session would hang.
    """
    host = np.array([0, 0, 0, 1])
    workload = made_workload(
        4,
        read_bytes=4096,
        service_ns=100_000_000,
        issued_ns=np.array([2, 500, 501, 600]) * 1_000_000,
        ends_in_check=host == 1,
        host=host,
        lun_index=host,
        device=0,
    )
    world, _ = disturbed(
        workload,
        "mcs:3/round-robin",
        ["down,link=0,at=1ms", "down,link=1,at=800ms"],
        "linux-multipath",
        LINK,
        target={"q_err": 1, "task_sets": "shared"},
        hosts=2,
        pacing="recorded",
    )
    progress = world.progress[:4]
    assert (progress.end == GOOD).all()
    assert progress.cmd_sn[1:3].tolist() == [1, 2]


def test_what_was_ended_unheard_on_a_lost_connection_goes_on_under_a_new_cmd_sn():
    """TASK ABORTED does not come through the dead link; the CmdSN that it answers has passed the gate.

    Check conditions of one session end reads of the other; then that loses a connection, and its other one
    takes them over. One that is sent under the number that it had lies at the gate for ever.
    """
    workload = made_workload(
        4,
        read_bytes=4096,
        service_ns=[291_596_411, 120_659_312, 224_654_398, 254_969_046],
        issued_ns=[21_102_872, 107_991_392, 138_108_447, 244_864_334],
        ends_in_check=[False, True, True, True],
    )
    world, _ = disturbed(
        workload,
        "mpio:2xmcs:2/round-robin+least-queue-depth",
        ["down,link=0,at=0.5s"],
        "linux-multipath",
        target={"q_err": 1, "is_abort_told": True, "task_sets": "shared", "window": 3},
    )
    assert world.nexuses.parked.tolist() == [0, 0]
    assert world.progress.retries[:4].max() > 0

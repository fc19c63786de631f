"""The ordering gate and the command window: MC/S waits for lower CmdSNs, MPIO never does."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from analyzer.replay.state import GATE_HELD, GATE_RELEASED, LOG_EPISODES, WINDOW_CLOSED, WINDOW_OPENED, logged
from tests.replay.known import token_bucket
from tests.replay.played import ideal_link, played

FAST, SLOW = ideal_link(40_000_000, 10_000), ideal_link(10_000_000, 10_000)
UNSOLICITED = {"is_initial_r2t": False, "first_burst_bytes": 65536, "immediate_bytes": 8192}


def order_waits(world):
    return world.progress.released_ns - world.progress.arrived_ns


def test_writes_over_unequal_links_wait_for_order_under_mcs_and_never_under_mpio():
    workload = made_workload(200, write_bytes=65536)
    mcs = played(workload, "mcs:2/round-robin", (FAST, SLOW), pacing="depth:8", **UNSOLICITED)
    mpio = played(workload, "mpio:2/round-robin", (FAST, SLOW), pacing="depth:8", **UNSOLICITED)
    assert order_waits(mcs).max() > 50_000_000
    assert not order_waits(mpio).any()


def test_reads_wait_for_no_order_even_over_unequal_links():
    """Commands of reads are small and overtake nothing: the data flows the other way."""
    workload = made_workload(200, read_bytes=65536)
    world = played(workload, "mcs:2/round-robin", (FAST, SLOW), pacing="depth:8")
    assert order_waits(world).max() <= 48 * 8 * 100 * 8


def test_a_target_without_a_gate_makes_nothing_wait():
    workload = made_workload(200, write_bytes=65536)
    world = played(
        workload,
        "mcs:2/round-robin",
        (FAST, SLOW),
        pacing="depth:8",
        target={"gate": "none"},
        **UNSOLICITED,
    )
    assert not order_waits(world).any()


@pytest.mark.parametrize(("topology", "measured_iops"), [("mcs", 42.54), ("mpio", 86.8)])
def test_writes_held_by_order_stay_outstanding_and_drive_least_queue_depth_to_the_slow_link(
    topology, measured_iops
):
    """As really run: 64 KiB solicited writes at depth 8 over 40 and 10 Mbit/s, token buckets of one packet.

    Under MC/S a write on the slow link holds those behind it, which stay outstanding on the fast one; so
    least-queue-depth sends more to the slow link and reaches half of what it does under MPIO.
    """
    links = (token_bucket(40), token_bucket(10))
    workload = made_workload(240, write_bytes=65536, service_ns=40_000)
    policy = "least-queue-depth(ties=lowest-path)"
    world = played(workload, f"{topology}:2/{policy}", links, pacing="depth:8", write_segment_bytes=8192)
    assert 240e9 / world.progress.completed_ns.max() == pytest.approx(measured_iops, rel=0.03)


def test_gate_episodes_come_in_pairs_and_are_written_down():
    workload = made_workload(50, write_bytes=65536)
    world = played(workload, "mcs:2/round-robin", (FAST, SLOW), pacing="depth:8", **UNSOLICITED)
    kinds = logged(world.log, LOG_EPISODES)[:, 1].tolist()
    gate = [kind for kind in kinds if kind in (GATE_HELD, GATE_RELEASED)]
    assert gate
    assert gate == [GATE_HELD, GATE_RELEASED] * (len(gate) // 2)


@pytest.mark.parametrize("follows", ["arrival", "completion"])
def test_a_closed_window_holds_the_initiator_and_opens_again(follows):
    workload = made_workload(100, read_bytes=4096, service_ns=1_000_000)
    world = played(
        workload,
        "mcs:2/round-robin",
        pacing="depth:32",
        target={"window": 4, "window_follows": follows},
    )
    held = world.progress.sent_ns - world.progress.dispatched_ns
    kinds = logged(world.log, LOG_EPISODES)[:, 1].tolist()
    assert held.max() > 0
    assert kinds.count(WINDOW_CLOSED) == kinds.count(WINDOW_OPENED) > 0


def test_a_window_that_follows_completions_limits_what_is_at_the_target():
    workload = made_workload(100, read_bytes=512, service_ns=1_000_000)
    world = played(
        workload, "single/-", pacing="depth:32", target={"window": 4, "window_follows": "completion"}
    )
    sent, ended = np.sort(world.progress.sent_ns), np.sort(world.progress.completed_ns)
    in_flight = np.arange(1, 101) - np.searchsorted(ended, sent, side="right")
    assert in_flight.max() == 4


def test_immediate_commands_take_no_cmd_sn_and_pass_a_closed_window():
    is_immediate = np.arange(20) % 5 == 4
    workload = made_workload(20, read_bytes=512, service_ns=1_000_000, is_immediate=is_immediate)
    world = played(workload, "single/-", pacing="depth:20", target={"window": 1})
    assert (world.progress.cmd_sn[is_immediate] == -1).all()
    assert (world.progress.sent_ns[is_immediate] == 0).all()
    assert np.sort(world.progress.cmd_sn[~is_immediate]).tolist() == list(range(16))

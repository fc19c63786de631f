"""The checkers see what they are there to see: each rule, broken by hand, is reported."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.checkers import broken_rules, logged
from analyzer.replay.made import made_workload
from analyzer.replay.state import LOG_TRANSFERS
from tests.replay.played import ideal_link, played


def clean_world():
    workload = made_workload(
        30,
        read_bytes=np.arange(30) % 2 * 4096,
        write_bytes=(np.arange(30) + 1) % 2 * 4096,
        service_ns=10_000,
        predecessor=np.where(np.arange(30) < 4, -1, np.arange(30) - 4),
    )
    return played(workload, "mcs:2/round-robin", (ideal_link(10**9, 1000),))


def late_completion(world):
    world.progress.completed_ns[3] = -1


def effect_before_cause(world):
    world.progress.started_ns[5] = world.progress.released_ns[5] - 1


def too_early_request(world):
    world.progress.ready_ns[7] -= 1


def doubled_number(world):
    world.progress.cmd_sn[2] = world.progress.cmd_sn[3]


def out_of_order(world):
    world.progress.released_ns[8] += 1


def small_window(world):
    world.nexuses.window[0] = 1


def too_fast_link(world):
    world.links.full_rate_bps[1] = 10**8


def lost_bytes(world):
    world.links.wire_bytes[0] += 1


def lost_data(world):
    world.progress.received_bytes[0] -= 1


def stuck_command(world):
    world.nexuses.parked[0] = 1


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (late_completion, "did not complete"),
        (effect_before_cause, "started_ns before released_ns"),
        (too_early_request, "predecessor let them"),
        (doubled_number, "holes or doubles"),
        (out_of_order, "out of order or late"),
        (small_window, "beyond the window"),
        (too_fast_link, "more than its rate"),
        (lost_bytes, "does not account"),
        (lost_data, "without all of its data"),
        (stuck_command, "parked commands"),
    ],
)
def test_a_broken_rule_is_reported(breaks, words):
    world = clean_world()
    assert broken_rules(world) == ()
    breaks(world)
    assert any(words in rule for rule in broken_rules(world))


def test_time_that_is_rounded_up_for_many_pdus_of_one_packet_breaks_no_rule():
    """172 writes of a byte share a packet at 100 Gbit/s, where each takes 4.16 ns and is given 5."""
    link = ideal_link(10**11, mtu_bytes=9000, is_postpaid=True)
    workload = made_workload(400, write_bytes=1, service_ns=1000)
    world = played(
        workload, "single/-", (link,), target={"window": 512}, immediate_bytes=512, is_initial_r2t=True
    )
    assert not broken_rules(world)
    log = logged(world.log, LOG_TRANSFERS)
    last = np.flatnonzero(log[:, 0] == 0)[-1]
    log[last, 3] = log[last, 1] - 1
    assert any("delivered before it had sent" in words for words in broken_rules(world))

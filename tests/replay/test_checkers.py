"""The checkers see what they are there to see: each rule, broken by hand, is reported."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.checkers import broken_rules
from analyzer.replay.made import made_workload
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

"""Bonds and sessions of several connections: which links carry what, and what striping brings."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.bonds import bond_link, further_connection
from analyzer.replay.made import made_workload
from analyzer.replay.recorded_links import Endpoints
from analyzer.replay.scenario import BondMode
from analyzer.replay.words import scenario_of
from tests.replay.played import ideal_link, played, played_in


@pytest.mark.parametrize(("count", "links"), [(2, [0, 0, 1, 1, 0, 0, 1, 1]), (4, [0, 0, 1, 1, 2, 2, 3, 3])])
def test_layer3_4_spreads_ports_as_linux_does(count, links):
    """10.0.0.1 -> 10.0.0.2:3260 from ports 50000 to 50007."""
    ends = [Endpoints("10.0.0.1", port, "10.0.0.2", 3260) for port in range(50_000, 50_008)]
    assert [bond_link(BondMode.LAYER3_4, end, count) for end in ends] == links
    back = [Endpoints(end.target_address, 3260, end.initiator_address, end.initiator_port) for end in ends]
    assert [bond_link(BondMode.LAYER3_4, end, count) for end in back] == links


@pytest.mark.parametrize("mode", [BondMode.LAYER2, BondMode.LAYER2_3, BondMode.ACTIVE_BACKUP])
def test_one_pair_of_hosts_has_one_link_under_the_other_hashes(mode):
    first = Endpoints("fd00::1", 50_000, "fd00::2", 3260)
    assert len({bond_link(mode, further_connection(first, place), 4) for place in range(20)}) == 1


def test_striping_doubles_one_stream_and_a_hash_does_not():
    workload = made_workload(200, read_bytes=262_144)
    link = (ideal_link(10**9),)

    def span(words):
        world = played(workload, words, link, pacing="depth:1", read_segment_bytes=262_144)
        return int(world.progress.completed_ns.max())

    assert span("single/-") / span("bond:2/balance-rr") == pytest.approx(2, rel=0.001)
    assert span("bond:2/layer3+4") == span("bond:2/active-backup") == span("single/-")


def test_reordering_lets_one_connection_use_little_more_than_two_links_of_four():
    workload = made_workload(2000, read_bytes=262_144)
    link = (ideal_link(10**9),)

    def span(words):
        world = played(workload, words, link, pacing="depth:16", read_segment_bytes=262_144)
        return int(world.progress.completed_ns.max())

    assert span("single/-") / span("bond:4/balance-rr") == pytest.approx(2.3, rel=0.01)
    assert span("single/-") / span("bond:4:balance-rrxmpio:4/round-robin") == pytest.approx(4, rel=0.01)


def test_sessions_over_a_hashed_bond_share_its_links():
    world = played(
        made_workload(4000, read_bytes=65536),
        "bond:2:layer3+4xmpio:4/round-robin",
        (ideal_link(10**9),),
        pacing="depth:64",
        read_segment_bytes=65536,
    )
    assert world.paths.link_to.tolist() == [0, 2, 0, 2]
    assert world.paths.nexus.tolist() == [0, 1, 2, 3]


def test_sessions_of_several_connections_have_an_order_each_and_two_schedulers():
    workload = made_workload(400, read_bytes=4096, service_ns=100_000)
    world = played(workload, "mpio:2xmcs:2/least-queue-depth+round-robin", pacing="depth:8")
    assert world.paths.nexus.tolist() == [0, 0, 1, 1]
    assert np.bincount(world.progress.path).tolist() == [100] * 4
    assert world.nexuses.next_cmd_sn.tolist() == [200, 200]


def test_hosts_may_share_their_links():
    workload = made_workload(1000, read_bytes=65536, host=np.arange(1000) % 2, lun_index=np.arange(1000) % 2)
    link = (ideal_link(10**9),)

    def span(is_shared):
        scenario = scenario_of("single/-", are_links_shared=is_shared)
        world = played_in(scenario, workload, link, hosts=2, read_segment_bytes=65536)
        return int(world.progress.completed_ns.max())

    assert span(True) / span(False) == pytest.approx(2, rel=0.01)


def test_what_tcp_adds_window_restart_jitter_and_loss():
    """A window of 64 KiB over 10 ms is 6.5 MB/s; loss and jitter follow the seed."""
    workload = made_workload(100, read_bytes=262_144)
    wan = {"rate_bps": 10**10, "one_way_ns": 5_000_000}
    limited = played(
        workload, "single/-", (ideal_link(**wan, window_bytes=65536),), read_segment_bytes=262_144
    )
    assert 100 * 262_192 * 1e9 / limited.progress.completed_ns.max() == pytest.approx(6_553_600, rel=0.02)

    def span(seed, **fields):
        link = ideal_link(10**9, 1_000_000, mtu_bytes=1500, header_in_mtu_bytes=52, **fields)
        scenario = scenario_of("single/-", pacing="depth:1", seed=seed)
        world = played_in(scenario, workload, (link,), read_segment_bytes=262_144)
        return int(world.progress.completed_ns.max()), int(world.lanes.lost.sum())

    plain, none = span(1)
    assert none == 0
    lossy, lost = span(1, loss_per_billion=1_000_000)
    assert lost == pytest.approx(18, abs=14)
    assert lossy >= plain + lost * 2_000_000
    assert span(1, loss_per_billion=1_000_000) == (lossy, lost) != span(2, loss_per_billion=1_000_000)
    assert plain < span(1, idle_restart_ns=10**9)[0] < plain + 20 * 2_000_000
    assert plain < span(1, jitter_ns=500_000)[0] < plain + 200 * 500_000

"""The policies by what was published of them: vectors, shares, and the speeds that practice reported."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from analyzer.replay.policies.historical_service_time import BUCKETS, begin, fixed_power
from analyzer.replay.policies.service_time import compared
from tests.replay.played import ideal_link, played
from tests.replay.test_policies import chooser

QUICK_NS, SLOW_NS = 200_000, 800_000


def shares(policy, depth, *, slow=(3,), paths=4, count=30_000, factor=4):
    """Give the share of each path where some are slower: links with time for one request after another."""
    rate = 8 * 4144 * 10**9 // QUICK_NS
    links = tuple(
        ideal_link(rate // factor if path in slow else rate, rate_to_target_bps=0) for path in range(paths)
    )
    workload = made_workload(count, read_bytes=4096)
    world = played(
        workload, f"mpio:{paths}/{policy}", links, pacing=f"depth:{depth}", read_segment_bytes=65536
    )
    return np.bincount(world.progress.path, minlength=paths) / count


def test_the_weights_of_historical_service_time_are_those_of_the_kernel():
    memory = np.zeros(1 + 4 + BUCKETS + 12, np.int64)
    begin(4, memory, 972)
    weights = memory[5 : 5 + BUCKETS].tolist()
    assert weights[:10] == [972, 923, 876, 832, 790, 750, 712, 676, 642, 609]
    assert (weights[31], weights[62], weights[63]) == (194, 39, 0)
    assert fixed_power(1024, 9) == 1024


@pytest.mark.parametrize(
    ("policy", "depth", "quick", "slow"),
    [
        ("service-time", 1, 0.250, 0.250),
        ("historical-service-time", 1, 0.296, 0.112),
        ("service-time", 64, 0.297, 0.106),
        ("historical-service-time", 64, 0.296, 0.112),
    ],
)
def test_shares_with_one_path_four_times_slower_are_as_published(policy, depth, quick, slow):
    """dm-devel 2020-04-16 (Krisman): within 0.05 of each share, and ranked right."""
    found = shares(policy, depth)
    assert found[:3] == pytest.approx([quick] * 3, abs=0.05)
    assert found[3] == pytest.approx(slow, abs=0.05)


def test_service_time_at_depth_one_is_exactly_round_robin():
    assert shares("service-time", 1, count=4000).tolist() == shares("round-robin", 1, count=4000).tolist()


def test_round_robin_at_depth_takes_three_times_as_long_as_service_time():
    workload = made_workload(4000, read_bytes=4096)
    rate = 8 * 4144 * 10**9 // QUICK_NS
    links = (*(ideal_link(rate),) * 3, ideal_link(rate // 4))
    spans = [
        int(
            played(
                workload, f"mpio:4/{policy}", links, pacing="depth:64", read_segment_bytes=65536
            ).progress.completed_ns.max()
        )
        for policy in ("round-robin", "service-time")
    ]
    assert spans[0] / spans[1] == pytest.approx(3.2, rel=0.1)


@pytest.mark.parametrize(
    ("one", "other", "incoming", "better"),
    [
        ((10, 1), (20, 1), 999, -1),
        ((10, 1), (10, 1), 0, 0),
        ((10, 1), (10, 2), 0, 1),
        ((10, 0), (999, 1), 0, 1),
        ((10, 0), (5, 0), 0, 1),
        ((0, 1), (10, 2), 10, 1),
        ((100, 2), (40, 1), 0, 1),
        ((100, 3), (40, 1), 0, -1),
        ((2**58, 100), (2**58 + 2**50, 99), 0, -1),
    ],
)
def test_service_time_compares_as_the_kernel_does(one, other, incoming, better):
    """Bytes; throughput 0 last; else (bytes + incoming) / throughput, the faster of equals."""
    assert np.sign(compared(*one, *other, incoming)) == better


@pytest.mark.parametrize(("iops", "distinct"), [(1000, 1), (1, 2)])
def test_vmware_round_robin_needs_more_commands_than_its_limit_to_use_two_paths(iops, distinct):
    """With 32 outstanding and a limit of 1000 nearly all are on one path at any time."""
    workload = made_workload(4000, read_bytes=65536)
    world = played(
        workload, f"mpio:2/vmw-rr(iops={iops},limits=iops)", pacing="depth:32", read_segment_bytes=65536
    )
    one = played(workload, "single/-", pacing="depth:32", read_segment_bytes=65536)
    gain = one.progress.completed_ns.max() / world.progress.completed_ns.max()
    assert gain == pytest.approx(distinct, rel=0.05)


def test_the_reported_gain_of_iops_1_over_1000_comes_at_the_depth_that_explains_it():
    """207 against 129 MB/s (ratio 1.6): some hundred commands in flight; fewer gain more, up to 2."""
    workload = made_workload(20_000, read_bytes=65536)
    spans = {
        iops: played(
            workload, f"mpio:2/vmw-rr(iops={iops},limits=iops)", pacing="depth:250", read_segment_bytes=65536
        ).progress.completed_ns.max()
        for iops in (1, 1000)
    }
    assert spans[1000] / spans[1] == pytest.approx(1.6, abs=0.2)


def test_vmware_round_robin_by_bytes_and_by_both():
    by_bytes = chooser("vmw-rr", paths=2, options=[2.0, 1.0, 8192.0])
    assert [by_bytes() for _ in range(6)] == [0, 0, 1, 1, 0, 0]
    by_both = chooser("vmw-rr", paths=2, options=[0.0, 3.0, 8192.0])
    assert [by_both() for _ in range(4)] == [0, 0, 1, 1]


def test_vmware_latency_samples_every_path_and_then_keeps_to_the_quickest():
    found = shares("vmw-latency", 1, paths=4, count=2000)
    assert found[3] == pytest.approx(16 / 2000)
    assert sum(found[:3]) == pytest.approx(1 - 16 / 2000)


def test_several_gigabit_links_give_a_single_buffered_reader_one_link():
    """dm-devel 2011 (Chasen): 2, 3 and 4 links stayed at the speed of one: one request at a time."""
    workload = made_workload(3000, read_bytes=131_072)
    spans = [
        int(
            played(
                workload, f"mpio:{paths}/round-robin", pacing="depth:1", read_segment_bytes=262_144
            ).progress.completed_ns.max()
        )
        for paths in (1, 2, 3, 4)
    ]
    assert max(spans) / min(spans) == pytest.approx(1, rel=0.01)
    megabytes = 3000 * 131_072 * 1e3 / spans[0]
    assert megabytes == pytest.approx(113, rel=0.05)


def test_legacy_repeat_counts_stay_on_a_path_and_today_s_do_not():
    today = chooser("round-robin", options=[1000.0, 1.0])
    assert [today() for _ in range(4)] == [0, 1, 2, 0]
    legacy = chooser("round-robin", options=[1.0, 3.0])
    assert [legacy() for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    assert legacy(usable=(1, 1, 0)) in (0, 1)


def test_a_subset_takes_turns_over_primaries_and_falls_back_to_standbys():
    choose = chooser("round-robin-subset", paths=4)
    primary = (1, 1, 0, 0)
    assert [choose(value=primary) for _ in range(4)] == [0, 1, 0, 1]
    assert [choose(value=primary, usable=(0, 0, 1, 1)) for _ in range(3)] == [2, 3, 2]
    assert choose(value=primary, usable=(0, 1, 1, 1)) == 1


def test_weights_least_blocks_and_active_read_by_their_sentences():
    assert chooser("weighted-paths")(value=(5, 2, 2)) == 1
    assert chooser("weighted-paths")(value=(5, 2, 2), usable=(1, 0, 0)) == 0
    assert chooser("least-blocks")(data=(1024, 512, 513)) == 1
    assert chooser("least-blocks")(data=(511, 512, 512), usable=(0, 1, 1)) == 1
    reads = chooser("active-read")
    assert reads(commands=(3, 0, 1)) == 1


def test_regions_units_and_processors_have_their_paths():
    world = played(
        made_workload(8, read_bytes=512, lba=np.arange(8) << 17), "mpio:2/logical-block", pacing="depth:1"
    )
    assert world.progress.path.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    world = played(made_workload(6, read_bytes=512, lun_index=np.arange(6) % 3), "mcs:2/order-safe")
    assert world.progress.path.tolist() == [0, 1, 0] * 2
    world = played(made_workload(40, read_bytes=512), "mpio:4/io-affinity", pacing="depth:4")
    assert np.bincount(world.progress.path).tolist() == [10] * 4


def test_active_read_keeps_writes_on_one_path_and_spreads_reads():
    is_read = np.arange(200) % 2 == 0
    workload = made_workload(
        200, read_bytes=np.where(is_read, 65536, 0), write_bytes=np.where(is_read, 0, 4096)
    )
    path = played(workload, "mpio:3/active-read", pacing="depth:8", immediate_bytes=8192).progress.path
    assert set(path[~is_read]) == {0}
    assert set(path[is_read]) == {0, 1, 2}


def test_a_path_group_of_lower_priority_is_not_used():
    workload = made_workload(100, read_bytes=512)
    world = played(workload, "mpio:4/round-robin(priorities=50:10:50:10)")
    assert np.bincount(world.progress.path, minlength=4).tolist() == [50, 0, 50, 0]


def test_submission_times_cut_to_jiffies_starve_the_slow_paths():
    """dm-devel 2022-04-27: on bio maps slow paths fell to a share of 0.00, with a fine clock they did not."""
    slow = (1, 2, 3)
    fine = shares("historical-service-time", 16, slow=slow, factor=20)
    coarse = shares("historical-service-time(clock_ns=4000000)", 16, slow=slow, factor=20)
    assert fine[1:].min() > 0.005
    assert coarse[1:].max() < fine[1:].min()

"""What arithmetic on paper gives, the engine gives to the nanosecond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.replay.made import WIRE, made_workload
from analyzer.replay.outcome import left_ns
from tests.replay.played import ideal_link, played

GIGABIT = 10**9


def test_one_read_takes_its_command_its_service_and_its_data_each_with_one_delay():
    link = ideal_link(GIGABIT, one_way_ns=20_000)
    workload = made_workload(1, read_bytes=4096, service_ns=100_000)
    done = played(workload, "single/-", (link,), read_segment_bytes=65536).progress[0]
    assert done.arrived_ns == 48 * 8 + 20_000
    assert done.released_ns == done.started_ns == done.arrived_ns
    assert done.completed_ns == done.started_ns + 100_000 + (48 + 4096) * 8 + 20_000


def test_a_read_in_several_pdus_pays_a_header_for_each_and_one_for_its_own_status():
    link = ideal_link(GIGABIT)
    workload = made_workload(1, read_bytes=20_000, has_own_status=True)
    done = played(workload, "single/-", (link,), read_segment_bytes=8192).progress[0]
    assert done.completed_ns == 48 * 8 + (3 * 48 + 20_000 + 48) * 8


def test_digests_and_padding_are_on_the_wire():
    link = ideal_link(GIGABIT)
    workload = made_workload(1, read_bytes=4097)
    done = played(
        workload, "single/-", (link,), header_bytes=52, digest_bytes=4, read_segment_bytes=65536
    ).progress[0]
    assert done.completed_ns == 52 * 8 + (52 + 4100 + 4) * 8


def test_one_solicited_write_pays_a_round_trip_for_its_r2t():
    link = ideal_link(GIGABIT, one_way_ns=20_000)
    workload = made_workload(1, write_bytes=8192, service_ns=5_000, grant_ns=3_000, turnaround_ns=2_000)
    done = played(workload, "single/-", (link,), write_segment_bytes=8192).progress[0]
    header = 48 * 8
    data_is_in = header + 20_000 + 3_000 + header + 20_000 + 2_000 + (48 + 8192) * 8 + 20_000
    assert done.started_ns == data_is_in
    assert done.completed_ns == data_is_in + 5_000 + header + 20_000


def test_immediate_data_needs_no_r2t():
    link = ideal_link(GIGABIT, one_way_ns=20_000)
    workload = made_workload(1, write_bytes=8192)
    done = played(workload, "single/-", (link,), immediate_bytes=8192, write_segment_bytes=8192).progress[0]
    assert done.completed_ns == (48 + 8192) * 8 + 20_000 + 48 * 8 + 20_000


def test_packets_of_a_wire_carry_their_own_overhead():
    """A 4 KiB read over Ethernet of MTU 1500 is 3 packets of 90 bytes more each."""
    workload = made_workload(1, read_bytes=4096)
    world = played(workload, "single/-", (WIRE,), read_segment_bytes=65536)
    command, data = 48 + 90, 48 + 4096 + 3 * 90
    assert world.links.wire_bytes.tolist() == [command, data]
    assert world.progress[0].completed_ns == (command + data) * 8 + 2 * 50_000


@pytest.mark.parametrize(("data_bytes", "is_in_same_packet"), [(65536, True), (65112, False)])
@pytest.mark.parametrize("bucket_bytes", [0, 2000])
def test_a_command_behind_data_arrives_in_the_packet_that_ends_the_data(
    data_bytes, is_in_same_packet, bucket_bytes
):
    """TCP knows no PDUs: the target has both at once, but where the data (45 packets here) fills its last."""
    link = WIRE.model_copy(update={"bucket_bytes": bucket_bytes})
    workload = made_workload(
        2,
        read_bytes=np.array([0, 4096]),
        write_bytes=np.array([data_bytes, 0]),
        issued_ns=np.array([0, 0]),
    )
    progress = played(
        workload,
        "single/-",
        (link,),
        pacing="recorded",
        is_initial_r2t=False,
        immediate_bytes=0,
        first_burst_bytes=1 << 20,
        write_segment_bytes=1 << 20,
    ).progress
    later_ns = 0 if is_in_same_packet else (48 + 90) * 8
    assert progress[1].arrived_ns - progress[0].started_ns == later_ns


@pytest.mark.parametrize(("max_outstanding_r2t", "milliseconds"), [(1, 106.0), (16, 35.5)])
def test_outstanding_r2ts_as_scst_computed_them(max_outstanding_r2t, milliseconds):
    """SCST max_outstanding_r2t.txt: 2 MiB writes, 10 ms round trip, 64 KiB in 0.5 ms, 8 bursts of 256 KiB."""
    link = ideal_link(65536 * 8 * 2000, one_way_ns=5_000_000)
    workload = made_workload(1, write_bytes=2 << 20)
    world = played(
        workload,
        "single/-",
        (link,),
        header_bytes=0,
        first_burst_bytes=65536,
        is_initial_r2t=False,
        max_burst_bytes=262_144,
        max_outstanding_r2t=max_outstanding_r2t,
        write_segment_bytes=65536,
    )
    assert world.progress[0].completed_ns == milliseconds * 1_000_000


def test_a_token_bucket_lets_its_size_go_at_once_after_an_idle_time_and_keeps_the_rate_after_that():
    """Linux tbf: behind an idle time 2000 bytes pass for nothing; a busy link is no faster."""
    link = ideal_link(40_000_000, bucket_bytes=2000)
    alone = played(made_workload(1, read_bytes=4096), "single/-", (link,), read_segment_bytes=65536)
    assert alone.progress[0].completed_ns == (48 + 4096 - 2000) * 200
    many = played(
        made_workload(1000, read_bytes=4096), "single/-", (link,), pacing="depth:8", read_segment_bytes=65536
    )
    assert many.progress.completed_ns.max() == 1000 * (48 + 4096) * 200 - 2000 * 200


def test_at_depth_one_mcs_mpio_and_one_link_are_the_same():
    """Connection allegiance: one outstanding command uses one link, whatever the topology."""
    workload = made_workload(
        100, read_bytes=np.arange(100) * 512, write_bytes=np.arange(100)[::-1] * 512, service_ns=70_000
    )
    times = [
        played(workload, words, pacing="depth:1").progress.completed_ns.tolist()
        for words in ("single/-", "mcs:2/failover-only", "mpio:2/failover-only", "mpio:4/round-robin")
    ]
    assert all(time == times[0] for time in times)


def test_at_depth_one_service_time_and_queue_length_are_round_robin():
    """All paths are idle at every choice, so the least recently used one is chosen."""
    workload = made_workload(60, read_bytes=4096, service_ns=70_000)
    paths = {
        policy: played(workload, f"mpio:3/{policy}", pacing="depth:1").progress.path.tolist()
        for policy in ("round-robin", "service-time", "queue-length")
    }
    assert paths["round-robin"] == [0, 1, 2] * 20
    assert paths["service-time"] == paths["queue-length"] == paths["round-robin"]


def test_two_links_at_large_depth_carry_twice_one():
    workload = made_workload(20_000, read_bytes=65536, service_ns=100_000)
    spans = [
        int(played(workload, words, pacing="depth:64", read_segment_bytes=65536).progress.completed_ns.max())
        for words in ("single/-", "mcs:2/round-robin", "mpio:2/service-time")
    ]
    assert spans[0] / spans[1] == pytest.approx(2, rel=0.01)
    assert spans[0] / spans[2] == pytest.approx(2, rel=0.01)


def test_the_next_of_a_list_is_asked_for_in_its_order_whichever_delay_ends_first():
    """Every other request has a think time; the application submits its list in order all the same.

    Taken in the order in which delays end, round-robin would give each pair the other way round.
    """
    workload = made_workload(
        40,
        read_bytes=4096,
        service_ns=1_000_000,
        predecessor=np.where(np.arange(40) < 4, -1, np.arange(40) - 4),
        think_ns=np.where(np.arange(40) % 2, 0, 200_000),
    )
    usual = replace(workload.queue_depth, depth=4)
    world = played(replace(workload, queue_depth=usual), "mpio:2/round-robin", pacing="closed")
    assert (np.diff(world.progress.ready_ns) >= 0).all()
    assert world.progress.path.tolist() == [0, 1] * 20
    assert len(set(np.diff(world.progress.ready_ns[4:]).tolist())) > 2, "the delays are still in it"


@pytest.mark.parametrize("depth", [1, 8])
def test_short_commands_cost_the_data_that_they_ask_for_hardly_an_acknowledgement(depth):
    """Reads fill the link; 400 commands of 48 bytes are 6 times two full segments (RFC 5681 section 4.2).

    An answer that leaves an idle link takes the acknowledgement along.
    """
    link = ideal_link(
        10**8, mtu_bytes=1500, packet_overhead_bytes=66, header_in_mtu_bytes=52, packets_per_ack=2
    )
    world = played(made_workload(400, read_bytes=4096), "single/-", (link,), pacing=f"depth:{depth}")
    back = world.links[1]
    for_acknowledgements = back.wire_bytes - 400 * (4096 + 48) - back.packets * 66
    assert 0 <= for_acknowledgements <= (0 if depth == 1 else 6 * 66)


@pytest.mark.parametrize("bucket_bytes", [0, 2000])
def test_the_recorder_sees_a_command_that_waited_begin_in_the_packet_before(bucket_bytes):
    """Writes of 4 KiB, written at once: 4144 bytes each go one behind another, 2.86 packets of 1538 bytes.

    The first is seen when it is written (a full bucket lets its first packet pass at once), each other so
    long before it is whole as its own bytes take with their share of the overhead.
    """
    count = 8
    link = WIRE.model_copy(update={"bucket_bytes": bucket_bytes})
    workload = made_workload(count, write_bytes=4096, issued_ns=np.zeros(count, np.int64))
    world = played(workload, "single/-", (link,), immediate_bytes=8192, write_segment_bytes=8192)
    assert world.progress.is_joined.tolist() == [0, *[1] * (count - 1)]
    stream, segment, overhead = 4144, 1448, int(world.links.packet_overhead_bytes[0])
    whole = world.progress.arrived_ns[:count] - world.links.delay_ns[0]
    took = whole - left_ns(workload, world)[:count]
    assert took[0] == (stream + 3 * overhead - bucket_bytes) * 8
    assert (took[1:] == (stream + stream * overhead // segment) * 8).all()

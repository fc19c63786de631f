"""A congestion window holds data back where acknowledgements come late, by arithmetic, and never elsewhere.

Expected times are worked out by hand: links without headers, packets of 1,000 bytes that take 1 ms each.
"""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from analyzer.replay.made import made_workload
from tests.replay.played import disturbed, ideal_link, played

MS = 1_000_000
PACKET = {"mtu_bytes": 1000, "rate_bps": 8_000_000}
DEEP = {"queue_to_target_bytes": 100_000, "queue_from_target_bytes": 100_000}
HEADER = 48
WHOLE = {
    "is_opening_seen": True,
    "is_initial_r2t": False,
    "first_burst_bytes": 1 << 22,
    "read_segment_bytes": 1 << 22,
    "write_segment_bytes": 1 << 22,
}


def spans(world):
    """When each request completed, in ms."""
    return world.progress.completed_ns / MS


def packets(count):
    """Bytes of data that fill so many packets of a PDU with its header."""
    return 1000 * count - HEADER


def read(count, link, **agreed):
    """One read of so many packets on a new connection; its time in ms."""
    workload = made_workload(1, read_bytes=packets(count))
    return float(spans(played(workload, "single/-", (link,), **(WHOLE | agreed)))[0])


def test_a_new_connection_doubles_its_window_with_each_round_trip():
    """10 packets, then 20: over 50 ms each way the rest waits for the first acknowledgements.

    The command is there after 0.048 + 50 ms, its first data leaves 1 ms later. Packet 11 goes when packet 1
    is acknowledged: 1 + 50 + 50 ms behind the moment at which the target had the data.
    """
    far = ideal_link(one_way_ns=50 * MS, **PACKET, **DEEP)
    begin = 0.048 + 50
    assert read(10, far) == pytest.approx(begin + 10 + 50, abs=0.1)
    assert read(11, far) == pytest.approx(begin + 101 + 1 + 50, abs=0.1)
    assert read(30, far) == pytest.approx(begin + 101 + 20 + 50, abs=0.1)
    # Packet 31 follows the first acknowledgement of the second round.
    assert read(31, far) == pytest.approx(begin + 2 * 101 + 1 + 50, abs=0.1)


def test_a_connection_that_was_open_before_the_recording_is_not_new():
    """Of its window nothing is known, so it does not limit."""
    far = ideal_link(one_way_ns=50 * MS, **PACKET, **DEEP)
    assert read(31, far, is_opening_seen=False) == pytest.approx(0.048 + 50 + 31 + 50, abs=0.1)


def test_an_idle_time_closes_the_window_again():
    """The second read comes 2 s behind the first: ten packets at first once more (RFC 5681 section 4.1)."""
    count = 31
    workload = made_workload(
        2, read_bytes=packets(count), predecessor=np.array([-1, 0]), think_ns=np.array([0, 2_000 * MS])
    )

    def second(**fields):
        link = ideal_link(one_way_ns=50 * MS, **PACKET, **fields)
        world = played(workload, "single/-", (link,), read_segment_bytes=1 << 20)
        return float((world.progress.completed_ns[1] - world.progress.ready_ns[1]) / MS)

    whole = 0.048 + 50 + count + 50
    assert second() == pytest.approx(whole, abs=0.1)
    assert second(idle_restart_ns=3_000 * MS) == pytest.approx(whole, abs=0.1)
    assert second(idle_restart_ns=1_000 * MS) == pytest.approx(0.048 + 50 + 2 * 101 + 1 + 50, abs=0.1)


# Over limiters R2Ts of writes come a part of a packet sooner or later, and each then asks in another order.
ONE_WAY = [(True, {}), (True, {"bucket_bytes": 2000}), (True, {"is_postpaid": True}), (False, {})]


@pytest.mark.parametrize(("is_read", "fields"), ONE_WAY)
def test_data_in_one_direction_alone_is_never_held_up(is_read, fields):
    """Acknowledgements come back at once, so the link is full and the window does not matter."""
    random = np.random.default_rng(5)
    length = random.integers(1, 100_000, 60)
    workload = made_workload(
        60,
        read_bytes=length if is_read else 0,
        write_bytes=0 if is_read else length,
        predecessor=np.where(np.arange(60) < 7, -1, np.arange(60) - 7),
    )
    agreed = {"is_opening_seen": True, "read_segment_bytes": 65536, "write_segment_bytes": 8192}
    plain, windowed = (
        spans(played(workload, "mcs:2/round-robin", (ideal_link(**PACKET, **fields, **queue),), **agreed))
        for queue in ({}, DEEP)
    )
    # The end of a PDU that waits in the socket shares its packet with the next, and comes with it.
    assert windowed == pytest.approx(plain, abs=1.5)


class Side:
    """One end of a connection, packet by packet: what lies in its socket, in its queue and on its link."""

    def __init__(self, queue_packets):
        self.room = queue_packets
        self.unsent, self.sent, self.acknowledged = 0, 0, 0
        self.window, self.late, self.counted, self.is_slow_start = 10, 0, 0, True
        self.limited_until, self.least = 0, np.inf
        self.entered_at = []
        self.queue, self.is_sending, self.data_queued = [], False, 0


def exchanged(written, queue_packets=1000):
    """When each packet of each side arrives, of 1 ms each on links without delay; an event for each.

    ``written`` are (time, side, packets), in order.
    """
    sides = [Side(queue_packets), Side(queue_packets)]
    events, arrived, number = [], ([], []), 0

    def post(at, what, *who):
        nonlocal number
        number += 1
        heapq.heappush(events, (at, number, what, who))

    def fill(now, index):
        side = sides[index]
        while side.unsent and side.sent - side.acknowledged < side.window and side.data_queued < side.room:
            side.entered_at.append(now)
            side.queue.append(("data", side.sent))
            side.unsent, side.sent, side.data_queued = side.unsent - 1, side.sent + 1, side.data_queued + 1
            if side.sent - side.acknowledged >= side.window:
                side.limited_until = side.sent
        send(now, index)

    def send(now, index):
        side = sides[index]
        while side.queue and not side.is_sending:
            kind, packet = side.queue.pop(0)
            if kind == "data":
                side.is_sending = True
                post(now + 1, "left", index, packet)
            else:
                heard(now, 1 - index, packet)

    def heard(now, index, packet):
        side = sides[index]
        trip = now - side.entered_at[packet]
        side.least = min(side.least, trip)
        is_limited = packet < side.limited_until
        if side.is_slow_start:
            side.window += is_limited or 2 * (side.sent - packet) >= side.window
            is_late = trip >= side.least + 4 and side.window >= 16
            side.late = side.late + 1 if is_late else 0
            side.is_slow_start = side.late < 8
        elif is_limited:
            side.counted += 1
            if side.counted == 20:
                side.window, side.counted = side.window + 1, 0
        side.acknowledged = packet + 1
        fill(now, index)

    for at, index, count in written:
        post(at, "written", index, count)
    while events:
        now, _, what, who = heapq.heappop(events)
        side = sides[who[0]]
        if what == "written":
            side.unsent += who[1]
            fill(now, who[0])
        else:
            side.is_sending = False
            side.data_queued -= 1
            arrived[who[0]].append(now)
            sides[1 - who[0]].queue.append(("acknowledgement", who[1]))
            send(now, 1 - who[0])
            fill(now, who[0])
    return arrived


def asked_at_random(seed, most_packets, load):
    """Reads and writes in equal parts, asked for at their times whatever comes back."""
    random = np.random.default_rng(seed)
    count = random.integers(1, most_packets, 300)
    is_read = random.random(len(count)) < 0.5
    at_ms = np.cumsum(random.exponential(count.mean() / 2 / load, len(count)))
    return count, is_read, at_ms


def latencies(count, is_read, at_ms, queue_packets):
    """When each command is at the target, and how long its data takes from its asking on, in ms."""
    workload = made_workload(
        len(count),
        read_bytes=np.where(is_read, packets(count), 0),
        write_bytes=np.where(is_read, 0, packets(count)),
        issued_ns=(at_ms * MS).astype(np.int64),
    )
    queue = 1000 * queue_packets
    link = ideal_link(**PACKET, queue_to_target_bytes=queue, queue_from_target_bytes=queue)
    progress = played(workload, "single/-", (link,), **WHOLE).progress
    there = np.where(is_read, progress.completed_ns, progress.started_ns)
    return progress.arrived_ns / MS, there / MS - at_ms


@pytest.mark.parametrize(
    ("seed", "most_packets", "load"),
    [(1, 45, 0.95), (2, 45, 0.95), (3, 45, 0.95), (1, 45, 1.2), (1, 120, 0.95)],
)
def test_both_directions_at_once_are_as_packet_by_packet(seed, most_packets, load):
    """Against a model with an event for every packet and acknowledgement."""
    count, is_read, at_ms = asked_at_random(seed, most_packets, load)
    arrived, found = latencies(count, is_read, at_ms, 1000)
    _, free = latencies(count, is_read, at_ms, 0)
    written = np.where(is_read, arrived, at_ms)
    order = np.argsort(written, kind="stable")
    packet_times = exchanged([(written[row], int(is_read[row]), int(count[row])) for row in order])
    told = np.zeros(len(count))
    for side in (0, 1):
        mine = order[is_read[order] == side]
        told[mine] = np.array(packet_times[side])[np.cumsum(count[mine]) - 1]
    told -= at_ms
    assert told.mean() > 1.04 * free.mean()
    assert found.mean() == pytest.approx(told.mean(), rel=0.03)
    # Commands of reads fill packets of their own here, and there those of writes.
    assert np.abs(found - told).mean() < 0.05 * told.mean()


def behind_a_long_read(queue_packets, **fields):
    """How long a write of 20 packets takes that begins in the middle of a read of 2,000, in ms."""
    workload = made_workload(
        2,
        read_bytes=np.array([packets(2000), 0]),
        write_bytes=np.array([0, packets(20)]),
        issued_ns=np.array([0, 1000 * MS]),
    )
    queue = 1000 * queue_packets
    link = ideal_link(**PACKET, **fields, queue_to_target_bytes=queue, queue_from_target_bytes=queue)
    return float(played(workload, "single/-", (link,), **WHOLE).progress.started_ns[1] / MS) - 1000


def test_acknowledgements_behind_read_data_stop_a_write():
    """Ten packets go at once; the others when what lay in the target's queue has let the first through.

    That is the window of the read: by then 24 packets, as HyStart leaves it, and one for each 20 since.
    A short queue, which Linux keeps where it can, lets acknowledgements through.
    """
    assert behind_a_long_read(1) == pytest.approx(20, abs=2)
    assert behind_a_long_read(30) == pytest.approx(20 + 30 - 10, abs=4)
    grown = 24 + 1000 / 20
    assert behind_a_long_read(1000) == pytest.approx(20 + grown - 10, abs=5)


def test_slow_start_ends_when_as_many_acknowledgements_as_hystart_asks_for_were_late():
    """Eight of them: of a packet each the window is 24 then, of two each 32, less what grew meanwhile."""
    each, second = (behind_a_long_read(1000, packets_per_ack=count) for count in (1, 2))
    assert second - each == pytest.approx(8 - 8 / 20, abs=0.7)


# Over a link of half the rate writes wait for acknowledgements: without a fault they take 15 % longer too.
FAULTS = [
    ("reset,link=0,at=500ms", 0.1),
    ("down,link=0,at=500ms,for=800ms", 0.1),
    ("slow,link=0,at=500ms,factor=0.5", 0.25),
]


@pytest.mark.parametrize(("fault", "longer"), FAULTS)
def test_a_fault_leaves_nothing_behind_that_holds_up_what_follows(fault, longer):
    """A replay with windows ends about when one without does; a connection opened again has a small one."""
    count = 80
    is_read = np.arange(count) % 3 > 0
    workload = made_workload(
        count,
        read_bytes=np.where(is_read, 40_000, 0),
        write_bytes=np.where(is_read, 0, 40_000),
        predecessor=np.where(np.arange(count) < 8, -1, np.arange(count) - 8),
    )
    plain, windowed = (
        disturbed(
            workload,
            "mpio:2/round-robin",
            [fault],
            "linux-multipath",
            (ideal_link(one_way_ns=MS, **PACKET, **queue),),
            is_opening_seen=True,
        )[0]
        for queue in ({}, DEEP)
    )
    assert spans(windowed)[:count].max() == pytest.approx(spans(plain)[:count].max(), rel=longer)
    if fault.startswith("reset"):
        windows = windowed.lanes.window_segments
        assert windows[:2].max() < windows[2:].max()

"""The links of a recording: which there were, and the rate, delay and MTU that the capture shows.

Connections between the same two addresses shared a link. What the times of PDUs say of a direction is
worked out in ``link_rates.py``; here it is put together, link by link. A rate that nothing shows is not made
up: the other direction or another link lends its own, else sending takes no time, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from analyzer.errors import UnusableInputError
from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.given import NOTHING_GIVEN, Given
from analyzer.replay.link_rates import LaneRate, ack_share, alike, balanced, lane_rate
from analyzer.replay.recorder_place import RoundTrips, round_trips
from analyzer.replay.token_buckets import LaneTimes, paid_until
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]

FRAME_BYTES = 14
"""Ethernet without preamble, check sequence and gap: how a rate limiter in the kernel counts a packet."""
WIRE_BYTES = 38
"""Ethernet as it occupies a wire (IEEE 802.3): preamble 8, header 14, check sequence 4, gap 12."""
IPV4_HEADERS, IPV6_HEADERS = 40, 60
TIME_STAMPS = 12
DEFAULT_MTU_BYTES = 1500
ORDINARY_MTUS = range(1280, 9217)
TOLERANCE_NS = 2_000
ORDINARY_PAUSE_PERCENT = 99
LOADED = 0.5
"""From this utilisation on a lane may be what its senders wait for."""
REST_PACKETS = 64
LEAST_FREE_SHARE = 0.1
"""Where fewer PDUs of a lane were free to go, it was as good as always busy, and none is believed."""
MOST_PACKETS_PER_ACK = 64


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Both ends of a TCP connection."""

    initiator_address: str
    initiator_port: int
    target_address: str
    target_port: int


@dataclass(frozen=True, slots=True)
class PduColumns:
    """The PDUs of the timeline, shape (pdus,), in order of link, direction and end.

    ``lane`` is 2 * link + from_target; ``wire_bytes`` counts the lower layers, ``first_bytes`` those of its
    first packet, 0 where that packet belongs to the PDU before; ``task`` is -1 for none. ``ready_ns`` is
    when its sender had it at the latest: exactly then where ``is_free``, for the lane would have let it go
    sooner. Else it had to wait behind what was sent since ``since_ns``, and may have been ready at any time
    from then on.
    """

    lane: Int64s
    first_ns: Int64s
    end_ns: Int64s
    ready_ns: Int64s
    since_ns: Int64s
    is_free: Bools
    wire_bytes: Int64s
    first_bytes: Int64s
    opcode: Int64s
    data_bytes: Int64s
    task: Int64s
    is_always_busy: Bools
    """Shape (lanes,): so few PDUs found the lane free that what they show of their sender is not believed."""


@dataclass(frozen=True, slots=True)
class RecordedLinks:
    """The links, each column of shape (links,) but for ``link_of_connection`` (connections,).

    ``overhead_bytes`` is what a packet carries besides the stream, ``header_bytes`` the part of it that
    counts towards the MTU. ``bucket_bytes`` is 0 for a wire. ``packets_per_ack`` is 0 where
    acknowledgements cannot be told.
    """

    names: tuple[str, ...]
    link_of_connection: npt.NDArray[np.int32]
    mtu_bytes: Int64s
    header_bytes: Int64s
    overhead_bytes: Int64s
    bucket_bytes: Int64s
    packets_per_ack: Int64s
    rtt_ns: Int64s
    target_side_rtt_ns: Int64s
    """The part of it between recorder and target."""
    rate_to_target_bps: Int64s
    rate_from_target_bps: Int64s
    queue_to_target_bytes: Int64s
    queue_from_target_bytes: Int64s
    """What lay below TCP at the sending host; 0 where acknowledgements were not seen to wait."""
    pdus: PduColumns
    values: tuple[CalibratedValue, ...]
    endpoints: tuple[Endpoints, ...] = ()
    """Shape (connections,)."""


def recorded_links(timeline: Timeline, given: Given = NOTHING_GIVEN) -> RecordedLinks:
    """Find the links of a timeline and estimate what they are; never fails for want of evidence.

    What is ``given`` is taken instead, and what else is worked out rests on it. Raises UnusableInputError
    where it names a link that there is not.
    """
    pairs = list(
        zip(
            timeline.values("connections", "initiator_address"),
            timeline.values("connections", "target_address"),
            strict=True,
        )
    )
    known = {pair: link for link, pair in enumerate(dict.fromkeys(pairs))}
    names = tuple(f"{initiator} - {target}" for initiator, target in known)
    link_of = np.array([known[pair] for pair in pairs], np.int32)
    unknown = [link for link in (*given.rate_bps, *given.bucket_bytes) if link >= len(names)]
    if unknown:
        raise UnusableInputError(
            f"the recording has no link {unknown[0]}; there are {len(names)}, from 0", source="--set"
        )
    values: list[CalibratedValue] = []
    mtu, header = _mtus(timeline, link_of, names, values)
    trips = round_trips(timeline, link_of, names)
    values += trips.values
    pdus = _pdu_columns(timeline, link_of, mtu - header, header + FRAME_BYTES)
    per_ack = _packets_per_ack(timeline, link_of, pdus, mtu - header, names, values)
    found = _lane_rates(timeline, link_of, pdus, mtu, header, per_ack, given)
    kinds = _kinds_of_links(found, trips.rtt_ns, mtu, names, given, values)
    rates = _rates(found, kinds, mtu, names, values)
    overhead = header + np.where(kinds > 0, FRAME_BYTES, WIRE_BYTES)
    endpoints = zip(*(timeline.values("connections", field.name) for field in fields(Endpoints)), strict=True)
    return RecordedLinks(
        names,
        link_of,
        mtu,
        header,
        overhead,
        kinds,
        per_ack,
        trips.rtt_ns,
        trips.target_side_ns,
        rates[0::2],
        rates[1::2],
        *_queues(timeline, link_of, rates, trips, values),
        _with_readiness(pdus, rates, kinds, mtu + FRAME_BYTES, header, per_ack),
        tuple(values),
        tuple(Endpoints(str(one[0]), int(one[1]), str(one[2]), int(one[3])) for one in endpoints),
    )


def _mtus(
    timeline: Timeline, link_of: npt.NDArray[np.int32], names: tuple[str, ...], values: list[CalibratedValue]
) -> tuple[Int64s, Int64s]:
    """MTU and bytes of IP and TCP headers of each link.

    A largest segment that fills an MTU of 1500 or 9000 without TCP's time stamps had none.
    """
    segments = timeline.values("connections", "largest_segment_bytes")
    is_ipv6 = np.array([":" in str(name) for name in timeline.values("connections", "target_address")])
    mtus = np.full(len(names), DEFAULT_MTU_BYTES, np.int64)
    headers = np.full(len(names), IPV4_HEADERS + TIME_STAMPS, np.int64)
    for link, name in enumerate(names):
        mine = link_of == link
        seen = int(segments[mine].max(initial=0))
        bare = IPV6_HEADERS if is_ipv6[mine].any() else IPV4_HEADERS
        headers[link] = bare if seen + bare in (1500, 9000) else bare + TIME_STAMPS
        rests_on, confidence = f"largest segment seen, {seen} bytes", Confidence.HIGH
        if seen + headers[link] >= ORDINARY_MTUS.stop:
            rests_on = "assumed: segments larger than any MTU were recorded (segmentation offload)"
            confidence = Confidence.LOW
        elif seen + headers[link] < ORDINARY_MTUS.start:
            rests_on, confidence = "assumed: no full packet was recorded", Confidence.LOW
        else:
            mtus[link] = seen + headers[link]
        values.append(
            CalibratedValue(f"MTU, {name}", int(mtus[link]), "bytes", rests_on, confidence, key="links.mtu")
        )
    return mtus, headers


def _pdu_columns(
    timeline: Timeline, link_of: npt.NDArray[np.int32], segment_bytes: Int64s, overhead_bytes: Int64s
) -> PduColumns:
    connection = timeline.values("pdus", "connection_index")
    lane = 2 * link_of[connection].astype(np.int64) + timeline.values("pdus", "from_target")
    end = timeline.values("pdus", "time_last_ns")
    data = timeline.values("pdus", "data_length").astype(np.int64)
    header = 48 + 4 * timeline.values("connections", "header_digest")[connection].astype(np.int64)
    digest = 4 * timeline.values("connections", "data_digest")[connection].astype(np.int64)
    stream = header + ((data + 3) & ~3) + np.where(data > 0, digest, 0)
    first = timeline.values("pdus", "time_ns")
    order = np.lexsort((first, end, lane))
    lane, first, end, stream = lane[order], first[order], end[order], stream[order]
    segment, overhead = segment_bytes[lane // 2], overhead_bytes[lane // 2]
    continues = np.zeros(len(lane), np.bool_)
    continues[1:] = (lane[1:] == lane[:-1]) & (first[1:] == end[:-1])
    packets = (stream + segment - 1) // segment
    # Of PDUs that share packets each has its part of what those packets carry besides.
    is_shared = continues | np.append(continues[1:], False)
    wire = stream + np.where(is_shared, stream * overhead // segment, packets * overhead)
    task = timeline.values("pdus", "task_index", -1).astype(np.int64)
    return PduColumns(
        lane,
        first,
        end,
        first,
        first,
        np.ones(len(lane), np.bool_),
        wire,
        np.where(continues, 0, first_packet_bytes(first, end, continues, stream, segment, overhead)),
        timeline.values("pdus", "opcode").astype(np.int64)[order],
        data[order],
        task[order],
        np.zeros(0, np.bool_),
    )


def first_packet_bytes(
    first_ns: Int64s,
    end_ns: Int64s,
    continues: Bools,
    stream_bytes: Int64s,
    segment_bytes: Int64s,
    overhead_bytes: Int64s,
) -> Int64s:
    """The bytes of the packet that each PDU begins in, shape (pdus,), with what others have of it.

    A packet is full where one of its PDUs goes on in the next. So a status may come as late as a full packet
    takes, though it is short and the lane was never at rest.
    """
    full = segment_bytes + overhead_bytes
    if not len(first_ns):
        return full
    begins = np.ones(len(first_ns), np.bool_)
    begins[1:] = ~continues[1:] | (first_ns[1:] != first_ns[:-1])
    starts = np.flatnonzero(begins)
    packet = np.cumsum(begins) - 1
    whole = np.add.reduceat(stream_bytes, starts)[packet] + overhead_bytes
    goes_on = np.add.reduceat((end_ns > first_ns).astype(np.int64), starts)[packet] > 0
    return np.where(goes_on, full, np.minimum(whole, full))


def _packets_per_ack(
    timeline: Timeline,
    link_of: npt.NDArray[np.int32],
    pdus: PduColumns,
    segment_bytes: Int64s,
    names: tuple[str, ...],
    values: list[CalibratedValue],
) -> Int64s:
    """How many packets with data one without acknowledges: from the number of packets recorded."""
    packets = timeline.values("connections", "packets")
    found = np.zeros(len(names), np.int64)
    for link, name in enumerate(names):
        of_link = pdus.lane // 2 == link
        filled = float((pdus.wire_bytes[of_link] / (segment_bytes[link] + FRAME_BYTES)).sum())
        with_data = max(filled, 1.0)
        bare = float(packets[link_of == link].sum()) - with_data
        share = with_data / bare if bare > 0 else 0.0
        is_told = share + 0.5 >= 1 and round(share) <= MOST_PACKETS_PER_ACK and with_data > 100
        found[link] = max(1, round(share)) if is_told else 0
        rests_on = (
            "packets recorded against packets that the PDUs fill"
            if is_told
            else "not shown: taken to be free"
        )
        values.append(
            CalibratedValue(
                f"packets per acknowledgement, {name}",
                int(found[link]) or None,
                "packets",
                rests_on,
                Confidence.MEDIUM if is_told else Confidence.LOW,
                key="links.packets_per_ack",
            )
        )
    shown = found[found > 0]
    return np.where((found == 0) & (len(shown) > 0), int(np.median(shown)) if len(shown) else 0, found)


def _lane_rates(
    timeline: Timeline,
    link_of: npt.NDArray[np.int32],
    pdus: PduColumns,
    mtu: Int64s,
    header: Int64s,
    per_ack: Int64s,
    given: Given,
) -> list[LaneRate]:
    """What the times of both directions of each link say of their rates."""
    lanes = [
        _lane_times(pdus, lane, int(mtu[link]) + FRAME_BYTES, int(header[link]), int(per_ack[link]))
        for link in range(len(mtu))
        for lane in (2 * link, 2 * link + 1)
    ]
    segments = timeline.values("connections", "largest_segment_bytes")
    shown = []
    for lane, times in enumerate(lanes):
        bursts = segments[link_of == lane // 2] > ORDINARY_MTUS.stop
        shown.append(lane_rate(times, bool(bursts.any()), given.rate_of(lane // 2)))
    return alike(balanced(shown, [ack_share(times) for times in lanes]))


def _lane_times(
    pdus: PduColumns, lane: int, packet_bytes: int, header_bytes: int, packets_per_ack: int
) -> LaneTimes:
    """What passes in one direction of a link."""
    rows, back = np.flatnonzero(pdus.lane == lane), np.flatnonzero(pdus.lane == lane ^ 1)
    return LaneTimes(
        pdus.first_ns[rows],
        pdus.end_ns[rows],
        pdus.first_bytes[rows],
        pdus.wire_bytes[rows],
        _ack_times(pdus, back, packet_bytes, packets_per_ack),
        header_bytes + FRAME_BYTES,
        packet_bytes,
    )


def _ack_times(pdus: PduColumns, rows: Int64s, packet_bytes: int, packets_per_ack: int) -> Int64s:
    """When the packets of ``rows`` were acknowledged, evenly over the time each PDU took; in order."""
    if packets_per_ack == 0:
        return np.zeros(0, np.int64)
    count = pdus.wire_bytes[rows] // (packet_bytes * packets_per_ack)
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    begin, span = pdus.first_ns[rows], pdus.end_ns[rows] - pdus.first_ns[rows]
    share = (place + 1) / np.repeat(np.maximum(count, 1), count)
    return np.sort(np.repeat(begin, count) + (np.repeat(span, count) * share).astype(np.int64))


def _kinds_of_links(
    found: list[LaneRate],
    rtt: Int64s,
    mtu: Int64s,
    names: tuple[str, ...],
    given: Given,
    values: list[CalibratedValue],
) -> Int64s:
    """The bucket of each link in bytes; 0 for a wire.

    On a wire no round trip is shorter than its own two packets take. A link that shows one is limited by a
    token bucket, which lets the first packets behind an idle time pass at once.
    """
    small = IPV4_HEADERS + TIME_STAMPS + WIRE_BYTES
    is_limited = np.zeros(len(names), np.bool_)
    shown: list[int] = []
    for link in range(len(names)):
        lanes = [one for one in found[2 * link : 2 * link + 2] if one.rate_bps]
        taken = sum(small * 8e9 / one.rate_bps for one in lanes) * (2 / len(lanes)) if lanes else 0.0
        is_limited[link] = bool(lanes) and 0 < rtt[link] < taken
        shown += [one.bucket_bytes for one in lanes if one.bucket_bytes and is_limited[link]]
    buckets = np.zeros(len(names), np.int64)
    for link, name in enumerate(names):
        lanes = [one for one in found[2 * link : 2 * link + 2] if one.rate_bps]
        own = [one.bucket_bytes for one in lanes if one.bucket_bytes]
        is_open = any(one.is_bucket_open for one in lanes)
        confidence, low, high = Confidence.LOW, None, None
        known = given.bucket_of(link)
        if known is not None:
            buckets[link], rests_on, confidence = known, "given", Confidence.HIGH
        elif is_limited[link] and own:
            buckets[link] = int(np.median(own))
            rests_on = (
                "a round trip shorter than its packets take at the rate; size from what passed behind rests"
            )
            confidence, low, high = Confidence.HIGH, float(min(own)), float(max(own))
            if is_open:
                rests_on += ", which were too short to fill a larger one"
                confidence, high = Confidence.LOW, None
        elif shown and (is_limited[link] or not lanes):
            buckets[link] = int(np.median(shown))
            rests_on = "assumed: as of another link"
        elif is_limited[link]:
            buckets[link] = int(mtu[link]) + FRAME_BYTES
            rests_on = "a round trip shorter than its packets take at the rate; size assumed: one packet"
            low = float(buckets[link])
        else:
            rests_on = "a wire: nothing shows that packets pass before their time"
            confidence = Confidence.MEDIUM if lanes else Confidence.LOW
        values.append(
            CalibratedValue(
                f"token bucket, {name}",
                int(buckets[link]) or None,
                "bytes",
                rests_on,
                confidence,
                low,
                high,
                "links.bucket",
            )
        )
    return buckets


def _rates(
    found: list[LaneRate],
    buckets: Int64s,
    mtu: Int64s,
    names: tuple[str, ...],
    values: list[CalibratedValue],
) -> Int64s:
    """The rate of each lane in bit/s: as shown, else as of the other direction, else none."""
    rates = np.zeros(len(found), np.int64)
    fastest = max(found, key=lambda one: one.rate_bps, default=None)
    for lane, shown in enumerate(found):
        link, way = lane // 2, "from target" if lane % 2 else "to target"
        # On a wire preamble, check sequence and gap are sent too, so its rate is that much higher.
        scale = 1.0 if buckets[link] else (mtu[link] + WIRE_BYTES) / (mtu[link] + FRAME_BYTES)
        other = found[lane ^ 1]
        one = shown
        if shown.rate_bps == 0 and other.rate_bps > 0:
            one = replace(other, rests_on="assumed: as in the other direction", confidence=Confidence.LOW)
        elif shown.rate_bps == 0 and fastest is not None and fastest.rate_bps > 0:
            one = replace(fastest, rests_on="assumed: as of another link", confidence=Confidence.LOW)
        rates[lane] = round(one.rate_bps * scale)
        values.append(
            CalibratedValue(
                f"rate {way}, {names[link]}",
                int(rates[lane]) or None,
                "bit/s",
                one.rests_on,
                one.confidence,
                one.low_bps * scale if one.rate_bps else None,
                one.high_bps * scale if one.rate_bps else None,
                f"links.rate_{way.replace(' ', '_')}",
            )
        )
    return rates


def _queues(
    timeline: Timeline,
    link_of: npt.NDArray[np.int32],
    rates: Int64s,
    trips: RoundTrips,
    values: list[CalibratedValue],
) -> tuple[Int64s, Int64s]:
    """How much of a connection its hosts kept below TCP, in bytes of its stream, shape (links,) each way.

    The most that passed before an acknowledgement, without what was on its way in the round trip behind the
    recorder. All links of a side are its host's: the longest queue counts for each.
    """
    found = []
    sides = trips.initiator_side_ns, trips.target_side_ns
    for way, rate, side_ns in zip(
        ("to_target", "from_target"), (rates[0::2], rates[1::2]), sides, strict=True
    ):
        queue = timeline.values("connections", f"queue_{way}_bytes", 0).astype(np.int64)
        on_its_way = (rate * (side_ns / 8e9)).astype(np.int64)[link_of]
        most = int(np.maximum(queue - on_its_way, 0).max(initial=0))
        is_seen = not timeline.is_null("connections", f"queue_{way}_bytes").all()
        rests_on = (
            "the most that passed between data of the other direction and its acknowledgement"
            if is_seen
            else "assumed: no acknowledgement was seen"
        )
        values.append(
            CalibratedValue(
                f"queue below TCP, {way.replace('_', ' ')}",
                most,
                "bytes",
                rests_on,
                # A queue that nothing filled is known only from below.
                Confidence.MEDIUM if is_seen else Confidence.LOW,
                float(most),
                None,
                f"links.queue_{way}",
            )
        )
        found.append(np.full(len(rate), most, np.int64))
    return found[0], found[1]


def _utilisation(end_ns: Int64s, sending_ns: Float64s, packet_ns: float) -> float:
    """The share of its time that a lane was sending; of a long rest only the beginning counts."""
    if not len(end_ns):
        return 0.0
    passed = np.minimum(np.diff(end_ns), sending_ns[1:] + REST_PACKETS * packet_ns)
    total = float(passed.sum() + sending_ns[0])
    return float(sending_ns.sum()) / total if total > 0 else 0.0


def _ordinary_pause_ns(late_ns: Float64s, wire_bytes: Int64s, packet_bytes: int) -> float:
    """How long a lane pauses with bytes at hand, from PDUs of several packets: they end that much late.

    TCP waits for acknowledgements, timers are late. Only a longer pause says that there was nothing to send.
    """
    several = late_ns[wire_bytes > packet_bytes]
    return float(np.percentile(several, ORDINARY_PAUSE_PERCENT)) if len(several) else 0.0


def _with_readiness(
    pdus: PduColumns, rates: Int64s, buckets: Int64s, packet_bytes: Int64s, header: Int64s, per_ack: Int64s
) -> PduColumns:
    """The same PDUs with ``ready_ns``, ``since_ns`` and ``is_free`` worked out, lane by lane."""
    ready, free = pdus.first_ns.copy(), np.ones(len(pdus.first_ns), np.bool_)
    is_busy = np.zeros(len(rates), np.bool_)
    for lane in range(len(rates)):
        link = lane // 2
        rows = np.flatnonzero(pdus.lane == lane)
        ns_per_byte = 8e9 / rates[lane] if rates[lane] else 0.0
        times = _lane_times(pdus, lane, int(packet_bytes[link]), int(header[link]), int(per_ack[link]))
        could_ns, should_ns = paid_until(times, ns_per_byte, int(buckets[link]))
        packet_ns = packet_bytes[link] * ns_per_byte
        is_loaded = _utilisation(times.end_ns, times.wire_bytes * ns_per_byte, packet_ns) >= LOADED
        tolerance = packet_ns + TOLERANCE_NS
        if is_loaded:
            tolerance = max(
                tolerance, _ordinary_pause_ns(times.end_ns - should_ns, times.wire_bytes, packet_bytes[link])
            )
        free[rows] = times.first_ns > could_ns + tolerance
        free[rows] &= (times.first_bytes > 0) | (rates[lane] == 0)
        is_busy[lane] = is_loaded and bool(free[rows].mean() < LEAST_FREE_SHARE)
        alone = np.maximum(times.first_bytes - buckets[link], 0) * ns_per_byte
        ready[rows] -= alone.astype(np.int64)
    is_first = np.ones(len(free), np.bool_)
    is_first[1:] = pdus.lane[1:] != pdus.lane[:-1]
    begins = np.maximum.accumulate(np.where(free | is_first, np.arange(len(free)), 0))
    since = np.minimum(ready, ready[begins])
    return replace(pdus, ready_ns=ready, since_ns=since, is_free=free, is_always_busy=is_busy)

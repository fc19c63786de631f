"""The links of a recording: which there were, and the rate, delay and MTU that the capture shows.

Connections between the same two addresses shared a link. Rates come from the times of PDUs alone:
from long stretches in which the direction was busy throughout, and from large PDUs. A rate that no transfer
was long enough to show is not made up: sending then takes no time, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]

PACKET_OVERHEAD_BYTES = 90
HEADER_IN_MTU_BYTES = 52
DEFAULT_MTU_BYTES = 1500
ORDINARY_MTUS = range(1280, 9217)
LONG_STRETCH_PACKETS = 32
LARGE_PDU_PACKETS = 8
MIN_SAMPLES = 8
MAX_RATE_BPS = 10**13
TOLERANCE_NS = 2_000


@dataclass(frozen=True, slots=True)
class CalibratedValue:
    """A number of the model and what it rests on."""

    name: str
    value: float | int | str | None
    unit: str
    rests_on: str


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

    ``lane`` is 2 * link + from_target; ``wire_bytes`` counts the lower layers; ``task`` is -1 for none.
    ``begin_ns`` is when it began to be sent: in one go at the rate of its lane up to ``end_ns``, or
    with its first packet, whichever is earlier. ``busy_since_ns`` is since when its lane was busy
    without a pause of more than a packet.
    """

    lane: Int64s
    first_ns: Int64s
    end_ns: Int64s
    begin_ns: Int64s
    busy_since_ns: Int64s
    wire_bytes: Int64s
    opcode: Int64s
    data_bytes: Int64s
    task: Int64s
    packet_ns: Int64s
    """Shape (lanes,): what one full packet takes."""


@dataclass(frozen=True, slots=True)
class RecordedLinks:
    """The links, each column of shape (links,) but for ``link_of_connection`` (connections,)."""

    names: tuple[str, ...]
    link_of_connection: npt.NDArray[np.int32]
    mtu_bytes: Int64s
    rtt_ns: Int64s
    rate_to_target_bps: Int64s
    rate_from_target_bps: Int64s
    pdus: PduColumns
    values: tuple[CalibratedValue, ...]
    endpoints: tuple[Endpoints, ...] = ()
    """Shape (connections,)."""


def recorded_links(timeline: Timeline) -> RecordedLinks:
    """Find the links of a timeline and estimate what they are; never fails for want of evidence."""
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
    values: list[CalibratedValue] = []
    mtu = _mtus(timeline, link_of, names, values)
    rtt = _round_trips(timeline, link_of, names, values)
    pdus = _pdu_columns(timeline, link_of, mtu)
    rates = np.zeros(2 * len(names), np.int64)
    bursts_seen = timeline.values("connections", "largest_segment_bytes") > ORDINARY_MTUS.stop
    for lane in range(2 * len(names)):
        mine = pdus.lane == lane
        offloaded = bool(bursts_seen[link_of == lane // 2].any())
        rate, rests_on = _rate(pdus, np.flatnonzero(mine), int(mtu[lane // 2]), offloaded)
        rates[lane] = rate
        way = "from target" if lane % 2 else "to target"
        values.append(CalibratedValue(f"rate {way}, {names[lane // 2]}", rate or None, "bit/s", rests_on))
    _share_rates(rates, names, values)
    endpoints = zip(*(timeline.values("connections", field.name) for field in fields(Endpoints)), strict=True)
    return RecordedLinks(
        names,
        link_of,
        mtu,
        rtt,
        rates[0::2],
        rates[1::2],
        _with_beginnings(pdus, rates, mtu),
        tuple(values),
        tuple(Endpoints(str(one[0]), int(one[1]), str(one[2]), int(one[3])) for one in endpoints),
    )


def _mtus(
    timeline: Timeline, link_of: npt.NDArray[np.int32], names: tuple[str, ...], values: list[CalibratedValue]
) -> Int64s:
    largest = timeline.values("connections", "largest_segment_bytes") + HEADER_IN_MTU_BYTES
    mtus = np.full(len(names), DEFAULT_MTU_BYTES, np.int64)
    for link, name in enumerate(names):
        seen = int(largest[link_of == link].max(initial=0))
        rests_on = f"largest segment seen, {seen - HEADER_IN_MTU_BYTES} bytes"
        if seen >= ORDINARY_MTUS.stop:
            rests_on = "assumed: segments larger than any MTU were recorded (segmentation offload)"
        elif seen < ORDINARY_MTUS.start:
            rests_on = "assumed: no full packet was recorded"
        else:
            mtus[link] = seen
        values.append(CalibratedValue(f"MTU, {name}", int(mtus[link]), "bytes", rests_on))
    return mtus


def _round_trips(
    timeline: Timeline, link_of: npt.NDArray[np.int32], names: tuple[str, ...], values: list[CalibratedValue]
) -> Int64s:
    seen = ~timeline.is_null("connections", "rtt_ns_min")
    smallest = timeline.values("connections", "rtt_ns_min", 0)
    rtts = np.zeros(len(names), np.int64)
    for link, name in enumerate(names):
        mine = smallest[(link_of == link) & seen]
        rests_on = "assumed: no round trip was seen"
        if len(mine):
            rtts[link] = mine.min()
            rests_on = "smallest round trip of TCP seen; halved for each way"
        values.append(CalibratedValue(f"round trip, {name}", int(rtts[link]), "ns", rests_on))
    return rtts


def _pdu_columns(timeline: Timeline, link_of: npt.NDArray[np.int32], mtu: Int64s) -> PduColumns:
    connection = timeline.values("pdus", "connection_index")
    lane = 2 * link_of[connection].astype(np.int64) + timeline.values("pdus", "from_target")
    end = timeline.values("pdus", "time_last_ns")
    data = timeline.values("pdus", "data_length").astype(np.int64)
    header = 48 + 4 * timeline.values("connections", "header_digest")[connection].astype(np.int64)
    digest = 4 * timeline.values("connections", "data_digest")[connection].astype(np.int64)
    stream = header + ((data + 3) & ~3) + np.where(data > 0, digest, 0)
    segment = mtu[lane // 2] - HEADER_IN_MTU_BYTES
    wire = stream + (stream + segment - 1) // segment * PACKET_OVERHEAD_BYTES
    first = timeline.values("pdus", "time_ns")
    order = np.lexsort((first, end, lane))
    task = timeline.values("pdus", "task_index", -1).astype(np.int64)
    opcode = timeline.values("pdus", "opcode").astype(np.int64)
    return PduColumns(
        lane[order],
        first[order],
        end[order],
        end[order],
        end[order],
        wire[order],
        opcode[order],
        data[order],
        task[order],
        packet_ns=np.zeros(0, np.int64),
    )


def _rate(pdus: PduColumns, rows: Int64s, mtu: int, offloaded: bool) -> tuple[int, str]:
    """The rate of one lane in bit/s with what it rests on; 0 where the capture does not show it.

    PDUs of several packets show the rate while they are sent. Long stretches show it better, but only
    where the lane was saturated: then they share one highest rate, near that of the PDUs. Bursts of
    offloaded segments say nothing by themselves; there the lane must have been saturated half the time.
    """
    full = mtu - HEADER_IN_MTU_BYTES + PACKET_OVERHEAD_BYTES
    long_rates = _long_stretch_rates(pdus.end_ns[rows], pdus.wire_bytes[rows], full)
    plateau, is_common = 0.0, False
    if len(long_rates) >= MIN_SAMPLES:
        half, high, higher = np.percentile(long_rates, [50, 90, 98])
        plateau = float(high) if higher <= 1.05 * high else 0.0
        is_common = bool(half >= 0.95 * high)
    of_plateau = f"{len(long_rates)} long stretches, a tenth of which share this highest rate"
    if offloaded:
        has_data = bool(len(rows) and np.median(pdus.wire_bytes[rows]) >= full)
        if plateau and is_common and has_data:
            return int(min(plateau, MAX_RATE_BPS)), of_plateau
        return 0, "not shown: offloaded segments, and never long saturated; sending takes no time"
    alone, of_pdus = _pdu_rate(pdus, rows, full)
    if alone and plateau >= 0.7 * alone:
        return int(min(plateau, MAX_RATE_BPS)), of_plateau
    return int(min(alone, MAX_RATE_BPS)), of_pdus


def _long_stretch_rates(end_ns: Int64s, wire_bytes: Int64s, full_bytes: int) -> npt.NDArray[np.float64]:
    """Bytes over time between the ends of PDUs some dozens of packets apart, in bit/s.

    All bytes of the PDUs that ended in a stretch passed in it, however packets and PDUs lie to each other.
    """
    passed = np.cumsum(wire_bytes)
    starts = np.searchsorted(passed, passed - LONG_STRETCH_PACKETS * full_bytes, side="right") - 1
    stretch = np.flatnonzero(starts >= 0)
    span = end_ns[stretch] - end_ns[starts[stretch]]
    stretch, span = stretch[span > 0], span[span > 0]
    rates: npt.NDArray[np.float64] = (passed[stretch] - passed[starts[stretch]]) * 8e9 / span
    return rates


def _pdu_rate(pdus: PduColumns, rows: Int64s, full_bytes: int) -> tuple[float, str]:
    """The median rate within PDUs: of large ones, else of those of a few packets; 0 where there are none."""
    span = pdus.end_ns[rows] - pdus.first_ns[rows]
    wire = pdus.wire_bytes[rows]
    for packets, words in ((LARGE_PDU_PACKETS, "large PDUs"), (2, "PDUs of a few packets each; rough")):
        chosen = np.flatnonzero((wire > packets * full_bytes) & (span > 0))
        if len(chosen) >= MIN_SAMPLES:
            rates = (wire[chosen] - full_bytes) * 8e9 / span[chosen]
            return float(np.median(rates)), f"median of {len(chosen)} {words}"
    return 0.0, "not shown: no transfer was long enough; sending takes no time"


def _share_rates(rates: Int64s, names: tuple[str, ...], values: list[CalibratedValue]) -> None:
    """A direction without evidence is taken to be as fast as the other one of its link."""
    for link, name in enumerate(names):
        for lane, other, way in (
            (2 * link, 2 * link + 1, "to target"),
            (2 * link + 1, 2 * link, "from target"),
        ):
            if rates[lane] == 0 and rates[other] > 0:
                rates[lane] = rates[other]
                place = next(i for i, value in enumerate(values) if value.name == f"rate {way}, {name}")
                values[place] = CalibratedValue(
                    f"rate {way}, {name}", int(rates[lane]), "bit/s", "assumed: as in the other direction"
                )


def _with_beginnings(pdus: PduColumns, rates: Int64s, mtu: Int64s) -> PduColumns:
    """The same PDUs with ``begin_ns``, ``busy_since_ns`` and ``packet_ns`` worked out."""
    rate = rates[pdus.lane]
    taken = np.where(rate > 0, pdus.wire_bytes * 8e9 / np.maximum(rate, 1), 0).astype(np.int64)
    full = (np.repeat(mtu, 2) - HEADER_IN_MTU_BYTES + PACKET_OVERHEAD_BYTES) * 8e9
    packet_ns = np.where(rates > 0, full / np.maximum(rates, 1), 0).astype(np.int64)
    begin = np.minimum(pdus.end_ns - taken, pdus.first_ns)
    is_pause = np.ones(len(begin), np.bool_)
    pause = packet_ns[pdus.lane[1:]] + TOLERANCE_NS
    is_pause[1:] = (begin[1:] - pdus.end_ns[:-1] > pause) | (pdus.lane[1:] != pdus.lane[:-1])
    stretch = np.maximum.accumulate(np.where(is_pause, np.arange(len(begin)), 0))
    return replace(pdus, begin_ns=begin, busy_since_ns=begin[stretch], packet_ns=packet_ns)

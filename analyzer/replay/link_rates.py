"""The rate of one direction of a link, from the times at which its PDUs were seen.

Three kinds of evidence: a token bucket (or wire) that explains the end of every PDU to a few microseconds,
long stretches in which the direction was busy throughout, and single large PDUs. Bursts of offloaded segments
say nothing by themselves. What nothing shows is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import Confidence
from analyzer.replay.token_buckets import (
    GOOD_SHARE_OF_PACKET,
    BucketFit,
    LaneTimes,
    bucket_at,
    bucket_behind_rests,
    fitted,
)

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

STRETCH_PACKETS = 32
FEWEST_STRETCHES_LONG = 4
"""Stretches overlap: what they cover together has to be so many of them long."""
SETTLING_PACKETS = 3
LARGE_PDU_PACKETS = 8
FEWEST = 8
MAX_RATE_BPS = 10**13
FINEST_NS = 2_000
LEAST_WITH_OFFLOAD = 0.95
SHARP, SPREAD = 1.02, 1.05
AGREEING = 0.02
"""So far may a bucket's rate lie from what large PDUs show."""
LARGEST_GAP = 0.25
"""Share of a packet's time that a lane may rest between two PDUs and still be called busy; within a PDU also
such a share of its own time."""
ONE_RATE, LESS_ACKS = 0.03, 0.5
"""Directions of a link whose rates lie so near have one; that one counts which has so small a share of the
acknowledgements of the other among its bytes."""
SURE_SHARE_OF_PDU = 0.01
"""So near to what a bucket lets pass PDUs have to end to be sure of it, in shares of what they take behind
their first packet: what makes all of them late by more tilts the rate."""
ROUGH_SHARE_OF_PACKET = 0.15
"""Where PDUs end so near to what a bucket lets pass, it is a better guess than what they took alone."""


@dataclass(frozen=True, slots=True)
class LaneRate:
    """One direction. ``rate_bps`` counts frames as a kernel does (14 bytes of Ethernet); 0 where not shown.

    ``bucket_bytes`` is 0 where the times do not tell one, and may be larger where ``is_bucket_open``.
    """

    rate_bps: float
    rests_on: str
    confidence: Confidence = Confidence.LOW
    low_bps: float = 0.0
    high_bps: float = 0.0
    bucket_bytes: int = 0
    is_bucket_open: bool = False


NOT_SHOWN = LaneRate(0.0, "not shown: no transfer was long enough; sending takes no time")


def lane_rate(lane: LaneTimes, has_offload: bool, given_bps: int | None = None) -> LaneRate:
    """The rate that the best evidence gives, or the one that is ``given_bps``; the bucket rests on it."""
    if given_bps is not None:
        bucket = _bucket(lane, given_bps) if len(lane.first_ns) and not has_offload else (0, False)
        return LaneRate(given_bps, "given", Confidence.HIGH, given_bps, given_bps, *bucket)
    if not len(lane.first_ns):
        return NOT_SHOWN
    if has_offload:
        return _of_offloaded(lane)
    alone, large = _pdu_rates(lane)
    if not len(alone):
        return NOT_SHOWN
    guess = float(np.median(alone))
    packet_ns = lane.packet_bytes * 8e9 / guess
    busy = stretch_rates(lane, guess)
    if len(busy) >= FEWEST:
        rate, low, high = densest(busy)
        if high <= SHARP * low:
            rests_on = f"{len(busy)} long stretches without a pause"
            return LaneRate(_limited(rate), rests_on, Confidence.HIGH, low, high, *_bucket(lane, rate))
    fit = fitted(lane, guess)
    residual = fit.residual_ns / packet_ns if fit is not None else np.inf
    is_good = fit is not None and fit.residual_ns <= max(FINEST_NS, GOOD_SHARE_OF_PACKET * packet_ns)
    is_sure = fit is not None and is_good and fit.is_sharp and _is_near(lane, fit)
    if fit is not None and is_sure and (not large or _agrees(lane, fit, guess)):
        rests_on = (
            f"{fit.count} PDUs end within {fit.residual_ns / 1e3:.0f} us (median) of what a bucket of "
            f"{fit.bucket_bytes} bytes lets pass at this rate"
        )
        return _of_fit(fit, rests_on, Confidence.HIGH)
    if len(busy) >= FEWEST:
        rests_on = f"{len(busy)} long stretches that differ"
        return LaneRate(_limited(rate), rests_on, Confidence.MEDIUM, low, high, *_bucket(lane, rate))
    if large:
        return _of_large(lane, alone, guess)
    if fit is not None and residual <= ROUGH_SHARE_OF_PACKET:
        rests_on = f"{fit.count} short PDUs, which hardly tell rate and bucket apart"
        return _of_fit(fit, rests_on, Confidence.LOW)
    low, high = np.percentile(alone, [5, 95])
    return LaneRate(
        _limited(guess),
        f"median of {len(alone)} PDUs of a few packets each; rough",
        Confidence.LOW,
        low,
        high,
    )


def _of_fit(fit: BucketFit, rests_on: str, confidence: Confidence) -> LaneRate:
    """The rate and bucket that explain the times best."""
    return LaneRate(
        _limited(fit.rate_bps),
        rests_on,
        confidence,
        fit.lowest_bps,
        fit.highest_bps,
        fit.bucket_bytes,
        fit.is_bucket_open,
    )


def _is_near(lane: LaneTimes, fit: BucketFit) -> bool:
    """Whether PDUs end so near to what the bucket says that no common delay of theirs matters."""
    took_ns = float(np.median(_behind_first(lane, 2))) * 8e9 / fit.rate_bps
    return fit.residual_ns <= SURE_SHARE_OF_PDU * took_ns


def _agrees(lane: LaneTimes, fit: BucketFit, guess_bps: float) -> bool:
    """Whether a bucket's rate is what large PDUs show, which look faster by what a full bucket lets pass."""
    behind_first = float(np.median(_behind_first(lane, LARGE_PDU_PACKETS)))
    credit = max(0, fit.bucket_bytes - lane.packet_bytes) / behind_first
    return -AGREEING - credit <= fit.rate_bps / guess_bps - 1 <= AGREEING


def ack_share(lane: LaneTimes) -> float:
    """The acknowledgements of the other direction among the bytes of this one; 0 where nothing was sent."""
    sent = int(lane.wire_bytes.sum())
    return len(lane.ack_ns) * lane.ack_bytes / sent if sent else 0.0


def balanced(lanes: Sequence[LaneRate], ack_shares: Sequence[float]) -> list[LaneRate]:
    """The same lanes, two of each link, and as many shares; both ways of a link have one rate if they can.

    When acknowledgements passed is only estimated, and off by one or two percent of a rate where data of the
    other direction is many times more. Of two rates that are both sure and within 3 % of each other the one
    that acknowledgements disturb less is taken for both.
    """
    result = list(lanes)
    for place in range(0, len(lanes), 2):
        ways = sorted((place, place + 1), key=lambda way: ack_shares[way])
        better, worse = (lanes[way] for way in ways)
        is_sure = better.confidence is worse.confidence is Confidence.HIGH
        is_near = abs(worse.rate_bps - better.rate_bps) <= ONE_RATE * better.rate_bps
        if is_sure and is_near and ack_shares[ways[0]] <= LESS_ACKS * ack_shares[ways[1]]:
            rests_on = f"{worse.rests_on}; as of the other direction, which acknowledgements disturb less"
            result[ways[1]] = replace(
                worse,
                rate_bps=better.rate_bps,
                low_bps=better.low_bps,
                high_bps=better.high_bps,
                rests_on=rests_on,
            )
    return result


def alike(lanes: Sequence[LaneRate]) -> list[LaneRate]:
    """The same lanes; those that cannot be told from a faster one have its rate, shape as given.

    Links of one kind have one rate, and a difference of a few parts in ten thousand that comes of measuring
    would slowly shift one against the other. Pauses make a lane look slower, nothing makes it look faster.
    """
    result = list(lanes)
    for place, one in enumerate(lanes):
        if one.confidence is not Confidence.HIGH:
            continue
        same = [
            other.rate_bps
            for other in lanes
            if other.confidence is Confidence.HIGH
            and one.rate_bps < other.rate_bps <= one.high_bps
            and other.low_bps <= one.rate_bps
        ]
        if same:
            rests_on = f"{one.rests_on}; not told from a faster one, so taken to be alike"
            result[place] = replace(one, rate_bps=max(same), rests_on=rests_on)
    return result


def _of_large(lane: LaneTimes, rates: Float64s, rate: float) -> LaneRate:
    """The median of large PDUs with its middle half as interval.

    Less sure where these scatter by more than 5 %, or are so short that what a bucket lets pass counts.
    """
    low, high = (float(one) for one in np.percentile(rates, [25, 75]))
    behind_first = float(np.median(_behind_first(lane, LARGE_PDU_PACKETS)))
    is_sure = high <= SPREAD * low and behind_first >= STRETCH_PACKETS * lane.packet_bytes
    rests_on = f"median of {len(rates)} large PDUs"
    confidence = Confidence.HIGH if is_sure else Confidence.MEDIUM
    return LaneRate(_limited(rate), rests_on, confidence, low, high, *_bucket(lane, rate))


def _behind_first(lane: LaneTimes, packets: int) -> Int64s:
    """The bytes behind the first packet of each PDU of more than so many packets."""
    behind: Int64s = lane.wire_bytes[lane.wire_bytes > packets * lane.packet_bytes] - lane.packet_bytes
    return behind


def _bucket(lane: LaneTimes, rate: float) -> tuple[int, bool]:
    """The bucket at a known rate, where it explains the times, and whether it is open above; else 0."""
    full = bucket_behind_rests(lane, rate)
    if full is not None:
        return full, False
    found = bucket_at(lane, rate)
    if found is None:
        return 0, False
    bucket, residual, is_open = found
    limit = max(FINEST_NS, GOOD_SHARE_OF_PACKET * lane.packet_bytes * 8e9 / rate)
    return (bucket, is_open) if residual <= limit else (0, False)


def densest(rates: Float64s) -> tuple[float, float, float]:
    """Middle and ends of the shortest interval that holds half of the rates: pauses only make them slower."""
    ordered = np.sort(rates)
    half = max(2, len(ordered) // 2)
    widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
    place = int(np.argmin(widths))
    inside = ordered[place : place + half]
    return float(np.median(inside)), float(inside[0]), float(inside[-1])


def _limited(rate: float) -> float:
    return min(rate, float(MAX_RATE_BPS))


def _pdu_rates(lane: LaneTimes) -> tuple[Float64s, bool]:
    """Rates within PDUs, of large ones where there are enough (then true), else of those of a few packets.

    Of those that share no packet with others where there are enough: how much of a shared one is theirs is
    not known.
    """
    span = lane.end_ns - lane.first_ns
    shares = lane.first_bytes == 0
    is_own = ~(shares | np.append(shares[1:], False))
    for packets, is_large in ((LARGE_PDU_PACKETS, True), (2, False)):
        chosen = np.flatnonzero((lane.wire_bytes > packets * lane.packet_bytes) & (span > 0))
        if is_own[chosen].sum() >= FEWEST:
            chosen = chosen[is_own[chosen]]
        if len(chosen) >= FEWEST:
            behind_first = lane.wire_bytes[chosen] - np.minimum(lane.packet_bytes, lane.wire_bytes[chosen])
            return behind_first * 8e9 / span[chosen], is_large
    return np.zeros(0), False


def stretch_rates(lane: LaneTimes, guess_bps: float) -> Float64s:
    """Bytes over time of stretches of some dozens of packets in which the lane never paused, in bit/s.

    Acknowledgements that went the same way count. The first packets behind a pause, which a bucket may let
    pass for nothing, are left out. A PDU that took longer than its bytes has paused within. None where the
    stretches, which overlap, are all of a few PDUs: what held these up would count for all.
    """
    pauses = np.ones(len(lane.first_ns), np.bool_)
    gap_bytes = (lane.first_ns[1:] - lane.end_ns[:-1]) * guess_bps / 8e9
    pauses[1:] = gap_bytes > lane.first_bytes[1:] + lane.packet_bytes * LARGEST_GAP
    within_bytes = (lane.end_ns - lane.first_ns) * guess_bps / 8e9
    behind_first = np.maximum(lane.wire_bytes - lane.first_bytes, 0)
    pauses |= within_bytes > behind_first * (1 + LARGEST_GAP) + lane.packet_bytes * LARGEST_GAP
    sent = np.cumsum(lane.wire_bytes)
    run_begin = np.maximum.accumulate(np.where(pauses, np.arange(len(pauses)), 0))
    since_pause = sent - sent[run_begin] + lane.wire_bytes[run_begin]
    starts = np.searchsorted(sent, sent - STRETCH_PACKETS * lane.packet_bytes, side="right") - 1
    kept = (starts >= run_begin) & (
        since_pause[np.maximum(starts, 0)] >= SETTLING_PACKETS * lane.packet_bytes
    )
    row = np.flatnonzero(kept)
    start = starts[row]
    span = lane.end_ns[row] - lane.end_ns[start]
    row, start, span = row[span > 0], start[span > 0], span[span > 0]
    if _bytes_within(lane, start, row) < FEWEST_STRETCHES_LONG * STRETCH_PACKETS * lane.packet_bytes:
        return np.zeros(0)
    acks = np.searchsorted(lane.ack_ns, lane.end_ns[row]) - np.searchsorted(lane.ack_ns, lane.end_ns[start])
    through = _sent_through(lane)
    rates: Float64s = (through[row] - through[start] + acks * lane.ack_bytes) * 8e9 / span
    return rates


def _bytes_within(lane: LaneTimes, start: Int64s, row: Int64s) -> int:
    """Bytes of the PDUs that lie behind a ``start`` and up to its ``row`` (both of shape (stretches,))."""
    begun = np.bincount(start + 1, minlength=len(lane.wire_bytes) + 1)
    over = np.bincount(row + 1, minlength=len(lane.wire_bytes) + 1)
    is_within = np.cumsum(begun - over)[:-1] > 0
    return int(lane.wire_bytes[is_within].sum())


def _sent_through(lane: LaneTimes) -> Int64s:
    """Bytes sent when each PDU is seen to end: with all of the packet that its last byte is in, shape (n,).

    Where the next PDU begins in that packet it is a full one. Without that, most stretches of like PDUs would
    err by the same part of a packet.
    """
    sent = np.cumsum(lane.wire_bytes)
    shares_before = lane.first_bytes == 0
    begins = np.maximum.accumulate(np.where(shares_before, 0, np.arange(len(sent))))
    before = sent[begins] - lane.wire_bytes[begins]
    full = -(-(sent - before) // lane.packet_bytes) * lane.packet_bytes
    shares_next = np.append(shares_before[1:], False)
    through: Int64s = before + np.where(shares_next, full, sent - before)
    return through


def _of_offloaded(lane: LaneTimes) -> LaneRate:
    """Bursts show a rate only where the lane was saturated half the time."""
    sent = np.cumsum(lane.wire_bytes)
    starts = np.searchsorted(sent, sent - STRETCH_PACKETS * lane.packet_bytes, side="right") - 1
    row = np.flatnonzero(starts >= 0)
    span = lane.end_ns[row] - lane.end_ns[starts[row]]
    row, span = row[span > 0], span[span > 0]
    rates = (sent[row] - sent[starts[row]]) * 8e9 / span
    if len(rates) >= FEWEST and np.median(lane.wire_bytes) >= lane.packet_bytes:
        half, high, higher = np.percentile(rates, [50, 90, 98])
        if higher <= 1.05 * high and half >= LEAST_WITH_OFFLOAD * high:
            rests_on = f"{len(rates)} long stretches, a tenth of which share this highest rate"
            return LaneRate(_limited(float(high)), rests_on, Confidence.MEDIUM, float(half), float(higher))
    return LaneRate(0.0, "not shown: offloaded segments, and never long saturated; sending takes no time")

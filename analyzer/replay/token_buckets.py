"""When a token bucket lets packets go, and which bucket explains the times at which PDUs were seen.

A rate limiter of rate R and size B lets a packet of L bytes leave as soon as its bucket holds L: bytes are
paid for at R, up to B of them in advance (Linux tbf). A wire, seen from its far end, is the same with a
bucket of one packet, and a first packet that takes its own time. Works on plain arrays; knows no links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_PDUS = 4000
FEWEST_PDUS = 20
BUCKET_PACKETS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 2.0, 2.6, 4.0, 8.0, 16.0)
RATE_STEPS = 80
SMALLEST_RATE_SHARE = 0.5
GOOD_SHARE_OF_PACKET = 0.05
"""A fit is good where half the PDUs end within this share of a packet's time of what it says."""
EQUALLY_GOOD = 1.25
LARGER_BUCKETS = (1.2, 1.35)
FULL_BEHIND_PACKETS, FEWEST_RESTS = 1.5, 8
"""A bucket of one packet has surely filled behind a rest of so many, whatever it had left."""
LARGER_SHARE = 0.5
"""So many of the PDUs behind rests have to be larger than the bucket to show its size."""
SLIGHT_SHARE = 0.01
"""A residual larger by so little of a packet's time is no worse: acknowledgements are only estimated."""


class LaneTimes(NamedTuple):
    """The PDUs of one direction in order of their ends, shape (n,), and what passes there unseen.

    ``first_bytes`` are those of the first packet, 0 where it belongs to the PDU before; ``wire_bytes`` is
    with all lower layers. ``ack_ns`` are times of acknowledgements, each of ``ack_bytes``.
    """

    first_ns: Int64s
    end_ns: Int64s
    first_bytes: Int64s
    wire_bytes: Int64s
    ack_ns: Int64s
    ack_bytes: int
    packet_bytes: int


@dataclass(frozen=True, slots=True)
class BucketFit:
    """The rate and bucket that explain the times best, and the rates that explain them as well.

    ``is_bucket_open`` where any larger bucket would do too: the lane never rested long enough to fill it.
    """

    rate_bps: float
    bucket_bytes: int
    residual_ns: float
    lowest_bps: float
    highest_bps: float
    count: int
    is_bucket_open: bool = False

    @property
    def is_sharp(self) -> bool:
        """Whether the times tell the rate within some 5 %."""
        return self.highest_bps <= 1.05 * self.lowest_bps


@njit(cache=True, nogil=True)
def paid_until(lane: LaneTimes, ns_per_byte: float, bucket_bytes: int) -> tuple[Float64s, Float64s]:
    """For each PDU when its first packet could have left at the earliest, and when its last should.

    Both of shape (n,), in ns. What was seen corrects what is known of the bucket as it goes.
    """
    ack_ns, ack_bytes = lane.ack_ns, lane.ack_bytes
    count = len(lane.first_ns)
    could_ns = np.empty(count, np.float64)
    should_ns = np.empty(count, np.float64)
    credit = bucket_bytes * ns_per_byte
    paid = lane.first_ns[0] - 1e18 if count else 0.0
    ack = 0
    sent = paid
    for row in range(count):
        first, end = lane.first_ns[row], lane.end_ns[row]
        first_bytes = lane.first_bytes[row]
        while ack < len(ack_ns) and ack_ns[ack] < first:
            is_behind = ack_ns[ack] < paid
            paid = max(paid, float(ack_ns[ack])) + ack_bytes * ns_per_byte
            # An acknowledgement that found the lane idle holds nothing up but for its own few bytes.
            sent = paid if is_behind else sent + ack_bytes * ns_per_byte
            ack += 1
        could_ns[row] = sent + first_bytes * ns_per_byte - credit
        paid = min(max(paid, float(first)) + first_bytes * ns_per_byte, first + credit)
        while ack < len(ack_ns) and ack_ns[ack] < end:
            paid += ack_bytes * ns_per_byte
            ack += 1
        paid += (lane.wire_bytes[row] - first_bytes) * ns_per_byte
        should_ns[row] = max(float(first), paid - credit)
        if end > first:
            paid = min(paid, end + credit)
        sent = paid
    return could_ns, should_ns


@njit(cache=True, nogil=True)
def _residuals(lane: LaneTimes, chosen: Bools, bucket_bytes: int, rates: Float64s) -> Float64s:
    """How far the ends of the chosen PDUs lie from what each rate says, on the mean in ns; as ``rates``.

    The mean, for what tells rate from bucket may be few PDUs; stalls of the sender count as one packet.
    """
    found = np.empty(len(rates), np.float64)
    for place in range(len(rates)):
        ns_per_byte = 8e9 / rates[place]
        should_ns = paid_until(lane, ns_per_byte, bucket_bytes)[1]
        total, count = 0.0, 0
        for row in range(len(should_ns)):
            if chosen[row]:
                total += min(abs(lane.end_ns[row] - should_ns[row]), lane.packet_bytes * ns_per_byte)
                count += 1
        found[place] = total / count
    return found


def _fitted_to(lane: LaneTimes) -> tuple[LaneTimes, Bools]:
    """The first PDUs of a lane, times from their begin on, and which of them tell of a bucket."""
    part = slice(0, MOST_PDUS)
    origin = lane.first_ns[0] if len(lane.first_ns) else 0
    first = lane._replace(
        first_ns=lane.first_ns[part] - origin,
        end_ns=lane.end_ns[part] - origin,
        first_bytes=lane.first_bytes[part],
        wire_bytes=lane.wire_bytes[part],
        ack_ns=lane.ack_ns - origin,
    )
    return first, first.wire_bytes > 2 * lane.packet_bytes


def _middle(lane: LaneTimes, chosen: Bools, rate_bps: float, bucket_bytes: int) -> float:
    """How far the ends of the chosen PDUs lie from what a bucket says, the median in ns."""
    should_ns = paid_until(lane, 8e9 / rate_bps, bucket_bytes)[1]
    return float(np.median(np.abs(lane.end_ns - should_ns)[chosen]))


def fitted(lane: LaneTimes, fastest_bps: float) -> BucketFit | None:
    """The bucket that explains a lane whose PDUs look as fast as ``fastest_bps``; None for too few PDUs.

    PDUs of several packets are handed over at once, so the bucket alone decides when their last leaves.
    """
    lane, chosen = _fitted_to(lane)
    if chosen.sum() < FEWEST_PDUS or fastest_bps <= 0:
        return None

    def residuals(bucket: int, rates: Float64s) -> Float64s:
        return _residuals(lane, chosen, bucket, rates)

    found = []
    for packets in BUCKET_PACKETS:
        bucket = round(packets * lane.packet_bytes)
        coarse = fastest_bps * np.geomspace(SMALLEST_RATE_SHARE, 1.05, RATE_STEPS)
        near = _best(residuals, bucket, coarse)[2]
        found.append(_best(residuals, bucket, near * np.geomspace(0.99, 1.01, RATE_STEPS)))
    best = min(found)
    finer = [round(best[1] * share) for share in (0.94, 0.96, 0.98, 1.02, 1.04, 1.06)]
    around = best[2] * np.geomspace(0.94, 1.06, RATE_STEPS)
    found += [_best(residuals, bucket, around) for bucket in finer if bucket >= lane.packet_bytes]
    found.append(_best(residuals, best[1], best[2] * np.geomspace(0.99, 1.01, RATE_STEPS)))
    best = min(found)
    slight = SLIGHT_SHARE * lane.packet_bytes * 8e9 / best[2]
    as_good = [rate for error, _, rate in found if error <= EQUALLY_GOOD * best[0] + slight]
    at_best = np.array([best[2]])
    larger = min(float(residuals(round(best[1] * share), at_best)[0]) for share in LARGER_BUCKETS)
    is_open = larger <= EQUALLY_GOOD * best[0] + slight
    middle = _middle(lane, chosen, best[2], best[1])
    return BucketFit(best[2], best[1], middle, min(as_good), max(as_good), int(chosen.sum()), is_open)


def bucket_at(lane: LaneTimes, rate_bps: float) -> tuple[int, float, bool] | None:
    """The bucket in bytes that fits best at a known rate, its residual in ns, and whether it is open above.

    None for too few PDUs.
    """
    lane, chosen = _fitted_to(lane)
    if chosen.sum() < FEWEST_PDUS or rate_bps <= 0:
        return None
    found = []
    for packets in np.linspace(1.0, 3.0, 41):
        bucket = round(float(packets) * lane.packet_bytes)
        found.append((_middle(lane, chosen, rate_bps, bucket), bucket))
    error, bucket = min(found)
    limit = EQUALLY_GOOD * error + SLIGHT_SHARE * lane.packet_bytes * 8e9 / rate_bps
    larger = [other for other, size in found if LARGER_BUCKETS[0] * bucket <= size <= 2 * bucket]
    return bucket, error, bool(larger) and min(larger) <= limit


def bucket_behind_rests(lane: LaneTimes, rate_bps: float) -> int | None:
    """The bucket in bytes as PDUs show it that found it full.

    Behind a rest a full bucket lets its size pass at once, so a PDU of more than that takes as much less than
    its bytes at the rate. None where too few PDUs came behind a rest in which that bucket fills.
    """
    if rate_bps <= 0 or not len(lane.first_ns):
        return None
    bytes_per_ns = rate_bps / 8e9
    rest = np.zeros(len(lane.first_ns))
    rest[1:] = (lane.first_ns[1:] - lane.end_ns[:-1]) * bytes_per_ns
    shown = lane.wire_bytes - (lane.end_ns - lane.first_ns) * bytes_per_ns
    is_own = (lane.first_bytes > 0) & (lane.wire_bytes > 2 * lane.packet_bytes)
    needed = FULL_BEHIND_PACKETS * lane.packet_bytes
    while True:
        behind = is_own & (rest >= needed)
        if behind.sum() < FEWEST_RESTS:
            return None
        bucket = float(np.median(shown[behind]))
        if bucket <= needed:
            break
        needed = FULL_BEHIND_PACKETS * bucket
    is_larger = lane.wire_bytes[behind] > bucket + lane.packet_bytes
    is_shown = bucket >= lane.packet_bytes and is_larger.mean() > LARGER_SHARE
    return round(bucket) if is_shown else None


def _best(
    residuals: Callable[[int, Float64s], Float64s], bucket: int, rates: Float64s
) -> tuple[float, int, float]:
    """The rate with the smallest residual for one bucket: (residual, bucket, rate)."""
    errors = residuals(bucket, rates)
    place = int(np.argmin(errors))
    return float(errors[place]), bucket, float(rates[place])

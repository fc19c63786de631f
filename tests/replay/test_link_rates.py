"""The rate and bucket of a link, told from the times at which its PDUs were seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import analyzer
from analyzer.replay.calibrated import Confidence
from analyzer.replay.link_rates import LaneRate, alike, balanced, lane_rate
from analyzer.replay.recorded_links import recorded_links
from analyzer.replay.token_buckets import LaneTimes, bucket_behind_rests, fitted, paid_until
from tests.real import MORE_CAPTURES

WHATIF = MORE_CAPTURES.parent / "whatif"
PACKET = 1514


def through_bucket(rate, bucket, sizes, at):
    """First and last packet of each PDU through a token bucket, packet by packet."""
    paid, first, last = -1e18, [], []
    for size, time in zip(sizes, at, strict=True):
        left, seen = size, []
        while left > 0:
            packet = min(left, PACKET)
            paid = max(paid, time) + packet * 8e9 / rate
            seen.append(max(time, paid - bucket * 8e9 / rate))
            left -= packet
        first.append(seen[0])
        last.append(seen[-1])
    return np.array(first, np.int64), np.array(last, np.int64)


def lane_of(first, last, sizes):
    count = len(sizes)
    return LaneTimes(first, last, np.full(count, PACKET), sizes, np.zeros(0, np.int64), 66, PACKET)


@pytest.mark.parametrize(("rate", "bucket"), [(40e6, 2000), (10e6, 1600), (100e6, 2500)])
def test_a_bucket_is_found_from_the_ends_of_pdus(rate, bucket):
    """Reads of three packets, some right behind another, so that rate and bucket can be told apart."""
    random = np.random.default_rng(3)
    sizes = np.full(400, 4338)
    at = np.cumsum(random.exponential(3 * 4338 * 8e9 / rate, 400))
    first, last = through_bucket(rate, bucket, sizes, at)
    lane = lane_of(first, last, sizes)
    found = fitted(lane, float(np.median((4338 - PACKET) * 8e9 / (last - first))))
    assert found is not None
    assert found.rate_bps == pytest.approx(rate, rel=0.02)
    assert found.bucket_bytes == pytest.approx(bucket, rel=0.1)
    _, should = paid_until(lane, 8e9 / rate, bucket)
    assert np.median(np.abs(should - last)) < 2


@pytest.mark.parametrize(("rate", "bucket"), [(40e6, 2000), (10e6, 1600), (100e6, 6000)])
def test_a_bucket_that_few_rests_fill_is_found_from_what_passed_behind_those(rate, bucket):
    """A chain of reads nearly saturates the link, so all but every fiftieth find the bucket far from full.

    What most PDUs show fits a smaller bucket as well or better, for what is left in it is known from what was
    seen before.
    """
    random = np.random.default_rng(4)
    sizes = np.full(1500, bucket + 2 * PACKET)
    gaps = np.where(np.arange(1500) % 50 == 49, 3 * bucket, 0.2 * bucket) + sizes
    at = np.cumsum(gaps) * 8e9 / rate
    first, last = through_bucket(rate, bucket, sizes, at)
    last = last + random.exponential(2_000, len(last)).astype(np.int64)
    lane = lane_of(first, last, sizes)
    assert bucket_behind_rests(lane, rate) == pytest.approx(bucket, rel=0.03)


def test_without_rests_nothing_shows_the_size_of_a_bucket():
    sizes = np.full(300, 4338)
    first, last = through_bucket(40e6, 2000, sizes, np.arange(300) * 4338 * 200.0)
    lane = lane_of(first, last, sizes)
    assert bucket_behind_rests(lane, 40e6) is None
    short = np.full(300, 1600)
    first, last = through_bucket(40e6, 4000, short, np.arange(300) * 16000 * 200.0)
    lane = lane_of(first, last, short)
    assert bucket_behind_rests(lane, 40e6) is None, "PDUs that the bucket lets pass whole say nothing of it"


@pytest.mark.parametrize(("pdu_bytes", "pdus"), [(8240, 4000), (8240, 150), (65_584, 300)])
def test_pdus_that_share_packets_show_the_rate_without_a_bias(pdu_bytes, pdus):
    """A PDU is seen to end with the packet of its last byte: of 8240 bytes, 32 packets hold 5.6 or 5.8."""
    rate, segment = 40e6, PACKET - 66
    ends = -(-np.arange(1, pdus + 1) * pdu_bytes // segment)
    begins = np.arange(pdus) * pdu_bytes // segment + 1
    last = (ends * PACKET * 8e9 / rate).astype(np.int64)
    first = (begins * PACKET * 8e9 / rate).astype(np.int64)
    wire = np.full(pdus, pdu_bytes + pdu_bytes * 66 // segment)
    shared = np.where(np.append(0, last[:-1]) == first, 0, PACKET)
    lane = LaneTimes(first, last, shared, wire, np.zeros(0, np.int64), 66, PACKET)
    found = lane_rate(lane, has_offload=False)
    assert found.confidence is Confidence.HIGH
    assert found.rate_bps == pytest.approx(rate, rel=0.001 if pdus > 200 else 0.005)


def test_of_two_directions_the_one_that_acknowledgements_disturb_less_tells_the_rate():
    """Reads mostly: their acknowledgements are a twentieth of the bytes that writes send the other way."""
    sure = [
        LaneRate(40.7e6, "a", Confidence.HIGH, 40.4e6, 40.8e6),
        LaneRate(39.9e6, "b", Confidence.HIGH, 39.8e6, 40.0e6),
    ]
    found = balanced(sure, [0.046, 0.007])
    assert [one.rate_bps for one in found] == [39.9e6, 39.9e6]
    assert (found[0].low_bps, found[0].high_bps) == (39.8e6, 40.0e6)
    assert "disturb less" in found[0].rests_on
    assert found[1] is sure[1]
    assert balanced(sure, [0.018, 0.017]) == sure, "both are disturbed alike"
    slower = [replace(sure[0], rate_bps=38e6), sure[1]]
    assert balanced(slower, [0.046, 0.007]) == slower, "a link may have two rates"
    unsure = [sure[0], replace(sure[1], confidence=Confidence.MEDIUM)]
    assert balanced(unsure, [0.046, 0.007]) == unsure
    assert balanced([], []) == []


def test_links_whose_rates_cannot_be_told_apart_are_alike():
    """Two of 40 Mbit/s as measured, one that is surely slower, one that is not sure of anything."""
    lanes = [
        LaneRate(39.94e6, "a", Confidence.HIGH, 39.91e6, 39.99e6),
        LaneRate(39.96e6, "b", Confidence.HIGH, 39.91e6, 40.00e6),
        LaneRate(39.50e6, "c", Confidence.HIGH, 39.45e6, 39.55e6),
        LaneRate(30.00e6, "d", Confidence.MEDIUM, 20.00e6, 41.00e6),
    ]
    found = alike(lanes)
    assert [one.rate_bps for one in found] == [39.96e6, 39.96e6, 39.50e6, 30.00e6]
    assert "alike" in found[0].rests_on
    assert found[1:] == lanes[1:]


def test_a_sender_that_pauses_within_pdus_does_not_make_the_link_slow():
    """Writes of eight packets, half of which wait for acknowledgements in their middle.

    On the slow way of a failing link (`W6-fail-mcs2-rr-retry`) 40 Mbit/s were taken for 29.
    """
    rate, count = 40e6, 400
    sizes = np.full(count, 8 * PACKET)
    packet_ns = PACKET * 8e9 / rate
    pauses = np.where((np.arange(count) // 8) % 2 == 0, 0, 5 * packet_ns)
    last = np.cumsum(8 * packet_ns + pauses).astype(np.int64)
    first = last - (7 * packet_ns + pauses).astype(np.int64)
    found = lane_rate(lane_of(first, last, sizes), has_offload=False)
    assert found.rate_bps == pytest.approx(rate, rel=0.01)
    assert found.confidence is Confidence.HIGH


def test_few_stretches_that_overlap_are_no_sure_evidence():
    """Twenty-four answers of three packets, each a fifth of a packet late: many stretches, but all of them.

    The others go one by one. Of answers on a link that was rarely busy 40 Mbit/s were surely 32.
    """
    rate, size, count = 40e6, 3 * PACKET, 300
    took = size * 8e9 / rate
    at = np.cumsum(np.where(np.arange(count) < 24, took * 3.2 / 3, 1.4 * took))
    first, last = through_bucket(rate, PACKET, np.full(count, size), at)
    found = lane_rate(lane_of(first, last, np.full(count, size)), has_offload=False)
    assert "stretches" not in found.rests_on
    assert found.confidence is Confidence.LOW or found.rate_bps == pytest.approx(rate, rel=0.03)


def test_large_pdus_of_one_size_do_not_tell_rate_and_bucket_apart():
    """Each passes a bucket from full, so that any larger bucket at a lower rate explains them as well."""
    sizes = np.full(200, 45 * PACKET)
    at = np.arange(200) * 3 * 45 * PACKET * 200.0
    first, last = through_bucket(40e6, 2000, sizes, at)
    found = lane_rate(lane_of(first, last, sizes), has_offload=False)
    fit = fitted(lane_of(first, last, sizes), found.rate_bps)
    assert fit is not None
    assert not fit.is_sharp
    assert found.rate_bps == pytest.approx(40e6, rel=0.01)
    assert found.confidence is Confidence.HIGH
    short = np.full(200, 9 * PACKET)
    first, last = through_bucket(40e6, 2000, short, at)
    assert lane_rate(lane_of(first, last, short), has_offload=False).confidence is Confidence.MEDIUM


@pytest.mark.parametrize("bucket", [2000, 4000])
def test_large_pdus_look_faster_by_what_a_bucket_lets_pass_at_once(bucket):
    """PDUs of nine packets and of three, some behind another, tell the rate by the bucket that fits."""
    random = np.random.default_rng(5)
    sizes = np.where(random.random(600) < 0.5, 9 * PACKET, 3 * PACKET)
    at = np.cumsum(random.exponential(2.0 * 6 * PACKET * 200.0, 600))
    first, last = through_bucket(40e6, bucket, sizes, at)
    found = lane_rate(lane_of(first, last, sizes), has_offload=False)
    assert found.rate_bps == pytest.approx(40e6, rel=0.02)
    assert found.bucket_bytes == pytest.approx(bucket, rel=0.1)


@pytest.mark.parametrize(("late_ns", "confidence"), [(2_000, Confidence.HIGH), (18_000, Confidence.LOW)])
def test_short_pdus_that_end_late_are_not_sure_of_a_rate(late_ns, confidence):
    """Writes of three packets, some behind another, whose last packets a timer lets go late.

    On the fast one of two links, where hosts let them go 12 us late, 40 Mbit/s were surely 38.
    """
    random = np.random.default_rng(6)
    sizes = np.full(500, 3 * PACKET)
    at = np.cumsum(random.exponential(2.5 * 3 * PACKET * 200.0, 500))
    first, last = through_bucket(40e6, 2000, sizes, at)
    late = last + random.exponential(late_ns, 500).astype(np.int64)
    assert lane_rate(lane_of(first, late, sizes), has_offload=False).confidence is confidence


@pytest.mark.skipif(not WHATIF.is_dir(), reason=f"no recordings in {WHATIF}")
@pytest.mark.parametrize(
    "name", ["W6-fail-mcs2-rr-retry", "W6-mpio2-lqd", "W6-asym-mpio2-rr", "W3-asym-mpio2-rr"]
)
def test_rates_that_are_sure_lie_within_three_percent(name):
    truth = json.loads((WHATIF / f"{name}.result.json").read_text())
    links = recorded_links(analyzer.analyze(WHATIF / f"{name}.pcapng.zst"))
    sure = 0
    for value in links.values:
        if value.key in ("links.rate_to_target", "links.rate_from_target") and value.confidence != "low":
            (link,) = (one for one in truth["links"] if one["initiator"] in value.name)
            assert value.value == pytest.approx(link["rate_mbit"] * 1e6, rel=0.03), value.name
            sure += 1
    assert sure >= 2

"""Where a capture was taken, against conversations whose recorder stood at a known place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import analyzer
from analyzer.tables.folder import Timeline
from tests.captures import (
    INITIATOR,
    START_NS,
    TARGET,
    Conversation,
    Dialogue,
    command,
    data_in,
    login_request,
    login_response,
    pcap,
    text,
)
from tests.real import TRACES

HOST_NS, PACKET_NS = 15_000, 12_000
SERVICE_NS, THINK_NS = 3_000_000, 500_000
READS = 60


def reads(count=READS):
    """A login and reads of 4 KiB, one after the other."""
    names = text(InitiatorName="iqn.i", TargetName="iqn.t")
    pdus = [(INITIATOR, login_request(names)), (TARGET, login_response(b""))]
    for number in range(count):
        tag, serial = 0x100 + number, 2 + number
        pdus.append((INITIATOR, command(tag, 1 + number, stat_sn=serial, read=4096)))
        pdus.append((TARGET, data_in(tag, bytes(4096), stat_sn=serial, cmd_sn=2 + number)))
    return Dialogue(tuple(pdus), False, False)


def seen_from(place, to_target_ns, to_initiator_ns, is_opened=True):
    """The capture of ``reads`` by a recorder so far from both ends, one way, written to ``place``.

    A host acknowledges after HOST_NS; the target answers a command SERVICE_NS after its arrival, the
    initiator asks THINK_NS after it has an answer.
    """
    distance = {INITIATOR: to_initiator_ns, TARGET: to_target_ns}
    conversation = Conversation()
    now, side, packets, has_more = START_NS, INITIATOR, [], False
    for segment in reads().segments(conversation, is_opened=is_opened):
        if segment.side != side:
            now += to_target_ns + to_initiator_ns + HOST_NS
        elif segment.payload and has_more:
            now += PACKET_NS
        elif segment.payload:
            now += SERVICE_NS - HOST_NS if side == TARGET else THINK_NS - HOST_NS
        side, has_more = segment.side, bool(segment.payload)
        packets.append(conversation.packet(segment, now + distance[side]))
    place.write_bytes(pcap(sorted(packets, key=lambda one: one.time_ns)))
    return analyzer.analyze(place)


def values_of(timeline):
    outcome = analyzer.replay(timeline, "as-recorded")
    return outcome, {value["name"].partition(",")[0]: value for value in outcome.manifest["calibration"]}


PLACES = [
    (1_000_000, 0, "initiator", "high"),
    (0, 1_000_000, "target", "high"),
    (400_000, 600_000, "between", "medium"),
    (20_000_000, 20_000_000, "between", "medium"),
    (250_000, 0, "initiator", "high"),
    (0, 90_000, "target", "high"),
    (0, 30_000, "target", "low"),
    (10_000, 0, "initiator", "low"),
]


@pytest.mark.parametrize("is_opened", [True, False], ids=["from the handshake on", "begun in mid-session"])
@pytest.mark.parametrize(("to_target_ns", "to_initiator_ns", "place", "confidence"), PLACES)
def test_the_place_is_found_with_both_parts_of_the_round_trip(
    tmp_path, to_target_ns, to_initiator_ns, place, confidence, is_opened
):
    timeline = seen_from(tmp_path / "seen.pcap", to_target_ns, to_initiator_ns, is_opened)
    _, values = values_of(timeline)
    assert (values["recorded at"]["value"], values["recorded at"]["confidence"]) == (place, confidence)
    assert "towards the initiator" in values["recorded at"]["rests_on"]
    for side, one_way_ns in (("target", to_target_ns), ("initiator", to_initiator_ns)):
        part = values[f"round trip between recorder and {side}"]
        assert part["value"] == pytest.approx(2 * one_way_ns + HOST_NS, abs=2)
        assert part["low"] <= 2 * one_way_ns <= part["high"]
    whole = values["round trip"]["value"]
    assert whole == pytest.approx(2 * (to_target_ns + to_initiator_ns), rel=0.1, abs=50_000)


@pytest.mark.parametrize(("to_target_ns", "to_initiator_ns", "place", "confidence"), PLACES)
def test_service_and_outcome_are_the_same_wherever_the_recorder_stood(
    tmp_path, to_target_ns, to_initiator_ns, place, confidence
):
    """A capture at the target shows an answer at once, one at the initiator a round trip later."""
    timeline = seen_from(tmp_path / "seen.pcap", to_target_ns, to_initiator_ns)
    outcome, values = values_of(timeline)
    assert values["median service time"]["value"] == pytest.approx(SERVICE_NS, rel=0.05)
    one_trip = 2 * (to_target_ns + to_initiator_ns) + SERVICE_NS + THINK_NS
    completed = np.sort(outcome.values("requests", "completed_ns"))
    assert np.median(np.diff(completed)) == pytest.approx(one_trip, rel=0.02)
    latency = float(np.median(outcome.values("requests", "latency_ns")))
    assert latency == pytest.approx(one_trip - THINK_NS, rel=0.02, abs=3 * HOST_NS)


def test_without_acknowledgements_of_one_side_the_place_is_unknown():
    timeline = analyzer.analyze(TRACES / "mcs" / "mcs-2conn-rr-tgt-fromtarget.pcapng.zst")
    assert timeline.is_null("connections", "rtt_ns_min").all()
    assert timeline.is_null("connections", "target_side_rtt_ns_min").all()


def test_a_side_that_was_not_seen_is_said_to_be_assumed(tmp_path):
    timeline = seen_from(tmp_path / "seen.pcap", 500_000, 0)
    connections = timeline.arrow["connections"]
    field = connections.schema.field("initiator_side_rtt_ns_min")
    place = connections.schema.get_field_index(field.name)
    nothing = pa.nulls(connections.num_rows, field.type)
    arrow = {**timeline.arrow, "connections": connections.set_column(place, field, nothing)}
    _, values = values_of(Timeline(arrow, timeline.manifest))
    assert (values["recorded at"]["value"], values["recorded at"]["confidence"]) == ("unknown", "low")
    assert values["round trip between recorder and initiator"]["rests_on"].startswith("assumed")

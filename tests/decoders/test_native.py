"""A described dialogue becomes a synthetic capture; decoding it must give the dialogue back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.decoders.decoded import (
    DIGEST_BAD,
    DIGEST_NONE,
    DIGEST_OK,
    END_FIN,
    END_RESET,
    QUALITY_RESYNCHRONISED,
    DecodedCapture,
)
from analyzer.decoders.native import decode
from tests.captures import (
    ACK,
    INITIATOR,
    RST,
    TARGET,
    Conversation,
    Dialogue,
    Packet,
    Segment,
    cut,
    dialogue,
    packets_of,
    pcap,
    pcapng,
)
from tests.real import capture_path

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decode_packets(packets: list[Packet], folder: Path, **options: object) -> DecodedCapture:
    path = folder / "made.pcap"
    path.write_bytes(pcap(packets))
    return decode([path], **options)  # type: ignore[arg-type]


def headers_of(capture: DecodedCapture, side: int) -> list[bytes]:
    """Headers of one end in stream order; PDUs of equal time keep the order of the stream."""
    chosen = capture.pdus.from_target == bool(side)
    return [header.tobytes() for header in capture.pdus.headers[chosen]]


def expect_all(capture: DecodedCapture, expected: Dialogue) -> None:
    for side in (INITIATOR, TARGET):
        assert headers_of(capture, side) == [header for header, _ in expected.said(side)]


def codes(capture: DecodedCapture) -> set[str]:
    return {entry.kind.code for entry in capture.diagnostics}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.mark.parametrize("header_digest", [False, True])
@pytest.mark.parametrize("data_digest", [False, True])
@pytest.mark.parametrize("sizes", [(1448,), (1,), (65_000,), (48, 3, 7, 1000)])
def test_dialogue_comes_back_whole(
    folder: Path, header_digest: bool, data_digest: bool, sizes: tuple[int, ...]
) -> None:
    """Headers, kept data, digests and connection facts, in segments of every size."""
    said = dialogue(header_digest=header_digest, data_digest=data_digest)
    conversation = Conversation()
    capture = decode_packets(packets_of(conversation, said.segments(conversation, sizes)), folder)
    expect_all(capture, said)
    assert codes(capture) == set()
    connections = capture.connections
    assert (connections.initiator_address, connections.target_address) == (["192.0.2.1"], ["192.0.2.2"])
    assert (int(connections.initiator_port[0]), int(connections.target_port[0])) == (49152, 3260)
    assert (bool(connections.header_digest[0]), bool(connections.data_digest[0])) == (
        header_digest,
        data_digest,
    )
    assert int(connections.rtt_ns_min[0]) > 0
    behind_login = ~np.isin(capture.pdus.headers[:, 0] & 0x3F, (0x03, 0x23))
    has_data = capture.pdus.headers[:, 5:8].any(axis=1)
    expected = np.where(behind_login & header_digest, DIGEST_OK, DIGEST_NONE)
    assert (capture.pdus.header_digest == expected).all()
    expected = np.where(behind_login & has_data & data_digest, DIGEST_OK, DIGEST_NONE)
    assert (capture.pdus.data_digest == expected).all()


def test_short_segments_and_ahs_are_kept(folder: Path) -> None:
    """Login text, sense and ping are kept; data of commands and Data-In is not."""
    said = dialogue(header_digest=True)
    conversation = Conversation()
    capture = decode_packets(packets_of(conversation, said.segments(conversation, (100,))), folder)
    pdus = capture.pdus
    known = {pdu.full_header: pdu for _, pdu in said.pdus}
    seen_ahs = 0
    for row in range(len(pdus)):
        pdu = known[pdus.headers[row].tobytes()]
        is_kept = pdu.header[0] & 0x3F in (0x03, 0x23, 0x21, 0x20)
        assert pdus.segment(row) == (pdu.data if is_kept else b"")
        start = int(pdus.segment_offset[row])
        assert pdus.segments[start : start + int(pdus.ahs_bytes[row])].tobytes() == pdu.ahs
        seen_ahs += len(pdu.ahs) > 0
    assert seen_ahs == 2


@QUICK
@given(data=st.data())
def test_any_arrival_gives_the_same_pdus(folder: Path, data: st.DataObject) -> None:
    """Invariant: split, shuffled, doubled and overlapping segments carry the same stream."""
    digests = data.draw(st.tuples(st.booleans(), st.booleans()))
    said = dialogue(header_digest=digests[0], data_digest=digests[1], sizes=(64, 5, 700))
    # A start just below 2**32 makes the sequence numbers wrap.
    initial = data.draw(st.sampled_from([(1, 2), (2**32 - 500, 2**32 - 2000)]))
    conversation = Conversation(initial=initial, ports=(40000, data.draw(st.sampled_from([3260, 13270]))))
    sizes = data.draw(st.lists(st.integers(1, 900), min_size=1, max_size=5))
    segments = said.segments(conversation, sizes)
    opening, rest = segments[:3], segments[3:]
    payload = [segment for segment in rest if segment.payload]
    for segment in data.draw(st.lists(st.sampled_from(payload), max_size=8)):
        at = data.draw(st.integers(0, len(segment.payload) - 1))
        again = Segment(segment.side, segment.sequence + at, 0, 0, segment.payload[at:])
        rest.insert(data.draw(st.integers(0, len(rest))), again)
    for _ in range(data.draw(st.integers(0, 12))):
        place = data.draw(st.integers(0, len(rest) - 1))
        rest.insert(max(0, place - data.draw(st.integers(0, 10))), rest.pop(place))
    capture = decode_packets(packets_of(conversation, opening + rest), folder)
    expect_stream(capture, said)
    assert not len(capture.holes)


def expect_stream(capture: DecodedCapture, said: Dialogue) -> None:
    """As ``expect_all``, when packets out of order give PDUs that are out of order of time."""
    for side in (INITIATOR, TARGET):
        assert sorted(headers_of(capture, side)) == sorted(header for header, _ in said.said(side))


@QUICK
@given(lost=st.lists(st.integers(3, 10_000), max_size=6), digests=st.booleans(), size=st.integers(60, 2000))
def test_lost_packets_give_no_false_pdu(folder: Path, lost: list[int], digests: bool, size: int) -> None:
    """Invariant: whatever packets the recorder loses, each PDU found was sent, and losses are said."""
    said = dialogue(24, header_digest=digests, data_digest=digests)
    conversation = Conversation()
    segments = said.segments(conversation, (size,))
    gone = {index % (len(segments) - 3) + 3 for index in lost}
    kept = [segment for index, segment in enumerate(segments) if index not in gone]
    capture = decode_packets(packets_of(conversation, kept), folder)
    lost_payload = sum(len(segments[index].payload) for index in gone)
    for side in (INITIATOR, TARGET):
        sent = [header for header, _ in said.said(side)]
        assert not set(headers_of(capture, side)) - set(sent)
    if lost_payload:
        # The last bytes of a stream are only known to be missing if something behind tells of them.
        assert int(capture.holes.lost_bytes.sum()) <= lost_payload
        last = max(index for index, segment in enumerate(segments) if segment.payload)
        if gone and max(gone) < last - 40:
            assert int(capture.holes.lost_bytes.sum()) == lost_payload
            assert "capture-lost-bytes" in codes(capture)


def test_hole_in_data_keeps_the_framing(folder: Path) -> None:
    """A packet lost inside a data segment costs no PDU; one with a header costs those it held."""
    said = dialogue(30, sizes=(9000,))
    conversation = Conversation()
    segments = said.segments(conversation, (1000,))
    inside = next(i for i, s in enumerate(segments) if s.side == TARGET and len(s.payload) == 1000) + 3
    capture = decode_packets(packets_of(conversation, segments[:inside] + segments[inside + 1 :]), folder)
    expect_all(capture, said)
    assert capture.holes.framing_kept.tolist() == [True]
    assert capture.holes.lost_bytes.tolist() == [1000]
    first = next(
        i for i, s in enumerate(segments) if i > 20 and s.side == TARGET and s.payload[:1] == b"\x25"
    )
    capture = decode_packets(packets_of(conversation, segments[:first] + segments[first + 1 :]), folder)
    missing = {h for h, _ in said.said(TARGET)} - set(headers_of(capture, TARGET))
    assert len(missing) == 1
    assert capture.holes.framing_kept.tolist() == [False]
    assert {"pdu-header-lost", "resynchronised"} <= codes(capture)
    assert np.count_nonzero(capture.pdus.quality == QUALITY_RESYNCHRONISED) == 1


@pytest.mark.parametrize("digests", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("port", [3260, 40_001])
def test_joining_in_the_middle_infers_digests(folder: Path, digests: tuple[bool, bool], port: int) -> None:
    """Without the login both digests are told from the CRCs, on any port, and said to be assumed."""
    said = dialogue(12, header_digest=digests[0], data_digest=digests[1])
    conversation = Conversation(ports=(50_000, port))
    segments = [s for s in said.segments(conversation, (1448,)) if s.payload][6:]
    capture = decode_packets(packets_of(conversation, segments), folder)
    assert (bool(capture.connections.header_digest[0]), bool(capture.connections.data_digest[0])) == digests
    assert {"capture-starts-late", "digest-assumed"} <= codes(capture)
    for side in (INITIATOR, TARGET):
        sent = [header for header, _ in said.said(side)]
        found = headers_of(capture, side)
        assert found == sent[-len(found) :]
    assert len(capture.pdus) >= len(said.pdus) - 8


def test_wrong_digests_are_reported(folder: Path) -> None:
    """A flipped bit under a digest is found, and the walk goes on."""
    said = dialogue(9, header_digest=True, data_digest=True, sizes=(600,))
    conversation = Conversation()
    segments = said.segments(conversation, (5000,))
    at = next(i for i, s in enumerate(segments) if i > 12 and s.payload[:1] == b"\x25")
    payload = bytearray(segments[at].payload)
    payload[100] ^= 1
    broken = Segment(segments[at].side, segments[at].sequence, 0, ACK, bytes(payload))
    capture = decode_packets(packets_of(conversation, [*segments[:at], broken, *segments[at + 1 :]]), folder)
    expect_all(capture, said)
    assert np.count_nonzero(capture.pdus.data_digest == DIGEST_BAD) == 1
    assert "data-digest-error" in codes(capture)


def test_cut_packets_go_on_by_length(folder: Path) -> None:
    """With a snap length that holds the headers at packet starts, every PDU that begins a packet is found."""
    said = dialogue(20)
    conversation = Conversation()
    packets = cut(packets_of(conversation, said.segments(conversation, (60_000,))), 14 + 20 + 20 + 52)
    capture = decode_packets(packets, folder)
    expect_all(capture, said)
    assert "snaplen-cut" in codes(capture)


def test_a_reused_port_pair_is_a_new_connection(folder: Path) -> None:
    """A SYN with another initial sequence number begins a connection of its own."""
    said = dialogue(3)
    first, second = Conversation(), Conversation(initial=(77_000_000, 88_000_000))
    segments = (
        said.segments(first) + [first.end(INITIATOR, RST)] + said.segments(second) + [second.end(TARGET)]
    )
    capture = decode_packets(packets_of(first, segments), folder)
    assert len(capture.connections) == 2
    assert capture.connections.end.tolist() == [END_RESET, END_FIN]
    assert capture.connections.end_from_target.tolist() == [False, True]
    assert np.bincount(capture.pdus.connection_index).tolist() == [len(said.pdus)] * 2


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 9, bytes(4000), b"\xff" * 4000])
def test_other_protocols_are_not_iscsi(folder: Path, content: bytes) -> None:
    """HTTP on port 3260 is not iSCSI, neither from its start nor joined."""
    conversation = Conversation()
    segments = (
        conversation.open() + conversation.send(INITIATOR, content) + conversation.send(TARGET, content)
    )
    for part in (segments, segments[3:]):
        capture = decode_packets(packets_of(conversation, part), folder)
        assert (len(capture.pdus), len(capture.connections)) == (0, 0)
        assert "no-iscsi" in codes(capture)


def test_pdus_of_several_files_are_merged_by_time(folder: Path) -> None:
    """Files given in any order and in part overlapping are one recording; packets keep their file."""
    said = dialogue(8)
    conversation = Conversation()
    packets = packets_of(conversation, said.segments(conversation, (700,)))
    half = len(packets) // 2
    (folder / "early.pcap").write_bytes(pcap(packets[:half]))
    (folder / "late.pcapng").write_bytes(pcapng(packets[half:]))
    capture = decode([folder / "late.pcapng", folder / "early.pcap"])
    expect_all(capture, said)
    assert (np.diff(capture.pdus.time_ns) >= 0).all()
    assert [file.format for file in capture.files] == ["pcapng", "pcap"]
    assert set(capture.pdus.file_index[capture.pdus.time_ns < packets[half].time_ns].tolist()) == {1}
    row = 0
    packet = packets[int(capture.pdus.packet[row]) - 1]
    assert packet.time_ns == int(capture.pdus.time_ns[row])


@QUICK
@given(content=st.binary(max_size=600), at=st.integers(0, 5000), side=st.sampled_from([INITIATOR, TARGET]))
def test_any_bytes_give_pdus_or_diagnostics(folder: Path, content: bytes, at: int, side: int) -> None:
    """Invariant: bytes of any kind in the middle of a stream raise nothing and end."""
    said = dialogue(8, header_digest=True)
    conversation = Conversation()
    segments = said.segments(conversation, (500,))
    at = 3 + at % (len(segments) - 3)
    strange = Segment(side, segments[at].sequence, segments[at].acknowledgement, ACK, content)
    capture = decode_packets(packets_of(conversation, [*segments[:at], strange, *segments[at:]]), folder)
    assert len(capture.pdus) <= len(said.pdus) + 2 * len(content) // 48 + 2


@QUICK
@given(data=st.data())
def test_damaged_files_raise_nothing(folder: Path, data: st.DataObject) -> None:
    """Invariant: a capture with bytes overwritten, cut or put in decodes to whatever is left."""
    said = dialogue(6)
    conversation = Conversation()
    packets = packets_of(conversation, said.segments(conversation, (400,)))
    make = data.draw(st.sampled_from([pcap, pcapng]))
    content = bytearray(make(packets))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(32, len(content) - 1))
        strange = data.draw(st.binary(min_size=1, max_size=12))
        content[at : at + len(strange)] = strange
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(32, len(content))) :]
    path = folder / "damaged"
    path.write_bytes(content)
    capture = decode([path])
    assert len(capture.pdus) <= 4 * len(said.pdus)


def test_resets_that_repeat_are_no_copies() -> None:
    """A host answers each late segment with the same reset; this capture holds 24 within 3 ms."""
    decoded = decode([capture_path("fo-linkdown-st.link1")])
    assert "mirror-duplicates" not in {entry.kind.code for entry in decoded.diagnostics}


def test_copies_of_a_mirror_port_are_no_retransmissions(folder: Path) -> None:
    """Every packet twice, a few microseconds apart: the same PDUs, nothing sent again, and it is said."""
    said = dialogue(6)
    conversation = Conversation()
    packets = packets_of(conversation, said.segments(conversation, (700,)))
    twice = [replace(packet, time_ns=packet.time_ns + late) for packet in packets for late in (0, 3_000)]
    once, capture = decode_packets(packets, folder), decode_packets(twice, folder)
    expect_all(capture, said)
    assert int(capture.connections.retransmitted_segments[0]) == 0
    assert int(capture.connections.packets[0]) == len(packets)
    assert (capture.pdus.time_ns == once.pdus.time_ns).all()
    assert {entry.kind.code: entry.count for entry in capture.diagnostics} == {
        "mirror-duplicates": len(packets)
    }


def test_a_segment_sent_again_is_a_retransmission(folder: Path) -> None:
    """The same bytes in a packet of its own, however soon, are no copy."""
    said = dialogue(6)
    conversation = Conversation()
    segments = said.segments(conversation, (700,))
    doubled = [segment for segment in segments for _ in range(2 if segment.payload else 1)]
    capture = decode_packets(packets_of(conversation, doubled), folder)
    expect_all(capture, said)
    assert int(capture.connections.retransmitted_segments[0]) == sum(
        bool(segment.payload) for segment in segments
    )
    assert codes(capture) == set()


@pytest.mark.parametrize("overlap", [0, 1, 80, 400])
def test_files_that_overlap_in_time_are_one_recording(folder: Path, overlap: int) -> None:
    """The second file begins before the first ends: no byte is lost, none was sent again."""
    said = dialogue(40, sizes=(512, 3, 9000))
    conversation = Conversation()
    packets = packets_of(conversation, said.segments(conversation, (700,)))
    middle = len(packets) // 2
    paths = [folder / "first.pcap", folder / "second.pcap"]
    # The first recorder missed a packet shortly before its end.
    paths[0].write_bytes(
        pcap([*packets[: middle - 9], *packets[middle - 8 : middle]] if overlap else packets[:middle])
    )
    paths[1].write_bytes(pcap(packets[max(middle - overlap, 0) :]))
    capture = decode(paths)
    if overlap >= 80 or not overlap:
        expect_all(capture, said)
        assert int(capture.connections.lost_bytes[0]) == 0
    assert int(capture.connections.retransmitted_segments[0]) == 0


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        (20, "a header from the target, 20 of 48 bytes"),
        (1000, "SCSI Data-In from the target, 1,000 of 9,048 bytes"),
    ],
)
def test_pdu_cut_short_by_the_end_is_marked_and_counted(size: int, seen: str, tmp_path: Path) -> None:
    """The recording ends inside the last PDU: it stands where it was, marked, with what was seen of it."""
    said = dialogue(1, sizes=(9000,))
    said = replace(said, pdus=said.pdus[:5])  # up to the data with the status
    conversation = Conversation()
    *segments, last, _ = said.segments(conversation, sizes=(20_000,))
    whole = decode_packets(packets_of(conversation, segments), tmp_path)
    assert whole.pdus.is_complete.all()
    assert "pdu-incomplete" not in codes(whole)
    packets = packets_of(conversation, [*segments, replace(last, payload=last.payload[:size])])
    capture = decode_packets(packets, tmp_path)
    (entry,) = [entry for entry in capture.diagnostics if entry.kind.code == "pdu-incomplete"]
    assert (entry.detail, entry.packet, entry.count) == (seen, len(packets), 1)
    assert len(capture.pdus) == len(whole.pdus) + (size >= 48)
    assert np.count_nonzero(~capture.pdus.is_complete) == (size >= 48)


def test_a_direction_that_was_not_recorded_ends_inside_no_pdu() -> None:
    one_sided = decode([capture_path("mcs-2conn-rr-tgt-fromtarget")])
    assert "one-direction-only" in codes(one_sided)
    assert "pdu-incomplete" not in codes(one_sided)

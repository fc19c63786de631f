"""PDUs whose headers the snap length cut off: what is inferred was really sent, and nothing is invented."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analyzer.capture.reader import CaptureReader
from analyzer.decoders.decoded import QUALITY_INFERRED, DecodedCapture
from analyzer.decoders.native import decode
from analyzer.diagnostics import DiagnosticLog
from tests.captures import (
    INITIATOR,
    TARGET,
    Conversation,
    Packet,
    Pdu,
    command,
    cut,
    data_in,
    data_out,
    header,
    login_request,
    login_response,
    packets_of,
    pcap,
    response,
    text,
)
from tests.real import capture_path

Key = tuple[int, bytes]


def packets_in(path: Path) -> list[Packet]:
    """The packets of a real Ethernet capture."""
    packets = []
    reader = CaptureReader(path, 0, DiagnosticLog())
    for batch in reader.batches():
        for packet in batch.packets[: batch.packet_count]:
            content = batch.chunk[packet.offset : packet.offset + packet.captured].tobytes()
            packets.append(Packet(int(packet.time_ns), content))
    reader.source.close()
    return packets


def pdus_of(capture: DecodedCapture, chosen: np.ndarray | None = None) -> Counter[Key]:
    """Port of the initiator and header of every PDU, or of those chosen."""
    rows = range(len(capture.pdus)) if chosen is None else np.flatnonzero(chosen).tolist()
    ports = capture.connections.initiator_port
    pdus = capture.pdus
    return Counter((int(ports[pdus.connection_index[row]]), pdus.headers[row].tobytes()) for row in rows)


def without_acknowledgement(keys: Counter[Key]) -> Counter[Key]:
    """The same without ExpStatSN, or ExpCmdSN and MaxCmdSN: what had been received is not inferred."""
    found: Counter[Key] = Counter()
    for (port, content), count in keys.items():
        end = 36 if content[0] & 0x20 else 32
        found[port, content[:28] + bytes(end - 28) + content[end:]] += count
    return found


@pytest.mark.parametrize(
    ("name", "least_found", "least_inferred"),
    [
        ("mcs-2conn-rr-r2t-tgt", 0.99, 20),
        ("mcs-2conn-unsolicited-tgt", 0.97, 0),
        ("mcs-2conn-rr-mtu1500-tgt", 0.98, 1),
        ("mcs-2conn-digest-both-tgt", 1.0, 0),
        ("mcs-4conn-digest-mixed-tgt", 1.0, 0),
        ("mpio-rr.link1", 0.97, 1),
        ("mcs-kill-write-r2t-tgt", 0.97, 0),
    ],
)
@pytest.mark.parametrize("snap_length", [128, 200])
def test_a_cut_capture_against_its_uncut_self(
    tmp_path: Path, name: str, least_found: float, least_inferred: int, snap_length: int
) -> None:
    """Of everything found nothing is false; what is inferred was sent, byte for byte."""
    packets = packets_in(capture_path(name))
    whole, short = tmp_path / "whole.pcap", tmp_path / "short.pcap"
    whole.write_bytes(pcap(packets))
    short.write_bytes(pcap(cut(packets, snap_length)))
    truth, capture = decode([whole]), decode([short])
    is_inferred = capture.pdus.quality == QUALITY_INFERRED
    expected, read = pdus_of(truth), pdus_of(capture, ~is_inferred)
    assert read - expected == Counter()
    inferred = without_acknowledgement(pdus_of(capture, is_inferred))
    assert inferred - without_acknowledgement(expected - read) == Counter()
    assert len(capture.pdus) >= least_found * len(truth.pdus)
    if snap_length == 128:
        assert int(is_inferred.sum()) >= least_inferred


def r2t(tag: int, transfer_tag: int, length: int, *, stat_sn: int = 3, cmd_sn: int = 2) -> Pdu:
    fields = {16: tag, 20: transfer_tag, 24: stat_sn, 28: cmd_sn, 32: cmd_sn + 31, 44: length}
    return Pdu(header(0x31, 0x80, fields))


def solicited(tag: int, transfer_tag: int, number: int, offset: int, length: int, *, is_last: bool) -> Pdu:
    pdu = data_out(tag, bytes(length), number=number, offset=offset)
    content = bytearray(pdu.header)
    content[1] = 0x80 if is_last else 0
    content[20:24] = transfer_tag.to_bytes(4, "big")
    return Pdu(bytes(content), pdu.data)


def cut_write(tmp_path: Path, burst_bytes: int, sent: list[Pdu]) -> DecodedCapture:
    """One write of two bursts, its Data-Outs in one packet that is cut behind the first header."""
    conversation = Conversation()
    segments = conversation.open()
    told = [
        (INITIATOR, login_request(text(InitiatorName="iqn.i", TargetName="iqn.t"))),
        (TARGET, login_response(b"")),
        (INITIATOR, command(7, 1, written=2 * burst_bytes)),
        (TARGET, r2t(7, 0x70, burst_bytes)),
    ]
    for side, pdu in told:
        segments += conversation.send(side, pdu.wire(), (9000,))
        segments.append(conversation.acknowledge(1 - side))
    segments += conversation.send(INITIATOR, b"".join(pdu.wire() for pdu in sent), (60_000,))
    segments.append(conversation.acknowledge(TARGET))
    segments += conversation.send(TARGET, response(7, stat_sn=3, cmd_sn=2).wire())
    segments += conversation.send(INITIATOR, command(8, 2, read=512, stat_sn=4).wire())
    segments += conversation.send(TARGET, data_in(8, bytes(512), stat_sn=4, cmd_sn=3).wire())
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap(cut(packets_of(conversation, segments), 160)))
    return decode([path])


def test_the_rest_of_a_burst_follows_from_its_r2t(tmp_path: Path) -> None:
    """Three Data-Outs asked for, one header recorded: the other two are inferred, in their places."""
    sent = [
        solicited(7, 0x70, 0, 0, 4096, is_last=False),
        solicited(7, 0x70, 1, 4096, 4096, is_last=False),
        solicited(7, 0x70, 2, 8192, 1000, is_last=True),
    ]
    pdus = cut_write(tmp_path, 9192, sent).pdus
    rows = np.flatnonzero(pdus.headers[:, 0] == 0x05)
    assert [pdus.headers[row].tobytes() for row in rows] == [pdu.full_header for pdu in sent]
    assert (pdus.quality[rows] == QUALITY_INFERRED).tolist() == [False, True, True]
    assert (np.diff(pdus.time_ns) >= 0).all()
    assert (pdus.time_last_ns[rows] <= pdus.time_ns[rows[-1] + 1]).all()


def test_what_does_not_fill_the_bytes_is_not_inferred(tmp_path: Path) -> None:
    """Another length than was asked for, or an unknown PDU with data between: nothing is said."""
    sent = [
        solicited(7, 0x70, 0, 0, 4096, is_last=False),
        solicited(7, 0x70, 1, 4096, 2048, is_last=False),
        solicited(7, 0x70, 2, 6144, 1000, is_last=True),
    ]
    pdus = cut_write(tmp_path, 9192, sent).pdus
    assert (pdus.headers[:, 0] == 0x05).sum() == 1
    assert not (pdus.quality == QUALITY_INFERRED).any()

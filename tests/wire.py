"""Described conversations as a capture file: what was said PDU by PDU becomes TCP packets with times."""

from __future__ import annotations

from analyzer.decoders.decoded import END_OPEN, END_RESET
from tests.captures import ACK, FIN, INITIATOR, RST, TARGET, Packet, pcap
from tests.captures import Conversation as TcpConversation
from tests.conversations import Conversation

# Larger than any PDU said, as offload engines record them: a PDU is one packet, at its own time.
_SUPER_PACKET = (60_000,)


def capture_of(said: Conversation) -> bytes:
    """A nanosecond pcap of all that was said. Data that no decoder keeps is zeros on the wire."""
    tcp = [
        TcpConversation(
            (one.initiator[0], one.target[0]),
            (one.initiator[1], one.target[1]),
            (1_000 * number + 1, 2_000_000_000 + number),
        )
        for number, one in enumerate(said.connections)
    ]
    timed: list[tuple[int, int, list[Packet]]] = []
    for number, one in enumerate(said.connections):
        opened = [tcp[number].packet(segment, one.opened_ns) for segment in tcp[number].open()]
        timed.append((one.opened_ns, 0, opened))
    for pdu in sorted(said.pdus, key=lambda pdu: pdu.time_ns):
        length = int.from_bytes(pdu.header[5:8], "big")
        payload = pdu.header + pdu.ahs + pdu.segment.ljust(length, b"\0") + bytes(-length % 4)
        link = tcp[pdu.connection]
        segments = link.send(TARGET if pdu.from_target else INITIATOR, payload, _SUPER_PACKET)
        timed.append((pdu.time_ns, 1, [link.packet(segment, pdu.time_ns) for segment in segments]))
    for number, one in enumerate(said.connections):
        if one.end != END_OPEN:
            flags = RST if one.end == END_RESET else FIN | ACK
            last = tcp[number].end(TARGET if one.end_from_target else INITIATOR, flags)
            timed.append((one.ended_ns, 2, [tcp[number].packet(last, one.ended_ns)]))
    timed.sort(key=lambda item: item[:2])
    return pcap(packet for _, _, packets in timed for packet in packets)

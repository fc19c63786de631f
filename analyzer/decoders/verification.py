"""Two decoders held against each other, PDU by PDU; each difference is explained or shown as unexplained.

Two PDUs are the same when connection, direction, all 48 header bytes and the packet with the first
byte agree. A difference is explained by a rule only where the native decoder itself reported the
cause (a hole, a cut packet, a digest, a late start) or the PDU carries a code that Wireshark does not know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import OPCODE_MASK
from analyzer.iscsi.opcodes import OPCODE_NAMES, Opcode, name_of

LAST_FUNCTION_WIRESHARK_KNOWS = 8
LAST_EVENT_WIRESHARK_KNOWS = 4
FIELDS_WIRESHARK_WANTS_ZERO: dict[int, tuple[tuple[int, int], ...]] = {
    Opcode.SCSI_COMMAND: ((2, 4), (10, 16), (20, 21)),  # also 16 MiB and more of expected data
    Opcode.DATA_OUT: ((2, 4), (24, 28), (32, 36), (44, 48)),
    Opcode.LOGOUT_RESPONSE: ((3, 16), (20, 24), (36, 40), (44, 48)),
    Opcode.ASYNC_MESSAGE: ((2, 4), (20, 24), (44, 48)),
    Opcode.REJECT: ((3, 4), (8, 16), (20, 24), (40, 48)),
}
"""Ranges of bytes in the header (epan/dissectors/packet-iscsi.c); LIO's Async Messages have ones in the
second."""

ConnectionName = tuple[str, int, str, int]
PduKey = tuple[ConnectionName, bool, bytes]


class Kind(StrEnum):
    """In what two decoders differ over a PDU."""

    ONLY_NATIVE = "only native"
    ONLY_WIRESHARK = "only wireshark"
    OTHER_PACKET = "other packet"


@dataclass(frozen=True, slots=True)
class Difference:
    """One PDU that the decoders do not agree on; ``rule`` is empty where nothing explains it."""

    kind: Kind
    connection: ConnectionName
    from_target: bool
    packet: int
    time_ns: int
    header: bytes
    rule: str = ""

    @property
    def opcode(self) -> str:
        """What the PDU is, in words."""
        return name_of(OPCODE_NAMES, self.header[0] & OPCODE_MASK)


@dataclass(frozen=True, slots=True)
class Rule:
    """One known cause; ``applies`` is asked with what the native decoder knows and the difference."""

    name: str
    sentence: str
    applies: Callable[[KnownCauses, Difference], bool]


@dataclass(frozen=True, slots=True)
class Verification:
    """The result. ``equal`` counts PDUs on which both agree in everything."""

    native: int
    wireshark: int
    equal: int
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """The differences that no rule explains."""
        return tuple(difference for difference in self.differences if not difference.rule)


class KnownCauses:
    """What the native decoder reported that can lead Wireshark astray, by connection."""

    def __init__(self, native: DecodedCapture) -> None:
        """Index the holes, digests and late starts of ``native``."""
        names = list(_connection_names(native))
        connections = native.connections
        self.has_cut_packets = any(file.cut_packets for file in native.files)
        pdus = native.pdus
        self.unfinished = {pdus.headers[row].tobytes() for row in np.flatnonzero(~pdus.is_complete)}
        self.data_digest = {name for name, on in zip(names, connections.data_digest, strict=True) if on}
        self.joined_late = {
            name for name, seen in zip(names, connections.handshake_seen, strict=True) if not seen
        }
        self.first_hole_ns: dict[tuple[ConnectionName, bool], int] = {}
        for connection, from_target, at_ns in zip(
            native.holes.connection_index, native.holes.from_target, native.holes.at_ns, strict=True
        ):
            place = (names[connection], bool(from_target))
            self.first_hole_ns[place] = min(int(at_ns), self.first_hole_ns.get(place, int(at_ns)))


def _behind_a_hole(causes: KnownCauses, difference: Difference) -> bool:
    hole_ns = causes.first_hole_ns.get((difference.connection, difference.from_target))
    return hole_ns is not None and hole_ns <= difference.time_ns


def _is_unfinished(causes: KnownCauses, difference: Difference) -> bool:
    return difference.kind is Kind.ONLY_NATIVE and difference.header in causes.unfinished


def _of_unknown_code(_: KnownCauses, difference: Difference) -> bool:
    opcode = difference.header[0] & OPCODE_MASK
    if opcode == Opcode.TASK_MANAGEMENT_REQUEST:
        return difference.header[1] & 0x7F > LAST_FUNCTION_WIRESHARK_KNOWS
    return opcode == Opcode.ASYNC_MESSAGE and difference.header[36] > LAST_EVENT_WIRESHARK_KNOWS


def _is_refused(_: KnownCauses, difference: Difference) -> bool:
    opcode = difference.header[0] & OPCODE_MASK
    return any(
        any(difference.header[first:end]) for first, end in FIELDS_WIRESHARK_WANTS_ZERO.get(opcode, ())
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "hole",
        "Bytes are missing before it in this direction; with its out-of-order option on, Wireshark loses "
        "the rest of the stream.",
        _behind_a_hole,
    ),
    Rule(
        "snaplen",
        "The capture has packets cut by the snap length, in which Wireshark loses and invents PDUs.",
        lambda causes, _: causes.has_cut_packets,
    ),
    Rule(
        "data-digest",
        "DataDigest is in use, which Wireshark does not count into the length of a PDU.",
        lambda causes, difference: difference.connection in causes.data_digest,
    ),
    Rule(
        "joined-late",
        "The recording joined the connection late; Wireshark does not look for the first whole header.",
        lambda causes, difference: difference.connection in causes.joined_late,
    ),
    Rule(
        "incomplete",
        "The connection or the recording ended inside the PDU; Wireshark shows whole ones only.",
        _is_unfinished,
    ),
    Rule(
        "unknown-code",
        "The PDU carries a function or event code that Wireshark does not know (RFC 7144).",
        _of_unknown_code,
    ),
    Rule(
        "reserved-field",
        "The PDU has a field set that Wireshark wants to be zero before it takes bytes for a header.",
        _is_refused,
    ),
)


def verify(native: DecodedCapture, wireshark: DecodedCapture) -> Verification:
    """Compare two decodings of the same sources; differences come in order of time."""
    ours, theirs = _by_key(native), _by_key(wireshark)
    causes = KnownCauses(native)
    equal = 0
    differences: list[Difference] = []
    for key in ours.keys() | theirs.keys():
        mine, other = ours.get(key, []), theirs.get(key, [])
        for place in range(max(len(mine), len(other))):
            if place >= len(other):
                differences.append(_difference(Kind.ONLY_NATIVE, key, mine[place]))
            elif place >= len(mine):
                differences.append(_difference(Kind.ONLY_WIRESHARK, key, other[place]))
            elif mine[place][1:] != other[place][1:]:
                differences.append(_difference(Kind.OTHER_PACKET, key, mine[place]))
            else:
                equal += 1
    explained = [_explained(causes, difference) for difference in differences]
    explained.sort(key=lambda difference: (difference.time_ns, difference.packet))
    return Verification(len(native.pdus), len(wireshark.pdus), equal, tuple(explained))


def _explained(causes: KnownCauses, difference: Difference) -> Difference:
    rule = next((rule.name for rule in RULES if rule.applies(causes, difference)), "")
    return Difference(
        difference.kind,
        difference.connection,
        difference.from_target,
        difference.packet,
        difference.time_ns,
        difference.header,
        rule,
    )


def _difference(kind: Kind, key: PduKey, place: tuple[int, int, int]) -> Difference:
    connection, from_target, header = key
    time_ns, _, packet = place
    return Difference(kind, connection, from_target, packet, time_ns, header)


def _by_key(decoded: DecodedCapture) -> dict[PduKey, list[tuple[int, int, int]]]:
    """(time_ns, file_index, packet) of every PDU, by what it is; equal ones in order of time."""
    names = list(_connection_names(decoded))
    pdus = decoded.pdus
    found: dict[PduKey, list[tuple[int, int, int]]] = defaultdict(list)
    for row in range(len(pdus)):
        key = (names[pdus.connection_index[row]], bool(pdus.from_target[row]), pdus.headers[row].tobytes())
        place = (int(pdus.time_ns[row]), int(pdus.file_index[row]), int(pdus.packet[row]))
        found[key].append(place)
    return found


def _connection_names(decoded: DecodedCapture) -> Iterator[ConnectionName]:
    connections = decoded.connections
    for index in range(len(connections)):
        yield (
            connections.initiator_address[index],
            int(connections.initiator_port[index]),
            connections.target_address[index],
            int(connections.target_port[index]),
        )

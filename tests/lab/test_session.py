"""A session gives CmdSNs in order, keeps to the window, answers R2Ts to the byte and refuses nonsense."""

from __future__ import annotations

from typing import Any, cast

import pytest

from analyzer.iscsi.headers import FINAL_BIT
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from benchmarks.lab.configuration import Policy
from benchmarks.lab.initiator.paths import POLICIES, Path
from benchmarks.lab.initiator.pdus import Pdu, ProtocolError, encode
from benchmarks.lab.initiator.session import Connection, Session
from benchmarks.lab.initiator.tasks import INITIAL, Command, command_of
from benchmarks.lab.initiator.wire import Wire
from benchmarks.lab.workload import Item


class ScriptedWire:
    """Keeps what is sent, and gives what it was told to."""

    def __init__(self) -> None:
        self.sent: list[Pdu] = []
        self.to_come: list[Pdu] = []

    def queue(self, pdu: Pdu) -> int:
        self.sent.append(pdu)
        return 48 * len(self.sent)

    def receive(self) -> list[Pdu]:
        pdus, self.to_come = self.to_come, []
        return pdus


def make_session(
    connections: int = 1, max_cmd_sn: int = 100, **keys: str
) -> tuple[Session, list[ScriptedWire]]:
    agreed = {"FirstBurstLength": "65536", "ImmediateData": "Yes", "InitialR2T": "Yes"} | keys
    wires = [ScriptedWire() for _ in range(connections)]
    made = [Connection(cid, cid, cast(Wire, wire), 8192, 1, {}) for cid, wire in enumerate(wires)]
    return Session("s1", bytes(6), 1, 1, agreed, made, 1, 1, max_cmd_sn, 10), wires


def command(kib: int, *, is_read: bool = False) -> Command:
    return command_of(0, Item(0, kib * 1024, is_read))


def from_target(opcode: Opcode, tag: int, **fields: Any) -> Pdu:
    return encode(opcode, **({"initiator_task_tag": tag, "exp_cmd_sn": 1, "max_cmd_sn": 100} | fields))


def receive(session: Session, wire: ScriptedWire, *pdus: Pdu) -> list[Command]:
    wire.to_come += pdus
    return list(session.receive(session.connections[0], 1.0))


def test_one_order_spans_all_connections() -> None:
    session, wires = make_session(connections=2)
    for number in range(4):
        session.submit(command(4, is_read=True), session.connections[number % 2], INITIAL, 0.0)
    assert [[pdu["cmd_sn"] for pdu in wire.sent] for wire in wires] == [[1, 3], [2, 4]]


def test_a_closed_window_holds_commands_in_order_until_it_opens() -> None:
    session, (wire,) = make_session(max_cmd_sn=1)
    for _ in range(3):
        session.submit(command(4, is_read=True), session.connections[0], INITIAL, 0.0)
    assert [pdu["cmd_sn"] for pdu in wire.sent] == [1]
    receive(session, wire, from_target(Opcode.NOP_IN, RESERVED_TAG, exp_cmd_sn=2, max_cmd_sn=2))
    assert [pdu["cmd_sn"] for pdu in wire.sent if pdu.opcode is Opcode.SCSI_COMMAND] == [1, 2]
    assert len(session.take_waiting(session.connections[0])) == 1


def test_the_window_never_closes_again_by_stale_numbers() -> None:
    """Connections overtake each other, so old numbers arrive late (RFC 7143 section 4.2.2.1)."""
    session, (wire,) = make_session(max_cmd_sn=5)
    receive(session, wire, from_target(Opcode.NOP_IN, RESERVED_TAG, exp_cmd_sn=3, max_cmd_sn=7))
    receive(session, wire, from_target(Opcode.NOP_IN, RESERVED_TAG, exp_cmd_sn=2, max_cmd_sn=6))
    assert (session.exp_cmd_sn, session.max_cmd_sn) == (3, 7)


@pytest.mark.parametrize(
    ("immediate", "initial_r2t", "expected"),
    [
        ("Yes", "Yes", [8192]),
        ("Yes", "No", [8192, 8192, 4096]),
        ("No", "No", [0, 8192, 8192, 4096]),
        ("No", "Yes", [0]),
    ],
)
def test_unasked_data_follows_the_keys(immediate: str, initial_r2t: str, expected: list[int]) -> None:
    """A write of 20 KiB: what goes out before any R2T, and where its last PDU is."""
    session, (wire,) = make_session(ImmediateData=immediate, InitialR2T=initial_r2t)
    session.submit(command(20), session.connections[0], INITIAL, 0.0)
    assert [len(pdu.data) for pdu in wire.sent] == expected
    assert [bool(pdu["flags"] & FINAL_BIT) for pdu in wire.sent] == [False] * (len(expected) - 1) + [True]
    offsets = [pdu["buffer_offset"] for pdu in wire.sent[1:]]
    assert offsets == [sum(expected[: index + 1]) for index in range(len(offsets))]


def test_an_r2t_is_answered_to_the_byte() -> None:
    session, (wire,) = make_session(ImmediateData="No")
    session.submit(command(20), session.connections[0], INITIAL, 0.0)
    wanted = {"buffer_offset": 4096, "desired_data_transfer_length": 12288, "target_transfer_tag": 77}
    assert receive(session, wire, from_target(Opcode.R2T, 10, **wanted)) == []
    data = wire.sent[1:]
    assert [(pdu["buffer_offset"], len(pdu.data), pdu["data_sn"]) for pdu in data] == [
        (4096, 8192, 0),
        (12288, 4096, 1),
    ]
    assert {pdu["target_transfer_tag"] for pdu in data} == {77}
    done = receive(session, wire, from_target(Opcode.SCSI_RESPONSE, 10, status=0, stat_sn=5))
    assert [one.status for one in done] == [0]
    assert session.connections[0].exp_stat_sn == 6
    assert not session.outstanding


@pytest.mark.parametrize(
    "pdu",
    [
        from_target(Opcode.R2T, 10, buffer_offset=20480, desired_data_transfer_length=1),
        from_target(Opcode.R2T, 10, desired_data_transfer_length=0),
        from_target(Opcode.R2T, 10, desired_data_transfer_length=0xFFFFFFFF),
        from_target(Opcode.DATA_IN, 10, data=b"read"),
        from_target(Opcode.REJECT, RESERVED_TAG, reason=4),
        encode(Opcode.DATA_OUT, initiator_task_tag=10),
    ],
    ids=["beyond", "nothing", "everything", "read-of-a-write", "reject", "wrong-way"],
)
def test_nonsense_ends_the_connection(pdu: Pdu) -> None:
    session, (wire,) = make_session(ImmediateData="No")
    session.submit(command(20), session.connections[0], INITIAL, 0.0)
    with pytest.raises(ProtocolError):
        receive(session, wire, pdu)


def test_an_answer_to_an_abandoned_task_is_noted_and_left() -> None:
    session, (wire,) = make_session()
    session.submit(command(4, is_read=True), session.connections[0], INITIAL, 0.0)
    assert len(session.take_all()) == 1
    assert receive(session, wire, from_target(Opcode.SCSI_RESPONSE, 10)) == []
    assert session.surprises == ["SCSI_RESPONSE for task tag 0xa"]


def test_a_ping_of_the_target_is_echoed() -> None:
    session, (wire,) = make_session()
    receive(session, wire, from_target(Opcode.NOP_IN, RESERVED_TAG, target_transfer_tag=9, data=b"echo"))
    (answer,) = wire.sent
    assert (answer["target_transfer_tag"], answer["initiator_task_tag"]) == (9, RESERVED_TAG)
    assert answer.data == b"echo"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.ROUND_ROBIN, [0, 1, 2, 0, 1]),
        (Policy.LEAST_QUEUE_DEPTH, [0, 1, 2, 0, 1]),
        (Policy.SERVICE_TIME, [0, 1, 2, 1, 2]),
        (Policy.FAILOVER_ONLY, [0, 0, 0, 0, 0]),
    ],
)
def test_each_policy_chooses_by_its_rule(policy: Policy, expected: list[int]) -> None:
    """The first command is the largest: bytes keep service-time away from path 0 longest."""
    session, _ = make_session(connections=3)
    paths = [Path(number, session, session.connections[number]) for number in range(3)]
    choose = POLICIES[policy]()
    chosen = []
    for kib in (64, 8, 8, 8, 8):
        path = choose(paths)
        path.take(command(kib))
        chosen.append(path.number)
    assert chosen == expected


def test_round_robin_goes_on_when_a_path_is_lost() -> None:
    session, _ = make_session(connections=3)
    paths = [Path(number, session, session.connections[number]) for number in range(3)]
    choose = POLICIES[Policy.ROUND_ROBIN]()
    assert choose(paths).number == 0
    assert [choose([paths[0], paths[2]]).number for _ in range(3)] == [2, 0, 2]

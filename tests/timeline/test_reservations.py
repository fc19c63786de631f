"""Reservations step by step, unit attentions with their cause, and who is touched by another's reset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.decoders.native import decode
from analyzer.scsi.transport_ids import InitiatorPort, initiator_port
from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from analyzer.timeline.build import build
from analyzer.timeline.reservations import (
    CLEAR,
    PREEMPT,
    REGISTER,
    REGISTER_AND_MOVE,
    RELEASE,
    RESERVE,
    LostNexus,
    ReservationCommand,
    follow_reservations,
)
from analyzer.timeline.unit_attentions import RESETS, Cause, CauseFinder
from tests.conversations import Conversation, events_of, fixed_sense, read_10, write_10
from tests.real import TRACES
from tests.wire import capture_of

WRITE_EXCLUSIVE, ALL_REGISTRANTS = 0x1, 0x7
A, B = 0, 1
GOOD, CONFLICT = 0, 0x18


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def persistent(action: int, kind: int = 0) -> bytes:
    return bytes([0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0])


def steps(*said: tuple[int, int, int, int, int]) -> list[tuple[str, int | None, tuple[int, ...]]]:
    """Each said command is (port, action, type, own key, action key), all GOOD."""
    commands = [
        ReservationCommand(at, at, port, persistent(action, kind), GOOD, key(own) + key(other))
        for at, (port, action, kind, own, other) in enumerate(said)
    ]
    return [(step.effect, step.holder, step.registered) for step in follow_reservations(commands)]


def test_register_reserve_release() -> None:
    assert steps(
        (A, REGISTER, 0, 0, 1), (A, RESERVE, WRITE_EXCLUSIVE, 1, 0), (A, RELEASE, WRITE_EXCLUSIVE, 1, 0)
    ) == [("registered", None, (A,)), ("reserved", A, (A,)), ("released", None, (A,))]


def test_a_holder_that_unregisters_lets_go() -> None:
    assert steps((A, REGISTER, 0, 0, 1), (A, RESERVE, WRITE_EXCLUSIVE, 1, 0), (A, REGISTER, 0, 1, 0))[-1] == (
        "unregistered, reservation released",
        None,
        (),
    )


def test_all_registrants_hold_until_the_last_goes() -> None:
    told = steps(
        (A, REGISTER, 0, 0, 1),
        (B, REGISTER, 0, 0, 2),
        (A, RESERVE, ALL_REGISTRANTS, 1, 0),
        (A, REGISTER, 0, 1, 0),
        (B, REGISTER, 0, 2, 0),
    )
    assert [holder for _, holder, _ in told] == [None, None, A, B, None]


def test_preempting_the_holder_takes_over_and_preempting_another_does_not() -> None:
    begin = ((A, REGISTER, 0, 0, 1), (B, REGISTER, 0, 0, 2), (A, RESERVE, WRITE_EXCLUSIVE, 1, 0))
    assert steps(*begin, (B, PREEMPT, WRITE_EXCLUSIVE, 2, 1))[-1] == ("took the reservation over", B, (B,))
    assert steps(*begin, (A, PREEMPT, WRITE_EXCLUSIVE, 1, 2))[-1] == ("preempted registrations", A, (A,))


def test_clear_leaves_nothing_and_a_refusal_changes_nothing() -> None:
    begin = ((A, REGISTER, 0, 0, 1), (A, RESERVE, WRITE_EXCLUSIVE, 1, 0))
    assert steps(*begin, (A, CLEAR, 0, 1, 0))[-1] == ("cleared", None, ())
    refused = ReservationCommand(9, 9, B, persistent(RESERVE, WRITE_EXCLUSIVE), CONFLICT)
    (step,) = follow_reservations([refused])
    assert (step.effect, step.holder) == ("refused", None)


@pytest.mark.parametrize(("lost_port", "holder"), [(A, None), (None, None), (B, A)])
def test_an_old_reservation_ends_with_its_nexus_and_with_resets(
    lost_port: int | None, holder: int | None
) -> None:
    reserve = ReservationCommand(0, 0, A, bytes([0x16, 0, 0, 0, 0, 0]), GOOD)
    met = ReservationCommand(1, 10, B, bytes([0x2A]) + bytes(9), GOOD)
    told = follow_reservations([reserve, met], [LostNexus(5, lost_port)])
    assert [step.holder for step in told] == [A, holder]


def test_a_persistent_reservation_outlives_resets_and_sessions() -> None:
    commands = [
        ReservationCommand(0, 0, A, persistent(REGISTER), GOOD, key(0) + key(1)),
        ReservationCommand(1, 1, A, persistent(RESERVE, WRITE_EXCLUSIVE), GOOD, key(1) + key(0)),
        ReservationCommand(2, 10, B, bytes([0x2A]) + bytes(9), CONFLICT),
    ]
    assert follow_reservations(commands, [LostNexus(5, None), LostNexus(6, A)])[-1].holder == A


def test_the_latest_cause_that_fits_explains() -> None:
    early = Cause(10, 0, None, 0, RESETS, "early", True)
    late = Cause(20, 0, 3, 1, RESETS, "late", False)
    finder = CauseFinder([late, early])

    def words(at_ns: int, lun: int, sessions: set[int]) -> str | None:
        cause = finder.explain((0x29, 0x00), at_ns, 0, lun, sessions)
        return None if cause is None else cause.words

    assert words(30, 3, {0}) == "late"
    assert words(30, 4, {0}) == "early"  # another unit
    assert words(30, 3, {1}) == "early"  # who reset hears nothing of it
    assert words(15, 3, {0}) == "early"
    assert words(5, 3, {0}) is None


def two_initiators() -> tuple[Conversation, int, int]:
    said = Conversation()
    mine, theirs = said.connect(), said.connect("10.0.0.2")
    said.login(mine)
    said.login(theirs, initiator="iqn.2026-11.test:other", isid="00023d0000ff", gives=2)
    return said, mine, theirs


def test_a_unit_attention_names_the_neighbour_whose_reset_it_tells_of() -> None:
    said, mine, theirs = two_initiators()
    said.command(mine, 1, 1, read_10(0, 8))
    said.task_management(mine, 60, 5)
    said.task_management_response(mine, 60)
    said.command(theirs, 1, 1, read_10(0, 8))
    said.response(theirs, 1, status=2, sense=fixed_sense(6, 0x29, 0))
    timeline: Timeline = said.timeline()
    (attention,) = events_of(timeline, "unit-attention")
    assert attention["detail"]["cause"] == "LOGICAL UNIT RESET"
    assert attention["detail"]["cause_session_index"] == 0
    (incident,) = timeline.arrow["incidents"].to_pylist()
    assert "unit attention" in incident["neighbours"]


def test_keys_come_from_the_immediate_data() -> None:
    said, mine, _ = two_initiators()
    parameters = key(0) + key(0xABC1) + bytes(8)
    said.command(mine, 1, 1, persistent(REGISTER), expected=24, data=24, segment=parameters)
    said.response(mine, 1)
    (event,) = events_of(said.timeline(), "reservation")
    assert event["detail"]["service_action_key"] == "000000000000abc1"
    assert event["detail"]["registered_session_indexes"] == [0]


def test_keys_come_from_the_data_that_an_r2t_asked_for(tmp_path: Path) -> None:
    """In two Data-Outs behind a command without data; also when decoded from packets."""
    said, mine, _ = two_initiators()
    parameters = key(0) + key(0xABC1) + bytes(8)
    said.command(mine, 1, 1, persistent(REGISTER), expected=24)
    said.r2t(mine, 1, 24)
    said.data_out(mine, 1, 12, transfer_tag=5, is_final=False, segment=parameters[:12])
    said.data_out(mine, 1, 12, transfer_tag=5, offset=12, segment=parameters[12:])
    said.response(mine, 1)
    said.command(mine, 2, 2, write_10(0, 1))
    said.data_out(mine, 2, 512)
    said.response(mine, 2)
    capture = tmp_path / "said.pcap"
    capture.write_bytes(capture_of(said))
    decoded = decode([capture])
    kept = decoded.pdus.segment_bytes[decoded.pdus.headers[:, 0] & 0x3F == 0x05]
    assert kept.tolist() == [12, 12, 0]
    for timeline in (said.timeline(), build(decoded)):
        (event,) = events_of(timeline, "reservation")
        assert event["detail"]["service_action_key"] == "000000000000abc1"


def transport_id(name: str) -> bytes:
    """An iSCSI TransportID; with an ISID in the name it names one port."""
    content = name.encode() + b"\0"
    content += bytes(-len(content) % 4)
    return bytes([0x45 if ",i,0x" in name else 0x05, 0]) + len(content).to_bytes(2, "big") + content


@pytest.mark.parametrize("unregisters", [True, False])
def test_a_moved_reservation_is_held_by_the_nexus_that_the_parameters_name(unregisters: bool) -> None:
    """SPC-4 section 6.16.4: the other nexus is registered by it; the sender stays so unless UNREG is set."""
    said, mine, _ = two_initiators()
    logins = said.timeline().arrow["sessions"].to_pylist()
    theirs = transport_id(f"{logins[1]['initiator_name']},i,0x{logins[1]['isid']}")
    move = key(1) + key(2) + bytes([0, 2 * unregisters, 0, 1]) + len(theirs).to_bytes(4, "big") + theirs
    for number, (action, content) in enumerate(
        [(REGISTER, key(0) + key(1)), (RESERVE, key(1) + key(0)), (REGISTER_AND_MOVE, move)], start=1
    ):
        cdb = persistent(action, WRITE_EXCLUSIVE)
        said.command(mine, number, number, cdb, expected=len(content), data=len(content), segment=content)
        said.response(mine, number)
    detail = events_of(said.timeline(), "reservation")[-1]["detail"]
    assert (detail["effect"], detail["holder_session_index"]) == ("moved", 1)
    assert detail["registered_session_indexes"] == ([1] if unregisters else [0, 1])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (transport_id("iqn.a"), InitiatorPort("iqn.a", None)),
        (transport_id("iqn.a,i,0x00023D000001"), InitiatorPort("iqn.a", "00023d000001")),
        (transport_id("iqn.a")[:-1], None),
        (b"\x06" + transport_id("iqn.a")[1:], None),
        (b"\x05\0\0\x01\xff", None),
        (b"", None),
    ],
)
def test_transport_ids_name_initiator_ports(content: bytes, named: InitiatorPort | None) -> None:
    assert initiator_port(content) == named


# What the two nexuses of traces/mpio/pr did, in order: session, what, effect, who holds what then.
RECORDED = [
    (0, "REGISTER", "registered", None, None, [0]),
    (1, "REGISTER", "registered", None, None, [0, 1]),
    (0, "RESERVE", "reserved", 0, "Write Exclusive", [0, 1]),
    (1, "RESERVE", "refused", 0, "Write Exclusive", [0, 1]),
    (1, "PREEMPT", "took the reservation over", 1, "Write Exclusive", [1]),
    (0, "REGISTER", "registered", 1, "Write Exclusive", [0, 1]),
    (0, "PREEMPT AND ABORT", "took the reservation over", 0, "Exclusive Access", [0]),
    (0, "RELEASE", "released", None, None, [0]),
    (0, "CLEAR", "cleared", None, None, []),
]


def test_the_recorded_fight_over_a_reservation_is_told_step_by_step() -> None:
    timeline = analyze(*sorted((TRACES / "mpio").glob("pr.link*.pcap*")))
    told = []
    for event in events_of(timeline, "reservation"):
        detail: dict[str, Any] = event["detail"]
        told.append(
            (
                event["session_index"],
                detail["service_action"],
                detail["effect"],
                detail["holder_session_index"],
                detail["holder_type"],
                detail["registered_session_indexes"],
            )
        )
    assert told == RECORDED
    (conflict,) = events_of(timeline, "reservation-conflict")
    assert conflict["detail"]["holder_session_index"] == 0
    preempted = [event["detail"]["cause"] for event in events_of(timeline, "unit-attention")][1:]
    assert preempted == ["PERSISTENT RESERVE OUT PREEMPT", "PERSISTENT RESERVE OUT PREEMPT AND ABORT"]

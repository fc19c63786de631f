"""A login goes through its stages and ends in agreed keys, in a refusal, or in a protocol error."""

from __future__ import annotations

import pytest

from analyzer.iscsi.opcodes import Opcode
from benchmarks.lab.initiator.login import Login, LoginRefusedError
from benchmarks.lab.initiator.pdus import Pdu, ProtocolError, encode

KEYS = {
    "MaxConnections": "2",
    "InitialR2T": "No",
    "HeaderDigest": "CRC32C",
    "MaxRecvDataSegmentLength": "65536",
}
TO_OPERATIONAL, TO_FULL_FEATURE = 0x81, 0x87


def login(tsih: int = 0) -> Login:
    return Login("iqn.initiator", "iqn.target", bytes(6), tsih, 1, 5, 9, KEYS)


def response(flags: int, text: str = "", status: tuple[int, int] = (0, 0)) -> Pdu:
    fields = {"status_class": status[0], "status_detail": status[1], "tsih": 77, "stat_sn": 3}
    return encode(
        Opcode.LOGIN_RESPONSE, flags=flags, data=text.encode(), exp_cmd_sn=9, max_cmd_sn=9, **fields
    )


def test_a_leading_login_says_all_keys_and_learns_its_session() -> None:
    """Security, then operational, then full feature phase with what both agreed on."""
    one = login()
    first = one.first_request()
    assert (first["flags"], first["cid"], first["cmd_sn"], first["tsih"]) == (0x81, 1, 9, 0)
    assert b"InitiatorName=iqn.initiator\0TargetName=iqn.target\0SessionType=Normal\0" in first.data
    second = one.next_request(response(TO_OPERATIONAL, "AuthMethod=None\0"))
    assert second is not None
    assert second["flags"] == 0x87
    assert second.data == b"".join(f"{name}={value}\0".encode() for name, value in KEYS.items())
    answer = "MaxConnections=8\0InitialR2T=Yes\0HeaderDigest=CRC32C\0MaxRecvDataSegmentLength=8192\0"
    assert one.next_request(response(TO_FULL_FEATURE, answer)) is None
    assert (one.is_done, one.tsih, one.exp_stat_sn, one.exp_cmd_sn) == (True, 77, 4, 9)
    agreed = one.agreed()
    assert (agreed["MaxConnections"], agreed["InitialR2T"], agreed["HeaderDigest"]) == ("2", "Yes", "CRC32C")


def test_a_further_login_says_the_keys_of_a_connection_only() -> None:
    """It names its session, and whatever belongs to the session is settled already."""
    one = login(tsih=77)
    assert one.first_request()["tsih"] == 77
    second = one.next_request(response(TO_OPERATIONAL))
    assert second is not None
    assert second.data == b"HeaderDigest=CRC32C\0MaxRecvDataSegmentLength=65536\0"
    assert "InitialR2T" not in one.agreed()


def test_text_in_several_parts_is_read_as_one() -> None:
    """The C bit asks for an empty request, and keys may be cut anywhere (section 11.13.2)."""
    one = login()
    one.first_request()
    one.next_request(response(TO_OPERATIONAL))
    empty = one.next_request(response(0x44, "HeaderDi"))
    assert empty is not None
    assert (bytes(empty.data), empty["flags"]) == (b"", 0x04)
    one.next_request(response(TO_FULL_FEATURE, "gest=CRC32C\0"))
    assert one.answered == {"HeaderDigest": "CRC32C"}


def test_a_refusal_is_told_in_words() -> None:
    """The status of section 11.13.5."""
    one = login()
    one.first_request()
    with pytest.raises(LoginRefusedError, match="too many connections"):
        one.next_request(response(0, status=(2, 6)))


def test_a_login_without_end_is_ended() -> None:
    """A target that never agrees to go on does not hold us."""
    one = login()
    one.first_request()

    def go_on() -> None:
        for _ in range(100):
            one.next_request(response(0))

    with pytest.raises(ProtocolError, match="does not end"):
        go_on()


def test_anything_else_during_login_is_an_error() -> None:
    """Only login responses answer login requests."""
    with pytest.raises(ProtocolError, match="NOP_IN"):
        login().next_request(encode(Opcode.NOP_IN))

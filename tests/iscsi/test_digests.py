"""CRC32C and the two digest keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.iscsi.crc_instruction import IS_USABLE
from analyzer.iscsi.digest_keys import restart_text, take_text_byte
from analyzer.iscsi.digests import (
    CRC_START,
    crc32c_by_instruction,
    crc32c_by_tables,
    crc32c_end,
    crc32c_more,
)
from analyzer.iscsi.frames import STREAM
from analyzer.iscsi.recognition import INITIATOR, TARGET
from tests.captures import crc32c


def digest_of(content: bytes) -> bytes:
    data = np.frombuffer(bytearray(content), np.uint8)
    return int(crc32c_end(crc32c_more(CRC_START, data, 0, len(data)))).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(32), "aa36918a"),
        (b"\xff" * 32, "43aba862"),
        (bytes(range(32)), "4e79dd46"),
        (bytes(range(31, -1, -1)), "5cdb3f11"),
    ],
)
def test_published_examples(content: bytes, expected: str) -> None:
    """The examples of RFC 3720 appendix B.4, as the bytes stand on the wire."""
    assert digest_of(content).hex() == expected


@given(content=st.binary(max_size=300), at=st.integers(0, 300))
def test_in_any_pieces(content: bytes, at: int) -> None:
    """Invariant: the digest of pieces is that of the whole, and that of a bit by bit computation."""
    data = np.frombuffer(bytearray(content), np.uint8)
    at = min(at, len(data))
    running = crc32c_more(crc32c_more(CRC_START, data, 0, at), data, at, len(data))
    assert int(crc32c_end(running)).to_bytes(4, "little") == crc32c(content)


@pytest.mark.skipif(not IS_USABLE, reason="the processor has no instruction for it, or nothing is compiled")
@given(content=st.binary(max_size=300), at=st.integers(0, 7))
def test_the_instruction_and_the_tables_agree(content: bytes, at: int) -> None:
    """From any place on, so that no word need be aligned."""
    data = np.frombuffer(bytearray(content), np.uint8)
    at = min(at, len(data))
    by_instruction = crc32c_by_instruction(CRC_START, data, at, len(data))
    assert by_instruction == crc32c_by_tables(CRC_START, data, at, len(data))


def negotiated(*texts: tuple[int, bytes]) -> tuple[int, int]:
    pair = np.zeros(2, STREAM)
    for role, content in texts:
        stream = pair[role - 1]
        stream.role = role
        restart_text(stream)
        for value in content:
            take_text_byte(pair[0], stream, value)
    return int(pair[0].negotiated_header), int(pair[0].negotiated_data)


OFFER = (INITIATOR, b"InitiatorName=iqn.x\0HeaderDigest=CRC32C,None\0DataDigest=CRC32C,None\0")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HeaderDigest=CRC32C\0DataDigest=None\0", (1, 0)),
        (b"DataDigest=CRC32C\0HeaderDigest=None\0", (0, 1)),
        (b"MaxConnections=2\0HeaderDigest=CRC32C\0DataDigest=CRC32C\0", (1, 1)),
        (b"HeaderDigest=Reject\0XDataDigest=CRC32C\0DataDigestX=CRC32C\0", (0, 0)),
        (b"TargetAlias=HeaderDigest=CRC32C\0", (0, 0)),
        (b"", (0, 0)),
    ],
)
def test_answer_of_the_target_decides(answer: bytes, expected: tuple[int, int]) -> None:
    """An offer alone chooses nothing; a key must stand whole and at the beginning of a pair."""
    assert negotiated(OFFER, (TARGET, answer)) == expected


def test_offer_of_the_target_is_answered_by_the_initiator() -> None:
    """A list from the target is an offer, to which the initiator's single value is the answer."""
    offer = (TARGET, b"HeaderDigest=None,CRC32C\0")
    assert negotiated(offer, (INITIATOR, b"HeaderDigest=CRC32C\0")) == (1, 0)
    assert negotiated((INITIATOR, b"HeaderDigest=CRC32C\0")) == (0, 0)

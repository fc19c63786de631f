"""What is taken for a PDU header, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.recognition import NOT_A_HEADER, is_near, recognise
from tests.captures import RESERVED_TAG, dialogue, header


def recognised(content: bytes) -> int:
    return int(recognise(np.frombuffer(bytearray(content), np.uint8)))


def test_headers_of_a_dialogue_are_recognised() -> None:
    """Every PDU that a well-behaved peer sends."""
    for _, pdu in dialogue(6).pdus:
        assert recognised(pdu.full_header) == pdu.header[0] & 0x3F


@pytest.mark.parametrize(
    "content",
    [
        bytes(48),
        b"\xff" * 48,
        b"GET / HTTP/1.1\r\nHost: storage.example\r\nAccept: */*"[:48],
        header(0x43, 0x87, {32: 1}),  # a login with a reserved field set
        header(0x43, 0x8F, {}),  # stage 3 follows stage 3
        header(0x21, 0x80, {16: RESERVED_TAG, 28: 5, 32: 9}),  # a response to no task
        header(0x25, 0x80, {16: 1, 28: 9, 32: 7}),  # a window that is less than closed
        header(0x05, 0x80, {16: 1, 24: 7}),  # Data-Out with a reserved field set
        header(0x31, 0x80, {16: 1, 20: 5, 28: 1, 32: 9}),  # an R2T that asks for nothing
        header(0x61, 0x80, {16: 1, 28: 1, 32: 9}),  # the immediate bit in a response
    ],
)
def test_what_only_looks_alike_is_refused(content: bytes) -> None:
    """Zeros, ones, other protocols, and headers that break a rule of RFC 7143 section 11."""
    assert recognised(content) == NOT_A_HEADER


@given(content=st.binary(min_size=48, max_size=48))
def test_any_bytes_are_judged(content: bytes) -> None:
    """Invariant: what is recognised has a known opcode and the top bit clear."""
    opcode = recognised(content)
    assert opcode == NOT_A_HEADER or (opcode in set(Opcode) and content[0] < 0x80)


@given(known=st.integers(0, 2**32 - 1), step=st.integers(-(2**15), 2**15 - 1))
def test_near_numbers_wrap(known: int, step: int) -> None:
    """Serial numbers are near each other also over the wrap, and far at half of the circle."""
    assert is_near((known + step) % 2**32, known)
    assert not is_near((known + 2**31) % 2**32, known)

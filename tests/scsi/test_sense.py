"""Sense data in both formats, cut short, and of no format at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.scsi.sense import additional_sense_name, decode_sense, sense_key_name
from analyzer.scsi.status import status_name

FIXED = bytes.fromhex("7000 06 00000000 0a 00000000 29 03 00000000")
DESCRIPTOR = bytes.fromhex("72 05 24 00 00000000")


def decode(segment: bytes) -> tuple[int, int, int] | None:
    found = decode_sense(np.frombuffer(segment, np.uint8), np.array([0]), np.array([len(segment)]))
    if not found.has_sense[0]:
        return None
    return int(found.sense_key[0]), int(found.asc[0]), int(found.ascq[0])


def with_length(sense: bytes) -> bytes:
    return len(sense).to_bytes(2, "big") + sense


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (with_length(FIXED), (6, 0x29, 0x03)),
        (with_length(FIXED) + b"pad", (6, 0x29, 0x03)),
        (with_length(FIXED[:8]), (6, 0, 0)),  # a target may send less than ASC
        (with_length(DESCRIPTOR), (5, 0x24, 0)),
        (b"\x00\x12" + FIXED[:5], (6, 0, 0)),  # the length says more than was sent
        (with_length(b"\x7f" + bytes(17)), None),
        (b"\x00\x00", None),
        (b"\x00", None),
        (b"", None),
    ],
)
def test_sense_is_read_as_far_as_it_is_there(segment: bytes, expected: tuple[int, int, int] | None) -> None:
    assert decode(segment) == expected


def test_sense_of_many_responses_lies_where_the_offsets_say() -> None:
    one, other = with_length(FIXED), with_length(DESCRIPTOR)
    found = decode_sense(
        np.frombuffer(one + other, np.uint8), np.array([len(one), 0, 5]), np.array([len(other), len(one), 0])
    )
    assert found.sense_key.tolist() == [5, 6, 0]
    assert found.has_sense.tolist() == [True, True, False]


@given(st.binary(max_size=64), st.integers(0, 70), st.integers(0, 70))
def test_any_bytes_are_sense_or_none(segment: bytes, offset: int, length: int) -> None:
    found = decode_sense(np.frombuffer(segment, np.uint8), np.array([offset]), np.array([length]))
    assert int(found.sense_key[0]) <= 0x0F


def test_names_and_numbers_where_there_is_no_name() -> None:
    assert sense_key_name(6) == "UNIT ATTENTION"
    assert additional_sense_name(0x2F, 0) == "commands cleared by another initiator"
    assert additional_sense_name(0xEE, 1) == "additional sense EEh/01h"
    assert status_name(0x18) == "RESERVATION CONFLICT"
    assert status_name(0x77) == "status 77h"

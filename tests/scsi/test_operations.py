"""CDBs and LUN fields written out byte by byte, beside what T10 calls them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analyzer.scsi.logical_units import lun_numbers
from analyzer.scsi.operations import (
    CHANGER,
    DEVICES,
    DISK,
    OPERATION_NAMES,
    OPERATIONS,
    TAPE,
    VARIABLE_LENGTH,
    decode_cdbs,
    device_types,
)


def decode(cdb: str, device: str = DISK) -> tuple[str, int | None, int | None]:
    row = np.zeros((1, 16), np.uint8)
    content = bytes.fromhex(cdb)
    row[0, : len(content)] = np.frombuffer(content, np.uint8)
    found = decode_cdbs(row, np.array([DEVICES.index(device)], np.uint8))
    return (
        OPERATION_NAMES[found.operation[0]],
        int(found.lba[0]) if found.has_lba[0] else None,
        int(found.blocks[0]) if found.has_blocks[0] else None,
    )


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        ("000000000000", ("TEST UNIT READY", None, None)),
        ("08012345 10 00", ("READ(6)", 0x012345, 16)),
        ("08ff2345 00 00", ("READ(6)", 0x1F2345, 256)),  # zero means 256; the high three bits are not LBA
        ("0a000001 01 00", ("WRITE(6)", 1, 1)),
        ("28 00 12345678 00 0010 00", ("READ(10)", 0x12345678, 16)),
        ("2a 00 00000001 00 0000 00", ("WRITE(10)", 1, 0)),
        ("a8 00 00000002 00010000 00 00", ("READ(12)", 2, 65536)),
        ("88 00 0000000100000002 00000010 00 00", ("READ(16)", 0x100000002, 16)),
        ("8a 00 ffffffffffffffff ffffffff 00 00", ("WRITE(16)", 2**64 - 1, 2**32 - 1)),
        ("89 00 0000000000000005 000000 01 00 00", ("COMPARE AND WRITE", 5, 1)),
        ("93 08 0000000000000007 00000009 00 00", ("WRITE SAME(16)", 7, 9)),
        ("2f 00 00000003 00 0004 00", ("VERIFY(10)", 3, 4)),
        ("35 00 00000000 00 0000 00", ("SYNCHRONIZE CACHE(10)", 0, 0)),
        ("42 00 00000000 00 0018 00", ("UNMAP", None, None)),
        ("9e 10 0000000000000000 00000020 00 00", ("READ CAPACITY(16)", None, None)),
        ("9e 12 0000000000000040 00000020 00 00", ("GET LBA STATUS", 0x40, None)),
        ("9e 1f 0000000000000000 00000020 00 00", ("SERVICE ACTION IN(16)", None, None)),
        ("a3 0a 00000000 00000040 00 00", ("REPORT TARGET PORT GROUPS", None, None)),
        ("a3 2a 00000000 00000040 00 00", ("REPORT TARGET PORT GROUPS", None, None)),  # extended format bit
        ("84 03 00", ("RECEIVE COPY OPERATING PARAMETERS", None, None)),
        ("7f 00 00000000 00 18 0009", ("READ(32)", None, None)),
        ("7f 00 00000000 00 18 1109", ("VARIABLE LENGTH COMMAND", None, None)),
        ("5f 01 05", ("PERSISTENT RESERVE OUT", None, None)),
        ("c1 00", ("operation code C1h", None, None)),
    ],
)
def test_a_cdb_is_named_and_measured(cdb: str, expected: tuple[str, int | None, int | None]) -> None:
    assert decode(cdb.replace(" ", "")) == expected


def test_the_same_code_on_other_devices() -> None:
    assert decode("010000000000", TAPE)[0] == "REWIND"
    assert decode("010000000000", DISK)[0] == "REZERO UNIT"
    assert decode("080000100000", TAPE) == ("READ(6)", None, None)
    assert decode("340000000000", TAPE)[0] == "READ POSITION"
    assert decode("2b0000000000", CHANGER)[0] == "POSITION TO ELEMENT"
    assert decode("100000000000", DISK)[0] == "WRITE FILEMARKS(6)"  # better a strange name than none


def test_a_unit_gives_its_kind_away() -> None:
    codes = np.array([0x28, 0x08, 0x10, 0xB8, 0x12], np.uint8)
    units = np.array([0, 1, 1, 2, 3], np.int64)
    assert [DEVICES[kind] for kind in device_types(codes, units, 4)] == [DISK, TAPE, CHANGER, DISK]


def test_no_two_rows_claim_the_same_code() -> None:
    claims = [(row.code, row.service_action, row.device) for row in OPERATIONS]
    assert len(claims) == len(set(claims))


def test_every_declared_number_lies_in_the_cdb() -> None:
    for row in OPERATIONS:
        for span in (row.lba, row.blocks):
            assert span is None or sum(span) <= (32 if row.code == VARIABLE_LENGTH else 16)


@given(arrays(np.uint8, st.tuples(st.integers(0, 20), st.just(16))))
def test_any_cdb_has_a_name(cdbs: np.ndarray) -> None:
    found = decode_cdbs(cdbs)
    assert all(OPERATION_NAMES[number] for number in found.operation)
    assert not found.lba[~found.has_lba].any()


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (0x0000000000000000, 0),
        (0x0005000000000000, 5),
        (0x00FF000000000000, 255),
        (0x4105000000000000, 0x105),  # flat space addressing
        (0x0105000000000000, 0x0105000000000000),  # a unit behind bus 1
        (0x0005000100000000, 0x0005000100000000),  # two levels
        (0xC101000000000000, 0xC101000000000000),  # well known logical unit
    ],
)
def test_a_lun_field_becomes_the_number_people_use(field: int, number: int) -> None:
    assert int(lun_numbers(np.array([field], np.uint64))[0]) == number

"""CDBs of 32 bytes, whose LBA stands in an Additional Header Segment; any bytes as such a segment."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from analyzer.timeline.analysis import analyze
from analyzer.timeline.long_cdbs import extended_bytes
from tests.conversations import Conversation, rows_of
from tests.wire import capture_of

READ_32 = 0x09


def read_32(lba: int, blocks: int) -> tuple[bytes, bytes]:
    """The 16 bytes in the header, and the AHS with the rest."""
    cdb = struct.pack(">BBxxxxxBHBxQIHHI", 0x7F, 0, 0x18, READ_32, 0, lba, 0, 0, 0, blocks)
    assert len(cdb) == 32
    return cdb[:16], struct.pack(">HBB16s", 17, 1, 0, cdb[16:])


def said_with_long_cdbs() -> Conversation:
    said = Conversation()
    connection = said.connect()
    said.login(connection)
    for number, lba in enumerate((5, 2**40 + 7)):
        cdb, ahs = read_32(lba, 8)
        said.command(connection, number, 1 + number, cdb, expected=0, ahs=ahs)
        said.response(connection, number)
    return said


def test_lba_and_length_of_a_long_cdb() -> None:
    tasks = rows_of(said_with_long_cdbs().timeline(), "tasks")
    assert [(task["operation"], task["lba"], task["blocks"]) for task in tasks] == [
        ("READ(32)", 5, 8),
        ("READ(32)", 2**40 + 7, 8),
    ]
    assert {len(task["cdb"]) for task in tasks} == {64}


def test_a_long_cdb_survives_the_wire(tmp_path: Path) -> None:
    said = said_with_long_cdbs()
    capture = tmp_path / "long.pcap"
    capture.write_bytes(capture_of(said))
    tasks = rows_of(analyze(capture), "tasks")
    assert [task["lba"] for task in tasks] == [5, 2**40 + 7]


def test_without_its_ahs_a_long_cdb_has_no_lba() -> None:
    said = Conversation()
    connection = said.connect()
    said.login(connection)
    said.command(connection, 1, 1, read_32(5, 8)[0], expected=0)
    (task,) = rows_of(said.timeline(), "tasks")
    assert (task["operation"], task["lba"], task["blocks"]) == ("READ(32)", None, None)


def test_other_segments_are_passed_over() -> None:
    length_of_reads = struct.pack(">HBBI", 5, 2, 0, 4096)
    assert extended_bytes(length_of_reads + read_32(5, 8)[1]) == read_32(5, 8)[1][4:]
    assert extended_bytes(length_of_reads) == b""


@given(st.binary(max_size=80))
def test_any_bytes_end_somewhere(headers: bytes) -> None:
    """Invariant: what comes out is a part of what went in, and it ends."""
    assert extended_bytes(headers) in headers

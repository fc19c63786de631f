"""Header values become the bytes of RFC 7143 and come back; any bytes give PDUs or a ProtocolError."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from benchmarks.lab.initiator.pdus import Pdu, ProtocolError, encode, encode_lun
from benchmarks.lab.initiator.wire import ConnectionLostError, Wire, digest


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire and the other end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = Wire("127.0.0.1", server.getsockname(), 5.0)
        far, _ = server.accept()
        with far:
            yield wire, far
            wire.close()


def test_a_command_is_the_bytes_of_the_standard() -> None:
    """Each field stands where section 11.3 has it."""
    pdu = encode(
        Opcode.SCSI_COMMAND,
        flags=0xA1,
        data=bytes(5),
        lun=encode_lun(1),
        initiator_task_tag=0x01020304,
        expected_data_transfer_length=4096,
        cmd_sn=7,
        exp_stat_sn=9,
        cdb=bytes(range(16)),
    )
    assert pdu.header.hex() == (
        "01a1000000000005000100000000000001020304000010000000000700000009" + bytes(range(16)).hex()
    )
    assert (pdu.opcode, pdu.is_final, pdu["cmd_sn"], pdu["initiator_task_tag"]) == (1, True, 7, 0x01020304)


def test_an_immediate_ping_says_so() -> None:
    """The I bit is bit 6 of byte 0."""
    assert encode(Opcode.NOP_OUT, is_immediate=True, target_transfer_tag=RESERVED_TAG).header[0] == 0x40


def test_the_digest_is_that_of_rfc_3720() -> None:
    """RFC 3720 section B.4: 32 bytes of zeroes, and 32 of ones."""
    assert digest(bytes(32)).hex() == "aa36918a"
    assert digest(b"\xff" * 32).hex() == "43aba862"


@pytest.mark.parametrize("has_header_digest", [False, True])
@pytest.mark.parametrize("has_data_digest", [False, True])
def test_a_pdu_arrives_whole_however_it_is_cut(
    ends: tuple[Wire, socket.socket], has_header_digest: bool, has_data_digest: bool
) -> None:
    """Padding and digests are put on and taken off; byte by byte, nothing comes before the last."""
    wire, far = ends
    wire.has_header_digest, wire.has_data_digest = has_header_digest, has_data_digest
    sent = encode(Opcode.NOP_IN, data=b"seven b", initiator_task_tag=5)
    end_of_header = wire.queue(sent)
    wire.flush()
    stream = far.recv(1 << 16)
    assert len(stream) == 48 + 8 + 4 * (has_header_digest + has_data_digest) == wire.accepted_bytes
    assert end_of_header == 48 + 4 * has_header_digest
    for at in range(len(stream)):
        assert _receive(wire, far, stream[at : at + 1]) == ([sent] if at == len(stream) - 1 else [])


def test_a_spoilt_digest_is_told(ends: tuple[Wire, socket.socket]) -> None:
    """One flipped bit of the data segment ends the connection."""
    wire, far = ends
    wire.has_data_digest = True
    wire.queue(encode(Opcode.NOP_IN, data=b"data"))
    wire.flush()
    stream = bytearray(far.recv(1 << 16))
    stream[50] ^= 1
    with pytest.raises(ProtocolError, match="data digest"):
        _receive(wire, far, bytes(stream))


def test_a_closed_connection_is_told(ends: tuple[Wire, socket.socket]) -> None:
    """The target's FIN is no empty message."""
    wire, far = ends
    far.close()
    _wait_readable(wire)
    with pytest.raises(ConnectionLostError, match="closed by the target"):
        wire.receive()


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_pdus_or_a_protocol_error(
    ends: tuple[Wire, socket.socket], pieces: list[bytes], has_header_digest: bool, has_data_digest: bool
) -> None:
    """The invariant: nothing else comes out, and what comes out is as long as its header says."""
    wire, far = ends
    wire._incoming.clear()
    wire.has_header_digest, wire.has_data_digest = has_header_digest, has_data_digest
    for piece in filter(None, pieces):
        try:
            for pdu in _receive(wire, far, piece):
                assert len(pdu.data) == pdu["data_length_high"] << 16 | pdu["data_length_low"]
        except ProtocolError:
            return


def _receive(wire: Wire, far: socket.socket, content: bytes) -> list[Pdu]:
    far.sendall(content)
    _wait_readable(wire)
    return wire.receive()


def _wait_readable(wire: Wire) -> None:
    assert select.select([wire], [], [], 5.0)[0]

"""One PDU from its header to its last byte: belief, row, parts, digests, the end of a login.

Called by ``framing`` when a header is whole, when a part of a PDU is whole, and when framing is lost.
Decides which header is believed and which digests are in force; moves no bytes of streams.
Throughout, ``stream`` is the record of one direction, ``peer`` that of the other, and ``pair`` the
one of the two in which the state of the connection stands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.byte_order import Bytes, big_24, big_32, wide
from analyzer.compilation import njit
from analyzer.iscsi.digest_keys import restart_text
from analyzer.iscsi.digests import CRC_START, crc32c_end, crc32c_more
from analyzer.iscsi.frames import (
    AHS,
    DATA,
    DATA_DIGEST,
    DIGEST_MATCH,
    DIGEST_MISMATCH,
    DIGEST_OFF,
    DIGEST_ON,
    DIGEST_UNKNOWN,
    HEADER,
    HEADER_DIGEST,
    IGNORED,
    KEPT_DATA_LIMIT,
    ORIGIN_ASSUMED,
    ORIGIN_NEGOTIATED,
    PADDING,
    PDU_DONE,
    PHASE_FULL_FEATURE,
    PHASE_LOGIN,
    SEARCH,
    Record,
)
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.recognition import (
    NOT_A_HEADER,
    has_command_number,
    has_status_number,
    is_near,
    recognise,
    role_of,
)

Rows = npt.NDArray[np.void]

_LOGIN, _LOGIN_RESPONSE = int(Opcode.LOGIN_REQUEST), int(Opcode.LOGIN_RESPONSE)
_KEPT = np.zeros(64, np.bool_)
_KEPT[
    [
        Opcode.NOP_OUT,
        Opcode.LOGIN_REQUEST,
        Opcode.TEXT_REQUEST,
        Opcode.NOP_IN,
        Opcode.SCSI_RESPONSE,
        Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_RESPONSE,
        Opcode.ASYNC_MESSAGE,
        Opcode.REJECT,
    ]
] = True
"""Opcodes whose data segments are kept."""
_COMMAND, _DATA_OUT = int(Opcode.SCSI_COMMAND), int(Opcode.DATA_OUT)
_PERSISTENT_RESERVE_OUT = 0x5F
"""The one command whose immediate data is kept: 24 bytes with the keys of the reservation."""

_CONFIRMING_HEADERS = 3
"""So many believable headers in a row confirm a stream of which nothing is known."""
_CONFIRMING_HEADERS_HINTED = 2

CONTRADICTS, SAYS_NOTHING, AGREES = -1, 0, 1


@njit(cache=True, nogil=True)
def agreement(stream: Record, peer: Record, header: Bytes, opcode: int) -> int:
    """Whether the numbers of a header go on from those of its stream, or of the other direction."""
    first, second = big_32(header, 24), big_32(header, 28)
    # A request has CmdSN and ExpStatSN there, a response StatSN and ExpCmdSN.
    command, status = (second, first) if opcode >= 0x20 else (first, second)
    agrees = SAYS_NOTHING
    if has_command_number(opcode) and (stream.knows_command_number or peer.knows_command_number):
        known = stream.command_number if stream.knows_command_number else peer.command_number
        if not is_near(command, known):
            return CONTRADICTS
        agrees = AGREES
    if has_status_number(opcode, header[1]) and (stream.knows_status_number or peer.knows_status_number):
        known = stream.status_number if stream.knows_status_number else peer.status_number
        if not is_near(status, known):
            return CONTRADICTS
        agrees = AGREES
    return agrees


@njit(cache=True, nogil=True)
def is_believed(stream: Record, peer: Record, header: Bytes) -> bool:
    """Whether what stands where a header is due is taken as one."""
    if header[0] & 0x80:
        return False
    opcode = wide(header[0] & 0x3F)
    if stream.role and stream.role != role_of(opcode):
        return False
    is_sound = recognise(header) != NOT_A_HEADER
    if stream.chain == 0 and not stream.was_confirmed and stream.position <= HEADER_BYTES:
        # The first bytes of a connection that opened under our eyes: a login, or no iSCSI.
        return is_sound and opcode in (_LOGIN, _LOGIN_RESPONSE)
    agrees = agreement(stream, peer, header, opcode)
    if stream.is_confirmed:
        # Peers may fill reserved fields or use vendor opcodes; numbers that go on vouch for them.
        return is_sound or agrees == AGREES
    return is_sound and agrees != CONTRADICTS


@njit(cache=True, nogil=True)
def start_pdu(
    rows: Rows, segment_room: int, ledger: Record, index: int, stream: Record, peer: Record, pair: Record
) -> None:
    """Make a row of the believed header that stands in the next free one, and go to the part behind it."""
    row = rows[ledger.rows]
    header = row.header
    opcode = wide(header[0] & 0x3F)
    is_login = opcode in (_LOGIN, _LOGIN_RESPONSE)
    row.time_ns, row.time_last_ns = stream.begin_ns, stream.last_ns
    row.packet, row.file_index, row.stream = stream.begin_packet, stream.begin_file, index
    row.position = stream.position - HEADER_BYTES
    row.header_digest, row.data_digest = 0, 0
    row.is_inferred, row.is_unfinished, row.is_void = 0, 0, 0
    row.is_resynchronised = wide(not is_login and not (stream.is_confirmed and stream.chain))
    row.serial = ledger.framed
    stream.row, stream.opcode, stream.role = ledger.rows, opcode, role_of(opcode)
    ledger.rows += 1
    ledger.framed += 1
    stream.ahs_bytes = wide(header[4]) * 4
    stream.data_bytes = big_24(header, 5)
    _trust(stream, peer, pair, header, opcode, is_login)
    stream.has_header_digest, stream.has_data_digest = DIGEST_OFF, DIGEST_OFF
    if is_login:
        restart_text(stream)
    else:
        # Digests are used in the full feature phase only (RFC 7143 section 13.1).
        stream.has_header_digest, stream.has_data_digest = pair.header_digest, pair.data_digest
    _keep_room(segment_room, ledger, stream, row, opcode)
    stream.is_last_login = wide(opcode == _LOGIN_RESPONSE and header[1] & 0x83 == 0x83 and header[36] == 0)
    stream.crc, stream.is_crc_whole = wide(CRC_START), 1
    if stream.has_header_digest != DIGEST_OFF:
        stream.crc = crc32c_more(stream.crc, header, 0, HEADER_BYTES)
    stream.state = HEADER
    next_part(rows, stream, pair)


@njit(cache=True, nogil=True)
def _trust(stream: Record, peer: Record, pair: Record, header: Bytes, opcode: int, is_login: bool) -> None:
    """Count the header towards the belief in its stream, and remember its numbers."""
    if not stream.is_confirmed:
        needed = _CONFIRMING_HEADERS_HINTED if pair.is_hinted else _CONFIRMING_HEADERS
        is_vouched = pair.is_accepted == 1 and agreement(stream, peer, header, opcode) == AGREES
        if is_login or is_vouched or stream.chain + 1 >= needed:
            confirm(stream, pair)
        elif stream.chain == 0:
            stream.tentative_0 = stream.row
        else:
            stream.tentative_1 = stream.row
    if is_login and pair.phase != PHASE_FULL_FEATURE:
        pair.phase = PHASE_LOGIN
    stream.chain += 1
    first, second = big_32(header, 24), big_32(header, 28)
    command, status = (second, first) if opcode >= 0x20 else (first, second)
    if has_command_number(opcode):
        stream.knows_command_number, stream.command_number = 1, command
    # The ExpStatSN of a first login means nothing yet.
    if has_status_number(opcode, header[1]) and not (opcode == _LOGIN and stream.chain == 1):
        stream.knows_status_number, stream.status_number = 1, status


@njit(cache=True, nogil=True)
def confirm(stream: Record, pair: Record) -> None:
    """From here on the stream is known to carry PDUs, and the connection to speak iSCSI."""
    pair.is_accepted = 1
    stream.is_confirmed, stream.was_confirmed = 1, 1
    stream.tentative_0, stream.tentative_1 = -1, -1
    stream.searched_bytes = 0


@njit(cache=True, nogil=True)
def withdraw(rows: Rows, stream: Record) -> None:
    """Void the rows that nothing bore out."""
    if stream.tentative_0 >= 0:
        rows[stream.tentative_0].is_void = 1
    if stream.tentative_1 >= 0:
        rows[stream.tentative_1].is_void = 1
    stream.tentative_0, stream.tentative_1 = -1, -1
    stream.chain = 0
    if not stream.was_confirmed:
        stream.role, stream.alignment = 0, -1
        stream.knows_command_number, stream.knows_status_number = 0, 0


@njit(cache=True, nogil=True)
def _keep_room(segment_room: int, ledger: Record, stream: Record, row: Record, opcode: int) -> None:
    """Set room aside for the AHS, and for the data of the kinds of PDU that are kept."""
    start = ledger.segment_bytes
    is_kept = _KEPT[opcode]
    if opcode == _COMMAND and row.header[32] == _PERSISTENT_RESERVE_OUT:
        stream.reserve_tag = big_32(row.header, 16)
        is_kept = True
    elif opcode == _DATA_OUT and stream.reserve_tag >= 0:
        is_kept = stream.reserve_tag == big_32(row.header, 16)
    stream.keep_left = min(stream.data_bytes, KEPT_DATA_LIMIT) if is_kept else 0
    room = stream.ahs_bytes + stream.keep_left
    assert start + room <= segment_room, "the caller makes room for every header"
    stream.keep_at = start
    ledger.segment_bytes += room
    row.segment_offset, row.ahs_bytes, row.segment_bytes = start, 0, 0


@njit(cache=True, nogil=True)
def next_part(rows: Rows, stream: Record, pair: Record) -> None:
    """Go to the next part of the PDU that has bytes, or to the next header."""
    stream.left = 0
    while stream.left == 0:
        stream.state += 1
        stream.digest_word = 0
        if stream.state == AHS:
            stream.left = stream.ahs_bytes
        elif stream.state == HEADER_DIGEST:
            stream.left = 4 if stream.has_header_digest != DIGEST_OFF else 0
        elif stream.state == DATA:
            stream.left = stream.data_bytes
            stream.crc, stream.is_crc_whole = wide(CRC_START), 1
        elif stream.state == PADDING:
            stream.left = -stream.data_bytes & 3
        elif stream.state == DATA_DIGEST:
            stream.left = 4 if stream.data_bytes > 0 and stream.has_data_digest != DIGEST_OFF else 0
        elif stream.state == PDU_DONE:
            _end_pdu(rows, stream, pair)
            stream.state, stream.left, stream.have = HEADER, HEADER_BYTES, 0
    if stream.left == 4 and not stream.is_crc_whole and _is_unknown(stream):
        # A digest that is not known of and cannot be tried: what follows is here or 4 bytes on.
        stream.untried_position = stream.position if stream.state == DATA_DIGEST else -1
        _end_pdu(rows, stream, pair)
        begin_search(rows, stream)


@njit(cache=True, nogil=True)
def _is_unknown(stream: Record) -> bool:
    """Whether the digest that is due may be none."""
    if stream.state == HEADER_DIGEST:
        return stream.has_header_digest == DIGEST_UNKNOWN
    return stream.state == DATA_DIGEST and stream.has_data_digest == DIGEST_UNKNOWN


@njit(cache=True, nogil=True)
def _end_pdu(rows: Rows, stream: Record, pair: Record) -> None:
    rows[stream.row].time_last_ns = stream.last_ns
    stream.row = -1
    if stream.is_last_login:
        pair.phase = PHASE_FULL_FEATURE
        stream.is_last_login = 0
        if not pair.is_login_cut:
            pair.header_digest, pair.data_digest = pair.negotiated_header, pair.negotiated_data
            pair.digest_origin = ORIGIN_NEGOTIATED


@njit(cache=True, nogil=True)
def digest_arrived(rows: Rows, stream: Record, pair: Record) -> bool:
    """Compare the digest of the part just read: false where these four bytes were no digest after all."""
    is_header = stream.state == HEADER_DIGEST
    is_match = stream.is_crc_whole == 1 and crc32c_end(stream.crc) == stream.digest_word
    if _is_unknown(stream):
        found = DIGEST_ON if is_match else DIGEST_OFF
        if is_header:
            stream.has_header_digest, pair.header_digest = found, found
        else:
            stream.has_data_digest, pair.data_digest = found, found
        pair.digest_origin = ORIGIN_ASSUMED
        if not is_match:
            return False
    if stream.is_crc_whole:
        row = rows[stream.row]
        result = DIGEST_MATCH if is_match else DIGEST_MISMATCH
        if is_header:
            row.header_digest = result
        else:
            row.data_digest = result
    return True


@njit(cache=True, nogil=True)
def begin_search(rows: Rows, stream: Record) -> None:
    """Framing is lost: look for a header from here on. A chain that is not confirmed yet goes on behind."""
    if stream.state == IGNORED:
        return
    if stream.row >= 0:
        rows[stream.row].time_last_ns = stream.last_ns
        stream.row = -1
    if stream.is_confirmed:
        stream.chain, stream.is_confirmed = 0, 0
    stream.state, stream.have = SEARCH, 0
    stream.is_last_login, stream.keep_left = 0, 0

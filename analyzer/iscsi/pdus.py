"""One PDU from its header to its last byte: belief, row, parts, digests, the end of a login.

Called by ``framing`` when a header is whole, when a part of a PDU is whole, and when framing is lost.
Decides which header is believed and which digests are in force; moves no bytes but the kept ones.
"""

from __future__ import annotations

from numba import njit

from analyzer.byte_order import Bytes, big_24, wide
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
    ROWS_USED,
    SEARCH,
    SEGMENTS_USED,
    Frames,
    Record,
)
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.recognition import (
    NOT_A_HEADER,
    command_number,
    has_command_number,
    has_status_number,
    is_near,
    recognise,
    role_of,
    status_number,
)

_LOGIN, _LOGIN_RESPONSE = int(Opcode.LOGIN_REQUEST), int(Opcode.LOGIN_RESPONSE)
_NOP_OUT, _TEXT, _NOP_IN, _RESPONSE, _TEXT_RESPONSE, _ASYNC, _REJECT = (
    int(Opcode.NOP_OUT),
    int(Opcode.TEXT_REQUEST),
    int(Opcode.NOP_IN),
    int(Opcode.SCSI_RESPONSE),
    int(Opcode.TEXT_RESPONSE),
    int(Opcode.ASYNC_MESSAGE),
    int(Opcode.REJECT),
)

_CONFIRMING_HEADERS = 3
"""So many believable headers in a row confirm a stream of which nothing is known."""
_CONFIRMING_HEADERS_HINTED = 2

CONTRADICTS, SAYS_NOTHING, AGREES = -1, 0, 1


@njit(cache=True, nogil=True)
def agreement(stream: Record, peer: Record, data: Bytes, at: int, opcode: int) -> int:
    """Whether the numbers of a header go on from those of its stream, or of the other direction."""
    agrees = SAYS_NOTHING
    if has_command_number(opcode) and (stream.knows_command_number or peer.knows_command_number):
        known = stream.command_number if stream.knows_command_number else peer.command_number
        if not is_near(command_number(data, at, opcode), known):
            return CONTRADICTS
        agrees = AGREES
    if has_status_number(data, at, opcode) and (stream.knows_status_number or peer.knows_status_number):
        known = stream.status_number if stream.knows_status_number else peer.status_number
        if not is_near(status_number(data, at, opcode), known):
            return CONTRADICTS
        agrees = AGREES
    return agrees


@njit(cache=True, nogil=True)
def _is_believed(frames: Frames, index: int, stream: Record, data: Bytes, at: int) -> bool:
    """Whether the header at the place where one is due is taken as one."""
    if data[at] & 0x80:
        return False
    opcode = wide(data[at] & 0x3F)
    if stream.role and stream.role != role_of(opcode):
        return False
    is_sound = recognise(data, at) != NOT_A_HEADER
    if stream.chain == 0 and stream.was_confirmed == 0 and stream.position <= HEADER_BYTES:
        # The first bytes of a connection that opened under our eyes: a login, or no iSCSI.
        return is_sound and (opcode in (_LOGIN, _LOGIN_RESPONSE))
    agrees = agreement(stream, frames.streams[index ^ 1], data, at, opcode)
    if stream.is_confirmed:
        # Peers may fill reserved fields or use vendor opcodes; numbers that go on vouch for them.
        return is_sound or agrees == AGREES
    return is_sound and agrees != CONTRADICTS


@njit(cache=True, nogil=True)
def begin_pdu(frames: Frames, index: int, stream: Record, data: Bytes, at: int) -> bool:
    """Take the header in ``data[at:at + 48]`` that is due here: false where it is not believed."""
    if not _is_believed(frames, index, stream, data, at):
        return False
    start_pdu(frames, index, stream, data, at)
    return True


@njit(cache=True, nogil=True)
def start_pdu(frames: Frames, index: int, stream: Record, data: Bytes, at: int) -> None:
    """Make a row of a believed header and go to the part behind it."""
    opcode = wide(data[at] & 0x3F)
    row_index = frames.used[ROWS_USED]
    frames.used[ROWS_USED] += 1
    frames.headers[row_index, :] = data[at : at + HEADER_BYTES]
    row = frames.rows[row_index]
    row.time_ns, row.time_last_ns = stream.begin_ns, stream.last_ns
    row.packet, row.file_index, row.stream = stream.begin_packet, stream.begin_file, index
    row.header_digest, row.data_digest, row.is_void = 0, 0, 0
    row.is_resynchronised = 0 if stream.is_confirmed and stream.chain else 1
    stream.row, stream.opcode = row_index, opcode
    stream.role = role_of(opcode)
    stream.ahs_bytes = wide(data[at + 4]) * 4
    stream.data_bytes = big_24(data, at + 5)
    _trust(frames, index, stream, data, at, opcode, row)
    _choose_digests(frames, index, stream, opcode)
    _keep_segment(frames, stream, row, opcode)
    stream.is_last_login = wide(
        opcode == _LOGIN_RESPONSE and data[at + 1] & 0x83 == 0x83 and data[at + 36] == 0
    )
    if opcode in (_LOGIN, _LOGIN_RESPONSE):
        restart_text(stream)
    stream.crc, stream.is_crc_whole = wide(CRC_START), 1
    if stream.has_header_digest != DIGEST_OFF:
        stream.crc = crc32c_more(stream.crc, data, at, at + HEADER_BYTES)
    stream.state = HEADER
    next_part(frames, index, stream)


@njit(cache=True, nogil=True)
def _trust(
    frames: Frames, index: int, stream: Record, data: Bytes, at: int, opcode: int, row: Record
) -> None:
    """Count the header towards the belief in its stream, and remember its numbers."""
    pair, peer = frames.streams[index & ~1], frames.streams[index ^ 1]
    is_login = opcode in (_LOGIN, _LOGIN_RESPONSE)
    if not stream.is_confirmed:
        needed = _CONFIRMING_HEADERS_HINTED if pair.is_hinted else _CONFIRMING_HEADERS
        vouched = pair.is_accepted == 1 and agreement(stream, peer, data, at, opcode) == AGREES
        if is_login or vouched or stream.chain + 1 >= needed:
            _confirm(pair, stream)
        elif stream.chain == 0:
            stream.tentative_0 = stream.row
        else:
            stream.tentative_1 = stream.row
    if is_login and pair.phase != PHASE_FULL_FEATURE:
        pair.phase = PHASE_LOGIN
    row.is_resynchronised = wide(row.is_resynchronised == 1 and not is_login)
    stream.chain += 1
    if has_command_number(opcode):
        stream.knows_command_number, stream.command_number = 1, command_number(data, at, opcode)
    if has_status_number(data, at, opcode) and not (opcode == _LOGIN and stream.chain == 1):
        stream.knows_status_number, stream.status_number = 1, status_number(data, at, opcode)


@njit(cache=True, nogil=True)
def _confirm(pair: Record, stream: Record) -> None:
    pair.is_accepted = 1
    stream.is_confirmed, stream.was_confirmed = 1, 1
    stream.tentative_0, stream.tentative_1 = -1, -1
    stream.searched_bytes = 0


@njit(cache=True, nogil=True)
def confirm_late(frames: Frames, index: int) -> None:
    """At the end: believe what waits for more headers if the other direction bears it out."""
    stream, pair, peer = frames.streams[index], frames.streams[index & ~1], frames.streams[index ^ 1]
    if stream.tentative_0 < 0:
        return
    headers = frames.headers
    opcode = wide(headers[stream.tentative_0, 0] & 0x3F)
    stream.knows_command_number, stream.knows_status_number = 0, 0
    is_borne_out = agreement(stream, peer, headers[stream.tentative_0], 0, opcode) == AGREES
    if pair.is_accepted and is_borne_out and peer.role != stream.role:
        _confirm(pair, stream)
    else:
        withdraw(frames, stream)


@njit(cache=True, nogil=True)
def withdraw(frames: Frames, stream: Record) -> None:
    """Void the rows that nothing bore out."""
    if stream.tentative_0 >= 0:
        frames.rows[stream.tentative_0].is_void = 1
    if stream.tentative_1 >= 0:
        frames.rows[stream.tentative_1].is_void = 1
    stream.tentative_0, stream.tentative_1 = -1, -1
    stream.chain = 0
    if not stream.was_confirmed:
        stream.role, stream.alignment = 0, -1
        stream.knows_command_number, stream.knows_status_number = 0, 0


@njit(cache=True, nogil=True)
def _choose_digests(frames: Frames, index: int, stream: Record, opcode: int) -> None:
    """Digests are used in the full feature phase only (RFC 7143 section 13.1)."""
    pair = frames.streams[index & ~1]
    if opcode in (_LOGIN, _LOGIN_RESPONSE):
        stream.has_header_digest, stream.has_data_digest = DIGEST_OFF, DIGEST_OFF
    else:
        stream.has_header_digest, stream.has_data_digest = pair.header_digest, pair.data_digest


@njit(cache=True, nogil=True)
def _keep_segment(frames: Frames, stream: Record, row: Record, opcode: int) -> None:
    """Set room aside for the AHS, and for the data of the kinds of PDU that are kept."""
    is_kept = opcode in (
        _LOGIN,
        _LOGIN_RESPONSE,
        _RESPONSE,
        _TEXT,
        _TEXT_RESPONSE,
        _REJECT,
        _ASYNC,
        _NOP_IN,
        _NOP_OUT,
    )
    start = frames.used[SEGMENTS_USED]
    stream.keep_left = min(stream.data_bytes, KEPT_DATA_LIMIT) if is_kept else 0
    room = stream.ahs_bytes + stream.keep_left
    if start + room > len(frames.segments):
        stream.keep_left, room = 0, 0
        stream.keep_at = -1
    else:
        stream.keep_at = start
    frames.used[SEGMENTS_USED] += room
    row.segment_offset, row.ahs_bytes, row.segment_bytes = start, 0, 0


@njit(cache=True, nogil=True)
def next_part(frames: Frames, index: int, stream: Record) -> None:
    """Go to the next part of the PDU that has bytes, or to the next header."""
    while True:
        stream.state += 1
        if stream.state == AHS:
            stream.left = stream.ahs_bytes
        elif stream.state == HEADER_DIGEST:
            stream.left = 4 if stream.has_header_digest != DIGEST_OFF else 0
            is_untried = stream.has_header_digest == DIGEST_UNKNOWN and not stream.is_crc_whole
            if is_untried:
                _end_pdu(frames, index, stream)
                begin_search(frames, stream)
                return
        elif stream.state == DATA:
            stream.left = stream.data_bytes
            stream.crc, stream.is_crc_whole = wide(CRC_START), 1
        elif stream.state == PADDING:
            stream.left = -stream.data_bytes & 3
        elif stream.state == DATA_DIGEST:
            has_digest = stream.data_bytes > 0 and stream.has_data_digest != DIGEST_OFF
            stream.left = 4 if has_digest else 0
            if has_digest and stream.has_data_digest == DIGEST_UNKNOWN and not stream.is_crc_whole:
                # A digest that is not known of and cannot be tried: the header may be here or 4 bytes on.
                _end_pdu(frames, index, stream)
                begin_search(frames, stream)
                return
        elif stream.state == PDU_DONE:
            _end_pdu(frames, index, stream)
            stream.state, stream.left, stream.have = HEADER, HEADER_BYTES, 0
            return
        stream.digest_word = 0
        if stream.left > 0:
            return


@njit(cache=True, nogil=True)
def _end_pdu(frames: Frames, index: int, stream: Record) -> None:
    frames.rows[stream.row].time_last_ns = stream.last_ns
    stream.row = -1
    if stream.is_last_login:
        pair = frames.streams[index & ~1]
        pair.phase = PHASE_FULL_FEATURE
        stream.is_last_login = 0
        if stream.is_crc_whole:
            pair.header_digest, pair.data_digest = pair.negotiated_header, pair.negotiated_data
            pair.digest_origin = ORIGIN_NEGOTIATED


@njit(cache=True, nogil=True)
def digest_arrived(frames: Frames, index: int, stream: Record) -> bool:
    """Compare the digest of the part just read: false where these four bytes were no digest after all."""
    is_header = stream.state == HEADER_DIGEST
    known = stream.has_header_digest if is_header else stream.has_data_digest
    is_match = stream.is_crc_whole == 1 and crc32c_end(stream.crc) == stream.digest_word
    if known == DIGEST_UNKNOWN:
        pair = frames.streams[index & ~1]
        found = DIGEST_ON if is_match else DIGEST_OFF
        if is_header:
            stream.has_header_digest = found
            pair.header_digest = found
        else:
            stream.has_data_digest = found
            pair.data_digest = found
        pair.digest_origin = ORIGIN_ASSUMED
        if not is_match:
            return False
    if stream.is_crc_whole:
        row = frames.rows[stream.row]
        result = DIGEST_MATCH if is_match else DIGEST_MISMATCH
        if is_header:
            row.header_digest = result
        else:
            row.data_digest = result
    return True


@njit(cache=True, nogil=True)
def begin_search(frames: Frames, stream: Record) -> None:
    """Framing is lost: look for a header from here on. A chain that is not confirmed yet goes on behind."""
    if stream.state == IGNORED:
        return
    if stream.row >= 0:
        frames.rows[stream.row].time_last_ns = stream.last_ns
        stream.row = -1
    if stream.is_confirmed:
        stream.chain, stream.is_confirmed = 0, 0
    stream.state, stream.have = SEARCH, 0
    stream.is_last_login, stream.keep_left = 0, 0

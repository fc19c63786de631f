"""PDU framing: runs of stream bytes in, PDU headers and short data segments out.

Walks each stream field by field (header, AHS, header digest, data, padding, data digest; RFC 7143
section 11.2), over gaps where their length is known, and finds the next believable header where
not. Decides whether a connection speaks iSCSI at all, which side is the initiator, and which digests
are in use. Knows nothing of packets but their number and time; streams come in pairs, ``2k`` and
``2k + 1`` being the two directions of one connection, whose shared state stands in record ``2k``.
"""

from __future__ import annotations

from analyzer.byte_order import Bytes, big_24, big_32, wide
from analyzer.compilation import njit
from analyzer.iscsi.digest_keys import take_text_byte
from analyzer.iscsi.digests import crc32c_byte, crc32c_more
from analyzer.iscsi.frames import (
    AHS,
    DATA,
    DATA_DIGEST,
    DIGEST_OFF,
    DIGEST_ON,
    DIGEST_UNKNOWN,
    HEADER,
    HEADER_DIGEST,
    IGNORED,
    ORIGIN_ASSUMED,
    PHASE_LOGIN,
    SEARCH,
    Record,
    reset_framing,
    reset_pair,
)
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.pdus import (
    AGREES,
    CONTRADICTS,
    Rows,
    agreement,
    begin_search,
    confirm,
    digest_arrived,
    is_believed,
    next_part,
    start_pdu,
    withdraw,
)
from analyzer.iscsi.recognition import (
    LARGEST_SEARCHED_DATA_BYTES,
    NOT_A_HEADER,
    is_common,
    may_begin,
    recognise,
    role_of,
)

_LOGIN, _LOGIN_RESPONSE = int(Opcode.LOGIN_REQUEST), int(Opcode.LOGIN_RESPONSE)

_SEARCH_LIMIT_BYTES = 4 << 20
"""A stream without a believable header in so many bytes does not speak iSCSI."""
_SEARCH_LIMIT_BYTES_HINTED = 128 << 20


@njit(cache=True, nogil=True)
def open_stream(stream: Record, peer: Record, pair: Record, is_begun: bool, is_hinted: bool) -> None:
    """Forget what is known of a stream that begins, with its first byte or in its middle."""
    reset_framing(stream, HEADER if is_begun else SEARCH, 0 if is_begun else -1)
    if not peer.is_open:
        reset_pair(pair, wide(is_hinted))
    if is_begun:
        pair.phase = PHASE_LOGIN
    stream.is_open = 1


@njit(cache=True, nogil=True)
def passes_through_data(stream: Record, size: int, others: int, ready_ns: int) -> bool:
    """Step over ``size`` bytes of data that nobody looks at, as most are; ``others`` must be 0 for that."""
    if (
        stream.state == DATA
        and others == 0
        and size < stream.left
        and stream.keep_left == 0
        and (stream.has_data_digest == DIGEST_OFF or stream.is_crc_whole == 0)
    ):
        stream.left -= size
        stream.position += size
        stream.last_ns = ready_ns
        return True
    return False


@njit(cache=True, nogil=True)
def take_bytes(
    rows: Rows,
    segments: Bytes,
    ledger: Record,
    index: int,
    stream: Record,
    peer: Record,
    data: Bytes,
    at: int,
    end: int,
    time_ns: int,
    ready_ns: int,
    packet: int,
    file_index: int,
) -> None:
    """The next bytes of stream ``index``, ``data[at:end]``, all of one packet.

    ``time_ns`` is the time of the packet, ``ready_ns`` when all before it had come too.
    """
    pair = peer if index & 1 else stream
    stream.last_ns = ready_ns
    is_packet_begin = True
    while at < end and stream.state != IGNORED:
        if stream.state == HEADER and stream.have == 0:
            stream.begin_ns, stream.begin_packet, stream.begin_file = time_ns, packet, file_index
        if stream.state == SEARCH:
            header = rows[ledger.rows].header
            found = _search(stream, peer, header, data, at, end, is_packet_begin)
            # Where the header began in bytes held back, it began in an earlier packet.
            if found - HEADER_BYTES >= at or found < 0:
                stream.begin_ns, stream.begin_packet, stream.begin_file = time_ns, packet, file_index
            if found < 0:
                _limit_search(rows, stream, pair, end - at)
                return
            at = found
            _note_found(stream, pair)
            start_pdu(rows, len(segments), ledger, index, stream, peer, pair)
        elif stream.state == HEADER:
            at = _take_header(stream, rows[ledger.rows].header, data, at, end)
            if stream.have < HEADER_BYTES:
                return
            if is_believed(stream, peer, rows[ledger.rows].header):
                start_pdu(rows, len(segments), ledger, index, stream, peer, pair)
            else:
                _disbelieve(rows, stream, peer, pair, rows[ledger.rows].header)
        else:
            if stream.left == 4:
                # Should this be a digest that turns out to be none, a header begins here.
                stream.begin_ns, stream.begin_packet, stream.begin_file = time_ns, packet, file_index
            at = _take_part(rows, segments, stream, pair, data, at, end)
        is_packet_begin = False


@njit(cache=True, nogil=True)
def _take_header(stream: Record, header: Bytes, data: Bytes, at: int, end: int) -> int:
    """Collect header bytes, in ``header`` once they are whole: the first byte not used."""
    step = min(HEADER_BYTES - stream.have, end - at)
    stream.position += step
    have = stream.have
    stream.have += step
    if step == HEADER_BYTES:
        for byte in range(HEADER_BYTES):
            header[byte] = data[at + byte]
        return at + step
    part = stream.part
    for byte in range(step):
        part[have + byte] = data[at + byte]
    if stream.have == HEADER_BYTES:
        for byte in range(HEADER_BYTES):
            header[byte] = part[byte]
    return at + step


@njit(cache=True, nogil=True)
def _disbelieve(rows: Rows, stream: Record, peer: Record, pair: Record, header: Bytes) -> None:
    """What stands where a header is due is none: no iSCSI at all, or framing went astray before."""
    if not pair.is_accepted and pair.phase == PHASE_LOGIN and stream.position == HEADER_BYTES:
        stream.state, peer.state = IGNORED, IGNORED
        return
    if stream.is_confirmed:
        _note_lost_header(stream, stream.begin_ns, stream.begin_packet)
    withdraw(rows, stream)
    begin_search(rows, stream)
    # The header may begin within these bytes.
    held = stream.held
    for byte in range(4, HEADER_BYTES):
        held[byte - 4] = header[byte]
    stream.have = HEADER_BYTES - 4


@njit(cache=True, nogil=True)
def _take_part(
    rows: Rows, segments: Bytes, stream: Record, pair: Record, data: Bytes, at: int, end: int
) -> int:
    """Bytes of AHS, data, padding or a digest from ``at`` on: the first byte not used."""
    step = min(stream.left, end - at)
    behind = at + step
    state = stream.state
    stream.left -= step
    stream.position += step
    if state in (HEADER_DIGEST, DATA_DIGEST):
        for byte in range(at, behind):
            stream.digest_word |= wide(data[byte]) << (8 * (4 - stream.left - behind + byte))
        if stream.left == 0 and not digest_arrived(rows, stream, pair):
            word = stream.digest_word
            next_part(rows, stream, pair)
            _take_back(rows, segments, stream, pair, word)
        elif stream.left == 0:
            next_part(rows, stream, pair)
        return behind
    digest = stream.has_header_digest if state == AHS else stream.has_data_digest
    if stream.is_crc_whole and digest != DIGEST_OFF:
        stream.crc = crc32c_more(stream.crc, data, at, behind)
    if state == DATA and stream.opcode in (_LOGIN, _LOGIN_RESPONSE):
        for byte in range(at, behind):
            take_text_byte(pair, stream, wide(data[byte]))
    if state == AHS or (state == DATA and stream.keep_left > 0):
        _keep(segments, rows[stream.row], stream, data, at, step)
    if stream.left == 0:
        next_part(rows, stream, pair)
    return behind


@njit(cache=True, nogil=True)
def _keep(segments: Bytes, row: Record, stream: Record, data: Bytes, at: int, size: int) -> None:
    if stream.state == DATA:
        size = min(size, stream.keep_left)
        stream.keep_left -= size
        row.segment_bytes += size
    else:
        row.ahs_bytes += size
    for byte in range(size):
        segments[stream.keep_at + byte] = data[at + byte]
    stream.keep_at += size


@njit(cache=True, nogil=True)
def _take_back(rows: Rows, segments: Bytes, stream: Record, pair: Record, word: int) -> None:
    """Four bytes taken for a digest were none: they are data and padding, or the next header's first."""
    if stream.state == HEADER:
        part = stream.part
        for byte in range(4):
            part[byte] = (word >> (8 * byte)) & 0xFF
        stream.have = 4
        return
    for byte in range(4):
        value = (word >> (8 * byte)) & 0xFF
        if stream.has_data_digest != DIGEST_OFF:
            stream.crc = crc32c_byte(stream.crc, value)
        if stream.state == DATA and stream.keep_left > 0:
            segments[stream.keep_at] = value
            stream.keep_at += 1
            stream.keep_left -= 1
            rows[stream.row].segment_bytes += 1
        stream.left -= 1
        if stream.left == 0:
            next_part(rows, stream, pair)


@njit(cache=True, nogil=True)
def _is_candidate(stream: Record, peer: Record, header: Bytes, is_packet_begin: bool) -> bool:
    """Whether a header met while searching is believed."""
    opcode = recognise(header)
    if opcode == NOT_A_HEADER or (stream.role and role_of(opcode) != stream.role):
        return False
    if peer.role and peer.role == role_of(opcode):
        return False
    agrees = agreement(stream, peer, header, opcode)
    if agrees == CONTRADICTS or big_24(header, 5) > LARGEST_SEARCHED_DATA_BYTES:
        return False
    return agrees == AGREES or is_packet_begin or is_common(opcode, big_32(header, 16))


@njit(cache=True, nogil=True)
def _search(
    stream: Record, peer: Record, header: Bytes, data: Bytes, at: int, end: int, is_packet_begin: bool
) -> int:
    """Look for a header in the bytes held back and in ``data[at:end]``.

    Returns the first byte behind it, with the header in ``header``; or -1, having held back the last bytes.
    """
    have, held = stream.have, stream.held
    base = stream.position - at  # a place in ``data`` plus this is a position in the stream
    # PDUs are padded to four bytes, so the headers of a stream lie at one remainder (RFC 7143 section 11.1).
    for place in range(at - have, end - HEADER_BYTES + 1):
        if stream.alignment >= 0 and (base + place) & 3 != stream.alignment:
            continue
        if place >= at:
            if not may_begin(data[place], data[place + 1]):
                continue
            for byte in range(HEADER_BYTES):
                header[byte] = data[place + byte]
        else:
            behind_held = at - place
            for byte in range(HEADER_BYTES):
                if byte < behind_held:
                    header[byte] = held[have - behind_held + byte]
                else:
                    header[byte] = data[place + byte]
        if _is_candidate(stream, peer, header, is_packet_begin and place == at):
            stream.position = base + place + HEADER_BYTES
            stream.have = 0
            return place + HEADER_BYTES
    _hold_back(stream, held, data, at, end)
    stream.position += end - at
    return -1


@njit(cache=True, nogil=True)
def _hold_back(stream: Record, held: Bytes, data: Bytes, at: int, end: int) -> None:
    """Keep the last bytes, in which a header may begin."""
    limit = HEADER_BYTES - 1
    size = min(end - at, limit)
    kept = min(stream.have, limit - size)
    for byte in range(kept):
        held[byte] = held[stream.have - kept + byte]
    for byte in range(size):
        held[kept + byte] = data[end - size + byte]
    stream.have = kept + size


@njit(cache=True, nogil=True)
def _limit_search(rows: Rows, stream: Record, pair: Record, size: int) -> None:
    stream.searched_bytes += size
    limit = _SEARCH_LIMIT_BYTES_HINTED if pair.is_hinted else _SEARCH_LIMIT_BYTES
    if stream.searched_bytes > limit:
        stream.searched_bytes = 0
        if pair.is_accepted or stream.tentative_0 >= 0:
            # So much is missing that the numbers may have moved on.
            withdraw(rows, stream)
            stream.knows_command_number, stream.knows_status_number = 0, 0
        else:
            stream.state = IGNORED


@njit(cache=True, nogil=True)
def _note_found(stream: Record, pair: Record) -> None:
    """A search has ended on a header, whose last byte is the one before ``position``."""
    place = stream.position - HEADER_BYTES
    stream.alignment = place & 3
    behind = place - stream.untried_position
    if stream.untried_position >= 0 and behind in (0, 4):
        # Nothing was lost: it was only open whether a digest of four bytes stands here.
        pair.data_digest = DIGEST_ON if behind else DIGEST_OFF
        pair.digest_origin = ORIGIN_ASSUMED
        if stream.was_confirmed:
            stream.is_confirmed, stream.chain = 1, 1
    elif stream.was_confirmed:
        stream.resynchronised += 1
    stream.untried_position = -1


@njit(cache=True, nogil=True)
def take_gap(rows: Rows, stream: Record, pair: Record, size: int, time_ns: int, packet: int) -> bool:
    """``size`` bytes of a stream that are missing: whether framing goes on behind them."""
    if size <= 0 or stream.state == IGNORED:
        return True
    while size > 0:
        if stream.state == HEADER:
            if stream.is_confirmed:
                _note_lost_header(stream, time_ns, packet)
            begin_search(rows, stream)
        if stream.state == SEARCH:
            stream.have = 0
            stream.position += size
            return False
        step = min(size, stream.left)
        stream.left -= step
        stream.position += step
        size -= step
        stream.is_crc_whole, stream.keep_left = 0, 0
        if stream.opcode in (_LOGIN, _LOGIN_RESPONSE):
            pair.is_login_cut = 1
        is_untried = (stream.state == HEADER_DIGEST and stream.has_header_digest == DIGEST_UNKNOWN) or (
            stream.state == DATA_DIGEST and stream.has_data_digest == DIGEST_UNKNOWN
        )
        if is_untried:
            begin_search(rows, stream)
        elif stream.left == 0:
            next_part(rows, stream, pair)
    return stream.state != SEARCH


@njit(cache=True, nogil=True)
def _note_lost_header(stream: Record, time_ns: int, packet: int) -> None:
    stream.headers_lost += 1
    if stream.headers_lost == 1:
        stream.first_lost_packet, stream.first_lost_ns = packet, time_ns


@njit(cache=True, nogil=True)
def finish_stream(rows: Rows, stream: Record, peer: Record, pair: Record) -> None:
    """Nothing more comes: settle the PDU under way, and headers that wait for more to bear them out."""
    if stream.row >= 0:
        rows[stream.row].time_last_ns, rows[stream.row].is_unfinished = stream.last_ns, 1
    if stream.tentative_0 < 0:
        return
    header = rows[stream.tentative_0].header
    stream.knows_command_number, stream.knows_status_number = 0, 0
    agrees = agreement(stream, peer, header, wide(header[0] & 0x3F))
    if pair.is_accepted and peer.role != stream.role and agrees == AGREES:
        confirm(stream, pair)
    else:
        withdraw(rows, stream)

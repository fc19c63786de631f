"""PDU framing: runs of stream bytes in, PDU headers and short data segments out.

Walks each stream field by field (header, AHS, header digest, data, padding, data digest; RFC 7143
section 11.2), over gaps where their length is known, and finds the next believable header where
not. Decides whether a connection speaks iSCSI at all, which side is the initiator, and which digests
are in use. Knows nothing of packets but their number and time; streams come in pairs, ``2k`` and
``2k + 1`` being the two directions of one connection, whose shared state stands in record ``2k``.
"""

from __future__ import annotations

from numba import njit

from analyzer.byte_order import Bytes, big_24, wide
from analyzer.iscsi.digest_keys import take_text_byte
from analyzer.iscsi.digests import crc32c_more
from analyzer.iscsi.frames import (
    AHS,
    DATA,
    DATA_DIGEST,
    DIGEST_OFF,
    DIGEST_UNKNOWN,
    HEADER,
    HEADER_DIGEST,
    HOLES_USED,
    IGNORED,
    PHASE_LOGIN,
    SEARCH,
    Frames,
    Record,
    reset_framing,
    reset_pair,
)
from analyzer.iscsi.headers import HEADER_BYTES
from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.pdus import (
    AGREES,
    CONTRADICTS,
    agreement,
    begin_pdu,
    begin_search,
    confirm_late,
    digest_arrived,
    next_part,
    start_pdu,
    withdraw,
)
from analyzer.iscsi.recognition import (
    LARGEST_SEARCHED_DATA_BYTES,
    NOT_A_HEADER,
    is_common,
    recognise,
    role_of,
)

_LOGIN, _LOGIN_RESPONSE = int(Opcode.LOGIN_REQUEST), int(Opcode.LOGIN_RESPONSE)

_SEARCH_LIMIT_BYTES = 4 << 20
"""A stream without a believable header in so many bytes does not speak iSCSI."""
_SEARCH_LIMIT_BYTES_HINTED = 128 << 20


@njit(cache=True, nogil=True)
def open_stream(frames: Frames, index: int, is_begun: bool, is_hinted: bool) -> None:
    """Forget what is known of a stream that begins, with its first byte or in its middle."""
    stream = frames.streams[index]
    peer = frames.streams[index ^ 1]
    pair = frames.streams[index & ~1]
    reset_framing(stream, HEADER if is_begun else SEARCH, 0 if is_begun else -1)
    if not peer.is_open:
        reset_pair(pair, wide(is_hinted))
    if is_begun:
        pair.phase = PHASE_LOGIN
    stream.is_open = 1


@njit(cache=True, nogil=True)
def close_pair(frames: Frames, index: int) -> None:
    """The pair of streams ``index`` is free to be opened again."""
    frames.streams[index & ~1].is_open = 0
    frames.streams[index | 1].is_open = 0


@njit(cache=True, nogil=True)
def passes_through_data(stream: Record, size: int, others: int, time_ns: int) -> bool:
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
        stream.last_ns = time_ns
        return True
    return False


@njit(cache=True, nogil=True)
def take_bytes(
    frames: Frames, index: int, data: Bytes, at: int, end: int, time_ns: int, packet: int, file_index: int
) -> None:
    """The next bytes of a stream, ``data[at:end]``, all of one packet."""
    stream = frames.streams[index]
    if stream.state == IGNORED:
        return
    is_packet_begin = True
    while at < end:
        if stream.state == IGNORED:
            return
        if stream.state == SEARCH:
            at = _search(frames, index, stream, data, at, end, is_packet_begin, time_ns, packet, file_index)
        elif stream.state == HEADER:
            at = _collect_header(frames, index, stream, data, at, end, time_ns, packet, file_index)
        else:
            stream.last_ns = time_ns
            at = _take_part(frames, index, stream, data, at, end, time_ns, packet, file_index)
        is_packet_begin = False
    stream.last_ns = time_ns


@njit(cache=True, nogil=True)
def _note_begin(stream: Record, time_ns: int, packet: int, file_index: int) -> None:
    stream.begin_ns, stream.begin_packet, stream.begin_file = time_ns, packet, file_index


@njit(cache=True, nogil=True)
def _collect_header(
    frames: Frames,
    index: int,
    stream: Record,
    data: Bytes,
    at: int,
    end: int,
    time_ns: int,
    packet: int,
    file_index: int,
) -> int:
    """Header bytes from ``at`` on: the first byte not used."""
    if stream.have == 0:
        _note_begin(stream, time_ns, packet, file_index)
    stream.last_ns = time_ns
    part = frames.parts[index]
    step = min(HEADER_BYTES - stream.have, end - at)
    stream.position += step
    if step == HEADER_BYTES:
        is_begun = begin_pdu(frames, index, stream, data, at)
        if not is_begun:
            part[:] = data[at : at + HEADER_BYTES]
    else:
        part[stream.have : stream.have + step] = data[at : at + step]
        stream.have += step
        if stream.have < HEADER_BYTES:
            return end
        is_begun = begin_pdu(frames, index, stream, part, 0)
    if not is_begun:
        _disbelieve(frames, index, stream, part)
    return at + step


@njit(cache=True, nogil=True)
def _disbelieve(frames: Frames, index: int, stream: Record, part: Bytes) -> None:
    """What stands where a header is due is none: no iSCSI at all, or framing went astray before."""
    pair = frames.streams[index & ~1]
    if not pair.is_accepted and pair.phase == PHASE_LOGIN and stream.position == HEADER_BYTES:
        _ignore_pair(frames, index)
        return
    if stream.is_confirmed:
        _note_lost_header(stream, stream.begin_ns, stream.begin_packet)
    withdraw(frames, stream)
    begin_search(frames, stream)
    # The header may begin within these bytes.
    held = frames.held[index]
    held[: HEADER_BYTES - 4] = part[4:]
    stream.have = HEADER_BYTES - 4


@njit(cache=True, nogil=True)
def _ignore_pair(frames: Frames, index: int) -> None:
    frames.streams[index].state = IGNORED
    frames.streams[index ^ 1].state = IGNORED


@njit(cache=True, nogil=True)
def _take_part(
    frames: Frames,
    index: int,
    stream: Record,
    data: Bytes,
    at: int,
    end: int,
    time_ns: int,
    packet: int,
    file_index: int,
) -> int:
    """Bytes of AHS, data, padding or a digest from ``at`` on: the first byte not used."""
    step = min(stream.left, end - at)
    behind = at + step
    state = stream.state
    if state in (HEADER_DIGEST, DATA_DIGEST):
        for byte in range(at, behind):
            stream.digest_word |= wide(data[byte]) << (8 * (4 - stream.left))
            stream.left -= 1
        stream.position += step
        if stream.left == 0:
            _finish_digest(frames, index, stream, time_ns, packet, file_index)
        return behind
    if stream.is_crc_whole:
        digest = stream.has_header_digest if state == AHS else stream.has_data_digest
        if digest != DIGEST_OFF:
            stream.crc = crc32c_more(stream.crc, data, at, behind)
    if state == AHS:
        _keep(frames, stream, data, at, behind, True)
    elif state == DATA:
        if stream.opcode == _LOGIN or stream.opcode == _LOGIN_RESPONSE:
            pair = frames.streams[index & ~1]
            for byte in range(at, behind):
                take_text_byte(pair, stream, wide(data[byte]))
        if stream.keep_left > 0:
            _keep(frames, stream, data, at, at + min(step, stream.keep_left), False)
    stream.left -= step
    stream.position += step
    if stream.left == 0:
        next_part(frames, index, stream)
    return behind


@njit(cache=True, nogil=True)
def _keep(frames: Frames, stream: Record, data: Bytes, at: int, end: int, is_ahs: bool) -> None:
    if stream.keep_at < 0:
        return
    row = frames.rows[stream.row]
    size = end - at
    frames.segments[stream.keep_at : stream.keep_at + size] = data[at:end]
    stream.keep_at += size
    if is_ahs:
        row.ahs_bytes += size
    else:
        row.segment_bytes += size
        stream.keep_left -= size


@njit(cache=True, nogil=True)
def _finish_digest(
    frames: Frames, index: int, stream: Record, time_ns: int, packet: int, file_index: int
) -> None:
    """A digest is whole; where it turns out to be none, its bytes are what follows."""
    word = stream.digest_word
    is_digest = digest_arrived(frames, index, stream)
    next_part(frames, index, stream)
    if is_digest:
        return
    held = frames.held[index]
    for byte in range(4):
        held[byte] = (word >> (8 * byte)) & 0xFF
    at = wide(0)
    stream.position -= 4
    while at < 4:
        if stream.state == HEADER:
            at = _collect_header(frames, index, stream, held, at, wide(4), time_ns, packet, file_index)
        else:
            at = _take_plain(frames, index, stream, held, at)


@njit(cache=True, nogil=True)
def _take_plain(frames: Frames, index: int, stream: Record, held: Bytes, at: int) -> int:
    """Up to four bytes of data and padding that had been taken for a header digest."""
    step = min(stream.left, 4 - at)
    behind = at + step
    if stream.has_data_digest != DIGEST_OFF:
        stream.crc = crc32c_more(stream.crc, held, at, behind)
    if stream.state == DATA and stream.keep_left > 0:
        _keep(frames, stream, held, at, at + min(step, stream.keep_left), False)
    stream.left -= step
    stream.position += step
    if stream.left == 0:
        next_part(frames, index, stream)
    return behind


@njit(cache=True, nogil=True)
def _is_candidate(
    frames: Frames, index: int, stream: Record, data: Bytes, at: int, is_packet_begin: bool
) -> bool:
    """Whether 48 bytes met while searching are believed to be a header."""
    opcode = recognise(data, at)
    if opcode == NOT_A_HEADER or (stream.role and role_of(opcode) != stream.role):
        return False
    peer = frames.streams[index ^ 1]
    if peer.role and peer.role == role_of(opcode):
        return False
    agrees = agreement(stream, peer, data, at, opcode)
    if agrees == CONTRADICTS:
        return False
    if big_24(data, at + 5) > LARGEST_SEARCHED_DATA_BYTES:
        return False
    return agrees == AGREES or is_packet_begin or is_common(data, at, opcode)


@njit(cache=True, nogil=True)
def _search(
    frames: Frames,
    index: int,
    stream: Record,
    data: Bytes,
    at: int,
    end: int,
    is_packet_begin: bool,
    time_ns: int,
    packet: int,
    file_index: int,
) -> int:
    """Look for a header in the bytes held back and in ``data[at:end]``: the first byte not used."""
    held = frames.held[index]
    have = stream.have
    base = stream.position - have  # of held[0]
    first_at = at
    joined = have + min(end - at, HEADER_BYTES - 1) if have else wide(0)
    held[have:joined] = data[at : at + joined - have] if have else data[at:at]
    for offset in range(min(have, joined - HEADER_BYTES + 1)):
        if _is_aligned(stream, base + offset) and _is_candidate(frames, index, stream, held, offset, False):
            used = offset + HEADER_BYTES - have
            stream.position += used
            _found(frames, index, stream, held, offset, time_ns)
            return at + used
    _note_begin(stream, time_ns, packet, file_index)
    while at + HEADER_BYTES <= end:
        position = stream.position + at - first_at
        if _is_aligned(stream, position) and _is_candidate(
            frames, index, stream, data, at, is_packet_begin and at == first_at
        ):
            stream.position = position + HEADER_BYTES
            _found(frames, index, stream, data, at, time_ns)
            return at + HEADER_BYTES
        at += 1
    _hold_back(stream, held, have, data, first_at, end)
    stream.position += end - first_at
    _limit_search(frames, index, stream, end - first_at)
    return end


@njit(cache=True, nogil=True)
def _is_aligned(stream: Record, position: int) -> bool:
    """PDUs are padded to four bytes, so headers of a stream lie at one remainder (RFC 7143 section 11.1)."""
    return stream.alignment < 0 or position & 3 == stream.alignment


@njit(cache=True, nogil=True)
def _hold_back(stream: Record, held: Bytes, have: int, data: Bytes, at: int, end: int) -> None:
    """Keep the last bytes, in which a header may begin."""
    size = end - at
    limit = HEADER_BYTES - 1
    if size >= limit:
        held[:limit] = data[end - limit : end]
        stream.have = limit
        return
    kept = min(have, limit - size)
    for byte in range(kept):
        held[byte] = held[have - kept + byte]
    held[kept : kept + size] = data[at:end]
    stream.have = kept + size


@njit(cache=True, nogil=True)
def _limit_search(frames: Frames, index: int, stream: Record, size: int) -> None:
    stream.searched_bytes += size
    pair = frames.streams[index & ~1]
    limit = _SEARCH_LIMIT_BYTES_HINTED if pair.is_hinted else _SEARCH_LIMIT_BYTES
    if stream.searched_bytes > limit:
        stream.searched_bytes = 0
        if pair.is_accepted or stream.tentative_0 >= 0:
            withdraw(frames, stream)
            # So much is missing that the numbers may have moved on.
            stream.knows_command_number, stream.knows_status_number = 0, 0
        else:
            stream.state = IGNORED


@njit(cache=True, nogil=True)
def _found(frames: Frames, index: int, stream: Record, data: Bytes, at: int, time_ns: int) -> None:
    stream.have = 0
    stream.last_ns = time_ns
    stream.alignment = (stream.position - HEADER_BYTES) & 3
    if stream.was_confirmed:
        stream.resynchronised += 1
    start_pdu(frames, index, stream, data, at)


@njit(cache=True, nogil=True)
def take_gap(frames: Frames, index: int, size: int, time_ns: int, packet: int) -> bool:
    """``size`` bytes of a stream that are missing: whether framing goes on behind them."""
    stream = frames.streams[index]
    if size <= 0 or stream.state == IGNORED:
        return True
    if stream.state == HEADER and stream.is_confirmed:
        _note_lost_header(stream, time_ns, packet)
    stream.position += size
    while size > 0:
        if stream.state == HEADER:
            begin_search(frames, stream)
        if stream.state == SEARCH:
            stream.have = 0
            return False
        step = min(size, stream.left)
        stream.left -= step
        size -= step
        stream.is_crc_whole, stream.keep_left, stream.keep_at = 0, 0, -1
        state = stream.state
        if (state == HEADER_DIGEST and stream.has_header_digest == DIGEST_UNKNOWN) or (
            state == DATA_DIGEST and stream.has_data_digest == DIGEST_UNKNOWN
        ):
            begin_search(frames, stream)
        elif stream.left == 0:
            next_part(frames, index, stream)
            if stream.state == HEADER and size > 0:
                _note_lost_header(stream, time_ns, packet)
    return stream.state != SEARCH


@njit(cache=True, nogil=True)
def _note_lost_header(stream: Record, time_ns: int, packet: int) -> None:
    stream.headers_lost += 1
    if stream.headers_lost == 1:
        stream.first_lost_packet, stream.first_lost_ns = packet, time_ns


@njit(cache=True, nogil=True)
def note_hole(
    frames: Frames, index: int, size: int, is_kept: bool, time_ns: int, packet: int, file_index: int
) -> None:
    """Write down bytes that the recorder lost."""
    hole = frames.holes[frames.used[HOLES_USED]]
    frames.used[HOLES_USED] += 1
    hole.stream, hole.at_ns, hole.file_index, hole.packet = index, time_ns, file_index, packet
    hole.lost_bytes, hole.is_framing_kept = size, wide(is_kept)


@njit(cache=True, nogil=True)
def finish_framing(frames: Frames, first: int, end: int) -> None:
    """Nothing more comes for streams ``first`` to ``end``: settle what is still open."""
    for index in range(first, end):
        stream = frames.streams[index]
        if stream.is_open:
            if stream.row >= 0:
                frames.rows[stream.row].time_last_ns = stream.last_ns
            confirm_late(frames, index)

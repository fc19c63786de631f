"""HeaderDigest and DataDigest as negotiated, read from login text byte by byte (RFC 7143 section 13.1).

These two keys change the framing, so the framing itself must know them; a key may be split over PDUs
and packets, hence a small automaton instead of a parser. A list of values is an offer and a single value an
answer, except that an initiator's single value counts only where the target had offered a list.
All other keys are read by ``analyzer.iscsi.text`` from the PDUs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.byte_order import wide
from analyzer.compilation import njit
from analyzer.iscsi.recognition import TARGET

_HEADER_KEY, _DATA_KEY = 1, 2
_HEADER_TEXT = np.frombuffer(b"HeaderDigest=", np.uint8).copy()
_DATA_TEXT = np.frombuffer(b"DataDigest=", np.uint8).copy()


@njit(cache=True, nogil=True)
def restart_text(stream: Any) -> None:
    """The next byte begins a key."""
    stream.text_at = 0
    stream.text_keys = _HEADER_KEY | _DATA_KEY
    stream.text_value = 0
    stream.text_is_list = 0


@njit(cache=True, nogil=True)
def take_text_byte(connection: Any, stream: Any, value: int) -> None:
    """One byte of login text that the sender of ``stream`` sent."""
    if value == 0:
        _end_pair(connection, stream)
        restart_text(stream)
        return
    at = stream.text_at
    keys = stream.text_keys
    if at < len(_HEADER_TEXT) and keys & _HEADER_KEY and value != _HEADER_TEXT[at]:
        keys &= ~_HEADER_KEY
    if at < len(_DATA_TEXT) and keys & _DATA_KEY and value != _DATA_TEXT[at]:
        keys &= ~_DATA_KEY
    stream.text_keys = keys
    stream.text_at = at + 1
    key_length = len(_HEADER_TEXT) if keys == _HEADER_KEY else len(_DATA_TEXT)
    if at == key_length:
        stream.text_value = value
    if value == 44:  # a comma
        stream.text_is_list = 1


@njit(cache=True, nogil=True)
def _end_pair(connection: Any, stream: Any) -> None:
    key = stream.text_keys
    if stream.text_value == 0 or (key != _HEADER_KEY and key != _DATA_KEY):
        return
    if stream.text_is_list:
        if stream.role == TARGET:
            connection.offered_keys |= key
        return
    if stream.role != TARGET and not connection.offered_keys & key:
        return
    chosen = wide(stream.text_value == 67)  # the C of CRC32C
    if key == _HEADER_KEY:
        connection.negotiated_header = chosen
    else:
        connection.negotiated_data = chosen

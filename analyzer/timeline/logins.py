"""Logins: from the Login PDUs of each connection to what was asked for, answered and decided.

Decides when a login is complete or refused and what both sides said. Does not know which session
a login belongs to; that is the session tracker's. Rules: RFC 7143 sections 6.3 and 11.12, 11.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import (
    LOGIN_CONTINUE_BIT,
    LOGIN_REQUEST,
    LOGIN_RESPONSE,
    LOGIN_TRANSIT_BIT,
    OPCODE_MASK,
    view,
)
from analyzer.iscsi.opcodes import Opcode
from analyzer.iscsi.text_keys import parse_text

_FULL_FEATURE_PHASE = 3
_NEXT_STAGE_MASK = 0x03
_TEXT_LIMIT_BYTES = 1 << 20


@dataclass(slots=True)
class Login:
    """One login of one connection, as far as it was recorded."""

    connection_index: int
    started_ns: int
    last_ns: int
    packet: int
    isid: str
    tsih_requested: int | None = None
    tsih: int | None = None
    cid: int | None = None
    requests: int = 0
    offered: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    status_class: int | None = None
    status_detail: int | None = None
    is_complete: bool = False
    """It reached the full feature phase."""
    is_final_response_lost: bool = False
    """That it did is known from the later traffic only."""

    @property
    def is_recorded_whole(self) -> bool:
        """Whether its first request and its final response were recorded."""
        return self.is_complete and not self.is_final_response_lost and self.tsih_requested is not None

    @property
    def is_refused(self) -> bool:
        """Whether a status other than success was answered (a redirection is one)."""
        return bool(self.status_class)

    @property
    def is_leading(self) -> bool:
        """Whether it asks for a new session; a login whose request was not seen is not taken for one."""
        return self.tsih_requested == 0

    @property
    def is_discovery(self) -> bool:
        """Whether it asks for a discovery session (RFC 7143 section 13.21)."""
        return self.offered.get("SessionType") == "Discovery"


@dataclass(slots=True)
class _Texts:
    """Text of one direction that waits for the PDU that ends it (the C bit, section 11.12.2)."""

    pending: bytearray = field(default_factory=bytearray)

    def add(self, segment: bytes, is_continued: bool) -> dict[str, str]:
        if len(self.pending) + len(segment) <= _TEXT_LIMIT_BYTES:
            self.pending += segment
        if is_continued:
            return {}
        whole = bytes(self.pending)
        self.pending.clear()
        return parse_text(whole)


def track_logins(decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8]) -> list[Login]:
    """All logins in order of their first PDU. ``opcodes`` has shape (n,), one per PDU."""
    logins: dict[int, Login] = {}
    texts: dict[tuple[int, bool], _Texts] = {}
    members = np.flatnonzero((opcodes == Opcode.LOGIN_REQUEST) | (opcodes == Opcode.LOGIN_RESPONSE))
    for pdu, said in zip(members.tolist(), _words_of(decoded, members), strict=True):
        login = logins.get(said.connection)
        if login is None:
            login = Login(said.connection, said.time_ns, said.time_last_ns, said.packet, said.isid.hex())
            logins[said.connection] = login
        if login.is_complete or login.is_refused:
            continue
        text = texts.setdefault((said.connection, said.is_response), _Texts())
        keys = text.add(decoded.pdus.segment(pdu), bool(said.flags & LOGIN_CONTINUE_BIT))
        login.last_ns, login.packet = said.time_last_ns, said.packet
        if said.is_response:
            _hear_response(login, said, keys)
        else:
            _hear_request(login, said, keys)
    return list(logins.values())


class _Words(NamedTuple):
    """The fields of one Login PDU; ``tsih`` stands in both kinds, ``cid`` and the status in one each."""

    connection: int
    time_ns: int
    time_last_ns: int
    packet: int
    is_response: bool
    isid: bytes
    flags: int
    tsih: int
    cid: int
    status_class: int
    status_detail: int


def _words_of(decoded: DecodedCapture, members: npt.NDArray[np.int64]) -> Iterator[_Words]:
    """Column by column, since thousands of connections log in."""
    pdus, gathered = decoded.pdus, decoded.scratch.gathered
    headers = gathered(pdus.headers, members)
    requests, responses = view(headers, LOGIN_REQUEST), view(headers, LOGIN_RESPONSE)
    columns = (
        *(
            gathered(column, members)
            for column in (pdus.connection_index, pdus.time_ns, pdus.time_last_ns, pdus.packet)
        ),
        requests["opcode_byte"] & OPCODE_MASK == Opcode.LOGIN_RESPONSE,
        np.ascontiguousarray(requests["isid"]).view("V6").reshape(-1),
        *(requests[name] for name in ("flags", "tsih", "cid")),
        *(responses[name] for name in ("status_class", "status_detail")),
    )
    return map(_Words._make, zip(*(column.tolist() for column in columns), strict=True))


def _hear_request(login: Login, request: _Words, said: dict[str, str]) -> None:
    if login.requests == 0 and login.status_class is None:
        login.tsih_requested = request.tsih
        login.cid = request.cid
    login.requests += 1
    for key, value in said.items():
        login.offered.setdefault(key, value)


def _hear_response(login: Login, response: _Words, said: dict[str, str]) -> None:
    login.status_class = response.status_class
    login.status_detail = response.status_detail
    for key, value in said.items():
        # Some targets answer NotUnderstood late to what they had answered before.
        login.answered.setdefault(key, value)
    is_last = bool(response.flags & LOGIN_TRANSIT_BIT)
    is_last &= response.flags & _NEXT_STAGE_MASK == _FULL_FEATURE_PHASE
    if login.status_class == 0 and is_last:
        login.is_complete = True
        login.tsih = response.tsih

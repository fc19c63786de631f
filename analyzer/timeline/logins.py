"""Logins: from the Login PDUs of each connection to what was asked for, answered and decided.

Decides when a login is complete or refused and what both sides said. Does not know which session
a login belongs to; that is the session tracker's. Rules: RFC 7143 sections 6.3 and 11.12, 11.13.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import PduColumns
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


def track_logins(pdus: PduColumns, opcodes: npt.NDArray[np.uint8]) -> list[Login]:
    """All logins in order of their first PDU. ``opcodes`` has shape (n,), one per PDU."""
    logins: dict[int, Login] = {}
    texts: dict[tuple[int, bool], _Texts] = {}
    members = np.flatnonzero((opcodes == Opcode.LOGIN_REQUEST) | (opcodes == Opcode.LOGIN_RESPONSE))
    requests = view(pdus.headers[members], LOGIN_REQUEST)
    responses = view(pdus.headers[members], LOGIN_RESPONSE)
    for position, pdu in enumerate(members.tolist()):
        connection = int(pdus.connection_index[pdu])
        is_response = int(requests["opcode_byte"][position]) & OPCODE_MASK == Opcode.LOGIN_RESPONSE
        login = logins.get(connection)
        if login is None:
            login = Login(
                connection,
                int(pdus.time_ns[pdu]),
                int(pdus.time_last_ns[pdu]),
                int(pdus.packet[pdu]),
                requests["isid"][position].tobytes().hex(),
            )
            logins[connection] = login
        if login.is_complete or login.is_refused:
            continue
        flags = int(requests["flags"][position])
        text = texts.setdefault((connection, is_response), _Texts())
        said = text.add(pdus.segment(pdu), bool(flags & LOGIN_CONTINUE_BIT))
        login.last_ns = int(pdus.time_last_ns[pdu])
        login.packet = int(pdus.packet[pdu])
        if is_response:
            _hear_response(login, responses[position], flags, said)
        else:
            _hear_request(login, requests[position], said)
    return list(logins.values())


def _hear_request(login: Login, request: np.void, said: dict[str, str]) -> None:
    if login.requests == 0 and login.status_class is None:
        login.tsih_requested = int(request["tsih"])
        login.cid = int(request["cid"])
    login.requests += 1
    for key, value in said.items():
        login.offered.setdefault(key, value)


def _hear_response(login: Login, response: np.void, flags: int, said: dict[str, str]) -> None:
    login.status_class = int(response["status_class"])
    login.status_detail = int(response["status_detail"])
    for key, value in said.items():
        # Some targets answer NotUnderstood late to what they had answered before.
        login.answered.setdefault(key, value)
    is_last = bool(flags & LOGIN_TRANSIT_BIT) and flags & _NEXT_STAGE_MASK == _FULL_FEATURE_PHASE
    if login.status_class == 0 and is_last:
        login.is_complete = True
        login.tsih = int(response["tsih"])

"""Logouts: what was asked to be closed, and what the target said (RFC 7143 sections 11.14 and 11.15).

Decides nothing about connections: some targets close another connection than the one that was named,
so the session tracker weighs the answer against the later traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import LOGOUT_REQUEST, LOGOUT_RESPONSE, view
from analyzer.iscsi.opcodes import Opcode
from analyzer.timeline.exchanges import pair_exchanges

CLOSE_SESSION = 0
CLOSE_CONNECTION = 1
REMOVE_FOR_RECOVERY = 2

_REASON_MASK = 0x7F


@dataclass(slots=True)
class Logout:
    """One Logout request with its answer."""

    connection_index: int
    at_ns: int
    packet: int
    reason: int
    cid: int
    response: int | None = None
    response_ns: int | None = None
    time2wait_s: int | None = None
    time2retain_s: int | None = None

    @property
    def is_granted(self) -> bool:
        """Whether the target said that it closed what was named."""
        return self.response == 0


def track_logouts(decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8]) -> list[Logout]:
    """All logouts in order of their requests. ``opcodes`` has shape (n,), one per PDU."""
    logouts = []
    pdus = decoded.pdus
    for request_pdu, response_pdu in pair_exchanges(
        decoded, opcodes, Opcode.LOGOUT_REQUEST, Opcode.LOGOUT_RESPONSE
    ):
        request = view(pdus.headers[request_pdu : request_pdu + 1], LOGOUT_REQUEST)[0]
        logout = Logout(
            int(pdus.connection_index[request_pdu]),
            int(pdus.time_ns[request_pdu]),
            int(pdus.packet[request_pdu]),
            int(request["flags"]) & _REASON_MASK,
            int(request["cid"]),
        )
        if response_pdu is not None:
            response = view(pdus.headers[response_pdu : response_pdu + 1], LOGOUT_RESPONSE)[0]
            logout.response = int(response["response"])
            logout.response_ns = int(pdus.time_last_ns[response_pdu])
            logout.time2wait_s = int(response["time2wait"])
            logout.time2retain_s = int(response["time2retain"])
        logouts.append(logout)
    return logouts

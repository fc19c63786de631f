"""Requests and their answers on one connection, for the rare PDUs that come in such pairs.

Decides which response answers which request: the first one behind it on the same connection with
the same task tag. Does not know what is asked or answered.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import BASIC, view


def pair_exchanges(
    decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8], request_opcode: int, response_opcode: int
) -> list[tuple[int, int | None]]:
    """PDU numbers of every request with that of its response, None where none was seen.

    In order of the requests. A tag that is used again before an answer leaves the earlier one open.
    """
    members = np.flatnonzero((opcodes == request_opcode) | (opcodes == response_opcode))
    pdus, gathered = decoded.pdus, decoded.scratch.gathered
    tags = view(gathered(pdus.headers, members), BASIC)["initiator_task_tag"].astype(np.int64)
    keys = gathered(pdus.connection_index, members).astype(np.int64) << 32 | tags
    is_request = opcodes[members] == request_opcode
    waiting: dict[int, int] = {}
    pairs: list[tuple[int, int | None]] = []
    for pdu, key, is_asking in zip(members.tolist(), keys.tolist(), is_request.tolist(), strict=True):
        if is_asking:
            waiting[key] = len(pairs)
            pairs.append((pdu, None))
        elif key in waiting:
            number = waiting.pop(key)
            pairs[number] = (pairs[number][0], pdu)
    return pairs

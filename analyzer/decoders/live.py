"""What is going on, while it is being recorded: running totals over the PDUs found so far.

Counts commands, completions, data, task management, commands outstanding, and commands that lay at
the target for a lower CmdSN. Quick and near enough to watch: the analysis of the finished recording
is the word that counts. Sessions are told by ISID and TSIH of the logins that were seen. Reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.pipeline import Pipeline
from analyzer.iscsi.headers import (
    DATA_IN_STATUS_BIT,
    FROM_INITIATOR,
    IMMEDIATE_BIT,
    OPCODE_MASK,
    data_length,
    view,
)
from analyzer.iscsi.opcodes import Opcode
from analyzer.network.connections import CONNECTION_COUNT, END_OPEN

REMEMBERED_COMMANDS = 1024
"""CmdSNs of a session that are still looked at when a lower one comes in late."""

Int64s = npt.NDArray[np.int64]
Headers = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Totals since the recording began; ``outstanding`` is of this moment."""

    commands: int = 0
    completions: int = 0
    data_bytes: int = 0
    task_management: int = 0
    order_waits: int = 0
    outstanding: int = 0
    connections: int = 0


@dataclass(slots=True)
class _SessionOrder:
    """CmdSNs of one session in order of arrival, and whether each was found to have waited."""

    numbers: Int64s
    has_waited: npt.NDArray[np.bool_]


class LiveCounter:
    """Counts what a pipeline has settled; the rows are taken out of it, so memory stays flat."""

    def __init__(self, pipeline: Pipeline) -> None:
        """``pipeline`` is fed by the caller."""
        self._pipeline = pipeline
        self._figures = LiveFigures()
        self._in_flight = np.zeros(0, np.int64)  # by connection
        self._session_of: dict[int, bytes] = {}
        self._orders: dict[bytes, _SessionOrder] = {}

    def figures(self) -> LiveFigures:
        """Take in what is new, and give the totals."""
        rows = self._pipeline.take_settled()
        rows = rows[rows["is_void"] == 0]
        headers = np.ascontiguousarray(rows["header"])
        connections = rows["stream"].astype(np.int64) >> 1
        opcodes = (headers[:, 0] & OPCODE_MASK).astype(np.uint8)
        is_command = opcodes == Opcode.SCSI_COMMAND
        is_completion = (opcodes == Opcode.SCSI_RESPONSE) | (
            (opcodes == Opcode.DATA_IN) & (headers[:, 1] & DATA_IN_STATUS_BIT != 0)
        )
        carries_data = is_command | np.isin(opcodes, (Opcode.DATA_IN, Opcode.DATA_OUT))
        waits = self._count_order_waits(headers, opcodes, connections)
        before = self._figures
        self._figures = LiveFigures(
            commands=before.commands + int(is_command.sum()),
            completions=before.completions + int(is_completion.sum()),
            data_bytes=before.data_bytes
            + int(data_length(view(headers[carries_data], FROM_INITIATOR)).sum()),
            task_management=before.task_management + int((opcodes == Opcode.TASK_MANAGEMENT_REQUEST).sum()),
            order_waits=before.order_waits + waits,
            outstanding=self._count_outstanding(connections[is_command], connections[is_completion]),
            connections=self._count_connections(),
        )
        return self._figures

    def _count_outstanding(self, commands: Int64s, completions: Int64s) -> int:
        count = int(self._pipeline.table.counters[CONNECTION_COUNT])
        if count > len(self._in_flight):
            self._in_flight = np.concatenate(
                [self._in_flight, np.zeros(count - len(self._in_flight), np.int64)]
            )
        np.add.at(self._in_flight, commands, 1)
        np.subtract.at(self._in_flight, completions, 1)
        # A completion whose command was sent before the recording began leaves nothing outstanding.
        np.maximum(self._in_flight, 0, out=self._in_flight)
        self._in_flight[self._pipeline.table.connections["end"][: len(self._in_flight)] != END_OPEN] = 0
        return int(self._in_flight.sum())

    def _count_connections(self) -> int:
        count = int(self._pipeline.table.counters[CONNECTION_COUNT])
        is_open = self._pipeline.table.connections["end"][:count] == END_OPEN
        return int((is_open & (self._pipeline.frames.streams["is_accepted"][0 : 2 * count : 2] == 1)).sum())

    def _count_order_waits(
        self, headers: Headers, opcodes: npt.NDArray[np.uint8], connections: Int64s
    ) -> int:
        for row in np.flatnonzero((opcodes == Opcode.LOGIN_RESPONSE) & (headers[:, 36] == 0)).tolist():
            # ISID and TSIH stand side by side; the TSIH of a new session comes with its last response.
            if headers[row, 14:16].any():
                self._session_of[int(connections[row])] = headers[row, 8:16].tobytes()
        is_ordered = (opcodes == Opcode.SCSI_COMMAND) & (headers[:, 0] & IMMEDIATE_BIT == 0)
        waits = 0
        for session, members in self._sessions_among(connections[is_ordered]):
            chosen = is_ordered & np.isin(connections, members)
            numbers = view(headers[chosen], FROM_INITIATOR)["cmd_sn"].astype(np.int64)
            order = self._orders.get(session)
            self._orders[session], more = with_arrivals(order, numbers)
            waits += more
        return waits

    def _sessions_among(self, connections: Int64s) -> list[tuple[bytes, list[int]]]:
        members: dict[bytes, list[int]] = {}
        for connection in np.unique(connections).tolist():
            if session := self._session_of.get(connection):
                members.setdefault(session, []).append(connection)
        return list(members.items())


def with_arrivals(order: _SessionOrder | None, numbers: Int64s) -> tuple[_SessionOrder, int]:
    """Append CmdSNs in order of arrival: the remembered tail, and how many newly turn out to have waited.

    A command waits where a lower CmdSN comes in after it (RFC 7143 section 4.2.2.1); one that is sent
    again under its CmdSN counts where it came first.
    """
    known = order.numbers if order is not None else np.zeros(0, np.int64)
    has_waited = order.has_waited if order is not None else np.zeros(0, np.bool_)
    together = np.concatenate([known, numbers])
    _, firsts = np.unique(together, return_index=True)
    firsts.sort()
    flags = np.concatenate([has_waited, np.zeros(len(numbers), np.bool_)])[firsts]
    together = together[firsts]
    # Serial numbers wrap: count from the first one.
    steps = ((together - together[:1] + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    lowest_behind = np.minimum.accumulate(steps[::-1])[::-1]
    waits = np.zeros(len(steps), np.bool_)
    waits[:-1] = steps[:-1] > lowest_behind[1:]
    more = int((waits & ~flags).sum())
    tail = slice(-REMEMBERED_COMMANDS, None)
    return _SessionOrder(together[tail], (waits | flags)[tail]), more

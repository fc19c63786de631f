"""Task management functions: what was asked for, what was answered, and which tasks could be meant.

Decides the scope of each function. Does not decide what became of a task: responses are often wrong
(LIO answers 255 to a reassignment that it accepts), so that is judged from the task's later traffic.
Rules: RFC 7143 sections 11.5 and 11.6, SAM-5 section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import TASK_MANAGEMENT_REQUEST, TASK_MANAGEMENT_RESPONSE, view
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.scsi.logical_units import lun_numbers
from analyzer.timeline.exchanges import pair_exchanges

ABORT_TASK = 1
ABORT_TASK_SET = 2
CLEAR_TASK_SET = 4
LOGICAL_UNIT_RESET = 5
TARGET_WARM_RESET = 6
TARGET_COLD_RESET = 7
TASK_REASSIGN = 8
NEXUS_RESET = 11

SET_FUNCTIONS = (
    ABORT_TASK_SET,
    CLEAR_TASK_SET,
    LOGICAL_UNIT_RESET,
    TARGET_WARM_RESET,
    TARGET_COLD_RESET,
    NEXUS_RESET,
)
"""Functions that end many tasks at once."""
REACHING_OTHERS = (LOGICAL_UNIT_RESET, TARGET_WARM_RESET, TARGET_COLD_RESET)
"""Functions that end the tasks of other nexuses too. CLEAR TASK SET does so only where the logical unit
keeps one task set for all (TST 0), which a capture seldom shows."""
WHOLE_TARGET = (TARGET_WARM_RESET, TARGET_COLD_RESET)
WHOLE_NEXUS = (NEXUS_RESET,)

FUNCTION_MASK = 0x7F


@dataclass(slots=True)
class TaskManagement:
    """One task management request with its answer."""

    connection_index: int
    pdu: int
    at_ns: int
    packet: int
    function: int
    lun: int
    referenced_task_tag: int | None
    referenced_cmd_sn: int
    response: int | None = None
    response_ns: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether the target said that it did it; 7 is the success of the queries of RFC 7144."""
        return self.response in (0, 7)


def track_task_management(decoded: DecodedCapture, opcodes: npt.NDArray[np.uint8]) -> list[TaskManagement]:
    """All functions in order of their requests. ``opcodes`` has shape (n,), one per PDU."""
    functions = []
    pdus = decoded.pdus
    for request_pdu, response_pdu in pair_exchanges(
        decoded, opcodes, Opcode.TASK_MANAGEMENT_REQUEST, Opcode.TASK_MANAGEMENT_RESPONSE
    ):
        request = view(pdus.headers[request_pdu : request_pdu + 1], TASK_MANAGEMENT_REQUEST)[0]
        tag = int(request["referenced_task_tag"])
        function = TaskManagement(
            int(pdus.connection_index[request_pdu]),
            request_pdu,
            int(pdus.time_ns[request_pdu]),
            int(pdus.packet[request_pdu]),
            int(request["flags"]) & FUNCTION_MASK,
            int(lun_numbers(np.array([request["lun"]], np.uint64))[0]),
            None if tag == RESERVED_TAG else tag,
            int(request["ref_cmd_sn"]),
        )
        if response_pdu is not None:
            response = view(pdus.headers[response_pdu : response_pdu + 1], TASK_MANAGEMENT_RESPONSE)[0]
            function.response = int(response["response"])
            function.response_ns = int(pdus.time_last_ns[response_pdu])
        functions.append(function)
    return functions

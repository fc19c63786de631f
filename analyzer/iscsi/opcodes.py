"""Opcodes and the small code tables of RFC 7143 section 11, as data.

What a code means is decided here once; trackers, reports and diagnostics take the words from
these tables. A code that is not in a table is shown by its number, never as an error.
"""

from __future__ import annotations

from enum import IntEnum


class Opcode(IntEnum):
    """The low six bits of byte 0 (RFC 7143 section 11.2.1.2)."""

    NOP_OUT = 0x00
    SCSI_COMMAND = 0x01
    TASK_MANAGEMENT_REQUEST = 0x02
    LOGIN_REQUEST = 0x03
    TEXT_REQUEST = 0x04
    DATA_OUT = 0x05
    LOGOUT_REQUEST = 0x06
    SNACK_REQUEST = 0x10
    NOP_IN = 0x20
    SCSI_RESPONSE = 0x21
    TASK_MANAGEMENT_RESPONSE = 0x22
    LOGIN_RESPONSE = 0x23
    TEXT_RESPONSE = 0x24
    DATA_IN = 0x25
    LOGOUT_RESPONSE = 0x26
    R2T = 0x31
    ASYNC_MESSAGE = 0x32
    REJECT = 0x3F


OPCODE_NAMES: dict[int, str] = {
    Opcode.NOP_OUT: "NOP-Out",
    Opcode.SCSI_COMMAND: "SCSI Command",
    Opcode.TASK_MANAGEMENT_REQUEST: "Task Management Function Request",
    Opcode.LOGIN_REQUEST: "Login Request",
    Opcode.TEXT_REQUEST: "Text Request",
    Opcode.DATA_OUT: "SCSI Data-Out",
    Opcode.LOGOUT_REQUEST: "Logout Request",
    Opcode.SNACK_REQUEST: "SNACK Request",
    Opcode.NOP_IN: "NOP-In",
    Opcode.SCSI_RESPONSE: "SCSI Response",
    Opcode.TASK_MANAGEMENT_RESPONSE: "Task Management Function Response",
    Opcode.LOGIN_RESPONSE: "Login Response",
    Opcode.TEXT_RESPONSE: "Text Response",
    Opcode.DATA_IN: "SCSI Data-In",
    Opcode.LOGOUT_RESPONSE: "Logout Response",
    Opcode.R2T: "R2T",
    Opcode.ASYNC_MESSAGE: "Asynchronous Message",
    Opcode.REJECT: "Reject",
}

RESERVED_TAG = 0xFFFFFFFF
"""The tag value that names no task (RFC 7143 section 11.2.1.8)."""

TASK_MANAGEMENT_FUNCTIONS: dict[int, str] = {
    1: "ABORT TASK",
    2: "ABORT TASK SET",
    3: "CLEAR ACA",
    4: "CLEAR TASK SET",
    5: "LOGICAL UNIT RESET",
    6: "TARGET WARM RESET",
    7: "TARGET COLD RESET",
    8: "TASK REASSIGN",
    # RFC 7144 section 4.2
    9: "QUERY TASK",
    10: "QUERY TASK SET",
    11: "I_T NEXUS RESET",
    12: "QUERY ASYNCHRONOUS EVENT",
}

TASK_MANAGEMENT_RESPONSES: dict[int, str] = {
    0: "function complete",
    1: "task does not exist",
    2: "LUN does not exist",
    3: "task still allegiant",
    4: "task allegiance reassignment not supported",
    5: "function not supported",
    6: "function authorization failed",
    7: "function succeeded",
    255: "function rejected",
}

LOGOUT_REASONS: dict[int, str] = {
    0: "close the session",
    1: "close the connection",
    2: "remove the connection for recovery",
}

LOGOUT_RESPONSES: dict[int, str] = {
    0: "closed successfully",
    1: "CID not found",
    2: "connection recovery not supported",
    3: "cleanup failed",
}

LOGIN_STATUSES: dict[tuple[int, int], str] = {
    (0, 0): "success",
    (1, 1): "target moved temporarily",
    (1, 2): "target moved permanently",
    (2, 0): "initiator error",
    (2, 1): "authentication failure",
    (2, 2): "authorization failure",
    (2, 3): "target not found",
    (2, 4): "target removed",
    (2, 5): "unsupported version",
    (2, 6): "too many connections",
    (2, 7): "missing parameter",
    (2, 8): "cannot include in session",
    (2, 9): "session type not supported",
    (2, 10): "session does not exist",
    (2, 11): "invalid during login",
    (3, 0): "target error",
    (3, 1): "service unavailable",
    (3, 2): "out of resources",
}

ASYNC_EVENTS: dict[int, str] = {
    0: "SCSI asynchronous event",
    1: "target requests logout",
    2: "target drops a connection",
    3: "target drops all connections of the session",
    4: "target requests negotiation",
    5: "all active tasks of a LUN are being terminated",
    248: "vendor specific",
    255: "vendor specific",
}

REJECT_REASONS: dict[int, str] = {
    0x02: "data digest error",
    0x03: "SNACK reject",
    0x04: "protocol error",
    0x05: "command not supported",
    0x06: "immediate command reject",
    0x07: "task in progress",
    0x08: "invalid data ACK",
    0x09: "invalid PDU field",
    0x0A: "long operation reject",
    0x0B: "negotiation reset",
    0x0C: "waiting for logout",
}

SNACK_TYPES: dict[int, str] = {0: "Data/R2T", 1: "Status", 2: "DataACK", 3: "R-Data"}

TASK_ATTRIBUTES: dict[int, str] = {
    0: "untagged",
    1: "simple",
    2: "ordered",
    3: "head-of-queue",
    4: "aca",
}


def name_of(table: dict[int, str], code: int) -> str:
    """The word for ``code``, or its number where the table has none."""
    return table.get(code, f"code {code}")

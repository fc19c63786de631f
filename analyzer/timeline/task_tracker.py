"""Tasks: one row per SCSI command, followed through tags, connections and attempts.

Decides which PDU belongs to which task: by session and life of the task tag, never by TCP connection.
A command PDU with the tag, CmdSN and CDB of the tag's latest task is another attempt at that task;
any other begins a new one. When the target goes on with a task on another connection, the task has
moved there, whatever a TASK REASSIGN response said. Does not know why a task was left unanswered.
Rules: RFC 7143 sections 4.2.2.1 (CmdSN), 4.2.5.1 (allegiance), 7.2 (retry and reassignment).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.decoders.decoded import PduColumns
from analyzer.iscsi.headers import DATA_IN_STATUS_BIT, TASK_MANAGEMENT_REQUEST, view
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.scratch import Scratch
from analyzer.timeline.numbering import number_keys

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

# Columns of the matrix of tasks; -1 stands for never until the tables are built.
(
    SESSION,
    FIRST_CONNECTION,
    CONNECTION,  # that holds the allegiance now
    LEFT_CONNECTION,  # that held it before
    COMMAND_PDU,
    ARRIVED_NS,  # the attempt that the target took was whole
    RESPONSE_PDU,
    FIRST_R2T_NS,
    FIRST_DATA_NS,
    LAST_DATA_NS,
    READ_BYTES,
    WRITTEN_BYTES,
    UNSOLICITED_BYTES,
    R2TS,
    DATA_INS,
    DATA_OUTS,
    RETRIES,
    REASSIGNMENTS,
    REOPENED,  # 1 while an answer after the one seen is awaited
    REUSED_NS,  # its tag was given to another command while it was unanswered
    FIELDS,
) = range(21)

_COMMAND = int(Opcode.SCSI_COMMAND)
_RESPONSE = int(Opcode.SCSI_RESPONSE)
_DATA_IN = int(Opcode.DATA_IN)
_DATA_OUT = int(Opcode.DATA_OUT)
_R2T = int(Opcode.R2T)
_SNACK = int(Opcode.SNACK_REQUEST)
_TASK_MANAGEMENT = int(Opcode.TASK_MANAGEMENT_REQUEST)
_TASK_OPCODES = (_COMMAND, _RESPONSE, _DATA_IN, _DATA_OUT, _R2T, _SNACK, _TASK_MANAGEMENT)
_TASK_REASSIGN = 8
_FUNCTION_MASK = 0x7F
_IMMEDIATE = 0x40
_HALF = 1 << 31
_WORD = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class TrackedTasks:
    """Tasks as a matrix of whole numbers, and what each PDU had to do with them."""

    matrix: Int64s
    """Shape (tasks, FIELDS); a task's row number is its task_index."""
    pdu_task: Int32s
    """Shape (n,): the task of each PDU, -1 for none. A task management request has the task it names."""
    moved_from: Int32s
    """Shape (n,): the connection that lost the task's allegiance with this PDU, -1 for none."""
    orphans: Int64s
    """PDUs that name a tag of which no open command was seen."""


def track_tasks(
    pdus: PduColumns,
    opcodes: npt.NDArray[np.uint8],
    session_of_connection: Int32s,
    closed_ns: Int64s,
    data_length: Int32s,
    scratch: Scratch,
) -> TrackedTasks:
    """Follow every task.

    ``opcodes`` and ``data_length`` have shape (n,), ``session_of_connection`` (-1 without a session) and
    ``closed_ns`` (the largest number for one that stayed open) have one entry per connection.
    """
    is_relevant = np.isin(opcodes, np.array(_TASK_OPCODES, np.uint8))
    is_relevant &= session_of_connection[pdus.connection_index] >= 0
    members = scratch.moved(np.flatnonzero(is_relevant))
    pdu_task = scratch.moved(np.full(len(pdus), -1, np.int32))
    moved_from = scratch.moved(np.full(len(pdus), -1, np.int32))
    commands = int(np.count_nonzero(opcodes[members] == _COMMAND))
    # Column by column, since what follows asks for one field of all tasks.
    columns = scratch.empty((FIELDS, commands), np.int64)
    for step in scratch.steps(commands):
        columns[:, step] = -1
    headers = np.ascontiguousarray(pdus.headers)
    tags, tag_count = _number_tags(pdus, opcodes, members, session_of_connection, scratch)
    sessions = int(session_of_connection.max(initial=-1)) + 1
    latest = np.full(tag_count, -1, np.int32)
    acknowledged = np.full(max(sessions, 1), -1, np.int64)
    tasks = 0
    for step in scratch.steps(len(members)):
        tasks = _track(
            members[step],
            opcodes,
            headers,
            pdus.connection_index,
            session_of_connection,
            closed_ns,
            pdus.time_ns,
            pdus.time_last_ns,
            data_length,
            pdus.is_complete,
            tags[step],
            latest,
            acknowledged,
            tasks,
            columns,
            pdu_task,
            moved_from,
        )
    is_orphan = pdu_task[members] < 0
    is_orphan &= np.isin(opcodes[members], np.array((_RESPONSE, _DATA_IN, _DATA_OUT, _R2T), np.uint8))
    return TrackedTasks(columns.T[:tasks], pdu_task, moved_from, members[is_orphan])


def _number_tags(
    pdus: PduColumns,
    opcodes: npt.NDArray[np.uint8],
    members: Int64s,
    session_of_connection: Int32s,
    scratch: Scratch,
) -> tuple[Int32s, int]:
    """Session and task tag of each member as one small number, shape (members,); and how many there are.

    A task management request counts under the tag that it refers to.
    """
    requests = view(pdus.headers, TASK_MANAGEMENT_REQUEST)
    key = scratch.empty(len(members), np.int64)
    for step in scratch.steps(len(members)):
        own = members[step]
        tag = requests["initiator_task_tag"][own].astype(np.int64)
        is_management = opcodes[own] == _TASK_MANAGEMENT
        tag[is_management] = requests["referenced_task_tag"][own[is_management]]
        key[step] = session_of_connection[pdus.connection_index[own]].astype(np.int64) << 32 | tag
    numbers, count = number_keys(key)
    numbers[key & _WORD == RESERVED_TAG] = -1
    return numbers, count


@njit(cache=True, nogil=True)
def _track(
    members: Int64s,
    opcodes: npt.NDArray[np.uint8],
    headers: npt.NDArray[np.uint8],
    connections: Int32s,
    session_of_connection: Int32s,
    closed_ns: Int64s,
    time_ns: Int64s,
    time_last_ns: Int64s,
    data_length: Int32s,
    is_complete: npt.NDArray[np.bool_],
    tags: Int32s,
    latest: Int32s,
    acknowledged: Int64s,
    tasks: int,
    columns: Int64s,
    pdu_task: Int32s,
    moved_from: Int32s,
) -> int:
    """Walk the members in order of time; gives the number of tasks, of which ``tasks`` were known before.

    ``latest`` is the task of each tag, ``columns`` the tracker's matrix with a row for each field: turned by
    the caller, none and one task would have a layout of their own and be compiled for it.
    """
    matrix = columns.T
    for position in range(len(members)):
        pdu = members[position]
        opcode = opcodes[pdu]
        tag = tags[position]
        connection = connections[pdu]
        session = session_of_connection[connection]
        if opcode >= 0x20:
            _acknowledge(acknowledged, session, _word(headers, pdu, 28))
        if tag < 0:
            continue
        task = latest[tag]
        if opcode == _COMMAND:
            if task >= 0 and _is_same_command(headers, matrix, task, pdu, connection):
                moved_from[pdu] = matrix[task, CONNECTION]
                _retry(matrix, task, connection)
                if not _is_acknowledged(acknowledged[session], _word(headers, pdu, 24)):
                    matrix[task, ARRIVED_NS] = time_last_ns[pdu]
            else:
                if task >= 0 and matrix[task, RESPONSE_PDU] < 0:
                    matrix[task, REUSED_NS] = time_ns[pdu]
                task = tasks
                tasks += 1
                latest[tag] = task
                _begin(matrix, task, session, connection, pdu, time_last_ns[pdu])
            pdu_task[pdu] = task
        elif task >= 0:
            if opcode == _TASK_MANAGEMENT:
                if headers[pdu, 1] & _FUNCTION_MASK == _TASK_REASSIGN:
                    matrix[task, REOPENED] = 1
                pdu_task[pdu] = task
            elif opcode == _SNACK:
                matrix[task, REOPENED] = 1
                pdu_task[pdu] = task
            elif _belongs(matrix, task, connection, opcode >= 0x20, time_ns[pdu], closed_ns):
                if opcode >= 0x20 and connection != matrix[task, CONNECTION]:
                    moved_from[pdu] = matrix[task, CONNECTION]
                    _move(matrix, task, connection)
                    matrix[task, REASSIGNMENTS] += 1
                if is_complete[pdu]:  # else its receiver dropped it
                    _account(
                        matrix, task, pdu, opcode, headers, time_ns[pdu], time_last_ns[pdu], data_length[pdu]
                    )
                pdu_task[pdu] = task
    return tasks


@njit(cache=True, nogil=True)
def _word(headers: npt.NDArray[np.uint8], pdu: int, byte: int) -> np.int64:
    """The 32-bit number at ``byte`` of a header."""
    return (
        (np.int64(headers[pdu, byte]) << 24)
        | (np.int64(headers[pdu, byte + 1]) << 16)
        | (np.int64(headers[pdu, byte + 2]) << 8)
        | np.int64(headers[pdu, byte + 3])
    )


@njit(cache=True, nogil=True)
def _acknowledge(acknowledged: Int64s, session: int, exp_cmd_sn: np.int64) -> None:
    """Keep the serial maximum of the ExpCmdSNs of a session: late connections repeat stale ones."""
    known = acknowledged[session]
    if known < 0 or 0 < (exp_cmd_sn - known) & _WORD < _HALF:
        acknowledged[session] = exp_cmd_sn


@njit(cache=True, nogil=True)
def _is_acknowledged(exp_cmd_sn: np.int64, cmd_sn: np.int64) -> bool:
    """Whether the target is known to have taken ``cmd_sn``: ExpCmdSN lies behind it."""
    return bool(exp_cmd_sn >= 0 and 0 < (exp_cmd_sn - cmd_sn) & _WORD < _HALF)


@njit(cache=True, nogil=True)
def _is_same_command(
    headers: npt.NDArray[np.uint8], matrix: Int64s, task: int, pdu: int, connection: int
) -> bool:
    """Whether a command PDU is another attempt at the latest task of its tag.

    LUN, expected length, CmdSN and CDB must be equal. An immediate command does not use its CmdSN up,
    so the next one may look the same: it is a retry only of an unanswered one, on another connection.
    """
    first = matrix[task, COMMAND_PDU]
    if headers[pdu, 0] & _IMMEDIATE and (
        matrix[task, RESPONSE_PDU] >= 0 or connection == matrix[task, CONNECTION]
    ):
        return False
    difference = 0
    for byte in range(8, 48):
        if not 28 <= byte < 32:  # ExpStatSN belongs to the connection, not to the command
            difference |= headers[pdu, byte] ^ headers[first, byte]
    return bool(difference == 0)


@njit(cache=True, nogil=True)
def _begin(matrix: Int64s, task: int, session: int, connection: int, pdu: int, arrived_ns: int) -> None:
    """Fill the row of a new task."""
    matrix[task, SESSION] = session
    matrix[task, FIRST_CONNECTION] = connection
    matrix[task, CONNECTION] = connection
    matrix[task, COMMAND_PDU] = pdu
    matrix[task, ARRIVED_NS] = arrived_ns
    for field in range(READ_BYTES, REUSED_NS):
        matrix[task, field] = 0


@njit(cache=True, nogil=True)
def _move(matrix: Int64s, task: int, connection: int) -> None:
    """Give the allegiance of a task to another connection."""
    if matrix[task, CONNECTION] != connection:
        matrix[task, LEFT_CONNECTION] = matrix[task, CONNECTION]
        matrix[task, CONNECTION] = connection


@njit(cache=True, nogil=True)
def _retry(matrix: Int64s, task: int, connection: int) -> None:
    """Note that the command was sent again; what was answered before no longer counts."""
    _move(matrix, task, connection)
    matrix[task, RETRIES] += 1
    matrix[task, REOPENED] = 1


@njit(cache=True, nogil=True)
def _belongs(
    matrix: Int64s, task: int, connection: int, is_from_target: bool, at_ns: int, closed_ns: Int64s
) -> bool:
    """Whether a data or response PDU with the tag of ``task`` is part of it.

    On the connection that holds the task: unless it was answered, for then the PDU speaks of a later
    command that was not recorded. On another: if the target may go on there, because reassignment was
    asked for or the holder has ended; but never on the connection that the task has left.
    """
    if connection == matrix[task, LEFT_CONNECTION]:
        return False
    is_reopened = matrix[task, REOPENED] == 1
    if connection == matrix[task, CONNECTION]:
        return bool(is_reopened or matrix[task, RESPONSE_PDU] < 0)
    return is_from_target and bool(is_reopened or at_ns >= closed_ns[matrix[task, CONNECTION]])


@njit(cache=True, nogil=True)
def _account(
    matrix: Int64s,
    task: int,
    pdu: int,
    opcode: int,
    headers: npt.NDArray[np.uint8],
    time_ns: int,
    time_last_ns: int,
    data_length: int,
) -> None:
    """Add a data, R2T or response PDU to its task."""
    if opcode == _R2T:
        matrix[task, R2TS] += 1
        if matrix[task, FIRST_R2T_NS] < 0:
            matrix[task, FIRST_R2T_NS] = time_ns
        return
    if opcode == _RESPONSE:
        matrix[task, RESPONSE_PDU] = pdu
        matrix[task, REOPENED] = 0
        return
    if data_length > 0:
        if matrix[task, FIRST_DATA_NS] < 0:
            matrix[task, FIRST_DATA_NS] = time_ns
        matrix[task, LAST_DATA_NS] = max(matrix[task, LAST_DATA_NS], time_last_ns)
    if opcode == _DATA_IN:
        matrix[task, DATA_INS] += 1
        matrix[task, READ_BYTES] += data_length
        if headers[pdu, 1] & DATA_IN_STATUS_BIT:
            matrix[task, RESPONSE_PDU] = pdu
            matrix[task, REOPENED] = 0
    elif opcode == _DATA_OUT:
        matrix[task, DATA_OUTS] += 1
        matrix[task, WRITTEN_BYTES] += data_length
        if _word(headers, pdu, 20) == RESERVED_TAG:
            matrix[task, UNSOLICITED_BYTES] += data_length

"""One walk over all PDUs that counts breaches of the data transfer and numbering rules.

Decides for each PDU whether it keeps the numbering of its task and connection and the limits that its
session agreed on. What cannot be known (a connection with losses, a value that was not negotiated on
record, a task that was moved or asked for again) is not judged. How a breach is told is ``protocol_lint``'s.
Rules: RFC 7143 sections 4.2.2.2 to 4.2.2.4, 4.2.5, 11.4, 11.7, 11.8 and 13.10 to 13.17.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.iscsi.headers import COMMAND_READ_BIT, COMMAND_WRITE_BIT, DATA_IN_STATUS_BIT, FINAL_BIT
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.scratch import Scratch

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

# Rows of the counts, in the order of protocol_lint.RULES.
(
    STAT_SN_GAP,
    DATA_SN_GAP,
    R2T_SN_GAP,
    SEGMENT_TOO_LONG,
    BURST_TOO_LONG,
    FIRST_BURST_TOO_LONG,
    IMMEDIATE_NOT_ALLOWED,
    UNSOLICITED_NOT_ALLOWED,
    TRANSFER_TAG_UNKNOWN,
    MORE_THAN_ASKED,
    TOO_MANY_R2TS,
    STATUS_OUT_OF_PLACE,
    RESPONSE_CODE_RESERVED,
    RULE_COUNT,
) = range(14)

_COMMAND, _RESPONSE = int(Opcode.SCSI_COMMAND), int(Opcode.SCSI_RESPONSE)
_DATA_IN, _DATA_OUT, _R2T = int(Opcode.DATA_IN), int(Opcode.DATA_OUT), int(Opcode.R2T)
_NOP_IN, _SNACK = int(Opcode.NOP_IN), int(Opcode.SNACK_REQUEST)
_TASK_MANAGEMENT = int(Opcode.TASK_MANAGEMENT_REQUEST)
_FIRST_TARGET_OPCODE = 0x20
_UNKNOWN = -1
_WORD = (1 << 32) - 1
_HALF = 1 << 31
# Statuses of commands that ended without an exception: GOOD, CONDITION MET, INTERMEDIATE and its variant.
_GOOD, _CONDITION_MET, _INTERMEDIATE, _INTERMEDIATE_MET = 0x00, 0x04, 0x10, 0x14
_FIRST_RESERVED_RESPONSE, _FIRST_VENDOR_RESPONSE = 0x02, 0x80


# Columns of what holds on each connection; -1 where it is not known.
(
    IS_JUDGED,
    MAX_BURST,
    FIRST_BURST,
    INITIAL_R2T,
    IMMEDIATE_DATA,
    MAX_R2TS,
    INITIATOR_MAX_RECV,
    TARGET_MAX_RECV,
    AGREEMENT_COUNT,
) = range(9)

# Columns of what is remembered of each task, and of each R2T.
(
    DATA_SN,
    R2T_SN,
    UNSOLICITED_SN,
    BURST,
    UNSOLICITED,
    OPEN_R2TS,
    LATEST_R2T,
    IS_BIDIRECTIONAL,
    _TASK_FIELDS,
) = range(9)
(BEFORE, TAG, LENGTH, RECEIVED, R2T_DATA_SN, _R2T_FIELDS) = range(6)


class LintState(NamedTuple):
    """What is remembered while walking."""

    stat_sn: Int64s
    """The next StatSN of each connection, shape (connections,)."""
    tasks: Int64s
    """Shape (tasks, fields)."""
    r2ts: Int64s
    """Shape (R2Ts, fields); those of one task are a list from its latest backwards."""


def empty_state(connections: int, tasks: int, r2ts: int, scratch: Scratch) -> LintState:
    """Nothing is known yet. What grows with tasks lies in ``scratch``."""
    of_tasks = scratch.empty((tasks, _TASK_FIELDS), np.int64)
    of_r2ts = scratch.empty((r2ts, _R2T_FIELDS), np.int64)
    for array, value in ((of_tasks, _UNKNOWN), (of_r2ts, 0)):
        for step in scratch.steps(len(array)):
            array[step] = value
    return LintState(np.full(connections, _UNKNOWN, np.int64), of_tasks, of_r2ts)


@njit(cache=True, nogil=True)
def walk(
    opcodes: Bytes,
    headers: Bytes,
    connections: Int32s,
    pdu_task: Int32s,
    moved_from: Int32s,
    data_length: Int32s,
    agreed: Int64s,
    stat_sn: Int64s,
    tasks: Int64s,
    asked: Int64s,
    counts: Int64s,
    first: Int64s,
) -> None:
    """Judge every PDU in order; ``counts`` and ``first`` (PDU, -1) have shape (rules, connections).

    ``agreed`` has shape (connections, AGREEMENT_COUNT); ``stat_sn``, ``tasks`` and ``asked`` are the
    parts of an empty state.
    """
    r2ts = 0
    for pdu in range(len(opcodes)):
        connection = connections[pdu]
        if not agreed[connection, IS_JUDGED]:
            continue
        opcode = opcodes[pdu]
        if opcode >= _FIRST_TARGET_OPCODE:
            _judge_stat_sn(opcode, headers, pdu, connection, stat_sn, counts, first)
        task = pdu_task[pdu]
        if task < 0:
            continue
        if moved_from[pdu] >= 0 or opcode in (_SNACK, _TASK_MANAGEMENT):
            _forget(tasks, task)
        if opcode == _COMMAND:
            if moved_from[pdu] < 0:
                _begin(headers, pdu, task, tasks)
            _judge_command(pdu, connection, task, data_length[pdu], agreed, tasks, counts, first)
        elif opcode == _DATA_IN:
            _judge_data_in(headers, pdu, connection, task, data_length[pdu], agreed, tasks, counts, first)
        elif opcode == _DATA_OUT:
            _judge_data_out(
                headers, pdu, connection, task, data_length[pdu], agreed, tasks, asked, counts, first
            )
        elif opcode == _R2T:
            _judge_r2t(headers, pdu, connection, task, r2ts, agreed, tasks, asked, counts, first)
            r2ts += 1
        elif opcode == _RESPONSE:
            response = headers[pdu, 2]
            if _FIRST_RESERVED_RESPONSE <= response < _FIRST_VENDOR_RESPONSE:
                _count(RESPONSE_CODE_RESERVED, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _count(rule: int, pdu: int, connection: int, counts: Int64s, first: Int64s) -> None:
    counts[rule, connection] += 1
    if first[rule, connection] < 0:
        first[rule, connection] = pdu


@njit(cache=True, nogil=True)
def _word(headers: Bytes, pdu: int, byte: int) -> np.int64:
    """The 32-bit number at ``byte`` of a header."""
    return (
        (np.int64(headers[pdu, byte]) << 24)
        | (np.int64(headers[pdu, byte + 1]) << 16)
        | (np.int64(headers[pdu, byte + 2]) << 8)
        | np.int64(headers[pdu, byte + 3])
    )


@njit(cache=True, nogil=True)
def _judge_stat_sn(
    opcode: int, headers: Bytes, pdu: int, connection: int, stat_sns: Int64s, counts: Int64s, first: Int64s
) -> None:
    """StatSN counts the responses of a connection; R2Ts and pings of the target tell the next one."""
    if opcode == _DATA_IN and not headers[pdu, 1] & DATA_IN_STATUS_BIT:
        return
    stat_sn = _word(headers, pdu, 24)
    expected = stat_sns[connection]
    is_telling = opcode == _R2T or (opcode == _NOP_IN and _word(headers, pdu, 16) == RESERVED_TAG)
    if expected >= 0 and stat_sn != expected:
        _count(STAT_SN_GAP, pdu, connection, counts, first)
        # What comes late does not set the count back.
        if (stat_sn - expected) & _WORD >= _HALF:
            return
    stat_sns[connection] = stat_sn if is_telling else (stat_sn + 1) & _WORD


@njit(cache=True, nogil=True)
def _forget(tasks: Int64s, task: int) -> None:
    """After a move or a SNACK numbers may go on from anywhere."""
    tasks[task, DATA_SN] = _UNKNOWN
    tasks[task, R2T_SN] = _UNKNOWN
    tasks[task, UNSOLICITED_SN] = _UNKNOWN
    tasks[task, LATEST_R2T] = _UNKNOWN
    tasks[task, OPEN_R2TS] = 0
    tasks[task, BURST] = 0


@njit(cache=True, nogil=True)
def _begin(headers: Bytes, pdu: int, task: int, tasks: Int64s) -> None:
    _forget(tasks, task)
    both = COMMAND_READ_BIT | COMMAND_WRITE_BIT
    tasks[task, IS_BIDIRECTIONAL] = headers[pdu, 1] & both == both
    tasks[task, DATA_SN] = 0
    tasks[task, R2T_SN] = 0
    tasks[task, UNSOLICITED_SN] = 0


@njit(cache=True, nogil=True)
def _count_on(tasks: Int64s, task: int, field: int, number: np.int64) -> None:
    """The next DataSN or R2TSN; a bidirectional command has one count for both (RFC 7143 section 4.2.2.4)."""
    tasks[task, field] = (number + 1) & _WORD
    if tasks[task, IS_BIDIRECTIONAL] == 1:
        tasks[task, DATA_SN] = tasks[task, field]
        tasks[task, R2T_SN] = tasks[task, field]


@njit(cache=True, nogil=True)
def _judge_command(
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Int64s,
    tasks: Int64s,
    counts: Int64s,
    first: Int64s,
) -> None:
    tasks[task, UNSOLICITED] = length
    if length == 0:
        return
    if agreed[connection, IMMEDIATE_DATA] == 0:
        _count(IMMEDIATE_NOT_ALLOWED, pdu, connection, counts, first)
    if 0 <= agreed[connection, TARGET_MAX_RECV] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    if 0 <= agreed[connection, FIRST_BURST] < length:
        _count(FIRST_BURST_TOO_LONG, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _judge_data_in(
    headers: Bytes,
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Int64s,
    tasks: Int64s,
    counts: Int64s,
    first: Int64s,
) -> None:
    flags, status = headers[pdu, 1], headers[pdu, 3]
    data_sn = _word(headers, pdu, 36)
    if tasks[task, DATA_SN] >= 0 and data_sn != tasks[task, DATA_SN]:
        _count(DATA_SN_GAP, pdu, connection, counts, first)
    _count_on(tasks, task, DATA_SN, data_sn)
    if 0 <= agreed[connection, INITIATOR_MAX_RECV] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    tasks[task, BURST] += length
    if 0 <= agreed[connection, MAX_BURST] < tasks[task, BURST]:
        _count(BURST_TOO_LONG, pdu, connection, counts, first)
        tasks[task, BURST] = 0
    if flags & FINAL_BIT:
        tasks[task, BURST] = 0
    is_plain = status in (_GOOD, _CONDITION_MET, _INTERMEDIATE, _INTERMEDIATE_MET)
    if flags & DATA_IN_STATUS_BIT and not is_plain:
        _count(STATUS_OUT_OF_PLACE, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _judge_r2t(
    headers: Bytes,
    pdu: int,
    connection: int,
    task: int,
    number: int,
    agreed: Int64s,
    tasks: Int64s,
    asked: Int64s,
    counts: Int64s,
    first: Int64s,
) -> None:
    r2t_sn, length = _word(headers, pdu, 36), _word(headers, pdu, 44)
    if tasks[task, R2T_SN] >= 0 and r2t_sn != tasks[task, R2T_SN]:
        _count(R2T_SN_GAP, pdu, connection, counts, first)
    _count_on(tasks, task, R2T_SN, r2t_sn)
    if 0 <= agreed[connection, MAX_BURST] < length:
        _count(BURST_TOO_LONG, pdu, connection, counts, first)
    asked[number, BEFORE] = tasks[task, LATEST_R2T]
    tasks[task, LATEST_R2T] = number
    asked[number, TAG] = _word(headers, pdu, 20)
    asked[number, LENGTH] = length
    tasks[task, OPEN_R2TS] += 1
    if 0 < agreed[connection, MAX_R2TS] < tasks[task, OPEN_R2TS]:
        _count(TOO_MANY_R2TS, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _judge_data_out(
    headers: Bytes,
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Int64s,
    tasks: Int64s,
    asked: Int64s,
    counts: Int64s,
    first: Int64s,
) -> None:
    transfer_tag, data_sn = _word(headers, pdu, 20), _word(headers, pdu, 36)
    if 0 <= agreed[connection, TARGET_MAX_RECV] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    if transfer_tag == RESERVED_TAG:
        if agreed[connection, INITIAL_R2T] == 1:
            _count(UNSOLICITED_NOT_ALLOWED, pdu, connection, counts, first)
        tasks[task, UNSOLICITED] += length
        if 0 <= agreed[connection, FIRST_BURST] < tasks[task, UNSOLICITED]:
            _count(FIRST_BURST_TOO_LONG, pdu, connection, counts, first)
        if tasks[task, UNSOLICITED_SN] >= 0 and data_sn != tasks[task, UNSOLICITED_SN]:
            _count(DATA_SN_GAP, pdu, connection, counts, first)
        tasks[task, UNSOLICITED_SN] = (data_sn + 1) & _WORD
        return
    number = tasks[task, LATEST_R2T]
    while number >= 0 and asked[number, TAG] != transfer_tag:
        number = asked[number, BEFORE]
    if number < 0:
        # Where the count of R2Ts is not known the tag may have been given before the task moved.
        if tasks[task, R2T_SN] >= 0:
            _count(TRANSFER_TAG_UNKNOWN, pdu, connection, counts, first)
        return
    if data_sn != asked[number, R2T_DATA_SN]:
        _count(DATA_SN_GAP, pdu, connection, counts, first)
    asked[number, R2T_DATA_SN] = (data_sn + 1) & _WORD
    asked[number, RECEIVED] += length
    if asked[number, RECEIVED] > asked[number, LENGTH]:
        _count(MORE_THAN_ASKED, pdu, connection, counts, first)
    if headers[pdu, 1] & FINAL_BIT:
        tasks[task, OPEN_R2TS] -= 1

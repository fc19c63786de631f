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


class Agreements(NamedTuple):
    """What holds on each connection, shape (connections,); -1 where it is not known."""

    is_judged: npt.NDArray[np.bool_]
    max_burst: Int64s
    first_burst: Int64s
    initial_r2t: Int64s
    immediate_data: Int64s
    max_r2ts: Int64s
    initiator_max_recv: Int64s
    target_max_recv: Int64s


class LintState(NamedTuple):
    """What is remembered while walking; tasks, connections and R2Ts by their numbers."""

    stat_sn: Int64s
    data_sn: Int64s
    r2t_sn: Int64s
    unsolicited_sn: Int64s
    burst: Int64s
    unsolicited: Int64s
    open_r2ts: Int64s
    latest_r2t: Int64s
    r2t_before: Int64s
    r2t_tag: Int64s
    r2t_length: Int64s
    r2t_received: Int64s
    r2t_data_sn: Int64s


def empty_state(connections: int, tasks: int, r2ts: int) -> LintState:
    """Nothing is known yet."""
    unknown = [np.full(connections, _UNKNOWN, np.int64)]
    unknown += [np.full(tasks, _UNKNOWN, np.int64) for _ in range(3)]
    nothing = [np.zeros(tasks, np.int64) for _ in range(3)]
    latest = [np.full(tasks, _UNKNOWN, np.int64)]
    return LintState(*unknown, *nothing, *latest, *(np.zeros(r2ts, np.int64) for _ in range(5)))


@njit(cache=True, nogil=True)
def walk(
    opcodes: Bytes,
    headers: Bytes,
    connections: Int32s,
    pdu_task: Int32s,
    moved_from: Int32s,
    data_length: Int32s,
    agreed: Agreements,
    state: LintState,
    counts: Int64s,
    first: Int64s,
) -> None:
    """Judge every PDU in order; ``counts`` and ``first`` (PDU, -1) have shape (rules, connections)."""
    r2ts = 0
    for pdu in range(len(opcodes)):
        connection = connections[pdu]
        if not agreed.is_judged[connection]:
            continue
        opcode = opcodes[pdu]
        if opcode >= _FIRST_TARGET_OPCODE:
            _judge_stat_sn(opcode, headers, pdu, connection, state, counts, first)
        task = pdu_task[pdu]
        if task < 0:
            continue
        if moved_from[pdu] >= 0 or opcode in (_SNACK, _TASK_MANAGEMENT):
            _forget(state, task)
        if opcode == _COMMAND:
            if moved_from[pdu] < 0:
                _begin(headers, pdu, task, state)
            _judge_command(pdu, connection, task, data_length[pdu], agreed, state, counts, first)
        elif opcode == _DATA_IN:
            _judge_data_in(headers, pdu, connection, task, data_length[pdu], agreed, state, counts, first)
        elif opcode == _DATA_OUT:
            _judge_data_out(headers, pdu, connection, task, data_length[pdu], agreed, state, counts, first)
        elif opcode == _R2T:
            _judge_r2t(headers, pdu, connection, task, r2ts, agreed, state, counts, first)
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
    opcode: int, headers: Bytes, pdu: int, connection: int, state: LintState, counts: Int64s, first: Int64s
) -> None:
    """StatSN counts the responses of a connection; R2Ts and pings of the target tell the next one."""
    if opcode == _DATA_IN and not headers[pdu, 1] & DATA_IN_STATUS_BIT:
        return
    stat_sn = _word(headers, pdu, 24)
    expected = state.stat_sn[connection]
    is_telling = opcode == _R2T or (opcode == _NOP_IN and _word(headers, pdu, 16) == RESERVED_TAG)
    if expected >= 0 and stat_sn != expected:
        _count(STAT_SN_GAP, pdu, connection, counts, first)
        # What comes late does not set the count back.
        if (stat_sn - expected) & _WORD >= _HALF:
            return
    state.stat_sn[connection] = stat_sn if is_telling else (stat_sn + 1) & _WORD


@njit(cache=True, nogil=True)
def _forget(state: LintState, task: int) -> None:
    """After a move or a SNACK numbers may go on from anywhere."""
    state.data_sn[task] = _UNKNOWN
    state.r2t_sn[task] = _UNKNOWN
    state.unsolicited_sn[task] = _UNKNOWN
    state.latest_r2t[task] = _UNKNOWN
    state.open_r2ts[task] = 0
    state.burst[task] = 0


@njit(cache=True, nogil=True)
def _begin(headers: Bytes, pdu: int, task: int, state: LintState) -> None:
    _forget(state, task)
    both = COMMAND_READ_BIT | COMMAND_WRITE_BIT
    # The numbers of bidirectional commands share one count, which is not followed.
    if headers[pdu, 1] & both != both:
        state.data_sn[task] = 0
        state.r2t_sn[task] = 0
        state.unsolicited_sn[task] = 0


@njit(cache=True, nogil=True)
def _judge_command(
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Agreements,
    state: LintState,
    counts: Int64s,
    first: Int64s,
) -> None:
    state.unsolicited[task] = length
    if length == 0:
        return
    if agreed.immediate_data[connection] == 0:
        _count(IMMEDIATE_NOT_ALLOWED, pdu, connection, counts, first)
    if 0 <= agreed.target_max_recv[connection] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    if 0 <= agreed.first_burst[connection] < length:
        _count(FIRST_BURST_TOO_LONG, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _judge_data_in(
    headers: Bytes,
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Agreements,
    state: LintState,
    counts: Int64s,
    first: Int64s,
) -> None:
    flags, status = headers[pdu, 1], headers[pdu, 3]
    data_sn = _word(headers, pdu, 36)
    if state.data_sn[task] >= 0 and data_sn != state.data_sn[task]:
        _count(DATA_SN_GAP, pdu, connection, counts, first)
    state.data_sn[task] = (data_sn + 1) & _WORD
    if 0 <= agreed.initiator_max_recv[connection] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    state.burst[task] += length
    if 0 <= agreed.max_burst[connection] < state.burst[task]:
        _count(BURST_TOO_LONG, pdu, connection, counts, first)
        state.burst[task] = 0
    if flags & FINAL_BIT:
        state.burst[task] = 0
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
    agreed: Agreements,
    state: LintState,
    counts: Int64s,
    first: Int64s,
) -> None:
    r2t_sn, length = _word(headers, pdu, 36), _word(headers, pdu, 44)
    if state.r2t_sn[task] >= 0 and r2t_sn != state.r2t_sn[task]:
        _count(R2T_SN_GAP, pdu, connection, counts, first)
    state.r2t_sn[task] = (r2t_sn + 1) & _WORD
    if 0 <= agreed.max_burst[connection] < length:
        _count(BURST_TOO_LONG, pdu, connection, counts, first)
    state.r2t_before[number] = state.latest_r2t[task]
    state.latest_r2t[task] = number
    state.r2t_tag[number] = _word(headers, pdu, 20)
    state.r2t_length[number] = length
    state.open_r2ts[task] += 1
    if 0 < agreed.max_r2ts[connection] < state.open_r2ts[task]:
        _count(TOO_MANY_R2TS, pdu, connection, counts, first)


@njit(cache=True, nogil=True)
def _judge_data_out(
    headers: Bytes,
    pdu: int,
    connection: int,
    task: int,
    length: int,
    agreed: Agreements,
    state: LintState,
    counts: Int64s,
    first: Int64s,
) -> None:
    transfer_tag, data_sn = _word(headers, pdu, 20), _word(headers, pdu, 36)
    if 0 <= agreed.target_max_recv[connection] < length:
        _count(SEGMENT_TOO_LONG, pdu, connection, counts, first)
    if transfer_tag == RESERVED_TAG:
        if agreed.initial_r2t[connection] == 1:
            _count(UNSOLICITED_NOT_ALLOWED, pdu, connection, counts, first)
        state.unsolicited[task] += length
        if 0 <= agreed.first_burst[connection] < state.unsolicited[task]:
            _count(FIRST_BURST_TOO_LONG, pdu, connection, counts, first)
        if state.unsolicited_sn[task] >= 0 and data_sn != state.unsolicited_sn[task]:
            _count(DATA_SN_GAP, pdu, connection, counts, first)
        state.unsolicited_sn[task] = (data_sn + 1) & _WORD
        return
    number = state.latest_r2t[task]
    while number >= 0 and state.r2t_tag[number] != transfer_tag:
        number = state.r2t_before[number]
    if number < 0:
        # Where the count of R2Ts is not known the tag may have been given before the task moved.
        if state.r2t_sn[task] >= 0:
            _count(TRANSFER_TAG_UNKNOWN, pdu, connection, counts, first)
        return
    if data_sn != state.r2t_data_sn[number]:
        _count(DATA_SN_GAP, pdu, connection, counts, first)
    state.r2t_data_sn[number] = (data_sn + 1) & _WORD
    state.r2t_received[number] += length
    if state.r2t_received[number] > state.r2t_length[number]:
        _count(MORE_THAN_ASKED, pdu, connection, counts, first)
    if headers[pdu, 1] & FINAL_BIT:
        state.open_r2ts[task] -= 1

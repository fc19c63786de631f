"""The tasks table: what each command asked for, what it got, and when.

Decides the columns that follow from a task's own PDUs. What belongs to a task is the task tracker's, how
it ended the judge's in ``task_ends``; both come in as arrays. Everything here is column arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.decoders.decoded import PduColumns
from analyzer.iscsi.headers import (
    COMMAND_ATTRIBUTE_MASK,
    COMMAND_READ_BIT,
    COMMAND_WRITE_BIT,
    DATA_IN_OVERFLOW_BIT,
    DATA_IN_UNDERFLOW_BIT,
    IMMEDIATE_BIT,
    SCSI_COMMAND,
    SCSI_RESPONSE,
    view,
)
from analyzer.iscsi.opcodes import Opcode
from analyzer.scratch import Scratch
from analyzer.scsi.logical_units import lun_numbers
from analyzer.scsi.operations import CDB_BYTES, OPERATION_NAMES, CdbColumns, decode_cdbs, device_types
from analyzer.scsi.sense import SenseColumns, decode_sense
from analyzer.tables.arrow_arrays import dictionary
from analyzer.tables.steps import build_in_steps
from analyzer.tables.timeline_tables import DIRECTIONS, TASK_ATTRIBUTE_NAMES, TASK_ENDS, TASKS
from analyzer.timeline import task_tracker as field
from analyzer.timeline.long_cdbs import LongCdbs, long_cdbs, measure_long
from analyzer.timeline.numbering import number_keys
from analyzer.timeline.task_ends import TaskEnds

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_READ, _WRITE, _NONE, _BOTH = range(4)
"""Indexes of DIRECTIONS."""


@dataclass(frozen=True, slots=True)
class TaskColumns:
    """n tasks as arrays of shape (n,), -1 where a time or an index is not there."""

    matrix: Int64s
    cdb: npt.NDArray[np.uint8]
    """Shape (n, 16)."""
    long_cdbs: LongCdbs
    operations: CdbColumns
    lun: npt.NDArray[np.uint64]
    tag: npt.NDArray[np.uint32]
    cmd_sn: npt.NDArray[np.uint32]
    is_immediate: npt.NDArray[np.bool_]
    attribute: npt.NDArray[np.uint8]
    direction: npt.NDArray[np.int8]
    expected_bytes: Int64s
    immediate_bytes: Int64s
    transferred_bytes: Int64s
    command_ns: Int64s
    command_last_ns: Int64s
    response_ns: Int64s
    is_answered: npt.NDArray[np.bool_]
    """Where a status was seen."""
    response_connection: Int64s
    status: npt.NDArray[np.uint8]
    response: npt.NDArray[np.uint8]
    residual_bytes: Int64s
    sense: SenseColumns

    def __len__(self) -> int:
        return len(self.matrix)


def task_columns(
    pdus: PduColumns, opcodes: npt.NDArray[np.uint8], data_length: Int32s, matrix: Int64s, scratch: Scratch
) -> TaskColumns:
    """Read the command and the response of each row of the tracker's ``matrix``."""
    devices = _devices(pdus, matrix, scratch)
    parts = (
        _columns_of(pdus, opcodes, data_length, matrix[step], devices[step])
        for step in scratch.steps(len(matrix))
    )
    first = next(parts, None)
    if first is None or len(first) == len(matrix):
        return first or _columns_of(pdus, opcodes, data_length, matrix, devices)
    return _joined(first, parts, matrix, scratch)


def _joined(
    first: TaskColumns, others: Iterator[TaskColumns], matrix: Int64s, scratch: Scratch
) -> TaskColumns:
    """Parts as columns of all tasks, each copied to its place as soon as it is there."""
    room = _room_for(first, len(matrix), scratch)
    long_rows, long_cdbs_found = [], []
    done = 0
    for part in chain([first], others):
        _put(part, room, slice(done, done + len(part)))
        long_rows.append(part.long_cdbs.rows + done)
        long_cdbs_found.append(part.long_cdbs.cdbs)
        done += len(part)
    room["matrix"] = matrix
    room["long_cdbs"] = LongCdbs(np.concatenate(long_rows), np.concatenate(long_cdbs_found))
    room["operations"] = CdbColumns(**room["operations"])
    room["sense"] = SenseColumns(**room["sense"])
    return TaskColumns(**room)


_COPIED_ELSEWHERE = ("matrix", "long_cdbs")


def _room_for(part: Any, count: int, scratch: Scratch) -> dict[str, Any]:
    """Arrays for ``count`` entries of all columns that ``part`` has some of."""
    room = {}
    for column in fields(part):
        values = getattr(part, column.name)
        if column.name not in _COPIED_ELSEWHERE:
            is_array = isinstance(values, np.ndarray)
            room[column.name] = (
                scratch.empty((count, *values.shape[1:]), values.dtype)
                if is_array
                else _room_for(values, count, scratch)
            )
    return room


def _put(part: Any, room: dict[str, Any], place: slice) -> None:
    for name, column in room.items():
        values = getattr(part, name)
        if isinstance(column, dict):
            _put(values, column, place)
        else:
            column[place] = values


def _columns_of(
    pdus: PduColumns,
    opcodes: npt.NDArray[np.uint8],
    data_length: Int32s,
    matrix: Int64s,
    devices: npt.NDArray[np.uint8],
) -> TaskColumns:
    command = matrix[:, field.COMMAND_PDU]
    headers = np.ascontiguousarray(pdus.headers[command])
    commands = view(headers, SCSI_COMMAND)
    cdb = headers[:, 32 : 32 + CDB_BYTES]
    lun = lun_numbers(commands["lun"].astype(np.uint64))
    flags = headers[:, 1]
    direction = _directions(flags)
    expected = commands["expected_data_transfer_length"].astype(np.int64)
    immediate = data_length[command].astype(np.int64)
    answer = matrix[:, field.RESPONSE_PDU]
    is_answered = answer >= 0
    answer_or_first = np.maximum(answer, 0)
    responses = view(np.ascontiguousarray(pdus.headers[answer_or_first]), SCSI_RESPONSE)
    is_phase_collapsed = opcodes[answer_or_first] == Opcode.DATA_IN
    attribute = flags & COMMAND_ATTRIBUTE_MASK
    operations = decode_cdbs(cdb, devices)
    long = long_cdbs(pdus, command, cdb)
    measure_long(operations, long)
    return TaskColumns(
        matrix=matrix,
        cdb=cdb,
        long_cdbs=long,
        operations=operations,
        lun=lun,
        tag=commands["initiator_task_tag"].astype(np.uint32),
        cmd_sn=commands["cmd_sn"].astype(np.uint32),
        is_immediate=headers[:, 0] & IMMEDIATE_BIT != 0,
        attribute=np.where(attribute < len(TASK_ATTRIBUTE_NAMES), attribute, 0).astype(np.uint8),
        direction=direction,
        expected_bytes=expected,
        immediate_bytes=immediate,
        transferred_bytes=_transferred(matrix, direction, expected, immediate),
        command_ns=pdus.time_ns[command],
        command_last_ns=pdus.time_last_ns[command],
        response_ns=np.where(is_answered, pdus.time_last_ns[answer_or_first], -1),
        is_answered=is_answered,
        response_connection=np.where(is_answered, pdus.connection_index[answer_or_first], -1),
        status=np.where(is_answered, responses["status"], 0).astype(np.uint8),
        # A status in a Data-In PDU means that the command completed at the target (section 11.7.4).
        response=np.where(is_answered & ~is_phase_collapsed, responses["response"], 0).astype(np.uint8),
        residual_bytes=_residuals(responses, is_answered),
        sense=decode_sense(
            pdus.segments,
            pdus.segment_offset[answer_or_first] + pdus.ahs_bytes[answer_or_first],
            np.where(is_answered & ~is_phase_collapsed, pdus.segment_bytes[answer_or_first], 0),
        ),
    )


def outstanding(command_ns: Int64s, ended_ns: Int64s) -> Int32s:
    """Other tasks in flight when each was issued; tasks in order of ``command_ns``, shape (n,) each."""
    ended_before = np.searchsorted(np.sort(ended_ns), command_ns, side="right")
    others = np.maximum(np.arange(len(command_ns)) - ended_before, 0)
    return np.asarray(others, np.int32)


def delivered_by_ns(columns: TaskColumns, tasks: slice) -> Int64s:
    """The first sign that the target was at work on some tasks, the largest number where there is none."""
    never = np.iinfo(np.int64).max
    matrix = columns.matrix[tasks]
    signs = [columns.response_ns[tasks], matrix[:, field.FIRST_R2T_NS]]
    signs.append(np.where(columns.direction[tasks] == _READ, matrix[:, field.FIRST_DATA_NS], -1))
    earliest = np.full(len(matrix), never, np.int64)
    for sign in signs:
        earliest = np.minimum(earliest, np.where(sign >= 0, sign, never))
    return earliest


def task_table(
    columns: TaskColumns,
    ends: TaskEnds,
    order_wait_ns: Int64s,
    retry_of: Int32s,
    packet: Int64s,
    scratch: Scratch,
) -> pa.Table:
    """The tasks table; ``packet`` holds the packet number of every PDU."""
    others = outstanding(columns.command_ns, ends.ended_ns)

    def rows(step: slice) -> dict[str, Any]:
        matrix, unanswered = columns.matrix[step], ~columns.is_answered[step]
        sense, operations = columns.sense, columns.operations
        lacks_sense = ~sense.has_sense[step]
        return {
            "task_index": np.arange(step.start, step.stop, dtype=np.int32),
            "session_index": matrix[:, field.SESSION].astype(np.int32),
            "connection_index": matrix[:, field.FIRST_CONNECTION].astype(np.int32),
            "response_connection_index": _masked(
                columns.response_connection[step].astype(np.int32), unanswered
            ),
            "initiator_task_tag": columns.tag[step],
            "cmd_sn": columns.cmd_sn[step],
            "lun": columns.lun[step],
            "is_immediate": columns.is_immediate[step],
            "attribute": dictionary(columns.attribute[step], TASK_ATTRIBUTE_NAMES),
            "operation": dictionary(operations.operation[step], OPERATION_NAMES),
            "cdb": _cdb_texts(columns, step),
            "lba": _masked(operations.lba[step], ~operations.has_lba[step]),
            "blocks": _masked(operations.blocks[step], ~operations.has_blocks[step]),
            "direction": dictionary(columns.direction[step], DIRECTIONS),
            "expected_bytes": columns.expected_bytes[step],
            "immediate_bytes": columns.immediate_bytes[step],
            "unsolicited_bytes": matrix[:, field.UNSOLICITED_BYTES],
            "transferred_bytes": columns.transferred_bytes[step],
            "residual_bytes": _masked(columns.residual_bytes[step], unanswered),
            "command_ns": columns.command_ns[step],
            "command_last_ns": columns.command_last_ns[step],
            "command_packet": packet[matrix[:, field.COMMAND_PDU]],
            "first_r2t_ns": _or_null(matrix[:, field.FIRST_R2T_NS]),
            "first_data_ns": _or_null(matrix[:, field.FIRST_DATA_NS]),
            "last_data_ns": _or_null(matrix[:, field.LAST_DATA_NS]),
            "response_ns": _or_null(columns.response_ns[step]),
            "response_packet": _masked(packet[np.maximum(matrix[:, field.RESPONSE_PDU], 0)], unanswered),
            "latency_ns": _masked(columns.response_ns[step] - columns.command_ns[step], unanswered),
            "order_wait_ns": order_wait_ns[step],
            "outstanding": others[step],
            "r2t_count": matrix[:, field.R2TS].astype(np.int32),
            "data_in_count": matrix[:, field.DATA_INS].astype(np.int32),
            "data_out_count": matrix[:, field.DATA_OUTS].astype(np.int32),
            "status": _masked(columns.status[step], unanswered),
            "response": _masked(columns.response[step], unanswered),
            "sense_key": _masked(sense.sense_key[step], lacks_sense),
            "asc": _masked(sense.asc[step], lacks_sense),
            "ascq": _masked(sense.ascq[step], lacks_sense),
            "end": dictionary(ends.end[step], TASK_ENDS),
            "ended_ns": ends.ended_ns[step],
            "retry_count": matrix[:, field.RETRIES].astype(np.int32),
            "reassign_count": matrix[:, field.REASSIGNMENTS].astype(np.int32),
            "retry_of_task_index": _masked(retry_of[step], retry_of[step] < 0),
        }

    return build_in_steps(TASKS, rows, len(columns), scratch)


def _cdb_texts(columns: TaskColumns, step: slice) -> pa.StringArray | list[str]:
    texts = hexadecimal(columns.cdb[step])
    long = columns.long_cdbs
    here = np.flatnonzero((long.rows >= step.start) & (long.rows < step.stop))
    if not len(here):
        return texts
    words: list[str] = texts.to_pylist()
    for row, cdb in zip(long.rows[here].tolist(), long.cdbs[here], strict=True):
        words[row - step.start] = cdb.tobytes().hex()
    return words


def hexadecimal(rows: npt.NDArray[np.uint8]) -> pa.StringArray:
    """Each row of bytes, shape (n, k), as a text of 2 k hexadecimal digits."""
    text = np.ascontiguousarray(rows).tobytes().hex().encode()
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * 2 * rows.shape[1]
    if offsets[-1] > np.iinfo(np.int32).max:
        long = pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(text))
        return pa.chunked_array([long]).cast(pa.string())
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(text))


def _directions(flags: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    reads, writes = flags & COMMAND_READ_BIT != 0, flags & COMMAND_WRITE_BIT != 0
    one_way = np.where(reads, _READ, np.where(writes, _WRITE, _NONE))
    return np.where(reads & writes, _BOTH, one_way).astype(np.int8)


def _transferred(
    matrix: Int64s, direction: npt.NDArray[np.int8], expected: Int64s, immediate: Int64s
) -> Int64s:
    """Data seen in the task's direction. What was sent again (SNACK, retry, reassignment) counts once."""
    read = matrix[:, field.READ_BYTES]
    written = matrix[:, field.WRITTEN_BYTES] + immediate
    moved = np.choose(direction, [read, written, np.zeros_like(read), read + written])
    return np.where(direction == _BOTH, moved, np.minimum(moved, expected))


def _residuals(responses: npt.NDArray[np.void], is_answered: npt.NDArray[np.bool_]) -> Int64s:
    """Residual counts, negative for an overflow; the flags stand alike in both PDUs with a status."""
    count = responses["residual_count"].astype(np.int64)
    flags = responses["flags"]
    residual = np.where(flags & DATA_IN_UNDERFLOW_BIT != 0, count, 0)
    residual = np.where(flags & DATA_IN_OVERFLOW_BIT != 0, -count, residual)
    return np.where(is_answered, residual, 0)


def _devices(pdus: PduColumns, matrix: Int64s, scratch: Scratch) -> npt.NDArray[np.uint8]:
    """The guessed kind of the logical unit of each command: all commands to a unit tell of it."""
    lun = np.empty(len(matrix), np.int64)
    codes = np.empty(len(matrix), np.uint8)
    session = np.empty(len(matrix), np.int64)
    for step in scratch.steps(len(matrix)):
        headers = np.ascontiguousarray(pdus.headers[matrix[step, field.COMMAND_PDU]])
        lun[step] = lun_numbers(view(headers, SCSI_COMMAND)["lun"].astype(np.uint64)).view(np.int64)
        codes[step] = headers[:, 32]
        session[step] = matrix[step, field.SESSION]
    lun_number, luns = number_keys(lun)
    unit, units = number_keys(session * max(luns, 1) + lun_number)
    return device_types(codes, unit.astype(np.int64), units)[unit]


def _masked(values: npt.NDArray[np.generic], is_null: npt.NDArray[np.bool_]) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(values, mask=is_null)


def _or_null(times: Int64s) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(times, mask=times < 0)

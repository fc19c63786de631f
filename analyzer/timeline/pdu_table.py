"""The pdus table: the fields of every header, with null where a PDU has no such field.

Decides which opcode has which field (RFC 7143 section 11); knows no session and no task. Everything is a
view of the header column, so a field costs one copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.decoders.decoded import DIGEST_NONE, DIGEST_OK, PduColumns
from analyzer.iscsi.headers import (
    DATA_IN,
    DATA_IN_ACKNOWLEDGE_BIT,
    DATA_IN_STATUS_BIT,
    FINAL_BIT,
    IMMEDIATE_BIT,
    R2T,
)
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.scratch import Scratch
from analyzer.scsi.logical_units import lun_numbers
from analyzer.tables.arrow_arrays import dictionary
from analyzer.tables.steps import build_in_steps
from analyzer.tables.timeline_tables import PDU_QUALITIES, PDUS

Flags = npt.NDArray[np.bool_]

_FIRST_TARGET_OPCODE = 0x20

# Which opcodes have the field at all; flags decide further below.
_HAS_LUN = (
    Opcode.NOP_OUT,
    Opcode.SCSI_COMMAND,
    Opcode.TASK_MANAGEMENT_REQUEST,
    Opcode.TEXT_REQUEST,
    Opcode.DATA_OUT,
    Opcode.NOP_IN,
    Opcode.TEXT_RESPONSE,
    Opcode.DATA_IN,
    Opcode.R2T,
    Opcode.ASYNC_MESSAGE,
)
_HAS_TRANSFER_TAG = (
    Opcode.NOP_OUT,
    Opcode.TEXT_REQUEST,
    Opcode.DATA_OUT,
    Opcode.SNACK_REQUEST,
    Opcode.NOP_IN,
    Opcode.TEXT_RESPONSE,
    Opcode.DATA_IN,
    Opcode.R2T,
)
_LUN_WITH_TRANSFER_TAG_ONLY = (
    Opcode.NOP_OUT,
    Opcode.TEXT_REQUEST,
    Opcode.DATA_OUT,
    Opcode.NOP_IN,
    Opcode.TEXT_RESPONSE,
)
_HAS_NO_CMD_SN = (Opcode.DATA_OUT, Opcode.SNACK_REQUEST)
_HAS_DATA_SN = (Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T)


def pdu_table(
    pdus: PduColumns,
    opcodes: npt.NDArray[np.uint8],
    data_length: npt.NDArray[np.int32],
    pdu_task: npt.NDArray[np.int32],
    scratch: Scratch,
) -> pa.Table:
    """The pdus table; ``opcodes``, ``data_length`` and ``pdu_task`` (-1 for none) have shape (n,)."""
    return build_in_steps(
        PDUS,
        lambda step: _fields(pdus, opcodes[step], data_length[step], pdu_task[step], step),
        len(pdus),
        scratch,
    )


def _fields(
    pdus: PduColumns,
    opcodes: npt.NDArray[np.uint8],
    data_length: npt.NDArray[np.int32],
    pdu_task: npt.NDArray[np.int32],
    step: slice,
) -> dict[str, Any]:
    """All columns of the PDUs of one step, to which the other arrays belong already."""
    headers = np.ascontiguousarray(pdus.headers[step])
    fields = headers.view(DATA_IN)[:, 0]
    flags = headers[:, 1]
    is_from_target = opcodes >= _FIRST_TARGET_OPCODE
    is_data_in = opcodes == Opcode.DATA_IN
    is_r2t = opcodes == Opcode.R2T
    tag = fields["initiator_task_tag"].astype(np.uint32)
    transfer_tag = fields["target_transfer_tag"].astype(np.uint32)
    has_transfer_tag = _is_one_of(opcodes, _HAS_TRANSFER_TAG) & (transfer_tag != RESERVED_TAG)
    has_transfer_tag &= ~is_data_in | (flags & DATA_IN_ACKNOWLEDGE_BIT != 0)
    has_lun = _is_one_of(opcodes, _HAS_LUN)
    has_lun &= ~_is_one_of(opcodes, _LUN_WITH_TRANSFER_TAG_ONLY) | has_transfer_tag
    has_lun &= ~is_data_in | (flags & DATA_IN_ACKNOWLEDGE_BIT != 0)
    has_stat_sn = is_from_target & (~is_data_in | (flags & DATA_IN_STATUS_BIT != 0))
    has_data_sn = _is_one_of(opcodes, _HAS_DATA_SN)
    word_24, word_28 = fields["stat_sn"].astype(np.uint32), fields["exp_cmd_sn"].astype(np.uint32)
    desired = headers.view(R2T)[:, 0]["desired_data_transfer_length"].astype(np.uint32)
    return {
        "pdu_index": np.arange(step.start, step.stop, dtype=np.int64),
        "time_ns": pdus.time_ns[step],
        "time_last_ns": pdus.time_last_ns[step],
        "file_index": pdus.file_index[step],
        "packet": pdus.packet[step],
        "connection_index": pdus.connection_index[step],
        "from_target": pdus.from_target[step],
        "opcode": opcodes,
        "is_immediate": ~is_from_target & (headers[:, 0] & IMMEDIATE_BIT != 0),
        "is_final": flags & FINAL_BIT != 0,
        "flags": np.ascontiguousarray(flags),
        "lun": _where(has_lun, lun_numbers(fields["lun"].astype(np.uint64))),
        "initiator_task_tag": _where(tag != RESERVED_TAG, tag),
        "target_transfer_tag": _where(has_transfer_tag, transfer_tag),
        "cmd_sn": _where(~is_from_target & ~_is_one_of(opcodes, _HAS_NO_CMD_SN), word_24),
        "stat_sn": _where(has_stat_sn, word_24),
        "exp_cmd_sn": _where(is_from_target, word_28),
        "max_cmd_sn": _where(is_from_target, fields["max_cmd_sn"].astype(np.uint32)),
        "exp_stat_sn": _where(~is_from_target, word_28),
        "data_sn": _where(has_data_sn, fields["data_sn"].astype(np.uint32)),
        "buffer_offset": _where(has_data_sn, fields["buffer_offset"].astype(np.uint32)),
        "desired_bytes": _where(is_r2t, desired),
        "data_length": data_length,
        "header_digest_ok": _where(
            pdus.header_digest[step] != DIGEST_NONE, pdus.header_digest[step] == DIGEST_OK
        ),
        "data_digest_ok": _where(pdus.data_digest[step] != DIGEST_NONE, pdus.data_digest[step] == DIGEST_OK),
        "is_complete": pdus.is_complete[step],
        "quality": dictionary(pdus.quality[step], PDU_QUALITIES),
        "task_index": _where(pdu_task >= 0, pdu_task),
    }


def _is_one_of(opcodes: npt.NDArray[np.uint8], members: tuple[Opcode, ...]) -> Flags:
    is_member = np.zeros(256, np.bool_)
    is_member[list(members)] = True
    return is_member[opcodes]


def _where(is_there: Flags, values: npt.NDArray[np.generic]) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(values, mask=~is_there)

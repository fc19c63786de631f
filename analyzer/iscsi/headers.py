"""The 48-byte Basic Header Segment of every opcode, declared as ranges of bytes (RFC 7143 section 11).

The layouts are views: ``view(headers, layout)`` names the fields of a whole column of headers
without copying it. What a field means is not decided here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HEADER_BYTES = 48

# name, first byte, type. Big-endian throughout (RFC 7143 section 11.1).
Field = tuple[str, int, str]

_BASIC: tuple[Field, ...] = (
    ("opcode_byte", 0, "u1"),  # bit 6 = immediate, low 6 bits = opcode
    ("flags", 1, "u1"),  # bit 7 = final
    ("byte_2", 2, "u1"),
    ("byte_3", 3, "u1"),
    ("total_ahs_length", 4, "u1"),  # in four-byte words
    ("data_length_high", 5, "u1"),
    ("data_length_low", 6, ">u2"),
    ("lun", 8, ">u8"),
    ("initiator_task_tag", 16, ">u4"),
)
_FROM_INITIATOR: tuple[Field, ...] = (("cmd_sn", 24, ">u4"), ("exp_stat_sn", 28, ">u4"))
_FROM_TARGET: tuple[Field, ...] = (
    ("stat_sn", 24, ">u4"),
    ("exp_cmd_sn", 28, ">u4"),
    ("max_cmd_sn", 32, ">u4"),
)
_TRANSFER_TAG: tuple[Field, ...] = (("target_transfer_tag", 20, ">u4"),)
_LOGIN: tuple[Field, ...] = (
    ("isid", 8, "V6"),
    ("tsih", 14, ">u2"),
    ("version_max", 2, "u1"),
    ("version_active", 3, "u1"),
)


def _layout(*parts: tuple[Field, ...]) -> np.dtype[np.void]:
    fields = [field for part in parts for field in part]
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "offsets": [offset for _, offset, _ in fields],
            "formats": [kind for _, _, kind in fields],
            "itemsize": HEADER_BYTES,
        }
    )


BASIC = _layout(_BASIC)
FROM_INITIATOR = _layout(_BASIC, _FROM_INITIATOR)
FROM_TARGET = _layout(_BASIC, _FROM_TARGET)
NOP_OUT = _layout(_BASIC, _TRANSFER_TAG, _FROM_INITIATOR)
NOP_IN = _layout(_BASIC, _TRANSFER_TAG, _FROM_TARGET)
SCSI_COMMAND = _layout(
    _BASIC, _FROM_INITIATOR, (("expected_data_transfer_length", 20, ">u4"), ("cdb", 32, "V16"))
)
SCSI_RESPONSE = _layout(
    _BASIC,
    _FROM_TARGET,
    (
        ("response", 2, "u1"),
        ("status", 3, "u1"),
        ("snack_tag", 20, ">u4"),
        ("exp_data_sn", 36, ">u4"),
        ("bidirectional_residual_count", 40, ">u4"),
        ("residual_count", 44, ">u4"),
    ),
)
TASK_MANAGEMENT_REQUEST = _layout(
    _BASIC,
    _FROM_INITIATOR,
    (("referenced_task_tag", 20, ">u4"), ("ref_cmd_sn", 32, ">u4"), ("exp_data_sn", 36, ">u4")),
)
TASK_MANAGEMENT_RESPONSE = _layout(_BASIC, _FROM_TARGET, (("response", 2, "u1"),))
DATA_OUT = _layout(
    _BASIC,
    _TRANSFER_TAG,
    (("exp_stat_sn", 28, ">u4"), ("data_sn", 36, ">u4"), ("buffer_offset", 40, ">u4")),
)
DATA_IN = _layout(
    _BASIC,
    _TRANSFER_TAG,
    _FROM_TARGET,
    (
        ("status", 3, "u1"),
        ("data_sn", 36, ">u4"),
        ("buffer_offset", 40, ">u4"),
        ("residual_count", 44, ">u4"),
    ),
)
R2T = _layout(
    _BASIC,
    _TRANSFER_TAG,
    _FROM_TARGET,
    (("r2t_sn", 36, ">u4"), ("buffer_offset", 40, ">u4"), ("desired_data_transfer_length", 44, ">u4")),
)
LOGIN_REQUEST = _layout(_BASIC, _LOGIN, _FROM_INITIATOR, (("cid", 20, ">u2"),))
LOGIN_RESPONSE = _layout(
    _BASIC, _LOGIN, _FROM_TARGET, (("status_class", 36, "u1"), ("status_detail", 37, "u1"))
)
LOGOUT_REQUEST = _layout(_BASIC, _FROM_INITIATOR, (("cid", 20, ">u2"),))
LOGOUT_RESPONSE = _layout(
    _BASIC, _FROM_TARGET, (("response", 2, "u1"), ("time2wait", 40, ">u2"), ("time2retain", 42, ">u2"))
)
SNACK_REQUEST = _layout(
    _BASIC, _TRANSFER_TAG, (("exp_stat_sn", 28, ">u4"), ("beg_run", 40, ">u4"), ("run_length", 44, ">u4"))
)
ASYNC_MESSAGE = _layout(
    _BASIC,
    _FROM_TARGET,
    (
        ("async_event", 36, "u1"),
        ("async_vcode", 37, "u1"),
        ("parameter_1", 38, ">u2"),
        ("parameter_2", 40, ">u2"),
        ("parameter_3", 42, ">u2"),
    ),
)
REJECT = _layout(_BASIC, _FROM_TARGET, (("reason", 2, "u1"), ("data_sn", 36, ">u4")))

FINAL_BIT = 0x80
IMMEDIATE_BIT = 0x40
OPCODE_MASK = 0x3F

# Login PDUs, byte 1 (RFC 7143 section 11.12).
LOGIN_TRANSIT_BIT = 0x80
LOGIN_CONTINUE_BIT = 0x40

# Data-In, byte 1 (RFC 7143 section 11.7).
DATA_IN_ACKNOWLEDGE_BIT = 0x40
DATA_IN_OVERFLOW_BIT = 0x04
DATA_IN_UNDERFLOW_BIT = 0x02
DATA_IN_STATUS_BIT = 0x01

# SCSI Command, byte 1 (RFC 7143 section 11.3).
COMMAND_READ_BIT = 0x40
COMMAND_WRITE_BIT = 0x20
COMMAND_ATTRIBUTE_MASK = 0x07


def view(headers: npt.NDArray[np.uint8], layout: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """Name the fields of ``headers``, shape (n, 48) and contiguous, by ``layout``; shape (n,), no copy."""
    if headers.ndim != 2 or headers.shape[1] != HEADER_BYTES:
        raise ValueError(f"headers have shape {headers.shape}, not (n, {HEADER_BYTES})")
    return np.ascontiguousarray(headers).view(layout)[:, 0]


def data_length(view_of_headers: npt.NDArray[np.void]) -> npt.NDArray[np.int32]:
    """DataSegmentLength (24 bits at byte 5) in bytes without padding, shape (n,)."""
    high = view_of_headers["data_length_high"].astype(np.int32)
    return (high << 16) | view_of_headers["data_length_low"].astype(np.int32)

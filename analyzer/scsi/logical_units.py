"""Logical unit numbers: from the eight bytes on the wire to the number people use.

Knows the address methods of SAM-5 section 4.7: peripheral device (00b) and flat space (01b) addressing
of a single level become the plain number; anything else stays the eight bytes as one number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PERIPHERAL, _FLAT = 0, 1
_LOWER_LEVELS = np.uint64((1 << 48) - 1)


def lun_numbers(fields: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers of logical units from their LUN fields read as big-endian numbers, shape (n,)."""
    first_level = (fields >> np.uint64(48)).astype(np.uint64)
    method = first_level >> np.uint64(14)
    is_single_level = (fields & _LOWER_LEVELS) == 0
    # A peripheral address names a bus in its first byte; only bus 0 is a unit of the target itself.
    is_peripheral = is_single_level & (method == _PERIPHERAL) & (first_level <= 0xFF)
    is_flat = is_single_level & (method == _FLAT)
    number = np.where(is_peripheral, first_level, fields)
    return np.where(is_flat, first_level & np.uint64(0x3FFF), number)

"""Operation codes and CDB layouts of SPC, SBC, SSC, SMC and MMC, declared as one table.

Decides what a CDB is called and where its first logical block and its transfer length stand.
Does not know tasks, data or status. One operation code can mean different things to different
kinds of device (01h rewinds a tape and recalibrated a disk); ``device`` says to which a row belongs,
and ``device_types`` guesses the kind of each logical unit from the codes that only one kind has.

Sources: SPC-4, SBC-3, SSC-4, SMC-3 and MMC-6 (operation code tables and command descriptor blocks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CDB_BYTES = 16
"""CDB bytes in the header of a command; longer ones go on in an Additional Header Segment."""
LONG_CDB_BYTES = 32

ANY = ""
DISK = "disk"
TAPE = "tape"
CHANGER = "changer"
DEVICES = (DISK, TAPE, CHANGER)
"""Kinds of device whose codes differ. Optical drives share the block commands of disks here."""

Span = tuple[int, int]
"""First byte of a big-endian number in the CDB, and how many bytes it has."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as T10 names it.

    ``service_action`` is None where the code has none, or for the row that stands for all actions
    that have no row of their own. ``blocks`` is declared only where the transfer length counts
    logical blocks. ``zero_blocks`` is what a transfer length of zero means.
    """

    name: str
    code: int
    service_action: int | None = None
    lba: Span | None = None
    blocks: Span | None = None
    zero_blocks: int = 0
    device: str = ANY


# Where the numbers stand in CDBs of six, ten, twelve and sixteen bytes (SPC-4 section 4.2.5).
_LBA_6: Span = (1, 3)
_LBA: Span = (2, 4)
_LBA_16: Span = (2, 8)
_BLOCKS_6: Span = (4, 1)
_BLOCKS_10: Span = (7, 2)
_BLOCKS_12: Span = (6, 4)
_BLOCKS_16: Span = (10, 4)
_LBA_32: Span = (12, 8)
_BLOCKS_32: Span = (28, 4)

_SIX_BYTE_LBA_MASK = (1 << 21) - 1

OPERATIONS: tuple[Operation, ...] = (
    Operation("TEST UNIT READY", 0x00),
    Operation("REZERO UNIT", 0x01, device=DISK),
    Operation("REWIND", 0x01, device=TAPE),
    Operation("REQUEST SENSE", 0x03),
    Operation("FORMAT UNIT", 0x04, device=DISK),
    Operation("FORMAT MEDIUM", 0x04, device=TAPE),
    Operation("READ BLOCK LIMITS", 0x05, device=TAPE),
    Operation("REASSIGN BLOCKS", 0x07, device=DISK),
    Operation("INITIALIZE ELEMENT STATUS", 0x07, device=CHANGER),
    Operation("READ(6)", 0x08, lba=_LBA_6, blocks=_BLOCKS_6, zero_blocks=256, device=DISK),
    Operation("READ(6)", 0x08, device=TAPE),
    Operation("WRITE(6)", 0x0A, lba=_LBA_6, blocks=_BLOCKS_6, zero_blocks=256, device=DISK),
    Operation("WRITE(6)", 0x0A, device=TAPE),
    Operation("SEEK(6)", 0x0B, lba=_LBA_6, device=DISK),
    Operation("SET CAPACITY", 0x0B, device=TAPE),
    Operation("READ REVERSE(6)", 0x0F, device=TAPE),
    Operation("WRITE FILEMARKS(6)", 0x10, device=TAPE),
    Operation("SPACE(6)", 0x11, device=TAPE),
    Operation("INQUIRY", 0x12),
    Operation("VERIFY(6)", 0x13, device=TAPE),
    Operation("RECOVER BUFFERED DATA", 0x14, device=TAPE),
    Operation("MODE SELECT(6)", 0x15),
    Operation("RESERVE(6)", 0x16),
    Operation("RELEASE(6)", 0x17),
    Operation("COPY", 0x18),
    Operation("ERASE(6)", 0x19, device=TAPE),
    Operation("MODE SENSE(6)", 0x1A),
    Operation("START STOP UNIT", 0x1B, device=DISK),
    Operation("LOAD UNLOAD", 0x1B, device=TAPE),
    Operation("RECEIVE DIAGNOSTIC RESULTS", 0x1C),
    Operation("SEND DIAGNOSTIC", 0x1D),
    Operation("PREVENT ALLOW MEDIUM REMOVAL", 0x1E),
    Operation("READ FORMAT CAPACITIES", 0x23),
    Operation("READ CAPACITY(10)", 0x25),
    Operation("READ(10)", 0x28, lba=_LBA, blocks=_BLOCKS_10),
    Operation("WRITE(10)", 0x2A, lba=_LBA, blocks=_BLOCKS_10),
    Operation("SEEK(10)", 0x2B, lba=_LBA, device=DISK),
    Operation("LOCATE(10)", 0x2B, device=TAPE),
    Operation("POSITION TO ELEMENT", 0x2B, device=CHANGER),
    Operation("WRITE AND VERIFY(10)", 0x2E, lba=_LBA, blocks=_BLOCKS_10),
    Operation("VERIFY(10)", 0x2F, lba=_LBA, blocks=_BLOCKS_10),
    Operation("PRE-FETCH(10)", 0x34, lba=_LBA, blocks=_BLOCKS_10, device=DISK),
    Operation("READ POSITION", 0x34, device=TAPE),
    Operation("SYNCHRONIZE CACHE(10)", 0x35, lba=_LBA, blocks=_BLOCKS_10),
    Operation("READ DEFECT DATA(10)", 0x37, device=DISK),
    Operation("INITIALIZE ELEMENT STATUS WITH RANGE", 0x37, device=CHANGER),
    Operation("WRITE BUFFER", 0x3B),
    Operation("READ BUFFER", 0x3C),
    Operation("READ LONG(10)", 0x3E, lba=_LBA),
    Operation("WRITE LONG(10)", 0x3F, lba=_LBA),
    Operation("WRITE SAME(10)", 0x41, lba=_LBA, blocks=_BLOCKS_10),
    Operation("UNMAP", 0x42, device=DISK),
    Operation("READ TOC/PMA/ATIP", 0x43),
    Operation("REPORT DENSITY SUPPORT", 0x44, device=TAPE),
    Operation("GET CONFIGURATION", 0x46),
    Operation("SANITIZE", 0x48),
    Operation("GET EVENT STATUS NOTIFICATION", 0x4A),
    Operation("LOG SELECT", 0x4C),
    Operation("LOG SENSE", 0x4D),
    Operation("XDWRITE(10)", 0x50, lba=_LBA, blocks=_BLOCKS_10, device=DISK),
    Operation("XPWRITE(10)", 0x51, lba=_LBA, blocks=_BLOCKS_10, device=DISK),
    Operation("READ TRACK INFORMATION", 0x52),
    Operation("XDWRITEREAD(10)", 0x53, lba=_LBA, blocks=_BLOCKS_10),
    Operation("MODE SELECT(10)", 0x55),
    Operation("RESERVE(10)", 0x56),
    Operation("RELEASE(10)", 0x57),
    Operation("MODE SENSE(10)", 0x5A),
    Operation("CLOSE TRACK/SESSION", 0x5B),
    Operation("PERSISTENT RESERVE IN", 0x5E),
    Operation("PERSISTENT RESERVE OUT", 0x5F),
    Operation("VARIABLE LENGTH COMMAND", 0x7F),
    Operation("READ(32)", 0x7F, 0x09, lba=_LBA_32, blocks=_BLOCKS_32),
    Operation("VERIFY(32)", 0x7F, 0x0A, lba=_LBA_32, blocks=_BLOCKS_32),
    Operation("WRITE(32)", 0x7F, 0x0B, lba=_LBA_32, blocks=_BLOCKS_32),
    Operation("WRITE AND VERIFY(32)", 0x7F, 0x0C, lba=_LBA_32, blocks=_BLOCKS_32),
    Operation("WRITE SAME(32)", 0x7F, 0x0D, lba=_LBA_32, blocks=_BLOCKS_32),
    Operation("WRITE FILEMARKS(16)", 0x80, device=TAPE),
    Operation("READ REVERSE(16)", 0x81, device=TAPE),
    Operation("EXTENDED COPY", 0x83),
    Operation("EXTENDED COPY(LID1)", 0x83, 0x00),
    Operation("EXTENDED COPY(LID4)", 0x83, 0x01),
    Operation("POPULATE TOKEN", 0x83, 0x10),
    Operation("WRITE USING TOKEN", 0x83, 0x11),
    Operation("COPY OPERATION ABORT", 0x83, 0x1C),
    Operation("RECEIVE COPY RESULTS", 0x84),
    Operation("RECEIVE COPY STATUS(LID1)", 0x84, 0x00),
    Operation("RECEIVE COPY DATA(LID1)", 0x84, 0x01),
    Operation("RECEIVE COPY OPERATING PARAMETERS", 0x84, 0x03),
    Operation("RECEIVE COPY FAILURE DETAILS(LID1)", 0x84, 0x04),
    Operation("RECEIVE COPY STATUS(LID4)", 0x84, 0x05),
    Operation("RECEIVE COPY DATA(LID4)", 0x84, 0x06),
    Operation("RECEIVE ROD TOKEN INFORMATION", 0x84, 0x07),
    Operation("REPORT ALL ROD TOKENS", 0x84, 0x08),
    Operation("ATA PASS-THROUGH(16)", 0x85),
    Operation("ACCESS CONTROL IN", 0x86),
    Operation("ACCESS CONTROL OUT", 0x87),
    Operation("READ(16)", 0x88, lba=_LBA_16, blocks=_BLOCKS_16, device=DISK),
    Operation("READ(16)", 0x88, device=TAPE),
    Operation("COMPARE AND WRITE", 0x89, lba=_LBA_16, blocks=(13, 1)),
    Operation("WRITE(16)", 0x8A, lba=_LBA_16, blocks=_BLOCKS_16, device=DISK),
    Operation("WRITE(16)", 0x8A, device=TAPE),
    Operation("ORWRITE(16)", 0x8B, lba=_LBA_16, blocks=_BLOCKS_16),
    Operation("READ ATTRIBUTE", 0x8C),
    Operation("WRITE ATTRIBUTE", 0x8D),
    Operation("WRITE AND VERIFY(16)", 0x8E, lba=_LBA_16, blocks=_BLOCKS_16),
    Operation("VERIFY(16)", 0x8F, lba=_LBA_16, blocks=_BLOCKS_16),
    Operation("PRE-FETCH(16)", 0x90, lba=_LBA_16, blocks=_BLOCKS_16),
    Operation("SYNCHRONIZE CACHE(16)", 0x91, lba=_LBA_16, blocks=_BLOCKS_16, device=DISK),
    Operation("SPACE(16)", 0x91, device=TAPE),
    Operation("LOCATE(16)", 0x92, device=TAPE),
    Operation("WRITE SAME(16)", 0x93, lba=_LBA_16, blocks=_BLOCKS_16, device=DISK),
    Operation("ERASE(16)", 0x93, device=TAPE),
    Operation("ZONING OUT", 0x94),
    Operation("ZONING IN", 0x95),
    Operation("WRITE ATOMIC(16)", 0x9C, lba=_LBA_16, blocks=(12, 2)),
    Operation("SERVICE ACTION BIDIRECTIONAL", 0x9D),
    Operation("SERVICE ACTION IN(16)", 0x9E),
    Operation("READ CAPACITY(16)", 0x9E, 0x10),
    Operation("READ LONG(16)", 0x9E, 0x11, lba=_LBA_16),
    Operation("GET LBA STATUS", 0x9E, 0x12, lba=_LBA_16),
    Operation("REPORT REFERRALS", 0x9E, 0x13, lba=_LBA_16),
    Operation("SERVICE ACTION OUT(16)", 0x9F),
    Operation("WRITE LONG(16)", 0x9F, 0x11, lba=_LBA_16),
    Operation("REPORT LUNS", 0xA0),
    Operation("ATA PASS-THROUGH(12)", 0xA1),
    Operation("SECURITY PROTOCOL IN", 0xA2),
    Operation("MAINTENANCE IN", 0xA3),
    Operation("REPORT IDENTIFYING INFORMATION", 0xA3, 0x05),
    Operation("REPORT TARGET PORT GROUPS", 0xA3, 0x0A),
    Operation("REPORT ALIASES", 0xA3, 0x0B),
    Operation("REPORT SUPPORTED OPERATION CODES", 0xA3, 0x0C),
    Operation("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 0xA3, 0x0D),
    Operation("REPORT PRIORITY", 0xA3, 0x0E),
    Operation("REPORT TIMESTAMP", 0xA3, 0x0F),
    Operation("MAINTENANCE OUT", 0xA4),
    Operation("SET IDENTIFYING INFORMATION", 0xA4, 0x06),
    Operation("SET TARGET PORT GROUPS", 0xA4, 0x0A),
    Operation("CHANGE ALIASES", 0xA4, 0x0B),
    Operation("SET PRIORITY", 0xA4, 0x0E),
    Operation("SET TIMESTAMP", 0xA4, 0x0F),
    Operation("MOVE MEDIUM", 0xA5, device=CHANGER),
    Operation("EXCHANGE MEDIUM", 0xA6, device=CHANGER),
    Operation("READ(12)", 0xA8, lba=_LBA, blocks=_BLOCKS_12),
    Operation("WRITE(12)", 0xAA, lba=_LBA, blocks=_BLOCKS_12),
    Operation("READ MEDIA SERIAL NUMBER", 0xAB),
    Operation("WRITE AND VERIFY(12)", 0xAE, lba=_LBA, blocks=_BLOCKS_12),
    Operation("VERIFY(12)", 0xAF, lba=_LBA, blocks=_BLOCKS_12),
    Operation("SECURITY PROTOCOL OUT", 0xB5),
    Operation("READ DEFECT DATA(12)", 0xB7),
    Operation("READ ELEMENT STATUS", 0xB8, device=CHANGER),
)

RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10 = 0x16, 0x17, 0x56, 0x57
PERSISTENT_RESERVE_IN, PERSISTENT_RESERVE_OUT = 0x5E, 0x5F
MODE_SELECT_6, MODE_SELECT_10 = 0x15, 0x55

PERSISTENT_RESERVE_OUT_ACTIONS: dict[int, str] = {
    0x00: "REGISTER",
    0x01: "RESERVE",
    0x02: "RELEASE",
    0x03: "CLEAR",
    0x04: "PREEMPT",
    0x05: "PREEMPT AND ABORT",
    0x06: "REGISTER AND IGNORE EXISTING KEY",
    0x07: "REGISTER AND MOVE",
    0x08: "REPLACE LOST RESERVATION",
}

PERSISTENT_RESERVATION_TYPES: dict[int, str] = {
    0x1: "Write Exclusive",
    0x3: "Exclusive Access",
    0x5: "Write Exclusive, Registrants Only",
    0x6: "Exclusive Access, Registrants Only",
    0x7: "Write Exclusive, All Registrants",
    0x8: "Exclusive Access, All Registrants",
}

# Codes that only one kind of device has, by which a logical unit gives itself away.
_TELLING_CODES: dict[str, tuple[int, ...]] = {
    TAPE: (0x05, 0x10, 0x11, 0x19, 0x44, 0x80, 0x92),
    CHANGER: (0xA5, 0xA6, 0xB8),
}

_UNKNOWN_BASE = len(OPERATIONS)
OPERATION_NAMES: tuple[str, ...] = (
    *(operation.name for operation in OPERATIONS),
    *(f"operation code {code:02X}h" for code in range(256)),
)
"""Names by operation number: the declared operations, then every code that has no row."""

# Codes whose service action is the low five bits of byte 1; that of 7Fh is in bytes 8 and 9.
VARIABLE_LENGTH = 0x7F
_WITH_SERVICE_ACTION = {row.code for row in OPERATIONS if row.service_action is not None} - {VARIABLE_LENGTH}
_ACTIONS = 32


def _rank(device: str) -> Callable[[int], tuple[bool, bool]]:
    """Sort key of operation numbers: the better a row fits ``device``, the later it comes."""
    return lambda number: (
        OPERATIONS[number].device in (ANY, device),
        OPERATIONS[number].service_action is not None,
    )


def _numbers_by_code() -> npt.NDArray[np.int32]:
    """Operation number by device, code and service action, shape (devices, 256, 32)."""
    table = np.empty((len(DEVICES), 256, _ACTIONS), np.int32)
    table[:] = (_UNKNOWN_BASE + np.arange(256, dtype=np.int32))[None, :, None]
    for device_number, device in enumerate(DEVICES):
        # Later rows win: this device's over another's, and one action's over that of the whole code.
        for number in sorted(range(len(OPERATIONS)), key=_rank(device)):
            row = OPERATIONS[number]
            action = row.service_action
            table[device_number, row.code, slice(None) if action is None else action] = number
    return table


_NUMBERS = _numbers_by_code()


@dataclass(frozen=True, slots=True)
class CdbColumns:
    """What n CDBs say; all arrays have shape (n,)."""

    operation: npt.NDArray[np.int32]
    """Operation number, an index of OPERATION_NAMES."""
    lba: npt.NDArray[np.uint64]
    has_lba: npt.NDArray[np.bool_]
    blocks: npt.NDArray[np.uint64]
    has_blocks: npt.NDArray[np.bool_]


def decode_cdbs(cdbs: npt.NDArray[np.uint8], devices: npt.NDArray[np.uint8] | None = None) -> CdbColumns:
    """Name and measure a column of CDBs, shape (n, 16) or (n, 32), each of the kind ``devices`` says.

    ``devices`` has shape (n,) and holds indexes of DEVICES; without it all are disks. Where an
    operation has no LBA or counts no blocks the number is 0 and its ``has`` is false.
    """
    if cdbs.ndim != 2 or cdbs.shape[1] not in (CDB_BYTES, LONG_CDB_BYTES):
        raise ValueError(f"CDBs have shape {cdbs.shape}, not (n, {CDB_BYTES}) or (n, {LONG_CDB_BYTES})")
    kinds = np.zeros(len(cdbs), np.uint8) if devices is None else devices
    operation = _NUMBERS[kinds, cdbs[:, 0], _service_actions(cdbs)]
    columns = CdbColumns(
        operation,
        np.zeros(len(cdbs), np.uint64),
        np.zeros(len(cdbs), np.bool_),
        np.zeros(len(cdbs), np.uint64),
        np.zeros(len(cdbs), np.bool_),
    )
    for number in np.flatnonzero(np.bincount(operation, minlength=len(OPERATION_NAMES))[:_UNKNOWN_BASE]):
        row = OPERATIONS[number]
        if row.lba is None and row.blocks is None:
            continue
        members = np.flatnonzero(operation == number)
        if row.lba is not None and sum(row.lba) <= cdbs.shape[1]:
            lba = _big_endian(cdbs, members, row.lba)
            columns.lba[members] = lba & np.uint64(_SIX_BYTE_LBA_MASK) if row.lba == _LBA_6 else lba
            columns.has_lba[members] = True
        if row.blocks is not None and sum(row.blocks) <= cdbs.shape[1]:
            blocks = _big_endian(cdbs, members, row.blocks)
            columns.blocks[members] = np.where(blocks == 0, np.uint64(row.zero_blocks), blocks)
            columns.has_blocks[members] = True
    return columns


def device_types(
    codes: npt.NDArray[np.uint8], units: npt.NDArray[np.int64], unit_count: int
) -> npt.NDArray[np.uint8]:
    """The kind of each logical unit, an index of DEVICES, shape (unit_count,).

    ``codes`` and ``units`` have shape (n,): operation codes seen, and the logical unit each went to
    (0 .. unit_count - 1). A unit that gave no sign is a disk.
    """
    kinds = np.zeros(unit_count, np.uint8)
    for device, telling in _TELLING_CODES.items():
        kinds[units[np.isin(codes, np.array(telling, np.uint8))]] = DEVICES.index(device)
    return kinds


def _service_actions(cdbs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The service action of each CDB, 0 where it has none, shape (n,)."""
    has_action = np.zeros(256, np.bool_)
    has_action[list(_WITH_SERVICE_ACTION)] = True
    actions = np.where(has_action[cdbs[:, 0]], cdbs[:, 1] & (_ACTIONS - 1), 0).astype(np.uint8)
    variable = np.flatnonzero(cdbs[:, 0] == VARIABLE_LENGTH)
    if len(variable):
        high, low = cdbs[variable, 8], cdbs[variable, 9]
        actions[variable] = np.where((high == 0) & (low < _ACTIONS), low, 0)
    return actions


def _big_endian(
    cdbs: npt.NDArray[np.uint8], members: npt.NDArray[np.int64], span: Span
) -> npt.NDArray[np.uint64]:
    start, count = span
    number = np.zeros(len(members), np.uint64)
    for byte in range(start, start + count):
        number = (number << np.uint64(8)) | cdbs[members, byte].astype(np.uint64)
    return number

"""SCSI status codes (SAM-5 section 5.3.1) by name."""

from __future__ import annotations

GOOD = 0x00
CHECK_CONDITION = 0x02
BUSY = 0x08
RESERVATION_CONFLICT = 0x18
TASK_SET_FULL = 0x28
TASK_ABORTED = 0x40

STATUS_NAMES: dict[int, str] = {
    GOOD: "GOOD",
    CHECK_CONDITION: "CHECK CONDITION",
    0x04: "CONDITION MET",
    BUSY: "BUSY",
    0x10: "INTERMEDIATE",
    0x14: "INTERMEDIATE-CONDITION MET",
    RESERVATION_CONFLICT: "RESERVATION CONFLICT",
    0x22: "COMMAND TERMINATED",
    TASK_SET_FULL: "TASK SET FULL",
    0x30: "ACA ACTIVE",
    TASK_ABORTED: "TASK ABORTED",
}

RETRIED_STATUSES: tuple[int, ...] = (BUSY, TASK_SET_FULL, TASK_ABORTED)
"""Statuses after which a SCSI layer sends the command again by itself."""


def status_name(code: int) -> str:
    """The name of a status, or its number where T10 gave it none."""
    return STATUS_NAMES.get(code, f"status {code:02X}h")

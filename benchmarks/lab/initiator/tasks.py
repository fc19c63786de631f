"""What the initiator knows of each command: every attempt at it, and what came back.

A command is one piece of work; an attempt is one sending of it under a task tag and CmdSN. Holds facts
only; who sends when is decided elsewhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.lab.configuration import BLOCK_BYTES
from benchmarks.lab.workload import Item

if TYPE_CHECKING:
    from benchmarks.lab.initiator.session import Connection, Session

INITIAL = "initial"
RETRY = "retry-same-cmdsn"
REISSUE = "reissue-new-cmdsn"
REISSUE_ELSEWHERE = "reissue-new-session"

_READ_10, _WRITE_10 = 0x28, 0x2A
_LARGEST_LBA, _LARGEST_BLOCKS = 0xFFFFFFFF, 0xFFFF


@dataclass(slots=True, eq=False)
class Attempt:
    """One sending of a command. ``sent_at`` stays None where its header never left this host."""

    kind: str
    session: Session
    connection: Connection
    task_tag: int
    cmd_sn: int
    exp_stat_sn: int
    queued_at: float
    sent_at: float | None = None
    completed_at: float | None = None
    end_of_header: int = 0


@dataclass(slots=True, eq=False)
class Command:
    """One command of the list (``index``) or of our own (None), with its latest answer."""

    index: int | None
    cdb: bytes
    lba: int | None = None
    blocks: int | None = None
    length_bytes: int = 0
    is_read: bool = False
    is_write: bool = False
    path: int = 0
    submitted_at: float = 0.0
    completed_at: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    status: int | None = None
    response: int | None = None
    stat_sn: int | None = None
    residual_flag: str | None = None
    residual_bytes: int = 0
    sense: bytes = b""
    is_phase_collapsed: bool = False
    immediate_bytes: int = 0
    unsolicited_bytes: int = 0
    received_bytes: int = 0
    r2ts: int = 0
    data_ins: int = 0
    data_outs: int = 0

    @property
    def last(self) -> Attempt:
        """The attempt that counts now."""
        return self.attempts[-1]

    @property
    def first_path(self) -> int:
        """The path that the policy chose at submission."""
        return self.attempts[0].connection.path if self.attempts else self.path

    def begin(self) -> None:
        """Forget what an earlier attempt has counted."""
        self.immediate_bytes = self.unsolicited_bytes = self.received_bytes = 0
        self.r2ts = self.data_ins = self.data_outs = 0


def test_unit_ready() -> Command:
    """The command that fetches pending unit attentions."""
    return Command(None, bytes(16))


def command_of(index: int, item: Item) -> Command:
    """READ(10) or WRITE(10) for an item of the list (SBC-3 sections 5.8 and 5.29)."""
    blocks = item.length_bytes // BLOCK_BYTES
    if not (0 <= item.lba <= _LARGEST_LBA and 0 < blocks <= _LARGEST_BLOCKS):
        raise ValueError(f"command {index} does not fit a CDB of ten bytes")
    code = _READ_10 if item.is_read else _WRITE_10
    cdb = struct.pack(">BBIBHB6x", code, 0, item.lba, 0, blocks, 0)
    return Command(
        index,
        cdb,
        item.lba,
        blocks,
        item.length_bytes,
        is_read=item.is_read,
        is_write=not item.is_read,
    )

"""A session and its connections: task tags, CmdSN, the command window, and the exchange of each task's data.

Decides what to send for a command and what each PDU of the target means for it. Which connection a
command takes, and what happens when one is lost, is decided elsewhere. All times are handed in.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from analyzer.iscsi.headers import (
    COMMAND_READ_BIT,
    COMMAND_WRITE_BIT,
    DATA_IN_OVERFLOW_BIT,
    DATA_IN_STATUS_BIT,
    DATA_IN_UNDERFLOW_BIT,
    FINAL_BIT,
)
from analyzer.iscsi.opcodes import RESERVED_TAG, Opcode
from analyzer.serial_numbers import MASK, serial_less, serial_max
from benchmarks.lab.initiator.pdus import FROM_TARGET, Pdu, ProtocolError, encode, encode_lun
from benchmarks.lab.initiator.tasks import RETRY, Attempt, Command
from benchmarks.lab.initiator.wire import Wire

_SIMPLE = 1
LOGICAL_UNIT_RESET = 5
CLOSE_SESSION = 0
PING = b"lab ping"
_ZEROS = memoryview(bytes(1 << 20))
_HAS_STATUS = (
    Opcode.SCSI_RESPONSE,
    Opcode.TASK_MANAGEMENT_RESPONSE,
    Opcode.LOGOUT_RESPONSE,
    Opcode.ASYNC_MESSAGE,
    Opcode.REJECT,
)


@dataclass(eq=False)
class Connection:
    """One connection in full feature phase; ``path`` is its number on the whole host."""

    cid: int
    path: int
    wire: Wire
    target_segment_bytes: int
    exp_stat_sn: int
    record: dict[str, Any]
    is_alive: bool = True
    received_at: float = 0.0
    pinged_at: float | None = None
    _leaving: deque[Attempt] = field(default_factory=deque)

    def send_command(self, pdu: Pdu, attempt: Attempt) -> None:
        """Queue a command PDU and remember where in the stream its header ends."""
        attempt.end_of_header = self.wire.queue(pdu)
        self._leaving.append(attempt)

    def flush(self, now: float) -> None:
        """Hand to TCP what it takes, and note which commands have left. Raises ConnectionLostError."""
        self.wire.flush()
        while self._leaving and self._leaving[0].end_of_header <= self.wire.accepted_bytes:
            self._leaving.popleft().sent_at = now

    def reset(self, commands: list[Command]) -> None:
        """End the connection with a TCP reset; commands whose header TCP had not sent never left."""
        sent_bytes = self.wire.reset()
        self.is_alive = False
        for command in commands:
            if (
                command.attempts
                and command.last.connection is self
                and command.last.end_of_header > sent_bytes
            ):
                command.last.sent_at = None


@dataclass(eq=False)
class Session:
    """One session. ``keys`` is what its leading login settled."""

    label: str
    isid: bytes
    tsih: int
    lun: int
    keys: dict[str, str]
    connections: list[Connection]
    next_cmd_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    next_tag: int
    outstanding: dict[int, Command] = field(default_factory=dict)
    waiting: deque[tuple[Command, Connection, str]] = field(default_factory=deque)
    answers: dict[int, Pdu] = field(default_factory=dict)
    window_log: list[tuple[float, int, int, int]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    def submit(self, command: Command, connection: Connection, kind: str, now: float) -> None:
        """Give a command the next CmdSN and queue it, or let it wait for the window in order."""
        self.waiting.append((command, connection, kind))
        self.send_waiting(now)

    def send_waiting(self, now: float) -> None:
        """Send what the command window has room for."""
        while self.waiting and not serial_less(self.max_cmd_sn, self.next_cmd_sn):
            command, connection, kind = self.waiting.popleft()
            attempt = Attempt(
                kind, self, connection, self.new_tag(), self.next_cmd_sn, connection.exp_stat_sn, now
            )
            self.next_cmd_sn = (self.next_cmd_sn + 1) & MASK
            self._send(command, attempt)

    def retry(self, command: Command, connection: Connection, now: float) -> None:
        """Send a command again that never arrived: same tag and CmdSN (RFC 7143 section 7.2.1)."""
        last = command.last
        attempt = Attempt(RETRY, self, connection, last.task_tag, last.cmd_sn, connection.exp_stat_sn, now)
        self._send(command, attempt)

    def take_waiting(self, connection: Connection) -> list[Command]:
        """Take back commands that wait for the window to be sent on a connection, in order."""
        taken = [command for command, at, _ in self.waiting if at is connection]
        self.waiting = deque(entry for entry in self.waiting if entry[1] is not connection)
        return taken

    def take_all(self) -> list[Command]:
        """Take back everything that is outstanding or waiting, in order; late answers are then ignored."""
        taken = [*self.outstanding.values(), *(command for command, _, _ in self.waiting)]
        self.outstanding.clear()
        self.waiting.clear()
        return taken

    def new_tag(self) -> int:
        """A task tag that no other task of this session has."""
        tag = self.next_tag
        self.next_tag = (self.next_tag + 1) % RESERVED_TAG
        return tag

    def _send(self, command: Command, attempt: Attempt) -> None:
        command.begin()
        command.attempts.append(attempt)
        self.outstanding[attempt.task_tag] = command
        connection = attempt.connection
        immediate, unsolicited = self._unasked_bytes(command, connection)
        command.immediate_bytes, command.unsolicited_bytes = immediate, unsolicited
        direction = COMMAND_READ_BIT * command.is_read | COMMAND_WRITE_BIT * command.is_write
        pdu = encode(
            Opcode.SCSI_COMMAND,
            flags=(0 if unsolicited else FINAL_BIT) | direction | _SIMPLE,
            data=_ZEROS[:immediate],
            lun=encode_lun(self.lun),
            initiator_task_tag=attempt.task_tag,
            expected_data_transfer_length=command.length_bytes,
            cmd_sn=attempt.cmd_sn,
            exp_stat_sn=connection.exp_stat_sn,
            cdb=command.cdb,
        )
        connection.send_command(pdu, attempt)
        if unsolicited:
            self._send_data(command, connection, RESERVED_TAG, immediate, unsolicited)

    def _unasked_bytes(self, command: Command, connection: Connection) -> tuple[int, int]:
        """Bytes that go with the command, and bytes that follow it without R2T (RFC 7143 section 4.2.5.2)."""
        if not command.is_write:
            return 0, 0
        first_burst = min(command.length_bytes, int(self.keys["FirstBurstLength"]))
        has_immediate = self.keys["ImmediateData"] == "Yes"
        immediate = min(first_burst, connection.target_segment_bytes) if has_immediate else 0
        return immediate, first_burst - immediate if self.keys["InitialR2T"] == "No" else 0

    def _send_data(
        self, command: Command, connection: Connection, transfer_tag: int, offset: int, length: int
    ) -> None:
        """One sequence of Data-Out PDUs, each as large as the target takes (RFC 7143 section 11.7)."""
        end = offset + length
        data_sn = 0
        while offset < end:
            size = min(end - offset, connection.target_segment_bytes)
            pdu = encode(
                Opcode.DATA_OUT,
                flags=FINAL_BIT if offset + size == end else 0,
                data=_ZEROS[:size],
                lun=encode_lun(self.lun),
                initiator_task_tag=command.last.task_tag,
                target_transfer_tag=transfer_tag,
                exp_stat_sn=connection.exp_stat_sn,
                data_sn=data_sn,
                buffer_offset=offset,
            )
            connection.wire.queue(pdu)
            command.data_outs += 1
            offset, data_sn = offset + size, data_sn + 1

    def ping(self, connection: Connection) -> int:
        """Send an immediate NOP-Out; the tag under which its answer comes."""
        return self._request(Opcode.NOP_OUT, connection, data=PING, target_transfer_tag=RESERVED_TAG)

    def reset_unit(self, connection: Connection) -> int:
        """Ask for a LOGICAL UNIT RESET; the tag under which the answer comes."""
        return self._request(
            Opcode.TASK_MANAGEMENT_REQUEST,
            connection,
            flags=FINAL_BIT | LOGICAL_UNIT_RESET,
            lun=encode_lun(self.lun),
            referenced_task_tag=RESERVED_TAG,
        )

    def log_out(self, connection: Connection) -> int:
        """Ask to close the session; the tag under which the answer comes."""
        return self._request(Opcode.LOGOUT_REQUEST, connection, flags=FINAL_BIT | CLOSE_SESSION)

    def _request(
        self,
        opcode: Opcode,
        connection: Connection,
        *,
        flags: int = FINAL_BIT,
        data: bytes = b"",
        **fields: int,
    ) -> int:
        tag = self.new_tag()
        fields |= {
            "cmd_sn": self.next_cmd_sn,
            "exp_stat_sn": connection.exp_stat_sn,
            "initiator_task_tag": tag,
        }
        connection.wire.queue(encode(opcode, flags=flags, is_immediate=True, data=data, **fields))
        return tag

    def receive(self, connection: Connection, now: float) -> Iterator[Command]:
        """Take in what has arrived; yields the commands that it completes.

        Raises ConnectionLostError, or ProtocolError where the target does not keep the rules.
        """
        for pdu in connection.wire.receive():
            if pdu.opcode not in FROM_TARGET:
                raise ProtocolError(f"{pdu.opcode.name} from the target")
            connection.received_at = now
            self._take_window(connection, pdu, now)
            command = self._take(connection, pdu)
            if command is not None:
                command.last.completed_at = command.completed_at = now
                yield command
        self.send_waiting(now)

    def _take_window(self, connection: Connection, pdu: Pdu, now: float) -> None:
        """ExpCmdSN and MaxCmdSN never fall (RFC 7143 section 4.2.2.1)."""
        is_newer = serial_less(self.exp_cmd_sn, pdu["exp_cmd_sn"])
        self.exp_cmd_sn = serial_max(self.exp_cmd_sn, pdu["exp_cmd_sn"])
        self.max_cmd_sn = serial_max(self.max_cmd_sn, pdu["max_cmd_sn"])
        if is_newer:
            self.window_log.append((now, connection.cid, self.exp_cmd_sn, self.max_cmd_sn))

    def _take(self, connection: Connection, pdu: Pdu) -> Command | None:
        opcode, tag = pdu.opcode, pdu["initiator_task_tag"]
        is_answer = opcode is Opcode.NOP_IN and tag != RESERVED_TAG
        is_collapsed = opcode is Opcode.DATA_IN and bool(pdu["flags"] & DATA_IN_STATUS_BIT)
        if opcode in _HAS_STATUS or is_answer or is_collapsed:
            connection.exp_stat_sn = (pdu["stat_sn"] + 1) & MASK
        if opcode in (Opcode.SCSI_RESPONSE, Opcode.DATA_IN, Opcode.R2T):
            command = self.outstanding.get(tag)
            if command is None or command.last.connection is not connection:
                self.surprises.append(f"{opcode.name} for task tag {tag:#x}")
                return None
            return self._take_for_command(command, connection, pdu)
        if opcode is Opcode.NOP_IN and not is_answer:
            self._answer_ping(connection, pdu)
        elif opcode in (Opcode.NOP_IN, Opcode.TASK_MANAGEMENT_RESPONSE, Opcode.LOGOUT_RESPONSE):
            self.answers[tag] = pdu
        elif opcode is Opcode.REJECT:
            raise ProtocolError(f"rejected by the target, reason {pdu['reason']:02x}")
        else:
            self.surprises.append(opcode.name)
        return None

    def _answer_ping(self, connection: Connection, pdu: Pdu) -> None:
        transfer_tag = pdu["target_transfer_tag"]
        if transfer_tag == RESERVED_TAG:
            return
        fields = {"cmd_sn": self.next_cmd_sn, "exp_stat_sn": connection.exp_stat_sn, "lun": pdu["lun"]}
        fields |= {"initiator_task_tag": RESERVED_TAG, "target_transfer_tag": transfer_tag}
        connection.wire.queue(encode(Opcode.NOP_OUT, is_immediate=True, data=pdu.data, **fields))

    def _take_for_command(self, command: Command, connection: Connection, pdu: Pdu) -> Command | None:
        if pdu.opcode is Opcode.R2T:
            offset, length = pdu["buffer_offset"], pdu["desired_data_transfer_length"]
            if not command.is_write or not length or offset + length > command.length_bytes:
                raise ProtocolError(f"R2T for {length} bytes at {offset} of {command.length_bytes}")
            command.r2ts += 1
            self._send_data(command, connection, pdu["target_transfer_tag"], offset, length)
            return None
        if pdu.opcode is Opcode.DATA_IN:
            command.data_ins += 1
            command.received_bytes += len(pdu.data)
            if not command.is_read or pdu["buffer_offset"] + len(pdu.data) > command.length_bytes:
                raise ProtocolError("Data-In beyond what was asked for")
            if not pdu["flags"] & DATA_IN_STATUS_BIT:
                return None
            command.is_phase_collapsed = True
            command.response = 0
        else:
            command.response = pdu["response"]
            command.sense = _sense(pdu.data)
        command.status, command.stat_sn = pdu["status"], pdu["stat_sn"]
        command.residual_flag = _residual_flag(pdu["flags"])
        command.residual_bytes = pdu["residual_count"] if command.residual_flag else 0
        del self.outstanding[command.last.task_tag]
        return command


def _residual_flag(flags: int) -> str | None:
    if flags & DATA_IN_OVERFLOW_BIT:
        return "overflow"
    return "underflow" if flags & DATA_IN_UNDERFLOW_BIT else None


def _sense(segment: bytes | memoryview) -> bytes:
    """The sense data of a response, behind its length (RFC 7143 section 11.4.7)."""
    if len(segment) < 2:
        return b""
    length: int = struct.unpack_from(">H", segment)[0]
    return bytes(segment[2 : 2 + length])

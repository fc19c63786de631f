"""A backup to a real tape drive, recorded: one command outstanding, each in its place in a sequence.

    python -m benchmarks.lab.tape FOLDER [--blocks N]

tgt serves a tape on loopback (its SSC device over a cartridge file), our initiator writes files to it the
way backup software does: rewind, WRITE(6) of variable blocks one after the other, a filemark behind each
file, and reads the first file back. Beside the capture lies what the initiator itself saw. Needs no root
but dumpcap's.
"""

from __future__ import annotations

import functools
import json
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzer.errors import UnusableInputError
from benchmarks.lab.initiator.login import Login
from benchmarks.lab.initiator.opening import converse, log_out, step_until
from benchmarks.lab.initiator.session import Connection, Session
from benchmarks.lab.initiator.tasks import INITIAL, Command
from benchmarks.lab.initiator.wire import Wire
from benchmarks.lab.recorder import recorded
from benchmarks.lab.target import LUN, TARGET_NAME, running_tgt

NAME = "tape-backup-tgt"
INITIATOR_NAME = "iqn.2026-11.example.lab:backup"
DEADLINE_S = 5.0
FILES = 4
BLOCK_BYTES = 32 * 1024
CARTRIDGE_BYTES = 64 << 20
_ISID = bytes((0x80, 0, 0, 0x4C, 0, 0xFF))
_KEYS = {
    "MaxConnections": "1",
    "InitialR2T": "Yes",
    "ImmediateData": "Yes",
    "FirstBurstLength": "65536",
    "MaxBurstLength": "262144",
    "MaxOutstandingR2T": "1",
    "MaxRecvDataSegmentLength": "262144",
    "HeaderDigest": "None",
    "DataDigest": "None",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
}


def six(code: int, length: int = 0, flags: int = 0) -> bytes:
    """A CDB of six bytes with a length of three, as SSC-3 has them (sections 6.4, 7.3, 7.7, 8.7)."""
    return struct.pack(">BB", code, flags) + length.to_bytes(3, "big") + bytes(11)


def backup(blocks: int) -> Iterator[Command]:
    """The commands of a backup: rewind, the files with their filemarks, rewind, the first file read."""
    rewind, filemark = 0x01, 0x10
    yield Command(None, six(0x00))
    yield Command(None, six(rewind))
    for _ in range(FILES):
        for _ in range(blocks):
            yield Command(None, six(0x0A, BLOCK_BYTES), length_bytes=BLOCK_BYTES, is_write=True)
        yield Command(None, six(filemark, 1))
    yield Command(None, six(rewind))
    for _ in range(blocks):
        yield Command(None, six(0x08, BLOCK_BYTES), length_bytes=BLOCK_BYTES, is_read=True)
    yield Command(None, six(rewind))


def logged_in(port: int) -> Session:
    """A session of one connection. Raises ConnectionLostError, ProtocolError or LoginRefusedError."""
    wire = Wire("127.0.0.1", ("127.0.0.1", port), DEADLINE_S)
    login = Login(INITIATOR_NAME, TARGET_NAME, _ISID, 0, 0, 1, 1, dict(_KEYS))
    converse(wire, login)
    segment = int(login.answered.get("MaxRecvDataSegmentLength", "8192"))
    connection = Connection(0, 0, wire, segment, login.exp_stat_sn, {})
    numbers = (login.exp_cmd_sn, login.max_cmd_sn, login.task_tag + 1)
    return Session("s1", _ISID, login.tsih, LUN, login.agreed(), [connection], 1, *numbers)


def _is_completed(command: Command) -> bool:
    return command.completed_at is not None


def run(session: Session, commands: Iterator[Command], seed: int) -> list[Command]:
    """Send each command when the one before has ended, after as long as reading the next block took."""
    chance = random.Random(seed)
    done = []
    connection = session.connections[0]
    for command in commands:
        time.sleep(chance.uniform(0.0002, 0.001))
        command.submitted_at = time.time()
        session.submit(command, connection, INITIAL, command.submitted_at)
        step_until(session, connection, functools.partial(_is_completed, command))
        done.append(command)
    return done


def truth_of(done: list[Command]) -> dict[str, Any]:
    """What the initiator saw of each command, by its own clock."""
    return {
        "commands": [
            {
                "cdb": command.cdb[:6].hex(),
                "cmdsn": command.last.cmd_sn,
                "bytes": command.length_bytes,
                "t_submit": command.submitted_at,
                "t_complete": command.completed_at,
                "status": command.status,
            }
            for command in done
        ]
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Where capture and truth are written.", file_okay=False)],
    blocks: Annotated[int, typer.Option(help="Blocks of 32 KiB in each of the four files.")] = 24,
    port: Annotated[int, typer.Option(help="Where tgt listens on 127.0.0.1.")] = 3290,
    seed: Annotated[int, typer.Option(help="Of the pauses between blocks.")] = 1,
) -> None:
    """Record a backup to a tape."""
    folder.mkdir(parents=True, exist_ok=True)
    capture = folder / f"{NAME}.pcapng"
    try:
        with (
            running_tgt(folder, portal=f"127.0.0.1:{port}", unit_bytes=CARTRIDGE_BYTES, is_tape=True),
            recorded(capture, ["lo"], port, longest_s=120.0),
        ):
            session = logged_in(port)
            done = run(session, backup(blocks), seed)
            log_out(session, [])
    except UnusableInputError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    (folder / f"{NAME}.truth.json").write_text(json.dumps(truth_of(done)) + "\n", encoding="utf-8")
    print(f"{len(done)} commands recorded in {capture}")


if __name__ == "__main__":
    typer.run(main)

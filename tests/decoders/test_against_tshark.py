"""On clean captures the native PDU table is tshark's, PDU by PDU and field by field.

tshark names the packet in which a PDU became whole; so each PDU is looked up by the packet with its last
byte. Known blind spots of tshark are left out by name: captures that lack bytes, and those with DataDigest.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from analyzer.decoders.decoded import DecodedCapture
from analyzer.decoders.native import decode
from analyzer.iscsi.headers import DATA_IN, FROM_INITIATOR, FROM_TARGET, data_length, view
from tests.live import tool
from tests.real import TRACES, plain_bytes

FIELDS = (
    "frame.number",
    "iscsi.opcode",
    "iscsi.initiatortasktag",
    "iscsi.cmdsn",
    "iscsi.statsn",
    "iscsi.expcmdsn",
    "iscsi.maxcmdsn",
    "iscsi.datasn",
    "iscsi.bufferOffset",
    "iscsi.datasegmentlength",
)
HAS_CMD_SN = (0x00, 0x01, 0x02, 0x03, 0x04, 0x06)
HAS_DATA_SN = (0x05, 0x25)
R2T = 0x31
WITHOUT_LENGTH = (0x02, 0x22)
"""tshark shows no DataSegmentLength of task management; these have no data (RFC 7143 section 11.5)."""

LACKING = ("snap", "editcap", "midstart", "fromtarget", "digest-both", "digest-mixed", "digests")


def clean_captures() -> list[Path]:
    found = [path for path in TRACES.rglob("*.pcap*") if not any(word in path.name for word in LACKING)]
    return sorted(found)


def rows_of_tshark(path: Path, ports: set[int]) -> Counter[tuple[int | None, ...]]:
    """Every PDU as (opcode, ITT, CmdSN, StatSN, ExpCmdSN, MaxCmdSN, DataSN, offset, length, packet)."""
    decode_as = [word for port in sorted(ports) for word in ("-d", f"tcp.port=={port},iscsi")]
    options = ("tcp.reassemble_out_of_order:TRUE", "iscsi.bogus_pdu_max_data_len:16777215")
    command = [
        tool("tshark"),
        "-r",
        str(path),
        "-Y",
        "iscsi",
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        *decode_as,
    ]
    command += [word for option in options for word in ("-o", option)]
    command += [word for name in FIELDS for word in ("-e", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rows: Counter[tuple[int | None, ...]] = Counter()
    for line in done.stdout.splitlines():
        columns = [[int(item, 0) for item in cell.split(",") if item] for cell in line.split("\t")]
        rows.update(_split_frame(columns))
    return rows


def _split_frame(columns: list[list[int]]) -> list[tuple[int | None, ...]]:
    """tshark lists each field's values of one frame by itself; the opcode tells which PDU has which."""
    frame, opcodes = columns[0][0], columns[1]
    tags, cmd_sns, stat_sns, exp_cmd_sns, max_cmd_sns, data_sns, offsets, lengths = map(iter, columns[2:])
    return [
        (
            opcode,
            next(tags),
            next(cmd_sns) if opcode in HAS_CMD_SN else None,
            next(stat_sns) if opcode >= 0x20 else None,
            next(exp_cmd_sns) if opcode >= 0x20 else None,
            next(max_cmd_sns) if opcode >= 0x20 else None,
            next(data_sns) if opcode in HAS_DATA_SN else None,
            next(offsets) if opcode in (*HAS_DATA_SN, R2T) else None,
            0 if opcode in WITHOUT_LENGTH else next(lengths),
            frame,
        )
        for opcode in opcodes
    ]


def rows_of_native(capture: DecodedCapture, times: dict[int, int]) -> Counter[tuple[int | None, ...]]:
    """The same from the PDU columns; ``times`` maps the time of a packet to its number."""
    headers = capture.pdus.headers
    initiator, target, data_in = (view(headers, layout) for layout in (FROM_INITIATOR, FROM_TARGET, DATA_IN))
    lengths = data_length(target)
    rows: Counter[tuple[int | None, ...]] = Counter()
    for row in range(len(headers)):
        opcode = int(target["opcode_byte"][row]) & 0x3F
        from_target = opcode >= 0x20
        rows[
            (
                opcode,
                int(target["initiator_task_tag"][row]),
                int(initiator["cmd_sn"][row]) if opcode in HAS_CMD_SN else None,
                int(target["stat_sn"][row]) if from_target else None,
                int(target["exp_cmd_sn"][row]) if from_target else None,
                int(target["max_cmd_sn"][row]) if from_target else None,
                int(data_in["data_sn"][row]) if opcode in HAS_DATA_SN else None,
                int(data_in["buffer_offset"][row]) if opcode in (*HAS_DATA_SN, R2T) else None,
                int(lengths[row]),
                times[int(capture.pdus.time_last_ns[row])],
            )
        ] += 1
    return rows


def times_of_packets(path: Path) -> dict[int, int]:
    """The number of each packet by its time in nanoseconds, as tshark reads both."""
    command = [
        tool("tshark"),
        "-r",
        str(path),
        "-T",
        "fields",
        "-e",
        "frame.number",
        "-e",
        "frame.time_epoch",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    times = {}
    for line in done.stdout.splitlines():
        number, stamp = line.split("\t")
        seconds, fraction = stamp.split(".")
        times[int(seconds) * 10**9 + int(fraction.ljust(9, "0"))] = int(number)
    return times


@pytest.mark.tools
@pytest.mark.parametrize("path", clean_captures(), ids=lambda path: path.name.split(".pcap")[0])
def test_pdu_table_equals_tshark(path: Path, tmp_path: Path) -> None:
    """Every PDU with every number and packet, none missing on either side."""
    plain = tmp_path / "capture"
    plain.write_bytes(plain_bytes(path))
    capture = decode([plain])
    ports = {int(port) for port in capture.connections.target_port}
    native = rows_of_native(capture, times_of_packets(plain))
    wireshark = rows_of_tshark(plain, ports)
    assert native.total() > 30
    assert native - wireshark == Counter()
    assert wireshark - native == Counter()

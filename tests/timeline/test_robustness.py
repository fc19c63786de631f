"""Any headers whatever make a timeline or diagnostics, never an exception; compiled and plain code agree.

Invariants of the property tests: every table is as declared, every command PDU of a known session is in
exactly one task, and no task ends before it began.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.iscsi.opcodes import Opcode
from tests.conversations import Conversation, read_10, write_10

OPCODES = [int(opcode) for opcode in Opcode]
headers = st.tuples(
    st.sampled_from(OPCODES),
    st.booleans(),
    st.binary(min_size=15, max_size=15),
    st.binary(min_size=32, max_size=32),
).map(lambda parts: bytes([parts[0] | (0x40 if parts[1] and parts[0] < 0x20 else 0)]) + parts[2] + parts[3])
small_tags = st.integers(0, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 2), headers, st.binary(max_size=60)), max_size=30), st.booleans())
def test_any_headers_make_a_timeline(said_pdus: list[tuple[int, bytes, bytes]], has_login: bool) -> None:
    said = Conversation()
    for number in range(3):
        connection = said.connect()
        if has_login:
            said.login(connection, isid=f"00023d00000{number}", gives=number + 1)
    for connection, header, segment in said_pdus:
        said.say(connection, header, segment)
    said.close(1, reset=True)
    check(said)


actions = st.tuples(
    st.sampled_from(
        [
            "command",
            "immediate",
            "response",
            "data-in",
            "status-in",
            "r2t",
            "data-out",
            "abort",
            "reassign",
            "reset",
        ]
        + ["lun-reset", "done", "reinstate", "snack", "logout", "relogin"]
    ),
    st.integers(0, 2),
    small_tags,
    st.integers(0, 4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(actions, max_size=40))
def test_any_order_of_doings_makes_a_timeline(doings: list[tuple[str, int, int, int]]) -> None:
    said = Conversation()
    live = [said.connect(), said.connect(), said.connect()]
    said.login(live[0])
    said.login(live[1], tsih=1, cid=1)
    said.login(live[2], isid="00023d000002", gives=2)
    for doing, which, tag, number in doings:
        do(said, live, doing, which, tag, number)
    check(said)


def do(said: Conversation, live: list[int], doing: str, which: int, tag: int, number: int) -> None:
    connection = live[which]
    match doing:
        case "command":
            said.command(connection, tag, number, (read_10, write_10)[tag % 2](number, 8), lun=number % 2)
        case "immediate":
            said.command(connection, tag, number, read_10(0, 1), is_immediate=True)
        case "response":
            said.response(connection, tag, status=(0, 2, 8, 0x18, 0x40)[number])
        case "data-in":
            said.data_in(connection, tag, 512)
        case "status-in":
            said.data_in(connection, tag, 512, status=0)
        case "r2t":
            said.r2t(connection, tag, 512)
        case "data-out":
            said.data_out(connection, tag, 512)
        case "abort" | "reassign" | "lun-reset":
            said.task_management(connection, 90, {"abort": 1, "reassign": 8, "lun-reset": 5}[doing], of=tag)
        case "done":
            said.task_management_response(connection, 90, number % 2)
        case "snack":
            said.snack(connection, tag)
        case "logout":
            said.logout(connection, reason=number % 3, cid=which)
            said.logout_response(connection)
        case "reset":
            said.close(connection, reset=True)
        case "reinstate":
            live[which] = said.connect()
            said.login(live[which], tsih=1, cid=which)
        case "relogin":
            live[which] = said.connect()
            said.login(live[which], gives=3 + number)


def check(said: Conversation) -> None:
    timeline = said.timeline()
    tasks, pdus = timeline.arrow["tasks"], timeline.arrow["pdus"]
    command_ns, ended_ns = (tasks[name].to_numpy() for name in ("command_ns", "ended_ns"))
    assert (ended_ns >= command_ns).all()
    assert (tasks["order_wait_ns"].to_numpy() >= 0).all()
    assert (np.diff(command_ns) >= 0).all()
    session = np.array(timeline.arrow["connections"]["session_index"].to_pylist(), dtype=object)
    for opcode, connection, task in zip(
        pdus["opcode"].to_pylist(),
        pdus["connection_index"].to_pylist(),
        pdus["task_index"].to_pylist(),
        strict=True,
    ):
        if opcode == Opcode.SCSI_COMMAND and session[connection] is not None and task is not None:
            assert 0 <= task < tasks.num_rows
    for retry, own in zip(
        tasks["retry_of_task_index"].to_pylist(), tasks["task_index"].to_pylist(), strict=True
    ):
        assert retry is None or retry < own


def test_uncompiled_code_gives_the_same_timeline() -> None:
    """The slow twin: the same kernels as plain Python."""
    script = (
        "import hashlib, sys; sys.path.insert(0, '.')\n"
        "from analyzer.timeline.analysis import analyze\n"
        "from tests.real import capture_path\n"
        "from tests.timeline.test_robustness import recorded_conversation\n"
        "t = recorded_conversation().timeline()\n"
        "print(hashlib.sha256(str([t.arrow[n].to_pylist() for n in sorted(t.arrow)]).encode()).hexdigest())\n"
    )
    digests = set()
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def recorded_conversation() -> Conversation:
    """Some of everything, the same each time."""
    said = Conversation()
    live = [said.connect(), said.connect(), said.connect()]
    said.login(live[0])
    said.login(live[1], tsih=1, cid=1)
    said.login(live[2], isid="00023d000002", gives=2)
    words = ["command", "data-in", "r2t", "data-out", "command", "status-in", "response", "reassign", "reset"]
    words += [
        "reinstate",
        "command",
        "abort",
        "done",
        "response",
        "snack",
        "lun-reset",
        "relogin",
        "immediate",
    ]
    for number in range(200):
        do(said, live, words[number * 7 % len(words)], number % 3, number % 4, number * 3 % 5)
    return said

"""Invariant: what was said and what its packets decode to are one timeline, whatever recovery it took.

Sessions are generated: MC/S or MPIO, commands of all shapes, connections that are reset, closed or fall
silent, and every kind of recovery after it. What each command must have come to is known to the script.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from tests.conversations import Conversation, read_10, rows_of, write_10
from tests.wire import capture_of

SIZE = 8 * 512
RETRY, REASSIGN, REISSUE, REINSTATE_CONNECTION, REINSTATE_SESSION, LUN_RESET, ABORT = RECOVERIES = (
    "retry",
    "reassign",
    "reissue",
    "reinstate-connection",
    "reinstate-session",
    "lun-reset",
    "abort",
)
PACKETS = {"command_packet", "response_packet", "packet", "file_index"}
# What only packets tell, or what only a capture file has.
ONLY_ON_THE_WIRE = {
    *("packets", "rtt_ns_min", "target_side_rtt_ns_min", "initiator_side_rtt_ns_min"),
    *("largest_segment_bytes", "retransmitted_segments", "queue_to_target_bytes", "queue_from_target_bytes"),
}


@dataclass
class Script:
    """Says a session with failures and knows what must come of its commands."""

    is_multipath: bool
    said: Conversation = field(default_factory=Conversation)
    live: list[int] = field(default_factory=list)
    next_cmd_sn: dict[int, int] = field(default_factory=dict)
    session_of: dict[int, int] = field(default_factory=dict)
    open: dict[int, tuple[int, int, bytes, bool]] = field(default_factory=dict)
    """Commands in flight by tag: connection, CmdSN, CDB, whether an R2T was sent."""
    tags: int = 100
    handles: int = 1
    fates: list[str] = field(default_factory=list)
    """Ends that tasks must have, besides those that were answered."""
    answered: int = 0

    def begin(self) -> None:
        first, second = self.said.connect(), self.said.connect("10.0.1.1", "10.0.1.9")
        self.said.login(first)
        self.session_of[first] = 0
        if self.is_multipath:
            self.said.login(second, isid="00023d000002", gives=2)
            self.session_of[second], self.handles = 1, 2
        else:
            self.said.login(second, tsih=1, cid=1)
            self.session_of[second] = 0
        self.live = [first, second]

    def command(self, which: int, is_write: bool) -> None:
        self.tags += 1
        self.send(
            self.live[which % len(self.live)],
            self.tags,
            (write_10 if is_write else read_10)(self.tags * 8, 8),
        )

    def send(self, connection: int, tag: int, cdb: bytes) -> None:
        session = self.session_of[connection]
        cmd_sn = self.next_cmd_sn.get(session, 1)
        self.next_cmd_sn[session] = cmd_sn + 1
        self.said.command(connection, tag, cmd_sn, cdb)
        is_asked = cdb[0] == 0x2A
        if is_asked:
            self.said.r2t(connection, tag, SIZE, transfer_tag=tag)
        self.open[tag] = (connection, cmd_sn, cdb, is_asked)

    def answer(self, tag: int) -> None:
        connection, _, cdb, is_asked = self.open.pop(tag)
        if is_asked:
            self.said.data_out(connection, tag, SIZE, transfer_tag=tag)
        if cdb[0] == 0x28:
            self.said.data_in(connection, tag, SIZE // 2)
            self.said.data_in(connection, tag, SIZE // 2, offset=SIZE // 2, status=0)
        else:
            self.said.response(connection, tag)
        self.answered += 1

    def fail(self, how: str, recovery: str) -> None:
        """Lose the first live connection and bring its commands to an end by ``recovery``."""
        said, lost, other = self.said, self.live[0], self.live[-1]
        held = {tag: state for tag, state in self.open.items() if state[0] == lost}
        if recovery in (LUN_RESET, ABORT):
            self._manage(held, lost, recovery)
            return
        if self.is_multipath and recovery in (RETRY, REASSIGN, REINSTATE_CONNECTION):
            recovery = REISSUE
        if how != "silence" or recovery == REISSUE:
            said.close(lost, reset=how != "fin")
        said.wait_ms(20)
        if recovery == REINSTATE_CONNECTION:
            other = said.connect()
            said.login(other, tsih=1, cid=0 if lost == 0 else 1)
            self.session_of[other] = self.session_of[lost]
        if recovery == REINSTATE_SESSION:
            self._reinstate(lost)
            return
        self.live.remove(lost)
        self.live.append(other) if other not in self.live else None
        for tag, (_, cmd_sn, cdb, _) in held.items():
            del self.open[tag]
            if recovery == RETRY:
                said.command(other, tag, cmd_sn, cdb)
            elif recovery in (REASSIGN, REINSTATE_CONNECTION):
                self.tags += 1
                said.task_management(other, self.tags, 8, of=tag, cmd_sn=cmd_sn)
                said.task_management_response(other, self.tags, 255)
            else:
                self.fates.append("connection-lost")
                self.tags += 1
                self.send(other, self.tags, cdb)
                self.answer(self.tags)
                continue
            self.open[tag] = (other, cmd_sn, cdb, False)
            self.answer(tag)
        self._restore(lost)

    def _manage(self, held: dict[int, Any], connection: int, recovery: str) -> None:
        self.tags += 1
        if recovery == LUN_RESET:
            # It reaches all sessions of the target.
            self.said.task_management(connection, self.tags, 5)
            self.said.task_management_response(connection, self.tags)
            self.fates += ["aborted"] * len(self.open)
            self.open.clear()
        elif held:
            tag = min(held)
            self.said.task_management(connection, self.tags, 1, of=tag)
            self.said.task_management_response(connection, self.tags)
            self.fates.append("aborted")
            del self.open[tag]

    def _reinstate(self, lost: int) -> None:
        """Log in again under the same ISID: the whole old session is gone."""
        session = self.session_of[lost]
        gone = [connection for connection in self.live if self.session_of[connection] == session]
        self.handles += 1
        fresh = self.said.connect()
        isid = "00023d000002" if session == 1 else "00023d000001"
        self.said.login(fresh, isid=isid, gives=self.handles)
        held = {tag: state for tag, state in self.open.items() if state[0] in gone}
        self.live = [connection for connection in self.live if connection not in gone] + [fresh]
        self.session_of[fresh] = 100 + self.handles
        for tag, (_, _, cdb, _) in held.items():
            del self.open[tag]
            self.fates.append("lost")
            self.tags += 1
            self.send(fresh, self.tags, cdb)
            self.answer(self.tags)

    def _restore(self, lost: int) -> None:
        """A connection in place of the lost one, where the session allows for it."""
        if len(self.live) < 2 and not self.is_multipath:
            fresh = self.said.connect("10.0.2.1", "10.0.2.9")
            self.said.login(fresh, tsih=1, cid=10 + fresh)
            self.session_of[fresh] = self.session_of[lost]
            self.live.append(fresh)

    def finish(self) -> None:
        for tag in sorted(self.open):
            self.answer(tag)
        self.said.nop_out(self.live[0], 99)
        self.said.nop_in(self.live[0], 99)


step = st.one_of(
    st.tuples(st.just("command"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 400])),
)
failure = st.tuples(
    st.just("fail"), st.sampled_from(["reset", "fin", "silence"]), st.sampled_from(RECOVERIES)
)


def play(is_multipath: bool, steps: list[tuple[Any, ...]]) -> Script:
    script = Script(is_multipath)
    script.begin()
    for one in steps:
        if one[0] == "command":
            script.command(one[1], one[2])
        elif one[0] == "answer" and script.open:
            script.answer(sorted(script.open)[one[1] % len(script.open)])
        elif one[0] == "wait":
            script.said.wait_ms(one[1])
        elif one[0] == "fail" and len(script.live) == 2:
            script.fail(one[1], one[2])
    script.finish()
    return script


def comparable(timeline: Timeline, table: str) -> list[dict[str, Any]]:
    left_out = PACKETS | (ONLY_ON_THE_WIRE if table == "connections" else set())
    return [
        {name: value for name, value in row.items() if name not in left_out}
        for row in rows_of(timeline, table)
    ]


def assert_same(said: Conversation, folder: Path) -> Timeline:
    capture = folder / "said.pcap"
    capture.write_bytes(capture_of(said))
    decoded, described = analyze(capture), said.timeline()
    for table in ("sessions", "connections", "tasks", "incidents", "task_fates", "events"):
        assert comparable(decoded, table) == comparable(described, table), table
    return decoded


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.booleans(),
    st.lists(step, max_size=12),
    failure,
    st.lists(step | failure, max_size=12),
)
def test_a_generated_session_with_recoveries_survives_the_wire(
    tmp_path: Path,
    is_multipath: bool,
    before: list[tuple[Any, ...]],
    loss: tuple[Any, ...],
    after: list[tuple[Any, ...]],
) -> None:
    script = play(is_multipath, [*before, loss, *after])
    timeline = assert_same(script.said, tmp_path)
    ends = [row["end"] for row in rows_of(timeline, "tasks")]
    assert ends.count("responded") == script.answered
    assert ends.count("aborted") == script.fates.count("aborted")
    assert len(ends) == script.answered + len(script.fates)


@pytest.mark.parametrize("recovery", RECOVERIES)
@pytest.mark.parametrize("is_multipath", [False, True])
def test_each_recovery_with_reads_and_writes_in_flight(
    tmp_path: Path, is_multipath: bool, recovery: str
) -> None:
    """Four commands on each connection, then the loss: none may be lost from sight."""
    flight: list[tuple[Any, ...]] = [
        ("command", which, which == number % 2) for number in range(4) for which in (0, 1)
    ]
    script = play(is_multipath, [*flight, ("wait", 30), ("fail", "reset", recovery)])
    timeline = assert_same(script.said, tmp_path)
    incidents = rows_of(timeline, "incidents")
    assert sum(row["outstanding"] for row in incidents) >= (1 if recovery == ABORT else 4)
    assert sum(row["lost"] for row in incidents) == 0

"""The closed loop: keeps a number of commands outstanding, answers the target, notices and heals lost paths.

Decides when the next command is submitted: at once when one has completed. The policy decides where.
Ends when the list is done, when no path is left, or at the deadline, whichever comes first.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Any

from benchmarks.lab.configuration import Configuration, FaultKind
from benchmarks.lab.initiator.opening import clear_unit_attentions, log_out, open_sessions
from benchmarks.lab.initiator.paths import POLICIES, Path
from benchmarks.lab.initiator.pdus import ProtocolError
from benchmarks.lab.initiator.recovery import PathRecovery, Record, recover
from benchmarks.lab.initiator.session import Session
from benchmarks.lab.initiator.tasks import INITIAL, REISSUE, REISSUE_ELSEWHERE, Command, command_of
from benchmarks.lab.initiator.wire import ConnectionLostError
from benchmarks.lab.workload import Item

MAX_ATTEMPTS = 8
LONGEST_SLEEP_S = 0.05
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Run:
    """One run. After ``work`` its fields hold all that happened."""

    def __init__(self, configuration: Configuration, items: list[Item]) -> None:
        self.configuration = configuration
        self.commands = [command_of(index, item) for index, item in enumerate(items)]
        self.own_commands: list[Command] = []
        self.sessions: list[Session] = []
        self.paths: list[Path] = []
        self.events: list[dict[str, Any]] = []
        self.recoveries: list[Record] = []
        self.check_conditions = 0
        self.failure: str | None = None
        self.began_at = 0.0
        self.cpu_s = 0.0
        self.retransmissions = 0
        self._choose = POLICIES[configuration.policy]()
        self._selector = selectors.DefaultSelector()
        self._recovering: list[PathRecovery] = []
        self._next = 0
        self._in_flight = 0
        self._is_fault_due = configuration.fault is not None and configuration.fault.kind is FaultKind.RESET

    @property
    def alive(self) -> list[Path]:
        """The living paths, by number."""
        return [path for path in self.paths if path.is_alive]

    def open(self) -> None:
        """Log in on all paths. Raises ConnectionLostError, ProtocolError or LoginRefusedError."""
        self.sessions = open_sessions(self.configuration, self.events)
        for session in self.sessions:
            self.own_commands += clear_unit_attentions(session)
            for connection in session.connections:
                self.paths.append(Path(connection.path, session, connection))
        for path in self.paths:
            self._selector.register(path.connection.wire, _READ, path)

    def work(self, announce: Callable[[float], None]) -> None:
        """Do the list. ``announce`` is told when the first command is submitted, in epoch seconds."""
        end = time.monotonic() + self.configuration.deadline_s
        cpu_before = time.process_time()
        self.began_at = time.time()
        for path in self.paths:
            path.connection.received_at = self.began_at
        announce(self.began_at)
        while self._is_going_on(end):
            self._fill()
            self._flush()
            self._wait()
            self._look_for_faults()
            for recovery in self._recovering:
                if self.alive:
                    recovery.proceed()
            self._recovering = [recovery for recovery in self._recovering if not recovery.is_done]
        self.cpu_s = time.process_time() - cpu_before

    def _is_going_on(self, end: float) -> bool:
        if self._next == len(self.commands) and not self._in_flight:
            return False
        if time.monotonic() > end:
            self.failure = f"not done after {self.configuration.deadline_s:g} s"
        elif not self.alive:
            self.failure = "no path is left"
        return self.failure is None

    def close(self) -> None:
        """Log out where there is a connection left."""
        for path in self.alive:
            self.retransmissions += path.connection.wire.retransmissions()
        for session in self.sessions:
            log_out(session, self.events)
        self._selector.close()

    def move(self, command: Command, old: Path) -> Path:
        """Take a command off its path and let the policy give it another."""
        old.leave(command)
        path = self._choose(self.alive)
        path.take(command)
        return path

    def note(self, kind: str, path: Path, **facts: Any) -> dict[str, Any]:
        """Write an event into the truth; it may be added to later."""
        where = {"session": path.session.label, "isid": path.session.isid.hex(), "cid": path.connection.cid}
        event = {"t": time.time(), "event": kind, **facts, **where, "path": path.number}
        self.events.append(event)
        return event

    def _fill(self) -> None:
        """Submit as many commands as the queue depth allows; none while a path is being recovered."""
        depth = self.configuration.workload.queue_depth
        while not self._recovering and self._next < len(self.commands) and self._in_flight < depth:
            alive = self.alive
            if not alive:
                return
            command = self.commands[self._next]
            path = self._choose(alive)
            path.take(command)
            self._next += 1
            self._in_flight += 1
            command.submitted_at = time.time()
            path.session.submit(command, path.connection, INITIAL, command.submitted_at)

    def _flush(self) -> None:
        for path in self.alive:
            try:
                path.connection.flush(time.time())
            except ConnectionLostError as error:
                self._lose(path, str(error))
                continue
            wanted = _READ | _WRITE if path.connection.wire.has_unsent else _READ
            if self._selector.get_key(path.connection.wire).events != wanted:
                self._selector.modify(path.connection.wire, wanted, path)

    def _wait(self) -> None:
        """Take in what arrives."""
        for key, ready in self._selector.select(self._until_next_deed()):
            path: Path = key.data
            if not ready & _READ or not path.is_alive:
                continue
            try:
                for command in path.session.receive(path.connection, time.time()):
                    self._complete(command)
            except (ConnectionLostError, ProtocolError) as error:
                self._lose(path, str(error))

    def _until_next_deed(self) -> float:
        if not self._is_fault_due or self.configuration.fault is None:
            return LONGEST_SLEEP_S
        due = self.began_at + self.configuration.fault.at_s - time.time()
        return min(LONGEST_SLEEP_S, max(0.0, due))

    def _complete(self, command: Command) -> None:
        path = self.paths[command.path]
        if command.status and len(command.attempts) < MAX_ATTEMPTS and self.alive:
            # A unit attention or a busy unit: the command is sent again at once.
            self.check_conditions += 1
            command.completed_at = None
            new = self.move(command, path)
            new.session.submit(command, new.connection, _kind(path, new), time.time())
            return
        path.leave(command)
        self._in_flight -= 1

    def _look_for_faults(self) -> None:
        """Make the fault that is ours to make, and look for paths that have gone silent."""
        now = time.time()
        fault = self.configuration.fault
        if self._is_fault_due and fault and now >= self.began_at + fault.at_s:
            self._is_fault_due = False
            path = self.paths[fault.path]
            if path.is_alive:
                self._lose(path, "killed:rst")
        if not self.configuration.is_silent_fault:
            return
        interval, timeout = self.configuration.nop_interval_s, self.configuration.nop_timeout_s
        for path in self.alive:
            connection = path.connection
            silent_s = now - connection.received_at
            if connection.pinged_at is not None and connection.pinged_at < connection.received_at:
                connection.pinged_at = None
            if silent_s > interval + timeout:
                self._lose(path, "nop-timeout")
            elif silent_s > interval and connection.pinged_at is None:
                connection.pinged_at = now
                tag = path.session.ping(connection)
                self.note("nop_out", path, itt=tag, cmdsn=path.session.next_cmd_sn, immediate=True)

    def _lose(self, path: Path, how: str) -> None:
        """Give a connection up, with a reset, and begin to recover its commands."""
        session, connection = path.session, path.connection
        affected = [c for c in session.outstanding.values() if c.last.connection is connection]
        self._selector.unregister(connection.wire)
        self.retransmissions += connection.wire.retransmissions()
        outstanding = [{"itt": c.last.task_tag, "cmdsn": c.last.cmd_sn} for c in affected]
        is_ours = how.startswith("killed")
        kind = "connection_kill" if is_ours else "connection_lost"
        event = self.note(kind, path, how=how, outstanding=outstanding, next_cmdsn=session.next_cmd_sn)
        connection.reset(affected)
        if is_ours:
            event |= {"mode": "rst", "expcmdsn_known": session.exp_cmd_sn}
        connection.record |= {"t_killed": event["t"], "how_closed": how, "state": "dead"}
        if self.alive:
            recovery = recover(self.configuration, self, path, affected)
            self._recovering.append(recovery)
            self.recoveries.append(recovery.record)


def _kind(old: Path, new: Path) -> str:
    return REISSUE if old.session is new.session else REISSUE_ELSEWHERE

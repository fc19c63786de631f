"""What happens to the commands of a lost path: by retry on the survivors, or after a LOGICAL UNIT RESET.

MC/S: an immediate NOP on every survivor brings ExpCmdSN up to date once all that was sent there has
arrived. Commands of the lost connection from ExpCmdSN on never reached the target: same tag and CmdSN
on a survivor (RFC 7143 section 7.2.1). The others were received: new tag and CmdSN. MPIO: the session
is gone; its commands go to another at once, or after the reset was answered, together with those that
the reset has ended on the survivors. No new command is sent meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from analyzer.serial_numbers import serial_difference, serial_less
from benchmarks.lab.configuration import Configuration, Topology
from benchmarks.lab.configuration import Recovery as Way
from benchmarks.lab.initiator.paths import Path
from benchmarks.lab.initiator.session import LOGICAL_UNIT_RESET
from benchmarks.lab.initiator.tasks import INITIAL, REISSUE, REISSUE_ELSEWHERE, Command

Event = dict[str, Any]


class Host(Protocol):
    """What a recovery needs of the run it is part of."""

    @property
    def alive(self) -> list[Path]:
        """The living paths, by number."""

    def move(self, command: Command, old: Path) -> Path:
        """Take a command off its path and let the policy give it another."""

    def note(self, kind: str, path: Path, **facts: Any) -> Event:
        """Write an event into the truth; it may be added to later."""


@dataclass
class Record:
    """What a recovery did, for the results. Times in epoch seconds."""

    method: str
    fault_at: float
    affected: list[Command]
    outstanding_on_survivors: int
    retried: int = 0
    reissued: int = 0
    aborted_on_survivors: list[Command] = field(default_factory=list)
    reset_response: int | None = None
    reset_s: float | None = None
    recovered_at: float | None = None


class PathRecovery:
    """The recovery of one lost path. ``proceed`` is called until ``is_done``, while any path lives."""

    def __init__(self, host: Host, lost: Path, record: Record) -> None:
        self.host, self.lost, self.record = host, lost, record
        self.event = host.note("recovery", lost, method=record.method)
        self.is_done = False

    def proceed(self) -> None:
        """Do what can be done by now."""
        raise NotImplementedError

    def finish(self) -> None:
        """Note the end."""
        self.record.recovered_at = self.event["t_end"] = time.time()
        self.event["result"] = {"retry": self.record.retried, "reissue": self.record.reissued}
        self.is_done = True

    def send_elsewhere(self, command: Command, old: Path) -> None:
        """Give a command a new tag and CmdSN on a path of the policy's choice."""
        path = self.host.move(command, old)
        if not command.attempts:
            kind = INITIAL
        elif path.session is old.session:
            kind = REISSUE
        else:
            kind = REISSUE_ELSEWHERE
        self.record.reissued += 1
        path.session.submit(command, path.connection, kind, time.time())


class McsRetry(PathRecovery):
    """The session lives on: learn what arrived, then retry or send anew."""

    def __init__(self, host: Host, lost: Path, record: Record) -> None:
        super().__init__(host, lost, record)
        self._pings: dict[int, tuple[Path, Event]] = {}
        for path in host.alive:
            tag = path.session.ping(path.connection)
            event = host.note("nop_out", path, itt=tag, cmdsn=path.session.next_cmd_sn, immediate=True)
            self._pings[tag] = path, event

    def proceed(self) -> None:
        """Resend once every survivor has answered or died."""
        session = self.lost.session
        for tag, (path, event) in self._pings.items():
            if tag in session.answers:
                event.setdefault("t_response", time.time())
            elif path.is_alive:
                return
        commands = [c for c in session.outstanding.values() if c.last.connection is self.lost.connection]
        missing = [c for c in commands if not serial_less(c.last.cmd_sn, session.exp_cmd_sn)]
        for command in sorted(missing, key=lambda c: serial_difference(c.last.cmd_sn, session.exp_cmd_sn)):
            path = self.host.move(command, self.lost)
            self.record.retried += 1
            session.retry(command, path.connection, time.time())
        for command in [c for c in commands if c not in missing]:
            del session.outstanding[command.last.task_tag]
            self.send_elsewhere(command, self.lost)
        for command in session.take_waiting(self.lost.connection):
            self.send_elsewhere(command, self.lost)
        self.finish()


class MpioRetry(PathRecovery):
    """The session is gone: send its commands in another at once."""

    def proceed(self) -> None:
        """Resend."""
        for command in self.lost.session.take_all():
            self.send_elsewhere(command, self.lost)
        self.finish()


class MpioReset(PathRecovery):
    """The session is gone: end all tasks of the unit first, then send everything outstanding again."""

    def __init__(self, host: Host, lost: Path, record: Record) -> None:
        super().__init__(host, lost, record)
        self._ask()

    def _ask(self) -> None:
        self._through = self.host.alive[0]
        session = self._through.session
        self._tag = session.reset_unit(self._through.connection)
        facts = {"itt": self._tag, "cmdsn": session.next_cmd_sn, "immediate": True, "lun": session.lun}
        function = {"function": LOGICAL_UNIT_RESET, "function_name": "LOGICAL UNIT RESET"}
        self._reset = self.host.note("tmf", self._through, **function, **facts)

    def proceed(self) -> None:
        """Resend once the reset is answered; ask another survivor where the first has died."""
        answer = self._through.session.answers.get(self._tag)
        if answer is None:
            if not self._through.is_alive:
                self._ask()
            return
        self._reset |= {"t_response": time.time(), "response": answer["response"]}
        self.record.reset_response = answer["response"]
        self.record.reset_s = self._reset["t_response"] - self._reset["t"]
        todo = [(command, self.lost) for command in self.lost.session.take_all()]
        for path in self.host.alive:
            ended = path.session.take_all()
            self.record.aborted_on_survivors += ended
            todo += [(command, path) for command in ended]
        for command, old in sorted(todo, key=lambda pair: pair[0].index or 0):
            self.send_elsewhere(command, old)
        self.finish()


def recover(configuration: Configuration, host: Host, lost: Path, affected: list[Command]) -> PathRecovery:
    """Begin the recovery that the configuration names. ``host.alive`` must not be empty."""
    survivors = sum(path.outstanding_commands for path in host.alive)
    is_mcs = configuration.topology is Topology.MCS
    method = "mcs-retry" if is_mcs else f"mpio-{configuration.recovery}"
    record = Record(method, time.time(), affected, survivors)
    if is_mcs:
        return McsRetry(host, lost, record)
    if configuration.recovery is Way.LUN_RESET:
        return MpioReset(host, lost, record)
    return MpioRetry(host, lost, record)

"""Paths and policies: what the initiator chooses from, and how it chooses, command by command.

A path is an MC/S connection or an MPIO session. Policies see only how many commands and bytes are
outstanding on each living path; ties go to the lowest number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.lab.configuration import Policy
from benchmarks.lab.initiator.session import Connection, Session
from benchmarks.lab.initiator.tasks import Command


@dataclass(eq=False)
class Path:
    """One path and its load."""

    number: int
    session: Session
    connection: Connection
    outstanding_commands: int = 0
    outstanding_bytes: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether commands may be sent on it."""
        return self.connection.is_alive

    def take(self, command: Command) -> None:
        """Count a command that was given to this path."""
        command.path = self.number
        self.outstanding_commands += 1
        self.outstanding_bytes += command.length_bytes

    def leave(self, command: Command) -> None:
        """Count a command that has ended or moved away."""
        self.outstanding_commands -= 1
        self.outstanding_bytes -= command.length_bytes


Choice = Callable[[Sequence[Path]], Path]
"""Chooses one of the living paths, of which there is at least one."""


def round_robin() -> Choice:
    """Each path in turn, starting with path 0."""
    turn = 0

    def choose(alive: Sequence[Path]) -> Path:
        nonlocal turn
        path = next((path for path in alive if path.number >= turn), alive[0])
        turn = path.number + 1
        return path

    return choose


def least_queue_depth() -> Choice:
    """The path with the fewest commands outstanding."""
    return lambda alive: min(alive, key=lambda path: (path.outstanding_commands, path.number))


def service_time() -> Choice:
    """The path with the fewest bytes outstanding, as dm-multipath's service-time does for equal paths."""
    return lambda alive: min(alive, key=lambda path: (path.outstanding_bytes, path.number))


def failover_only() -> Choice:
    """The first path as long as it lives, then the next."""
    return lambda alive: alive[0]


POLICIES: dict[Policy, Callable[[], Choice]] = {
    Policy.ROUND_ROBIN: round_robin,
    Policy.LEAST_QUEUE_DEPTH: least_queue_depth,
    Policy.SERVICE_TIME: service_time,
    Policy.FAILOVER_ONLY: failover_only,
}

"""What a task management function does at the target: to its own tasks, to those of others, to reservations.

Decides who is touched and how they learn of it (SAM-5 and SPC-4, as in the table ``EFFECTS``); the attempts
are ended by ``attempts.py``. A nexus whose commands were ended silently learns by the unit attention that its
next command meets, and then sends all of them again at once; with nothing left to send, by its command timer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.replay.attempts import Rows
from analyzer.replay.disturbance import Disturbance
from analyzer.replay.state import (
    ENDED_UNKNOWN,
    FROM_TARGET,
    NOT_HELD,
    STATUS_ARRIVES,
    STATUS_TASK_ABORTED,
)

if TYPE_CHECKING:
    from analyzer.replay.session_recovery import SessionRecovery


@dataclass(frozen=True, slots=True)
class Effect:
    """What a function does beyond the tasks of the nexus that sends it.

    ``ends_others``: tasks of other nexuses, where one task set is shared (TST 0) or always.
    ``status_if_told``: with TAS they are answered with TASK ABORTED; else ``attention`` awaits them. A reset
    lets it await the nexus that sent it too (SAM-5 section 6.3.3; tgt and LIO do so).
    """

    name: str
    ends_others: str  # never | shared-task-set | always
    status_if_told: bool
    attention: str
    clears_reserve: bool
    clears_mode_pages: bool

    @property
    def is_reset(self) -> bool:
        """Whether it resets the logical unit, and so is a surprise to every nexus."""
        return self.ends_others == "always"


EFFECTS = {
    effect.name: effect
    for effect in (
        Effect("abort-task-set", "never", False, "", False, False),
        Effect(
            "clear-task-set",
            "shared-task-set",
            True,
            "COMMANDS CLEARED BY ANOTHER INITIATOR (2F/00)",
            False,
            False,
        ),
        Effect("lun-reset", "always", False, "BUS DEVICE RESET FUNCTION OCCURRED (29/03)", True, True),
        Effect("target-reset", "always", False, "BUS DEVICE RESET FUNCTION OCCURRED (29/03)", True, True),
    )
}

CHECKS = {
    1: Effect("q-err", "shared-task-set", True, EFFECTS["clear-task-set"].attention, False, False),
    3: Effect("q-err", "never", False, "", False, False),
}
"""What a CHECK CONDITION does by QERR (SPC-4 section 7.5.8)."""


class TaskManagement:
    """The task management functions of one run."""

    def __init__(self, failover: SessionRecovery) -> None:
        self.failover = failover
        self._silent: dict[tuple[int, int], set[int]] = {}
        self._because: dict[int, Disturbance] = {}
        self._after_reset: set[tuple[int, int]] = set()
        self._cleaned_up: set[int] = set()
        """Requests whose session has failed: they are sent again when the function is answered, whatever else
        ends them at the target."""

    def clean_up(self, lost: Rows, survivor: int, found: Disturbance, now_ns: int) -> None:
        """Send the function of the recovery over ``survivor``; behind its answer all commands go on.

        Until then no new command is sent on that path; then those of the survivor that it ended are sent
        again too.
        """
        recovery = self.failover.recovery
        found.clean(now_ns, recovery.cleanup)
        paths = np.array([survivor])
        self.failover.pause_paths(paths, True, now_ns)
        devices = sorted(set(self.failover.world.requests.device_index[lost].tolist()))
        each_ns = recovery.abort_time_ns
        own: list[Rows] = []
        as_lost = self.failover.attempts.identity(lost)
        self._cleaned_up.update(lost.tolist())
        self.failover.exchange(
            survivor,
            now_ns,
            lambda: recovery.cleanup_time_ns + self._ended_by(recovery.cleanup, survivor, devices) * each_ns,
            lambda at_ns: self._answered(lost, as_lost, own, paths, found, at_ns),
            effect=lambda at_ns: own.extend(
                self._take_effect(recovery.cleanup, device, survivor, found, at_ns) for device in devices
            ),
        )

    def _answered(
        self,
        lost: Rows,
        as_lost: Rows,
        own: list[Rows],
        paths: Rows,
        found: Disturbance,
        now_ns: int,
    ) -> None:
        found.step(now_ns, "answered", self.failover.recovery.cleanup)
        progress = self.failover.world.progress
        self._cleaned_up.difference_update(lost.tolist())
        lost = lost[(self.failover.attempts.identity(lost) == as_lost).all(axis=0)]
        ended = np.concatenate([lost[:0], *own])
        ended = ended[progress.held[ended] == ENDED_UNKNOWN]
        rows = np.unique(np.concatenate([lost, ended]).astype(np.int64))
        self.failover.redirect(rows, found, now_ns, is_aborted=True)
        # What was held back goes behind what is sent again.
        self.failover.at(
            now_ns + len(rows) * self.failover.recovery.repeat_time_ns,
            lambda at_ns: self.failover.pause_paths(paths, False, at_ns),
        )

    def _reached(self, effect: Effect, sender: int) -> list[int]:
        """The nexuses whose tasks a function ends that comes over ``sender``, this one included."""
        is_shared = self.failover.scenario.target.task_sets == "shared"
        reaches = effect.ends_others == "always" or (effect.ends_others == "shared-task-set" and is_shared)
        return list(range(len(self.failover.world.nexuses))) if reaches else [sender]

    def _ended_by(self, function: str, survivor: int, devices: Sequence[int]) -> int:
        """How many tasks at the target a function would end now, those of lost connections included."""
        world = self.failover.world
        sender = int(world.paths[survivor].nexus)
        reached = self._reached(EFFECTS[function], sender)
        attempts, nexus = self.failover.attempts, world.paths.nexus
        mine = np.flatnonzero(nexus == sender)
        others = np.flatnonzero(np.isin(nexus, reached) & (nexus != sender))
        return sum(
            len(attempts.at_target(mine, device)) + len(attempts.in_task_set(others, device))
            for device in devices
        )

    def _take_effect(
        self, function: str, device: int, survivor: int, found: Disturbance, now_ns: int
    ) -> Rows:
        """The function reaches the logical unit. Gives the commands of the sender's nexus that it ended."""
        effect = EFFECTS[function]
        world = self.failover.world
        sender = int(world.paths[survivor].nexus)
        if effect.clears_reserve:
            found.reserve_ends("cleared")
        if effect.clears_mode_pages:
            found.step(now_ns, "mode-pages", f"of logical unit {device} are reset to their saved values")
        for nexus in self._reached(effect, sender):
            paths = np.flatnonzero(world.paths.nexus == nexus)
            if nexus != sender and not world.paths.is_lost[paths].all():
                self._end_others(effect, device, nexus, paths, found, now_ns)
        mine = np.flatnonzero(world.paths.nexus == sender)
        rows = self.failover.attempts.at_target(mine, device)
        self._silence(rows, now_ns)
        world = self.failover.world
        if effect.is_reset:
            world.attentions[sender, device] = 1
            self._after_reset.add((sender, device))
        world.progress.held[rows] = ENDED_UNKNOWN
        found.aborted.update(rows.tolist())
        found.hold(rows)
        return rows

    def _end_others(
        self, effect: Effect, device: int, nexus: int, paths: Rows, found: Disturbance | None, now_ns: int
    ) -> None:
        """End the tasks of another nexus, and let it know: by TASK ABORTED, or by a unit attention."""
        attempts = self.failover.attempts
        rows = attempts.in_task_set(paths, device)
        is_told = effect.status_if_told and self.failover.scenario.target.is_abort_told
        if found is not None and (len(rows) or not is_told):
            found.touch(nexus, len(rows), "TASK ABORTED" if is_told else effect.attention)
        self._silence(rows, now_ns)
        rows = rows[~np.isin(rows, list(self._cleaned_up))]
        path_of = attempts.world.progress.path[rows].tolist()
        if is_told:
            known = int(self.failover.world.nexuses[nexus].known_max_cmd_sn)
            for row, path in zip(rows, path_of, strict=True):
                at_ns, position = attempts.carry(path, FROM_TARGET, now_ns)
                status = int(STATUS_ARRIVES), int(row), int(STATUS_TASK_ABORTED)
                attempts.post([(at_ns, *status, known, position)])
            return
        self.failover.world.attentions[nexus, device] = 1
        if effect.is_reset:
            self._after_reset.add((nexus, device))
        self.failover.world.progress.held[rows] = ENDED_UNKNOWN
        silent = self._silent.setdefault((nexus, device), set())
        silent.update(rows.tolist())
        if found is not None:
            self._because.update(dict.fromkeys(rows.tolist(), found))
        timer_ns = self.failover.recovery.command_timer_ns
        for row in rows.tolist() if timer_ns is not None else ():
            sent_ns = int(attempts.world.progress[row].sent_ns)
            self.failover.at(
                max(now_ns, sent_ns + (timer_ns or 0)),
                lambda at_ns, row=row: self._timed_out(row, nexus, device, at_ns),  # type: ignore[misc]
            )

    def _silence(self, rows: Rows, now_ns: int) -> None:
        """End attempts at the target; the initiator does not know yet, so they count as sent."""
        attempts = self.failover.attempts
        sent_ns = attempts.world.progress.sent_ns[rows].copy()
        attempts.give_up(rows, now_ns, is_aborted=True, is_moving=False)
        attempts.world.progress.sent_ns[rows] = sent_ns
        attempts.world.progress.retries[rows] -= 1
        attempts.world.progress.held[rows] = NOT_HELD

    def attention_seen(self, request: int, now_ns: int) -> None:
        """A command met the unit attention: its nexus sends again all that was ended with it."""
        world = self.failover.world
        nexus = int(world.paths[int(world.progress[request].path)].nexus)
        device = int(world.requests[request].device_index)
        self._send_again(self._silent.pop((nexus, device), set()), now_ns)
        if (nexus, device) in self._after_reset:
            self._after_reset.discard((nexus, device))
            self.check_seen(request, now_ns)

    def check_seen(self, request: int, now_ns: int) -> None:
        """A CHECK CONDITION has come: by QERR the target ended other commands of its task set with it.

        The nexus knows by the status which of its own were ended, and sends them again. (A unit attention
        that QERR itself brought ends none in turn here: two initiators could go on so for ever.)
        """
        effect = CHECKS.get(self.failover.scenario.target.q_err)
        if effect is None:
            return
        world = self.failover.world
        device = int(world.requests[request].device_index)
        sender = int(world.paths[int(world.progress[request].path)].nexus)
        found = self.failover.disturbances[-1] if self.failover.disturbances else None
        for nexus in self._reached(effect, sender):
            paths = np.flatnonzero(world.paths.nexus == nexus)
            if nexus != sender and not world.paths.is_lost[paths].all():
                self._end_others(effect, device, nexus, paths, found, now_ns)
        mine = np.flatnonzero((world.paths.nexus == sender) & (world.paths.is_lost == 0))
        rows = self.failover.attempts.in_task_set(mine, device)
        rows = self.failover.without_unrepeatable(rows[rows != request], found, now_ns)
        self._silence(rows, now_ns)
        self.failover.world.progress.held[rows] = ENDED_UNKNOWN
        for row in rows.tolist():
            path = int(self.failover.world.progress[row].path)
            self.failover.note(now_ns, "request-retried", path=path, request=row)
        self._send_again(set(rows.tolist()), now_ns)

    def _timed_out(self, row: int, nexus: int, device: int, now_ns: int) -> None:
        """The command timer: ABORT TASK finds no such task, and the command is sent again."""
        silent = self._silent.get((nexus, device), set())
        if row in silent:
            silent.discard(row)
            path = int(self.failover.world.progress[row].path)
            self.failover.exchange(path, now_ns, lambda: 0, lambda at_ns: self._send_again({row}, at_ns))

    def _send_again(self, rows: set[int], at_ns: int) -> None:
        world = self.failover.world
        waiting = sorted(row for row in rows if world.progress[row].held == ENDED_UNKNOWN)
        world.progress.retries[waiting] += 1
        for row in waiting:
            found = self._because.pop(row, None)
            if found is not None:
                found.retry(at_ns, [row], is_same_path=True)
        self.failover.attempts.ask_again(waiting, at_ns)

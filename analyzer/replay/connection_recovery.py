"""MC/S: one connection of a session is lost, and its commands go on over the others.

Decides when and in which way: by TASK REASSIGN (RFC 7143 section 7.2.2), under their CmdSN where they never
arrived, or as new commands; and when the connection is added to its session again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analyzer.replay.disturbance import Disturbance
from analyzer.replay.path_recovery import PathRecovery
from analyzer.replay.state import (
    ANSWER_DUE,
    GRANT,
    NEVER,
    NONE,
    STAGE_ANSWERED,
    STAGE_REFUSED,
    UNFINISHED,
)


class ConnectionRecovery(PathRecovery):
    """Recovery of single connections."""

    def _drop_session(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        """End what connections a session has left, and begin a new one."""
        raise NotImplementedError

    def _recover_connection(self, path: int, found: Disturbance, now_ns: int) -> None:
        self._set_working([path], False)
        found.hold_begins(
            now_ns, "time2wait" if self.recovery.time2wait_ns else "none", self.recovery.time2wait_ns
        )
        if self.recovery.is_survivor_paused:
            self.pause_paths(self._living(int(self.world.paths[path].nexus)), True, now_ns)
        self.at(now_ns + self.recovery.time2wait_ns, lambda at_ns: self._move_tasks(path, found, at_ns))

    def _move_tasks(self, path: int, found: Disturbance, now_ns: int) -> None:
        """Time2Wait is over: every command of the lost connection goes on over the others."""
        nexus = int(self.world.paths[path].nexus)
        living = self._living(nexus)
        if not len(living):
            return
        found.hold_ends(now_ns)
        found.hold(self.attempts.outstanding([path]))
        survivor = int(living[0])
        is_reassigning = self.recovery.connection_recovery == "reassign"
        if is_reassigning and not self.recovery.is_logout_sent:
            self._send_tasks(path, found, now_ns)
            return
        what = "logout" if is_reassigning else "nop"
        found.clean(now_ns, f"{what} on connection {survivor}")
        self.exchange(
            survivor,
            now_ns,
            lambda: self.recovery.cleanup_time_ns,
            lambda at_ns: self._send_tasks(path, found, at_ns),
        )

    def _send_tasks(self, path: int, found: Disturbance, begin_ns: int) -> None:
        """The target knows that the connection is lost: reassign its tasks, or send them again."""
        living = self._living(int(self.world.paths[path].nexus))
        if not self.world.paths[path].is_lost or not len(living):
            return
        is_reassigning = self.recovery.connection_recovery == "reassign"
        rows = self.attempts.outstanding([path])
        at_ns = begin_ns + len(rows) * self.recovery.repeat_time_ns
        moved = [row for row in rows.tolist() if is_reassigning and self._has_arrived(row)]
        at_ns += len(moved) * self.recovery.reassign_time_ns
        resumed_ns = {row: (place + 1) * self.recovery.resume_time_ns for place, row in enumerate(moved)}
        all_moved_ns = at_ns
        for number, row in enumerate(rows.tolist()):
            target = int(living[number % len(living)])
            done_ns = at_ns
            if row in resumed_ns:
                done_ns += int(self.world.links[int(self.world.paths[target].link_to)].delay_ns)
                done_ns += resumed_ns[row]
            all_moved_ns = max(all_moved_ns, done_ns)
            attempt = self.attempts.identity(rows[number : number + 1])
            self.at(
                done_ns,
                lambda due_ns, row=row, target=target, attempt=attempt: (  # type: ignore[misc]
                    # Meanwhile the target may have ended it, and then it was asked for again.
                    self._go_on(row, path, target, found, due_ns)
                    if np.array_equal(self.attempts.identity(np.array([row])), attempt)
                    else None
                ),
            )
        self.at(at_ns, lambda due_ns: self._moved(path, found, due_ns, all_moved_ns))

    def _has_arrived(self, row: int) -> bool:
        return bool(self.world.progress[row].arrived_ns != NEVER)

    def _go_on(self, row: int, path: int, target: int, found: Disturbance, now_ns: int) -> None:
        """One command of a lost connection goes on over another one of its session."""
        one = self.world.progress[row]
        if one.end != UNFINISHED or one.path != path:
            return
        rows = np.array([row])
        if self.is_hopeless(rows).any():
            if self._has_arrived(row) or one.cmd_sn == NONE:
                self.without_hopeless(rows, found, now_ns)
            else:
                # One that never arrived leaves a CmdSN that the others wait for: only a new session helps.
                self._drop_session(int(self.world.paths[path].nexus), found, now_ns)
            return
        if self.world.paths[target].is_lost:
            living = self._living(int(self.world.paths[path].nexus))
            if not len(living):
                return
            target = int(living[0])
        if one.held or (one.cmd_sn == NONE and one.sent_ns == NEVER) or one.stage == STAGE_REFUSED:
            self.attempts.give_up(rows, now_ns, is_aborted=False)
            self.attempts.ask_again(rows, now_ns)
        elif self._has_arrived(row) and self.recovery.connection_recovery == "reassign":
            found.reassign(now_ns, row)
            self.sent_again[row] += 1
            self.note(now_ns, "request-reassigned", path=target, request=row)
            self._reassign(row, target, now_ns)
        elif self._has_arrived(row) and self._may_not_repeat(row):
            self._fail(rows, now_ns, "may not be sent again", found)
        else:
            found.retry(now_ns, [row], is_same_path=False)
            self.sent_again[row] += 1
            self.note(now_ns, "request-retried", path=target, request=row)
            # One that the target ended unheard has used up its CmdSN too.
            is_used_up = one.cmd_sn == NONE and not self.world.requests[row].is_immediate
            if self._has_arrived(row) or is_used_up:
                self.attempts.give_up(rows, now_ns, is_aborted=False)
                self.attempts.ask_again(rows, now_ns)
            else:
                self.attempts.send_again(row, target, now_ns)

    def _reassign(self, row: int, target: int, now_ns: int) -> None:
        """The task changes its allegiance (RFC 7143 section 7.2.2) and goes on where it was."""
        rows = np.array([row])
        self.attempts.free_places(rows)
        one = self.world.progress[row]
        one.path = target
        one.reassigns += 1
        self.attempts.take_places(rows)
        if one.stage == STAGE_ANSWERED:
            self.attempts.post([(now_ns, int(ANSWER_DUE), row, 0, 0)])
        elif one.received_bytes < self.world.requests[row].write_bytes:
            one.granted_bytes = one.received_bytes
            one.sequences = 0
            if one.released_ns != NEVER:
                self.attempts.post([(now_ns, int(GRANT), row, 0, 0)])

    def _moved(self, path: int, found: Disturbance, now_ns: int, all_moved_ns: int) -> None:
        """All is on its way to other connections; with the last of it the lost one may be added again.

        Sooner a task would be answered on it that has not changed its allegiance yet.
        """
        nexus = int(self.world.paths[path].nexus)
        if self.recovery.is_survivor_paused:
            self.pause_paths(self._living(nexus), False, now_ns)
        self._release_waiting(now_ns)
        self.at(max(now_ns, all_moved_ns), lambda at_ns: self._log_in_connection(path, found, at_ns))

    def _log_in_connection(self, path: int, found: Disturbance, now_ns: int) -> None:
        """Add the lost connection to its session again, once its link lets it."""
        nexus = int(self.world.paths[path].nexus)
        if not self.world.paths[path].is_lost or not len(self._living(nexus)):
            return
        if self._is_reachable(path):
            self.at(now_ns + self.recovery.login_ns, lambda at_ns: self._connection_back(path, found, at_ns))
        else:
            self._try_later(path, found, now_ns, self._log_in_connection)

    def _connection_back(self, path: int, found: Disturbance, now_ns: int) -> None:
        nexus = int(self.world.paths[path].nexus)
        if not self.world.paths[path].is_lost or not len(self._living(nexus)):
            return
        if not self._is_reachable(path):
            self._try_later(path, found, now_ns, self._log_in_connection)
            return
        self._open(path, now_ns)
        self._set_working([path], True)
        found.step(now_ns, "login", f"connection {path} is back")
        self.note(now_ns, "path-reinstated", path=path)
        self._release_waiting(now_ns)

    def _try_later(
        self, path: int, found: Disturbance, now_ns: int, again: Callable[[int, Disturbance, int], None]
    ) -> None:
        """Log in again later, but only while the world still has something to wait for."""
        if self._can_come_back(self._link(path)):
            self.at(now_ns + self.recovery.login_retry_ns, lambda at_ns: again(path, found, at_ns))

"""A session without connections: its commands are held, repeated when it is back, or given to other paths.

Decides what the recovery timer, Time2Wait, Time2Retain, the path checker and no_path_retry mean for them.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from analyzer.replay.attempts import Rows
from analyzer.replay.connection_recovery import ConnectionRecovery
from analyzer.replay.disturbance import Disturbance
from analyzer.replay.state import (
    HELD_FOR_PATH,
    NEVER,
    UNFINISHED,
)
from analyzer.replay.task_management import TaskManagement


class SessionRecovery(ConnectionRecovery):
    """Recovery of whole sessions, and the choice of other paths under MPIO."""

    @cached_property
    def management(self) -> TaskManagement:
        """The task management functions that recovery sends."""
        return TaskManagement(self)

    def _drop_session(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        for path in self._living(nexus).tolist():
            self._begin(path, found)
            found.hold(self.attempts.outstanding([path]))
            self._lose(path, now_ns)
        self._recover_session(nexus, found, now_ns)

    def _recover_session(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        """All connections of a session are lost: hold its commands, and log in again."""
        paths = np.flatnonzero(self.world.paths.nexus == nexus)
        self.world.paths.is_held[paths] = 1
        self._set_working(paths.tolist(), True)
        timer_ns = self.recovery.hold_ns
        found.hold_begins(now_ns, "recovery-timer", timer_ns)
        if timer_ns is not None:
            self.at(now_ns + timer_ns, lambda at_ns: self._session_fails(nexus, found, at_ns))
        self.at(
            now_ns + self.recovery.time2wait_ns,
            lambda at_ns: self._log_in(nexus, found, at_ns),
        )

    def _log_in(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        paths = np.flatnonzero(self.world.paths.nexus == nexus)
        if not self.world.paths.is_lost[paths].all():
            return
        if any(self._is_reachable(int(path)) for path in paths):
            self.at(now_ns + self.recovery.login_ns, lambda at_ns: self._session_back(nexus, found, at_ns))
        elif any(self._can_come_back(self._link(int(path))) for path in paths):
            self.at(now_ns + self.recovery.login_retry_ns, lambda at_ns: self._log_in(nexus, found, at_ns))

    def _session_back(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        paths = np.flatnonzero(self.world.paths.nexus == nexus)
        back = [int(path) for path in paths if self._is_reachable(int(path))]
        if not back or not self.world.paths.is_lost[paths].all():
            self._log_in(nexus, found, now_ns)
            return
        found.step(now_ns, "login", f"{len(back)} of {len(paths)} connections")
        for path in back:
            self._open(path, now_ns)
        if nexus in self._failed_nexuses:
            self.attempts.begin_session(nexus)
            wait_ns = self.recovery.path_check_ns
            self.at(now_ns + wait_ns, lambda at_ns: self._reinstate(nexus, back, found, at_ns))
            return
        is_continued = (
            self.recovery.connection_recovery == "reassign"
            and len(paths) > 1
            and now_ns
            <= (found.detected_ns or now_ns) + self.recovery.time2wait_ns + self.recovery.time2retain_ns
        )
        self.world.paths.is_held[paths] = 0
        self._set_working(paths.tolist(), False)
        self._set_working(back, True)
        found.hold_ends(now_ns)
        rows = self.attempts.outstanding(paths)
        if is_continued:
            for row in rows.tolist():
                one = self.world.progress[row]
                self._go_on(row, int(one.path), back[0], found, now_ns)
        else:
            found.reserve_ends("released")
            is_worn = self._times_sent_again(rows) >= self.recovery.command_retries
            is_worn &= self.world.progress.sent_ns[rows] != NEVER
            self._repeat(
                rows[~is_worn], found, now_ns, is_same_path=True, is_aborted=True, is_moving=len(paths) > 1
            )
            if is_worn.any():
                self._fail_on_path(nexus, rows[is_worn], back, found, now_ns)
            self.attempts.begin_session(nexus)
        for path in back if nexus not in self._failed_nexuses else ():
            self.note(now_ns, "path-reinstated", path=path)
        self._release_waiting(now_ns)
        for path in paths.tolist():
            if path not in back:
                self.at(now_ns, lambda at_ns, path=path: self._log_in_connection(path, found, at_ns))  # type: ignore[misc]

    def _fail_on_path(self, nexus: int, rows: Rows, back: list[int], found: Disturbance, now_ns: int) -> None:
        """Commands were sent often enough on a path: another gets them until the path checker is content.

        Without another path they fail.
        """
        self._set_working(back, False)
        if not np.isin(self._host_of(rows), self._hosts_with_path()).all():
            self._set_working(back, True)
            self._fail(rows, now_ns, f"sent {self.recovery.command_retries} times again", found)
            return
        self._failed_nexuses.add(nexus)
        found.step(now_ns, "path-failed", f"session {nexus}")
        for path in back:
            self.note(now_ns, "path-failed", path=path)
        self.redirect(rows, found, now_ns, is_aborted=True)
        wait_ns = self.recovery.path_check_ns
        self.at(now_ns + wait_ns, lambda at_ns: self._reinstate(nexus, back, found, at_ns))

    def _repeat(
        self,
        rows: Rows,
        found: Disturbance,
        now_ns: int,
        *,
        is_same_path: bool,
        is_aborted: bool,
        is_moving: bool = True,
    ) -> None:
        """Send commands again from the beginning, but for those that may not be."""
        rows = self.without_unrepeatable(rows, found, now_ns)
        rows = self.without_hopeless(rows, found, now_ns)
        is_sent = self.world.progress.sent_ns[rows] != NEVER
        if not is_same_path:
            # Those that another lost path held meanwhile were not sent again yet.
            is_sent |= self.world.progress.retries[rows] > 0
            is_sent &= np.isin(self._host_of(rows), self.host[self.world.paths.is_lost == 0])
        sent = rows[is_sent].tolist()
        found.retry(now_ns, sent, is_same_path=is_same_path)
        self.sent_again.update(sent)
        for row in sent:
            path = int(self.world.progress[row].path) if is_same_path else None
            self.note(now_ns, "request-retried", path=path, request=row)
        self.attempts.give_up(rows, now_ns, is_aborted=is_aborted, is_moving=is_moving)
        self.attempts.ask_again(rows, now_ns, self.recovery.repeat_time_ns)

    def _session_fails(self, nexus: int, found: Disturbance, now_ns: int) -> None:
        paths = np.flatnonzero(self.world.paths.nexus == nexus)
        if not self.world.paths.is_lost[paths].all() or nexus in self._failed_nexuses:
            return
        self._failed_nexuses.add(nexus)
        found.reserve_ends("released")
        self._set_working(paths.tolist(), False)
        self.world.paths.is_held[paths] = 0
        found.hold_ends(now_ns)
        found.step(now_ns, "path-failed", f"session {nexus}")
        for path in paths.tolist():
            self.note(now_ns, "path-failed", path=path)
        survivors = np.flatnonzero(
            (self.host == self.host[paths[0]]) & (self.world.paths.is_lost == 0) & self._works
        )
        rows = self.attempts.outstanding(paths)
        found.hold(rows)
        if self.recovery.cleanup != "none" and len(survivors) and len(rows):
            self.management.clean_up(rows, int(survivors[0]), found, now_ns)
        else:
            self.redirect(rows, found, now_ns)

    def redirect(self, rows: Rows, found: Disturbance, now_ns: int, *, is_aborted: bool = False) -> None:
        """Give commands of failed paths to the scheduler again; it chooses among the paths that work."""
        rows = rows[self.world.progress.end[rows] == UNFINISHED]
        self._repeat(rows, found, now_ns, is_same_path=False, is_aborted=is_aborted)
        if not np.isin(self._host_of(rows), self._hosts_with_path()).all():
            self._queue_without_path(now_ns)

    def _queue_without_path(self, now_ns: int) -> None:
        retries = self.recovery.no_path_retries
        if retries >= 0:
            self.at(now_ns + retries * self.recovery.path_check_ns + 1, self._no_path)

    def _no_path(self, now_ns: int) -> None:
        """Requests without any path are failed; also those that come until one is back."""
        rows = self.attempts.held(HELD_FOR_PATH)
        rows = rows[~np.isin(self._host_of(rows), self._hosts_with_path())]
        if len(rows):
            self._fail(rows, now_ns, "no path")
        if len(self._hosts_with_path()) < len(np.unique(self.host)):
            self.at(now_ns + max(self.recovery.path_check_ns, 10**6), self._no_path_again)

    def _no_path_again(self, now_ns: int) -> None:
        if len(self.attempts.held(HELD_FOR_PATH)):
            self._no_path(now_ns)

    def _reinstate(self, nexus: int, back: list[int], found: Disturbance, now_ns: int) -> None:
        """The path checker finds the path working: it is used again."""
        if self.world.paths.is_lost[back].any():
            return
        self._failed_nexuses.discard(nexus)
        self._set_working(back, True)
        found.step(now_ns, "path-reinstated", f"session {nexus}")
        for path in back:
            self.note(now_ns, "path-reinstated", path=path)
        self._release_waiting(now_ns)

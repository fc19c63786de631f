"""What happens when a link dies: faults strike, and initiators notice.

Decides what each kind of fault does to links and connections, and when a loss is noticed and by what. The
engine is stopped at each such moment and left to itself in between. What follows is decided by
``connection_recovery.py`` and ``session_recovery.py``, what is done to single attempts by ``attempts.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.replay.disturbance import Disturbance
from analyzer.replay.event_queue import EventQueue
from analyzer.replay.faults import ENDS_CONNECTIONS, Fault, FaultKind
from analyzer.replay.scenario import BondMode
from analyzer.replay.session_recovery import SessionRecovery
from analyzer.replay.state import (
    CALL,
    CALL_AT,
    COMPLETED,
    FAR_NS,
    NEVER,
    NONE,
    NOW_NS,
    REQUESTS,
    UNFINISHED,
    World,
)

FIRST_RETRANSMISSION_NS = 200_000_000
"""The smallest retransmission timeout of Linux; it doubles with each attempt (RFC 6298 section 5.5)."""
RETRANSMISSIONS_DOUBLE = 10
MOST_ASKED_IN_VAIN = 50
"""NOP-Outs on each bad path while nothing else is under way; behind so many nothing will be."""


class Failover(SessionRecovery):
    """The faults of one run and all recoveries from them; ``disturbances`` is what came of each."""

    def begin(self, world: World, queue: EventQueue) -> None:
        """Take over a world before anything has happened in it."""
        super().begin(world, queue)
        self._set_faults()

    def called(self) -> None:
        """The engine stopped for a request: enough have completed, or it met a unit attention."""
        world = self.world
        request = int(world.counters[CALL])
        world.counters[CALL] = NONE
        now_ns = int(world.counters[NOW_NS])
        if world.progress[request].end == UNFINISHED:
            self.management.attention_seen(request, now_ns)
        elif world.requests[request].is_check:
            self.management.check_seen(request, now_ns)
        while self._wait_for_completions and self._wait_for_completions[0][0] <= world.counters[COMPLETED]:
            _, fault = self._wait_for_completions.pop(0)
            self._strike(fault, now_ns)
        self._await_completions()

    def end(self) -> bool:
        """Nothing more can happen by itself: requests that still wait fail. Whether there were any."""
        world = self.world
        progress = world.progress[: int(world.counters[REQUESTS])]
        left = np.flatnonzero((progress.end == UNFINISHED) & (progress.ready_ns != NEVER))
        if not len(left):
            return False
        self._fail(left, int(world.counters[NOW_NS]), "no path came back")
        return True

    def _set_faults(self) -> None:
        for fault in self.scenario.faults:
            if fault.at_ns is not None:
                self.at(fault.at_ns, lambda now_ns, fault=fault: self._strike(fault, now_ns))  # type: ignore[misc]
            else:
                total = int(self.world.counters[REQUESTS])
                share = self._peak_share if fault.is_at_peak else fault.at_share or 0.0
                count = fault.after_requests or max(1, round(total * share))
                self._wait_for_completions.append((min(count, total), fault))
        self._wait_for_completions.sort(key=lambda entry: entry[0])
        self._await_completions()

    def _await_completions(self) -> None:
        waiting = self._wait_for_completions
        self.world.counters[CALL_AT] = waiting[0][0] if waiting else NONE

    def _strike(self, fault: Fault, now_ns: int) -> None:
        found = Disturbance(fault=fault, failed_ns=now_ns, recovery=self.recovery)
        self.disturbances.append(found)
        found.step(now_ns, "fault", fault.words)
        if fault.kind is FaultKind.FLAP:
            for number in range(max(1, (fault.for_ns or 0) // fault.period_ns)):
                begin = now_ns + number * fault.period_ns
                self.at(begin, lambda at_ns: self._take_links(fault, found, at_ns))
                self.at(begin + fault.period_ns // 2, lambda at_ns: self._give_links(fault, found, at_ns))
            return
        if fault.kind in (FaultKind.DOWN, FaultKind.BLACK_HOLE):
            self._take_links(fault, found, now_ns)
            if fault.for_ns is not None:
                self.at(now_ns + fault.for_ns, lambda at_ns: self._give_links(fault, found, at_ns))
        elif fault.kind in ENDS_CONNECTIONS:
            self._reset(fault, found, now_ns)
        else:
            self._worsen(fault, found, now_ns)

    def _take_links(self, fault: Fault, found: Disturbance, now_ns: int) -> None:
        for link in self._links_of(fault):
            self._causes.setdefault(link, set()).add(id(found))
            if self.attempts.is_halted(link):
                continue
            self.attempts.halt(link, now_ns)
            self._fallen[link] = now_ns
            self._resuming.discard(link)
            self.note(now_ns, "link-down", link=link)
            sees_carrier = fault.kind is not FaultKind.BLACK_HOLE
            if self.scenario.bond_mode is not None and sees_carrier:
                self.at(
                    now_ns + self.recovery.bond_monitor_ns,
                    lambda at_ns, link=link: self._leave_bonded_link(link, fault, found, at_ns),  # type: ignore[misc]
                )
            for path in self._paths_on(link):
                self._begin(path, found)
                found.hold(self.attempts.outstanding([path]))
                self._watch(path, sees_carrier and self.scenario.bond_mode is None, now_ns)

    def _give_links(self, fault: Fault, found: Disturbance, now_ns: int) -> None:
        if self.scenario.bond_mode is not None:
            self._left_links -= self._bonded_links_of(fault)
        for link in self._links_of(fault):
            self._causes.get(link, set()).discard(id(found))
            if self.scenario.bond_mode is BondMode.BALANCE_RR:
                self._rescale_bond(link, now_ns)
            is_away = self._causes.get(link) or not self.attempts.is_halted(link)
            if is_away or link in self._resuming:
                continue
            self._resuming.add(link)
            resumed_ns = self._next_retransmission(self._fallen[link], now_ns)
            found.step(now_ns, "link-up", f"link {link}")
            self.note(now_ns, "link-up", link=link)
            fallen_ns = self._fallen[link]
            self.at(
                resumed_ns,
                lambda at_ns, link=link, fallen_ns=fallen_ns: self._resume(link, fallen_ns, at_ns),  # type: ignore[misc]
            )

    def _next_retransmission(self, since_ns: int, now_ns: int) -> int:
        """When TCP next sends again what it sent at ``since_ns``, not before ``now_ns``."""
        wait_ns = FIRST_RETRANSMISSION_NS
        at_ns = since_ns + wait_ns
        for _ in range(RETRANSMISSIONS_DOUBLE):
            if at_ns >= now_ns:
                break
            wait_ns *= 2
            at_ns += wait_ns
        return max(at_ns, now_ns)

    def _resume(self, link: int, fallen_ns: int, now_ns: int) -> None:
        if link not in self._resuming or self._fallen.get(link) != fallen_ns:
            return
        self._resuming.discard(link)
        self.attempts.resume(link, now_ns)
        for path in self._paths_on(link):
            self._epoch[path] += 1
            self._watch_answers(path, now_ns)

    def _reset(self, fault: Fault, found: Disturbance, now_ns: int) -> None:
        for link in self._links_of(fault):
            if fault.kind is FaultKind.PORTAL:
                self._unreachable.add(link)
                if fault.for_ns is not None:
                    self.at(
                        now_ns + fault.for_ns,
                        lambda at_ns, link=link: self._portal_back(link, found, at_ns),  # type: ignore[misc]
                    )
            for path in self._paths_on(link):
                self._begin(path, found)
                found.hold(self.attempts.outstanding([path]))
                self._notice(path, int(self._epoch[path]), "reset", now_ns)

    def _portal_back(self, link: int, found: Disturbance, now_ns: int) -> None:
        self._unreachable.discard(link)
        found.step(now_ns, "portal-up", f"link {link}")

    def _worsen(self, fault: Fault, found: Disturbance, now_ns: int) -> None:
        for link in self._links_of(fault):
            if fault.kind is FaultKind.SLOW:
                self.attempts.rescale(link, now_ns, fault.factor, fault.delay_ns)
            before = self._set_loss(link, fault) if fault.kind is FaultKind.LOSSY else []
            if fault.for_ns is not None:
                self.at(
                    now_ns + fault.for_ns,
                    lambda at_ns, link=link, before=before: self._mend(link, fault, found, before, at_ns),  # type: ignore[misc]
                )
            found.hold(self.attempts.outstanding(self._paths_on(link)))
            self._worsened[link] = found
            for path in self._paths_on(link):
                self._watch_answers(path, now_ns)

    def _set_loss(self, link: int, fault: Fault) -> list[tuple[int, int, int]]:
        """Make the connections of a link lossy; gives what they were."""
        lanes, before = self.world.lanes, []
        for path in np.flatnonzero(self.world.paths.link_to == 2 * link):
            for lane in (2 * path, 2 * path + 1):
                before.append((int(lane), int(lanes[lane].loss_per_billion), int(lanes[lane].is_plain)))
                lanes[lane].loss_per_billion = fault.loss_per_billion
                lanes[lane].is_plain = 0
        return before

    def _mend(
        self, link: int, fault: Fault, found: Disturbance, before: Sequence[tuple[int, int, int]], now_ns: int
    ) -> None:
        if fault.kind is FaultKind.SLOW:
            self.attempts.rescale(link, now_ns, 1 / fault.factor, -fault.delay_ns)
        for lane, loss, is_plain in before:
            self.world.lanes[lane].loss_per_billion = loss
            self.world.lanes[lane].is_plain = is_plain
        if self._worsened.get(link) is found:
            del self._worsened[link]
        found.step(now_ns, "mended", f"link {link}")

    def _leave_bonded_link(self, link: int, fault: Fault, found: Disturbance, now_ns: int) -> None:
        """The bond has seen the carrier go: connections go on over the links that are left."""
        if not self.attempts.is_halted(link):
            return
        links = self.scenario.link_count or 1
        self._left_links |= self._bonded_links_of(fault)
        left = self._bonded_left()
        if not left:
            return
        resumed_ns = self._next_retransmission(self._fallen[link], now_ns)
        found.step(now_ns, "bond", f"goes on over {len(left)} of {links} links")
        self.at(resumed_ns, lambda at_ns: self._go_on_bonded(link, found, at_ns))

    def _bonded_links_of(self, fault: Fault) -> set[int]:
        return set(range(self.scenario.link_count or 1)) if fault.link is None else {fault.link}

    def _bonded_left(self) -> list[int]:
        """The links that the bond still uses."""
        return [one for one in range(self.scenario.link_count or 1) if one not in self._left_links]

    def _rescale_bond(self, link: int, now_ns: int) -> None:
        """Packets go in turn over all links that the bond uses: one of all their rates stands for them."""
        width = len(self._bonded_left())
        if width and width != self._bond_width:
            self.attempts.rescale(link, now_ns, width / self._bond_width, 0)
            self._bond_width = width

    def _go_on_bonded(self, link: int, found: Disturbance, now_ns: int) -> None:
        left = self._bonded_left()
        if not self.attempts.is_halted(link) or not left:
            return
        self.attempts.resume(link, now_ns)
        if self.scenario.bond_mode is BondMode.BALANCE_RR:
            self._rescale_bond(link, now_ns)
        else:
            for number, path in enumerate(self._paths_on(link)):
                self.world.paths[path].link_to = 2 * left[number % len(left)]
                self.world.paths[path].link_from = 2 * left[number % len(left)] + 1
        for path in range(len(self.host)):
            self._epoch[path] += 1
        found.detect(now_ns, "bond")

    def _watch(self, path: int, sees_carrier: bool, now_ns: int) -> None:
        """Find out when the initiator will notice that a connection is dead, and by what."""
        timers = self.recovery
        one = self.world.paths[path]
        signs: list[tuple[int, str]] = []
        if timers.noop_interval_ns is not None:
            heard_ns = int(one.heard_ns)
            if timers.noop_interval_ns and now_ns - heard_ns > timers.noop_interval_ns:
                # An idle connection is asked every interval, so something came that long ago at most.
                heard_ns = now_ns - (now_ns - heard_ns) % timers.noop_interval_ns
            signs.append((heard_ns + timers.noop_interval_ns + timers.noop_timeout_ns, "nop-timeout"))
        if sees_carrier and timers.carrier_ns is not None:
            signs.append((now_ns + timers.carrier_ns, "carrier"))
        if timers.tcp_timeout_ns is not None:
            signs.append((now_ns + timers.tcp_timeout_ns, "tcp-timeout"))
        epoch = int(self._epoch[path])
        if timers.command_timer_ns is not None:
            rows = self.attempts.outstanding([path])
            sent = self.world.progress.sent_ns[rows]
            oldest = int(sent[sent != NEVER].min(initial=FAR_NS))
            ladder = timers.abort_timeout_ns + timers.lun_reset_timeout_ns + timers.target_reset_timeout_ns
            if oldest < FAR_NS:
                signs.append((oldest + timers.command_timer_ns + ladder, "command-timer"))
            elif not signs or min(signs)[0] > now_ns + timers.command_timer_ns:
                self.at(
                    now_ns + timers.command_timer_ns,
                    lambda at_ns: self._watch_again(path, epoch, at_ns),
                )
        if signs:
            at_ns, sign = min(signs)
            self.at(max(at_ns, now_ns), lambda at_ns: self._notice(path, epoch, sign, at_ns))

    def _open(self, path: int, now_ns: int) -> None:
        super()._open(path, now_ns)
        self._watch_answers(path, now_ns)

    def _watch_answers(self, path: int, now_ns: int) -> None:
        """See to NOP-Outs on a connection that works, but badly: their answers may come too late."""
        if self._link(path) in self._worsened and self.recovery.noop_interval_ns:
            self._ask(path, int(self._epoch[path]), now_ns)

    def _ask(self, path: int, epoch: int, now_ns: int) -> None:
        """Send a NOP-Out where nothing was heard for an interval, as open-iscsi does (DOMAIN 6)."""
        interval_ns = self.recovery.noop_interval_ns or 0
        is_bad = self._link(path) in self._worsened and not self.attempts.is_halted(self._link(path))
        if epoch != self._epoch[path] or not is_bad or self._is_in_vain():
            return
        due_ns = self.attempts.heard_ns(path, now_ns) + interval_ns
        if now_ns < due_ns:
            self.at(due_ns, lambda at_ns: self._ask(path, epoch, at_ns))
            return
        self.exchange(path, now_ns, lambda: 0, lambda at_ns: self._hear(path, epoch, at_ns))
        self.at(now_ns + self.recovery.noop_timeout_ns, lambda at_ns: self._judge(path, epoch, at_ns))

    def _is_in_vain(self) -> bool:
        self._asked_in_vain = 0 if self.attempts.has_events else self._asked_in_vain + 1
        return self._asked_in_vain > MOST_ASKED_IN_VAIN * len(self.host)

    def _hear(self, path: int, epoch: int, now_ns: int) -> None:
        if epoch == self._epoch[path]:
            one = self.world.paths[path]
            one.heard_ns = max(int(one.heard_ns), now_ns)

    def _judge(self, path: int, epoch: int, now_ns: int) -> None:
        """The connection is given up where nothing at all was heard since before the NOP-Out."""
        link = self._link(path)
        if epoch != self._epoch[path] or link not in self._worsened or self.attempts.is_halted(link):
            return
        patience_ns = (self.recovery.noop_interval_ns or 0) + self.recovery.noop_timeout_ns
        if now_ns < self.attempts.heard_ns(path, now_ns) + patience_ns:
            self._ask(path, epoch, now_ns)
            return
        self._begin(path, self._worsened[link])
        self._notice(path, epoch, "nop-timeout", now_ns)

    def _watch_again(self, path: int, epoch: int, now_ns: int) -> None:
        if epoch == self._epoch[path] and self.attempts.is_halted(self._link(path)):
            self._watch(path, False, now_ns)

    def _notice(self, path: int, epoch: int, sign: str, now_ns: int) -> None:
        """The initiator knows: the connection is ended."""
        if epoch != self._epoch[path] or self.world.paths[path].is_lost:
            return
        found = self._by_path[path]
        found.detect(now_ns, sign)
        found.hold(self.attempts.outstanding([path]))
        self._lose(path, now_ns)
        nexus = int(self.world.paths[path].nexus)
        if len(self._living(nexus)) and self.recovery.connection_recovery != "session":
            self._recover_connection(path, found, now_ns)
        elif len(self._living(nexus)):
            self._set_working([path], False)
            found.step(now_ns, "session-drop", f"after {self.recovery.session_drop_ns / 1e9:g} s")
            self.at(
                now_ns + self.recovery.session_drop_ns,
                lambda at_ns: self._drop_session(nexus, found, at_ns),
            )
        else:
            self._recover_session(nexus, found, now_ns)

"""What all recoveries share: when to act, which paths work, what they may lead to, and who waits for them.

Decides nothing about what is done when; keeps the agenda of a run and the state of its paths.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analyzer.errors import UnusableInputError
from analyzer.replay.attempts import Attempts, Bools, Rows
from analyzer.replay.congestion import begin_window
from analyzer.replay.disturbance import Disturbance, Note
from analyzer.replay.event_queue import EventQueue
from analyzer.replay.faults import Fault, FaultKind
from analyzer.replay.recovery import DEFAULT_MCS, DEFAULT_OTHER, Recovery, recovery_of
from analyzer.replay.scenario import BondMode, Scenario, Topology
from analyzer.replay.state import (
    FAR_NS,
    FROM_TARGET,
    HELD_BY_PATH,
    HELD_FOR_PATH,
    MAY_WAIT,
    NEVER,
    NONE,
    NOTHING,
    NOW_NS,
    World,
)
from analyzer.replay.topology import Network, priorities_of

MOST_SENT_AGAIN = 20
"""A command that so many connections have lost is given up: where all links are hopelessly slow a replay
would go on for ever, as the real systems do."""
READ_BEHIND_NS = 1
"""A function and its answer are read so long behind the packet that brought them, for what came in the same
packet ahead of them is read first."""


def recovery_for(scenario: Scenario) -> Recovery:
    """The recovery of a scenario: as given, else the default of its topology."""
    if scenario.recovery is not None:
        return scenario.recovery
    is_mcs = scenario.topology is Topology.MCS or (scenario.connections > 1 and not scenario.is_by_session)
    return recovery_of(DEFAULT_MCS if is_mcs else DEFAULT_OTHER)


class PathRecovery:
    """The paths of one run and the agenda of what is to be done about them."""

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        *,
        peak_share: float = 0.5,
        cannot_repeat: Any = None,
    ) -> None:
        """Get ready for one run.

        ``peak_share`` of the requests had completed in the recording when most was outstanding;
        ``cannot_repeat`` marks the requests that may not be sent again once the target may have begun with
        them, shape (requests,). Raises UnusableInputError for a fault of a link that there is not.
        """
        self.attempts: Attempts
        self.scenario = scenario
        self.recovery = recovery_for(scenario)
        self.network = network
        self.host = np.array([path.host for path in network.paths])
        self.disturbances: list[Disturbance] = []
        self.notes: list[Note] = []
        self.cannot_repeat = cannot_repeat
        self._peak_share = peak_share
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._entries = 0
        self._works = np.ones(len(network.paths), np.bool_)
        self._epoch = np.zeros(len(network.paths), np.int64)
        self._by_path: dict[int, Disturbance] = {}
        self._unreachable: set[int] = set()
        self._fallen: dict[int, int] = {}
        self._causes: dict[int, set[int]] = {}
        self._resuming: set[int] = set()
        self._worsened: dict[int, Disturbance] = {}
        self._asked_in_vain = 0
        self.sent_again: Counter[int] = Counter()
        """How often each request was sent again behind a lost connection."""
        self._left_links: set[int] = set()
        self._bond_width = scenario.link_count or 1
        self._failed_nexuses: set[int] = set()
        self._groups: dict[int, int] = {}
        self._returning: set[int] = set()
        self._wait_for_completions: list[tuple[int, Fault]] = []
        links = scenario.link_count or len(network.links)
        for fault in scenario.faults:
            if fault.link is not None and fault.link >= links:
                raise UnusableInputError(
                    f"there are links 0 to {links - 1}", source="--fault", place=fault.words
                )

    def begin(self, world: World, queue: EventQueue) -> None:
        """Take over a world before anything has happened in it."""
        self.attempts = Attempts(world, queue)
        world.counters[MAY_WAIT] = 1

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.attempts.world

    def drop_agenda(self) -> None:
        """All requests have ended: nothing more is to be done."""
        self._agenda.clear()

    def next_ns(self) -> int:
        """When it has to act next; ``FAR_NS`` for never."""
        return self._agenda[0][0] if self._agenda else int(FAR_NS)

    def at(self, at_ns: int, action: Callable[[int], None]) -> None:
        """Do something at a time."""
        self._entries += 1
        heapq.heappush(self._agenda, (int(at_ns), self._entries, action))

    def act(self) -> None:
        """Do what is due first."""
        at_ns, _, action = heapq.heappop(self._agenda)
        self.world.counters[NOW_NS] = max(at_ns, int(self.world.counters[NOW_NS]))
        action(at_ns)

    def exchange(
        self,
        path: int,
        now_ns: int,
        taken_ns: Callable[[], int],
        answered: Callable[[int], None],
        *,
        effect: Callable[[int], None] | None = None,
    ) -> None:
        """Send an immediate PDU without data on a path, and hand its answer to ``answered``.

        Both wait behind what was written to the connection before, and are read behind what the same packet
        brings (``READ_BEHIND_NS``). At the target it takes ``taken_ns``, asked when it is there, and
        ``effect`` is what it then does.
        """

        def acts(at_ns: int) -> None:
            if effect is not None:
                effect(at_ns)
            self._carry(path, FROM_TARGET, at_ns, answered)

        self._carry(path, NOTHING, now_ns, lambda at_ns: self.at(at_ns + taken_ns(), acts))

    def _carry(self, path: int, direction: np.int64, now_ns: int, read: Callable[[int], None]) -> None:
        """Write a PDU without data to a path; ``read`` is called when it is read at the other end."""
        due_ns, position = self.attempts.carry(path, direction, now_ns)

        def arrives(at_ns: int) -> None:
            held_ns = self.attempts.held_until_ns(path, direction, position, at_ns) if position else at_ns
            if held_ns > at_ns:
                self.at(held_ns, arrives)
            else:
                self.at(at_ns + READ_BEHIND_NS, read)

        self.at(due_ns, arrives)

    def _link(self, path: int) -> int:
        return int(self.world.paths[path].link_to) // 2

    def _living(self, nexus: int) -> Rows:
        paths = self.world.paths
        living: Rows = np.flatnonzero((paths.nexus == nexus) & (paths.is_lost == 0))
        return living

    def _lose(self, path: int, now_ns: int) -> None:
        self.attempts.lose(path, now_ns)
        self.attempts.hold_unsent(path)
        self._epoch[path] += 1
        self.note(now_ns, "connection-lost", path=path)

    def _begin(self, path: int, found: Disturbance) -> None:
        """From now on what befalls a path belongs to this disturbance."""
        self._by_path[path] = found

    def _can_come_back(self, link: int) -> bool:
        """Whether a link that is away will ever work again."""
        if link in self._unreachable:
            kinds = (FaultKind.PORTAL,)
        elif self.attempts.is_halted(link):
            kinds = (FaultKind.DOWN, FaultKind.BLACK_HOLE, FaultKind.FLAP)  # type: ignore[assignment]
        else:
            return True
        return all(
            one.fault.for_ns is not None
            for one in self.disturbances
            if one.fault.kind in kinds and link in self._links_of(one.fault)
        )

    def _is_reachable(self, path: int) -> bool:
        link = self._link(path)
        return link not in self._unreachable and (not self.attempts.is_halted(link) or link in self._resuming)

    def _open(self, path: int, now_ns: int) -> None:
        """A new TCP connection takes the place of one that was lost."""
        link = self._link(path)
        if self.attempts.is_halted(link):
            self._resuming.discard(link)
            self.attempts.resume(link, now_ns)
        one = self.world.paths[path]
        one.is_lost = one.is_held = 0
        one.heard_ns = now_ns
        for lane in self.world.lanes[2 * path : 2 * path + 2]:
            lane.packets = lane.is_late = lane.sent_bytes = lane.written_bytes = 0
            begin_window(lane)
        self._epoch[path] += 1

    def _links_of(self, fault: Fault) -> list[int]:
        if self.scenario.bond_mode is BondMode.BALANCE_RR:
            return [0]
        if fault.link is not None:
            return [fault.link]
        mine = {self._link(path) for path in range(len(self.host)) if self.host[path] == 0}
        return sorted(mine)

    def _paths_on(self, link: int) -> list[int]:
        return [
            path
            for path in range(len(self.host))
            if self._link(path) == link and not self.world.paths[path].is_lost
        ]

    def _set_working(self, paths: Sequence[int], works: bool, *, returning: int | None = None) -> None:
        """Tell the policies their paths: those that work of the group in use.

        ``returning`` is a scope that goes back to the group with the highest priority now.
        """
        self._works[list(paths)] = works
        world = self.world
        order = np.argsort(world.scopes.is_outer, kind="stable")
        for scope in order.tolist():
            one = world.scopes[scope]
            members = np.arange(int(one.first_member), int(one.first_member + one.member_count))
            alive = world.members.is_usable[members].any(axis=1) if one.is_outer else self._works[members]
            is_inner = self.scenario.is_nested and not one.is_outer
            options = self.scenario.inner_policy_options if is_inner else self.scenario.policy_options
            priorities = np.array(priorities_of(options, len(members)))
            group = self._group_of(scope, priorities, alive, is_returning=scope == returning)
            world.members.is_usable[scope, : len(members)] = alive & (priorities == group)

    def _group_of(self, scope: int, priorities: Rows, alive: Any, *, is_returning: bool) -> int:
        """The priority of the group that a scope uses, as dm-multipath's choose_pgpath and failback have it.

        It stays with the group in use while a path of that works, until failback lets it return.
        """
        current = self._groups.setdefault(scope, int(priorities.max()))
        if not alive.any():
            return current
        best, wait_ns = int(priorities[alive].max()), self.recovery.failback_ns
        if (alive & (priorities == current)).any() and not is_returning and wait_ns != 0 and best != current:
            if wait_ns is not None and scope not in self._returning:
                self._returning.add(scope)
                self.at(int(self.world.counters[NOW_NS]) + wait_ns, lambda _now_ns: self._fail_back(scope))
            return current
        if best != current:
            self._groups[scope] = best
            self._activate(scope, priorities == best)
        return best

    def _fail_back(self, scope: int) -> None:
        self._returning.discard(scope)
        self._set_working([], True, returning=scope)

    def _activate(self, scope: int, is_of_group: Any) -> None:
        """Commands for the group wait until it is initialised (QUEUE_IO of dm-multipath)."""
        wait_ns, now_ns = self.recovery.group_switch_ns, int(self.world.counters[NOW_NS])
        if self.disturbances:
            self.disturbances[-1].step(now_ns, "group-switch", f"takes {wait_ns / 1e9:g} s")
        if not wait_ns:
            return
        one = self.world.scopes[scope]
        members = int(one.first_member) + np.flatnonzero(is_of_group)
        paths = np.flatnonzero(np.isin(self.world.paths.inner_scope, members)) if one.is_outer else members
        paths = paths[self.world.paths.is_held[paths] == 0]
        self.pause_paths(paths, True, now_ns)
        self.at(now_ns + wait_ns, lambda at_ns: self.pause_paths(paths, False, at_ns))

    def pause_paths(self, paths: Rows, is_paused: bool, now_ns: int) -> None:
        """Keep back new commands of some paths, or let those go whose connections still live."""
        if not is_paused:
            paths = paths[self.world.paths.is_lost[paths] == 0]
        self.world.paths.is_held[paths] = is_paused
        if not is_paused:
            self._release_held(now_ns)

    def _release_held(self, now_ns: int) -> None:
        rows = self.attempts.held(HELD_BY_PATH)
        paths = self.world.paths[self.world.progress.path[rows]]
        # What a failed path holds waits for the cleanup of that path, whatever another one lets go.
        rows = rows[(paths.is_held == 0) & (paths.is_lost == 0)]
        if len(rows):
            self.attempts.ask_again(rows, now_ns)

    def _release_waiting(self, now_ns: int) -> None:
        """A path came back: requests that waited for one, or for theirs, are given to the scheduler again."""
        self._release_held(now_ns)
        rows = self.attempts.held(HELD_FOR_PATH)
        rows = rows[np.isin(self._host_of(rows), self._hosts_with_path())]
        if len(rows):
            self.attempts.ask_again(rows, now_ns)

    def _hosts_with_path(self) -> Rows:
        """The hosts that have a path that works."""
        hosts: Rows = np.unique(self.host[self._works])
        return hosts

    def _host_of(self, rows: Rows) -> Rows:
        scopes = self.world.requests.scope[rows]
        first = self.world.scopes.first_member[scopes]
        is_outer = self.world.scopes.is_outer[scopes] != 0
        first = np.where(is_outer, self.world.scopes.first_member[np.where(is_outer, first, 0)], first)
        hosts: Rows = self.host[first]
        return hosts

    def _may_not_repeat(self, row: int) -> bool:
        return (
            self.cannot_repeat is not None and row < len(self.cannot_repeat) and bool(self.cannot_repeat[row])
        )

    def without_unrepeatable(self, rows: Rows, found: Disturbance | None, now_ns: int) -> Rows:
        """Fail those that may not be sent again once the target may have had them; gives the others."""
        if self.cannot_repeat is None or not len(rows):
            return rows
        is_risky = self.cannot_repeat[rows] & (self.world.progress.sent_ns[rows] != NEVER)
        if is_risky.any():
            self._fail(rows[is_risky], now_ns, "may not be sent again", found)
        kept: Rows = rows[~is_risky]
        return kept

    def _times_sent_again(self, rows: Rows) -> Rows:
        return np.array([self.sent_again[row] for row in rows.tolist()], np.int64)

    def is_hopeless(self, rows: Rows) -> Bools:
        """Which of ``rows`` one connection after the other has lost."""
        found: Bools = self._times_sent_again(rows) >= MOST_SENT_AGAIN
        return found

    def without_hopeless(self, rows: Rows, found: Disturbance, now_ns: int) -> Rows:
        """Fail those that one connection after the other has lost; gives the others."""
        is_hopeless = self.is_hopeless(rows)
        if is_hopeless.any():
            self._fail(rows[is_hopeless], now_ns, f"sent {MOST_SENT_AGAIN} times again", found)
        kept: Rows = rows[~is_hopeless]
        return kept

    def _fail(self, rows: Rows, now_ns: int, why: str, found: Disturbance | None = None) -> None:
        """End requests with an error."""
        placed = rows[self.world.progress.path[rows] != NONE]
        self.attempts.give_up(placed, now_ns, is_aborted=True)
        for row in rows.tolist():
            self.note(now_ns, "request-failed", request=row, why=why)
        one = found or (self.disturbances[-1] if self.disturbances else None)
        if one is not None:
            one.fail(now_ns, rows.tolist(), why)
        self.attempts.fail(rows, now_ns)

    def note(
        self, at_ns: int, kind: str, *, path: int | None = None, request: int | None = None, **detail: Any
    ) -> None:
        """Write down what the events table shall tell."""
        self.notes.append(Note(at_ns, kind, path, request, detail))

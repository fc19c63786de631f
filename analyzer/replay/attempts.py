"""Attempts of commands while connections are lost: what recovery may do to the rows and events of a replay.

Decides how an attempt is halted, given up, aborted, moved or made anew so that the engine can go on; decides
not when or why (``failover.py`` does). A request keeps its row for life. An attempt that the initiator has
given up while the target still works on it becomes a row of its own behind the requests, never answered.

Recovery is rare, so all of this is NumPy over whole columns and needs no compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.replay.congestion import advance, held_until_ns
from analyzer.replay.connections import send
from analyzer.replay.event_queue import (
    FREE,
    KIND_SHIFT,
    MAX_SLOTS,
    SIZE,
    SLOT_MASK,
    EventQueue,
    grown,
    mark,
    post,
)
from analyzer.replay.initiator import next_of_list
from analyzer.replay.state import (
    COMPLETED,
    CONNECTION_READS,
    DATA_DUE,
    DEPTH,
    END,
    FAILED,
    FAR_NS,
    GATE_TIMEOUT,
    GRANT,
    HELD_BY_PATH,
    IS_POOLED,
    IS_TASK_BY_DATA,
    NEVER,
    NEXT_DUE,
    NEXT_IN_LIST,
    NONE,
    NOT_HELD,
    NOTHING,
    OF_NO_REQUEST,
    ON_A_LINK,
    R2T_ARRIVES,
    READY,
    REQUESTS,
    SEND_DUE,
    SERVICE_ENDS,
    STAGE_ANSWERED,
    STAGE_GRANTED,
    STAGE_REFUSED,
    STAGE_RELEASED,
    STAGE_SENT,
    STATUS_ARRIVES,
    UNFINISHED,
    World,
)

Rows = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FROM_TARGET_KINDS = (int(STATUS_ARRIVES), int(R2T_ARRIVES))


class Events(NamedTuple):
    """What is in the queue, shape (events,), in no particular order. ``path`` is NONE where there is none."""

    at_ns: Rows
    key: Rows
    kind: Rows
    slot: Rows
    subject: Rows
    path: Rows


class Attempts:
    """A world and its event queue; both are replaced when they grow."""

    def __init__(self, world: World, queue: EventQueue) -> None:
        self.world = world
        self.queue = queue
        self._factors: dict[int, float] = {}

    # Events

    @property
    def has_events(self) -> bool:
        """Whether anything is under way or due."""
        return bool(self.queue.counters[SIZE])

    def events(self) -> Events:
        """The events of the queue, as copies."""
        size = int(self.queue.counters[SIZE])
        key = self.queue.key[:size].copy()
        slot = key & SLOT_MASK
        kind = key >> KIND_SHIFT
        subject = self.queue.subject[slot]
        is_of_request = ~np.isin(kind, OF_NO_REQUEST)
        path = np.full(size, NONE, np.int64)
        path[is_of_request] = self.world.progress.path[subject[is_of_request]]
        is_reading = kind == CONNECTION_READS
        path[is_reading] = subject[is_reading]
        return Events(self.queue.at_ns[:size].copy(), key, kind, slot, subject, path)

    def _put(self, at_ns: Rows, key: Rows) -> None:
        """Make the queue hold just these. What is sorted is a heap."""
        order = np.lexsort((key, at_ns))
        size = len(order)
        self.queue.at_ns[:size] = at_ns[order]
        self.queue.key[:size] = key[order]
        self.queue.counters[SIZE] = size

    def _free(self, slots: Sequence[int] | Rows) -> None:
        begin = int(self.queue.counters[FREE])
        self.queue.free[begin : begin + len(slots)] = slots
        self.queue.counters[FREE] += len(slots)

    def drop(self, events: Events, is_dropped: Bools) -> None:
        """Take events out of the queue."""
        if is_dropped.any():
            self._put(events.at_ns[~is_dropped], events.key[~is_dropped])
            self._free(events.slot[is_dropped])

    def post(self, entries: Iterable[tuple[int, ...]]) -> None:
        """Put events (time, kind, subject, value, number, and position if there is one) into the queue."""
        posted = list(entries)
        while self.queue.counters[FREE] < len(posted):
            if len(self.queue.at_ns) >= MAX_SLOTS:
                raise RuntimeError(f"more than {MAX_SLOTS} events are due")
            self.queue = grown(self.queue, min(MAX_SLOTS, 2 * len(self.queue.at_ns)))
        for at_ns, kind, subject, value, number, *position in posted:
            post(self.queue, int(at_ns), kind, int(subject), int(value), int(number))
            if position:
                mark(self.queue, position[0])

    def drain(self) -> bool:
        """Take out what waits for a link that never came back. Whether anything else is left."""
        events = self.events()
        self.drop(events, events.at_ns >= FAR_NS)
        return bool(self.queue.counters[SIZE] > 0)

    # Links

    def halt(self, link: int, now_ns: int) -> None:
        """Stop the clock of a link: nothing on it arrives until it is resumed."""
        for direction in (2 * link, 2 * link + 1):
            if self.world.links[direction].halted_ns == NEVER:
                self.world.links[direction].halted_ns = now_ns
        self._let_enter(link, now_ns)
        events = self.events()
        is_on_it = self._is_on(events, link) & (events.at_ns < FAR_NS)
        self._put(np.where(is_on_it, events.at_ns + FAR_NS, events.at_ns), events.key)

    def is_halted(self, link: int) -> bool:
        """Whether a link is down."""
        return bool(self.world.links[2 * link].halted_ns != NEVER)

    def resume(self, link: int, at_ns: int) -> None:
        """Let the clock of a link run on from ``at_ns``, with all that waited."""
        shift = at_ns - int(self.world.links[2 * link].halted_ns)
        for direction in (2 * link, 2 * link + 1):
            one = self.world.links[direction]
            if one.free_ns > one.halted_ns:
                one.free_ns += shift
                one.tail_begins_ns += shift
                one.tail_left_ns += shift
            one.halted_ns = NEVER
        for path in np.flatnonzero(self.world.paths.link_to == 2 * link):
            for lane in self.world.lanes[2 * path : 2 * path + 2]:
                lane.arrives_ns += shift if lane.arrives_ns > at_ns - shift else 0
            times = self.world.flights[2 * path : 2 * path + 2, :END]
            times[times > at_ns - shift] += shift
        events = self.events()
        is_waiting = self._is_on(events, link) & (events.at_ns >= FAR_NS)
        self._put(np.where(is_waiting, events.at_ns - FAR_NS + shift, events.at_ns), events.key)

    def rescale(self, link: int, now_ns: int, factor: float, more_delay_ns: int) -> None:
        """Change rate and delay of both directions of a link, for what is under way too."""
        self._let_enter(link, now_ns)
        events = self.events()
        at_ns = events.at_ns.copy()
        for direction in (2 * link, 2 * link + 1):
            one = self.world.links[direction]
            is_on_it = self._is_on(events, link) & (at_ns < FAR_NS)
            is_on_it &= np.isin(events.kind, FROM_TARGET_KINDS) == bool(direction % 2)
            left = np.where(is_on_it, np.maximum(0, at_ns - now_ns - int(one.delay_ns)), 0)
            if one.rate_bps:
                before_bps = int(one.rate_bps)
                self._factors[direction] = self._factors.get(direction, 1.0) * factor
                one.rate_bps = max(1, round(int(one.full_rate_bps) * self._factors[direction]))
                more = before_bps / int(one.rate_bps) - 1
                at_ns = np.where(is_on_it, at_ns + np.rint(left * more).astype(np.int64), at_ns)
                one.free_ns = max(now_ns, int(one.free_ns))
                one.free_ns += int((int(one.free_ns) - now_ns) * more)
                for path in np.flatnonzero(self.world.paths.link_to == 2 * link):
                    times = self.world.flights[2 * path + direction % 2, :END]
                    times += np.rint(np.maximum(0, times - now_ns) * more).astype(np.int64)
            one.tail_owner = NONE
            one.delay_ns = max(0, int(one.delay_ns) + more_delay_ns)
        self._put(at_ns, events.key)

    def _let_enter(self, link: int, now_ns: int) -> None:
        """What TCP has let out by now is on the link."""
        for path in np.flatnonzero(self.world.paths.link_to == 2 * link):
            advance(self.world, np.int64(path), np.int64(now_ns))

    def _is_on(self, events: Events, link: int) -> Bools:
        paths = np.flatnonzero(self.world.paths.link_to == 2 * link)
        found: Bools = np.isin(events.kind, ON_A_LINK) & np.isin(events.path, paths)
        return found

    def carry(self, path: int, direction: np.int64, now_ns: int) -> tuple[int, int]:
        """Write a PDU without data to a path; gives when it is read, behind all that was written before.

        ``direction`` is NOTHING or FROM_TARGET. What a link that is down would hold up counts as carried:
        whoever waits for it is told otherwise when that connection is lost. With the time comes what
        ``held_until_ns`` has to be asked by then, 0 for nothing.
        """
        header_bytes = np.int64(self.world.paths[path].header_bytes)
        at_ns = int(send(self.world, np.int64(path), direction, np.int64(now_ns), header_bytes, NOTHING))
        if at_ns < FAR_NS:
            lane = self.world.lanes[2 * path + direction]
            return at_ns, int(lane.written_bytes) if lane.is_windowed else 0
        halted_ns = int(self.world.links[int(self.world.paths[path].link_to)].halted_ns)
        return at_ns - int(FAR_NS) - halted_ns + now_ns, 0

    def held_until_ns(self, path: int, direction: np.int64, position: int, now_ns: int) -> int:
        """When the bytes before ``position`` are there; ``now_ns`` where they are, or the link is down."""
        if self.world.links[int(self.world.paths[path].link_to)].halted_ns != NEVER:
            return now_ns
        return int(held_until_ns(self.world, np.int64(path), direction, np.int64(position), np.int64(now_ns)))

    # Commands

    def outstanding(self, paths: Sequence[int] | Rows) -> Rows:
        """The requests given to these paths and not ended, in order of CmdSN, those without one last."""
        progress = self.world.progress[: int(self.world.counters[REQUESTS])]
        rows = np.flatnonzero(
            (progress.end == UNFINISHED) & (progress.ready_ns != NEVER) & np.isin(progress.path, paths)
        )
        number = progress.cmd_sn[rows]
        ordered: Rows = rows[np.lexsort((rows, np.where(number == NONE, FAR_NS, number)))]
        return ordered

    def held(self, reason: int) -> Rows:
        """The requests that wait for that reason."""
        progress = self.world.progress[: int(self.world.counters[REQUESTS])]
        return np.flatnonzero((progress.held == reason) & (progress.end == UNFINISHED))

    def at_target(self, paths: Sequence[int] | Rows, device: int) -> Rows:
        """The requests of a logical unit that came over these paths and have no status yet.

        Where a write is a task only when its data is in (IS_TASK_BY_DATA), one that waits for data counts
        only if its connection is lost, so that none can come.
        """
        world, rows = self.world, self.outstanding(paths)
        is_task = self._is_at_target(rows) & (world.requests.device_index[rows] == device)
        if world.counters[IS_TASK_BY_DATA]:
            is_whole = world.progress.received_bytes[rows] >= world.requests.write_bytes[rows]
            is_task &= is_whole | (world.paths.is_lost[world.progress.path[rows]] != 0)
        found: Rows = rows[is_task]
        return found

    def in_task_set(self, paths: Sequence[int] | Rows, device: int) -> Rows:
        """Those of them that the logical unit knows: what waits at the gate is no task of it yet."""
        rows = self.at_target(paths, device)
        known: Rows = rows[self.world.progress.released_ns[rows] != NEVER]
        return known

    def identity(self, rows: Rows) -> Rows:
        """What tells the attempt of each request from any other attempt of it, shape (3, rows)."""
        progress = self.world.progress
        return np.stack([progress.path[rows], progress.sent_ns[rows], progress.retries[rows]])

    def _is_at_target(self, rows: Rows) -> Bools:
        """Whether the target has the latest attempt of ``rows`` and has not ended it."""
        progress = self.world.progress
        is_ended = np.isin(progress.stage[rows], (STAGE_ANSWERED, STAGE_REFUSED))
        found: Bools = (progress.arrived_ns[rows] != NEVER) & ~is_ended
        return found

    def lose(self, path: int, now_ns: int) -> None:
        """End a TCP connection at both ends: all that is under way on it is gone, and what lay unread.

        Commands at the ordering gate that came over it count as not arrived, but for attempts that were given
        up: no one will send their CmdSN again, so the initiator fills the gap (a NOP-Out with that CmdSN).
        How much of a read had come is kept (``resumed_bytes``), for a task that is reassigned goes on there.
        """
        world = self.world
        self._note_partial_reads(path, now_ns)
        events = self.events()
        dropped = (*ON_A_LINK, int(DATA_DUE), int(SEND_DUE), int(CONNECTION_READS), int(GATE_TIMEOUT))
        self.drop(events, np.isin(events.kind, dropped) & (events.path == path))
        one = world.paths[path]
        slot = int(one.unread_first)
        while slot != NONE:
            following = int(self.queue.next_kept[slot])
            self._free([slot])
            slot = following
        one.unread_first = one.unread_last = one.blocked_by = NONE
        one.is_lost = 1
        ring = world.arrived[int(one.nexus)]
        parked = ring[ring != NONE]
        mine = parked[(world.progress.path[parked] == path) & (parked < world.counters[REQUESTS])]
        ring[np.isin(ring, mine)] = NONE
        world.nexuses[int(one.nexus)].parked -= len(mine)
        world.progress.arrived_ns[mine] = NEVER
        if not (world.paths.is_lost[world.paths.link_to == one.link_to] == 0).any():
            for direction in (int(one.link_to), int(one.link_from)):
                link = world.links[direction]
                link.free_ns = min(
                    int(link.free_ns), now_ns if link.halted_ns == NEVER else int(link.halted_ns)
                )
                link.tail_owner = NONE

    def hold_unsent(self, path: int) -> None:
        """Keep back what is given to a path, and what waits there for the command window."""
        self.world.paths[path].is_held = 1
        rows = self.outstanding([path])
        waiting = rows[np.isin(rows, self._window_queue(int(self.world.paths[path].nexus)))]
        self.leave_window_queue(int(self.world.paths[path].nexus), waiting)
        self.world.progress.held[waiting] = HELD_BY_PATH

    def _window_queue(self, nexus: int) -> list[int]:
        waiting = []
        row = int(self.world.nexuses[nexus].held_first)
        while row != NONE:
            waiting.append(row)
            row = int(self.world.progress[row].next_in_queue)
        return waiting

    def heard_ns(self, path: int, now_ns: int) -> int:
        """When the initiator last had a PDU on a path, or a packet of Data-In that are still coming."""
        world = self.world
        heard_ns = int(world.paths[path].heard_ns)
        link = world.links[int(world.paths[path].link_from)]
        if not link.rate_bps:
            return heard_ns
        packet_ns = max(1, int(link.segment_bytes) * 8_000_000_000 // int(link.rate_bps))
        events = self.events()
        is_coming = (events.kind == int(STATUS_ARRIVES)) & (events.path == path) & (events.at_ns < FAR_NS)
        for row, ends_ns in zip(
            events.subject[is_coming].tolist(), events.at_ns[is_coming].tolist(), strict=True
        ):
            taken_ns = int(world.requests[row].read_bytes) * 8_000_000_000 // int(link.rate_bps)
            packets = (now_ns - (ends_ns - taken_ns)) // packet_ns
            if packets > 0:
                heard_ns = max(heard_ns, ends_ns - taken_ns + packets * packet_ns)
        return heard_ns

    def _note_partial_reads(self, path: int, now_ns: int) -> None:
        world = self.world
        link = world.links[int(world.paths[path].link_from)]
        if not link.rate_bps:
            return
        events = self.events()
        for place in np.flatnonzero((events.kind == int(STATUS_ARRIVES)) & (events.path == path)):
            row = int(events.subject[place])
            left_ns = int(events.at_ns[place]) - now_ns
            if events.at_ns[place] >= FAR_NS:
                left_ns = int(events.at_ns[place] - FAR_NS) - int(link.halted_ns)
            left_ns = max(0, left_ns - int(link.delay_ns))
            total = int(world.requests[row].read_bytes)
            segment = int(world.paths[path].read_segment_bytes)
            there = max(0, total - left_ns * int(link.rate_bps) // 8_000_000_000) // segment * segment
            world.progress[row].resumed_bytes = min(max(0, there), total)

    def leave_window_queue(self, nexus: int, rows: Rows) -> None:
        """Take requests out of those that wait for the command window of a nexus."""
        world, one = self.world, self.world.nexuses[nexus]
        waiting = self._window_queue(nexus)
        gone = set(rows.tolist())
        kept = [row for row in waiting if row not in gone]
        world.progress.next_in_queue[waiting] = NONE
        for row, following in pairwise(kept):
            world.progress[row].next_in_queue = following
        one.held_first, one.held_last = (kept[0], kept[-1]) if kept else (NONE, NONE)

    def give_up(self, rows: Rows, now_ns: int, *, is_aborted: bool, is_moving: bool = True) -> None:
        """End the attempts of ``rows`` for the initiator; each request is then as if never sent.

        What the target has of them goes on there unanswered, or with ``is_aborted`` ends at once; so does
        what would wait for data that no one will send. Without ``is_moving`` a request keeps its path.
        """
        world = self.world
        progress = world.progress
        events = self.events()
        self.drop(events, (events.kind == int(READY)) & np.isin(events.subject, rows))
        abandoned = self._abandon(rows[self._is_at_target(rows)])
        progress = self.world.progress
        is_short = progress.received_bytes[abandoned] < self.world.requests.write_bytes[abandoned]
        self._end_at_target(abandoned if is_aborted else abandoned[is_short], now_ns)
        numbered = rows[progress.cmd_sn[rows] != NONE]
        np.add.at(self.world.nexuses.given_up, self.world.paths.nexus[progress.path[numbered]], 1)
        if is_moving:
            self.free_places(rows)
        for path in np.unique(progress.path[rows]):
            mine = rows[progress.path[rows] == path]
            self.leave_window_queue(int(self.world.paths[path].nexus), mine)
        progress.retries[rows] += (progress.sent_ns[rows] != NEVER).astype(np.int32)
        for field in ("cmd_sn", "next_in_queue", "next_in_set", "previous_in_set"):
            progress[field][rows] = NONE
        for field in ("sent_ns", "arrived_ns", "released_ns", "started_ns", "served_ns"):
            progress[field][rows] = NEVER
        for field in ("received_bytes", "granted_bytes", "sequences", "resumed_bytes"):
            progress[field][rows] = 0
        progress.stage[rows] = STAGE_SENT
        progress.held[rows] = NOT_HELD
        if is_moving:
            progress.path[rows] = NONE

    def _abandon(self, rows: Rows) -> Rows:
        """Give the attempts that the target has of ``rows`` rows of their own; gives those."""
        if not len(rows):
            return rows
        world = self.world
        old = len(world.progress)
        abandoned = np.arange(old, old + len(rows), dtype=np.int64)
        requests = np.concatenate([world.requests, world.requests[rows]]).view(np.recarray)
        progress = np.concatenate([world.progress, world.progress[rows]]).view(np.recarray)
        for field in ("predecessor", "follower", "next_unprompted"):
            requests[field][abandoned] = NONE
        instead = np.arange(old + len(rows), dtype=np.int64)
        instead[rows] = abandoned

        def renamed(values: Any) -> Any:
            return np.where(values >= 0, instead[values], values)

        # Requests that wait for a window are chained by the same field, but none of them is at the target.
        self.world = world._replace(requests=requests, progress=progress)
        is_there = self._is_at_target(np.arange(old + len(rows)))
        progress.next_in_queue[is_there] = renamed(progress.next_in_queue[is_there])
        for field in ("next_in_set", "previous_in_set"):
            progress[field][:] = renamed(progress[field])
        for array, fields in (
            (world.devices, ("queue_first", "queue_last")),
            (world.task_sets, ("first", "last")),
            (world.paths, ("blocked_by",)),
        ):
            for field in fields:
                array[field][:] = renamed(array[field])
        world.arrived[:] = renamed(world.arrived)
        events = self.events()
        is_of_them = ~np.isin(events.kind, (*OF_NO_REQUEST, int(READY))) & np.isin(events.subject, rows)
        slots = np.concatenate([events.slot[is_of_them], self._unread(rows)])
        self.queue.subject[slots] = instead[self.queue.subject[slots]]
        return abandoned

    def _unread(self, rows: Rows) -> Rows:
        """The slots of what lies unread of ``rows`` on connections that the target has stopped reading."""
        found = []
        for slot in self.world.paths.unread_first.tolist():
            while slot != NONE:
                found.append(slot)
                slot = int(self.queue.next_kept[slot])
        slots = np.array(found, np.int64)
        return slots[np.isin(self.queue.subject[slots], rows)]

    def _end_at_target(self, abandoned: Rows, now_ns: int) -> None:
        """Let the target be done with attempts that were given up as soon as they can leave it."""
        world = self.world
        world.requests.service_ns[abandoned] = 0
        progress = world.progress
        is_waiting = np.isin(progress.stage[abandoned], (STAGE_RELEASED, STAGE_GRANTED))
        is_waiting &= progress.received_bytes[abandoned] < world.requests.write_bytes[abandoned]
        waiting = abandoned[is_waiting]
        progress.received_bytes[abandoned] = world.requests.write_bytes[abandoned]
        progress.granted_bytes[abandoned] = world.requests.write_bytes[abandoned]
        events = self.events()
        self.drop(events, (events.kind == int(GRANT)) & np.isin(events.subject, abandoned))
        self.post((now_ns, int(GRANT), int(row), 0, 0) for row in waiting)
        events = self.events()
        is_served = (events.kind == int(SERVICE_ENDS)) & np.isin(events.subject, abandoned)
        self._put(np.where(is_served, now_ns, events.at_ns), events.key)
        progress.served_ns[events.subject[is_served]] = 0

    def free_places(self, rows: Rows) -> None:
        """``rows`` are no longer outstanding on their paths, as the policies see it."""
        self._count(rows, self.world.progress.path[rows], -1)

    def take_places(self, rows: Rows) -> None:
        """``rows`` are outstanding on their paths."""
        self._count(rows, self.world.progress.path[rows], 1)

    def _count(self, rows: Rows, paths: Rows, change: int) -> None:
        world = self.world
        for row, path in zip(rows.tolist(), paths.tolist(), strict=True):
            asked = world.requests[row]
            moved = change * int(asked.read_bytes + asked.write_bytes)
            scope, member = int(asked.scope), path
            if world.scopes[scope].is_outer:
                inner = int(world.paths[path].inner_scope)
                self._count_member(inner, member, change, moved)
                member = inner
            self._count_member(scope, member, change, moved)

    def _count_member(self, scope: int, member: int, change: int, moved: int) -> None:
        one = self.world.members[scope, member - int(self.world.scopes[scope].first_member)]
        one.outstanding += change
        one.outstanding_bytes += moved

    def ask_again(self, rows: Rows | Sequence[int], at_ns: int, each_ns: int = 0) -> None:
        """Let ``rows`` be given to the scheduler again, when each has taken ``each_ns``."""
        self.world.progress.held[rows] = NOT_HELD
        at_ns += len(rows) * each_ns
        self.post((at_ns, int(READY), int(row), 0, 0) for row in rows)

    def send_again(self, row: int, path: int, at_ns: int) -> None:
        """Send a command that never arrived under its own CmdSN, on another connection of the session."""
        rows = np.array([row])
        self.free_places(rows)
        one = self.world.progress[row]
        one.path = path
        self.take_places(rows)
        one.retries += 1
        one.received_bytes = one.granted_bytes = one.sequences = 0
        one.stage = STAGE_SENT
        one.held = NOT_HELD
        self.post([(at_ns, int(SEND_DUE), row, 0, 0)])

    def fail(self, rows: Rows, now_ns: int) -> None:
        """End requests with an error; those that follow them are asked for as behind any completion."""
        world = self.world
        following = []
        for row in rows.tolist():
            one = world.progress[row]
            one.end, one.completed_ns, one.held = FAILED, now_ns, NOT_HELD
            world.counters[COMPLETED] += 1
            delayed, is_of_list = self._next_behind(row)
            if delayed == NONE:
                continue
            at_ns = now_ns + int(world.requests[delayed].after_ns)
            if is_of_list:
                following.append((at_ns, int(NEXT_DUE), int(one.stream), 0, 0))
            else:
                world.progress[delayed].stream = one.stream
                following.append((at_ns, int(READY), delayed, 0, 0))
        self.post(following)

    def _next_behind(self, row: int) -> tuple[int, bool]:
        """The request whose delay begins because this one ended, NONE for none; whether it is of a list."""
        world, counters = self.world, self.world.counters
        follower = int(world.requests[row].follower)
        if counters[DEPTH] > 0 or (counters[IS_POOLED] > 0 and follower != NONE):
            return int(next_of_list(world, NEXT_IN_LIST)), True
        return follower, False

    def begin_session(self, nexus: int) -> None:
        """A new session in place of one that was lost: nothing of the old one is waited for."""
        world, one = self.world, self.world.nexuses[nexus]
        one.parked -= int((world.arrived[nexus] != NONE).sum())
        world.arrived[nexus] = NONE
        one.exp_cmd_sn = one.next_cmd_sn
        one.max_cmd_sn = one.known_max_cmd_sn = one.next_cmd_sn + one.window - 1
        one.processor_free_ns = 0

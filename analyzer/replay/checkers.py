"""Checkers: the rules that every finished replay must have kept, read from what it left behind.

They stand apart from the engine and share none of its code but the names of fields. A checker
gives the rules that were broken, in sentences; an empty tuple is a clean run. Rules about links
need a log of transfers.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analyzer.replay.state import (
    COMPLETED,
    GATE_BLOCKING,
    GATE_IN_ORDER,
    GATE_NONE,
    GATE_REFUSING,
    GOOD,
    HEAD_OF_QUEUE,
    IS_POOLED,
    LOG_TRANSFERS,
    MAY_WAIT,
    NEVER,
    NONE,
    ORDERED,
    REFUSED,
    REQUESTS,
    UNFINISHED,
    WINDOW_BY_COMPLETION,
    World,
    is_whole,
    logged,
)

Int64s = npt.NDArray[np.int64]

STEPS = (
    "ready_ns",
    "dispatched_ns",
    "sent_ns",
    "arrived_ns",
    "released_ns",
    "started_ns",
    "completed_ns",
)


def broken_rules(world: World) -> tuple[str, ...]:
    """All rules that a finished replay broke. Attempts that were given up are no requests."""
    count = int(world.counters[REQUESTS])
    world = world._replace(requests=world.requests[:count], progress=world.progress[:count])
    return (
        *_completion(world),
        *_causes(world),
        *_order(world),
        *_window(world),
        *_links(world),
        *_data(world),
        *_tasks(world),
        *_leftovers(world),
    )


def _completion(world: World) -> list[str]:
    missing = int((world.progress.completed_ns == NEVER).sum())
    found = [f"{missing} requests did not complete"] if missing else []
    ended = int((world.progress.end != UNFINISHED).sum())
    if ended != int(world.counters[COMPLETED]):
        found.append(f"{int(world.counters[COMPLETED])} completions of {ended} requests")
    return found


def _causes(world: World) -> list[str]:
    """No step before the one that leads to it, and no request before the completion that it waits for."""
    found = []
    progress, requests = world.progress, world.requests
    for before, after in pairwise(STEPS):
        is_both = (progress.end == GOOD) | ((progress[before] != NEVER) & (progress[after] != NEVER))
        early = int((is_both & (progress[after] < progress[before])).sum())
        if early:
            found.append(f"{early} requests have {after} before {before}")
    waits = np.flatnonzero(requests.predecessor != NONE)
    if world.counters[IS_POOLED]:
        # In the order of the list, each when the delay behind some completion ended.
        brings = np.sort(progress.completed_ns[requests.follower != NONE])[: len(waits)]
        due = np.sort(brings + requests.after_ns[waits])
    else:
        due = progress.completed_ns[requests.predecessor[waits]] + requests.after_ns[waits]
    early = int((progress.ready_ns[waits] != due).sum())
    if early:
        found.append(f"{early} requests were not asked for when their predecessor let them")
    good = progress.end == GOOD
    short = good & (progress.completed_ns - progress.started_ns < progress.served_ns)
    if short.any():
        found.append(f"{int(short.sum())} requests were answered before they were served")
    has_cache = (world.devices.read_ahead_blocks + world.devices.write_cache_bytes > 0)[requests.device_index]
    quick = good & ~has_cache & (progress.served_ns < requests.service_ns)
    if quick.any():
        found.append(f"{int(quick.sum())} requests were served in less than their service time")
    return found


def _numbered(world: World, nexus: int) -> Int64s:
    """The requests with a CmdSN of ``nexus``, in order of CmdSN."""
    mine = (world.paths.nexus[world.progress.path] == nexus) & (world.progress.cmd_sn != NONE)
    rows = np.flatnonzero(mine)
    ordered: Int64s = rows[np.argsort(world.progress.cmd_sn[rows], kind="stable")]
    return ordered


def _order(world: World) -> list[str]:
    """Every CmdSN once, but for attempts that were given up; commands pass the gate by its rule."""
    found = []
    progress = world.progress
    for nexus in range(len(world.nexuses)):
        rows = _numbered(world, nexus)
        numbers = progress.cmd_sn[rows]
        used_up = int(world.nexuses[nexus].next_cmd_sn) - len(rows)
        given_up = int(world.nexuses[nexus].given_up)
        if used_up != given_up or len(np.unique(numbers)) != len(rows):
            found.append(f"nexus {nexus}: CmdSNs have holes or doubles")
        is_first_try = not given_up and not progress.retries[rows].any()
        found += _gate(world, nexus, rows[progress.end[rows] == GOOD], is_first_try=is_first_try)
    immediate = np.flatnonzero((progress.cmd_sn == NONE) & (progress.end == GOOD))
    if (progress.released_ns[immediate] != progress.arrived_ns[immediate]).any():
        found.append("an immediate command waited at the gate")
    return found


def _gate(world: World, nexus: int, rows: Int64s, *, is_first_try: bool) -> list[str]:
    """Behind an ordering gate a command passes when it and all lower ones are there, else as it arrives.

    Where commands were tried again, only the order is known of those that passed at last.
    """
    arrived, released = world.progress.arrived_ns[rows], world.progress.released_ns[rows]
    gate = world.nexuses[nexus].gate
    if gate in (GATE_NONE, GATE_REFUSING):
        is_kept = np.array_equal(released, arrived)
    elif gate == GATE_IN_ORDER and is_first_try:
        is_kept = np.array_equal(released, np.maximum.accumulate(arrived))
    else:
        is_kept = bool((np.diff(released) >= 0).all() and (released >= arrived).all())
    return [] if is_kept else [f"nexus {nexus}: commands passed the gate out of order or late"]


def _window(world: World) -> list[str]:
    """No command beyond the window: at its sending, enough earlier ones had been released or served.

    Attempts that met a full task set leave no trace of their own; with them the rule cannot be checked.
    """
    found = []
    progress = world.progress
    for nexus in range(len(world.nexuses)):
        rows = _numbered(world, nexus)
        is_disturbed = world.counters[MAY_WAIT] or progress.retries[rows].any()
        if is_disturbed or world.nexuses[nexus].gate == GATE_BLOCKING:
            continue
        moved = np.where(progress.end[rows] == REFUSED, progress.arrived_ns[rows], progress.released_ns[rows])
        if world.nexuses[nexus].window_rule == WINDOW_BY_COMPLETION:
            ended = progress.started_ns[rows] + progress.served_ns[rows]
            moved = np.where(progress.end[rows] == REFUSED, moved, ended)
        freed = np.searchsorted(np.sort(moved), progress.sent_ns[rows], side="right")
        beyond = progress.cmd_sn[rows] - freed >= world.nexuses[nexus].window
        if beyond.any():
            found.append(f"nexus {nexus}: {int(beyond.sum())} commands were sent beyond the window")
    return found


def _links(world: World) -> list[str]:
    """What a direction took on before any moment it could send by then at its rate, credit included."""
    if not is_whole(world.log, LOG_TRANSFERS):
        return []
    found = []
    transfers = logged(world.log, LOG_TRANSFERS)
    for direction, link in enumerate(world.links):
        rows = transfers[transfers[:, 0] == direction]
        given, free, delivered, wire, begun = rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4], rows[:, 6]
        moves_tail = rows[:, 7] > 0
        # A header that only filled the packet before came with it.
        packet = np.maximum.accumulate(np.where(moves_tail, np.arange(len(rows)), 0))
        full_bps = float(link.full_rate_bps)
        is_overlapping = (begun[1:] < free[:-1]).any() and not world.counters[MAY_WAIT]
        if full_bps and ((wire * 8e9 > (free - begun) * full_bps * (1 + 1e-12)).any() or is_overlapping):
            found.append(f"direction {direction} carried more than its rate")
        full = link.segment_bytes + link.packet_overhead_bytes
        packet_ns = full * 8e9 / min(full_bps, link.rate_bps) if link.is_postpaid and full_bps else 0
        # The time of each that shares the packet was rounded up.
        sent = np.cumsum(wire)
        sharing = np.arange(len(rows)) - np.searchsorted(sent, sent - full) if packet_ns else 0
        credit = np.maximum(link.credit_ns, int(np.ceil(packet_ns)) + sharing)
        left = np.where(moves_tail, free - credit, delivered[packet] - link.least_delay_ns)
        if (delivered < np.maximum(given, left) + link.least_delay_ns).any():
            found.append(f"direction {direction} delivered before it had sent")
        if int(wire.sum()) != int(link.wire_bytes) or int((free - begun).sum()) != int(link.busy_ns):
            found.append(f"direction {direction} does not account for its bytes or its time")
    return found


def _data(world: World) -> list[str]:
    """The data of every write is at the target, and each way carried just the data of all requests."""
    found = []
    good = world.progress.end == GOOD
    if (world.progress.received_bytes != world.requests.write_bytes)[good].any():
        found.append("a write was served without all of its data, or with more")
    is_once = not world.progress.retries.any() and not world.progress.reassigns.any() and bool(good.all())
    if is_whole(world.log, LOG_TRANSFERS) and is_once:
        rows = logged(world.log, LOG_TRANSFERS)
        is_back = rows[:, 0] % 2 == 1
        if int(rows[~is_back, 5].sum()) != int(world.requests.write_bytes.sum()):
            found.append("the links towards the target did not carry just the data written")
        if int(rows[is_back, 5].sum()) != int(world.requests.read_bytes.sum()):
            found.append("the links from the target did not carry just the data read")
    return found


def _tasks(world: World) -> list[str]:
    """An ORDERED task starts when all older ones of its task set have ended, and younger ones wait for it."""
    found = 0
    progress, requests = world.progress, world.requests
    per_nexus = len(world.task_sets) > len(world.devices)
    nexus = world.paths.nexus[progress.path] if per_nexus else np.zeros(len(requests), np.int64)
    ended = progress.started_ns + progress.served_ns
    for row in np.flatnonzero((requests.attribute == ORDERED) & (progress.end == GOOD)):
        same = (
            (requests.device_index == requests.device_index[row])
            & (nexus == nexus[row])
            & (progress.end == GOOD)
        )
        older = same & (progress.released_ns < progress.released_ns[row])
        younger = same & (progress.released_ns > progress.released_ns[row])
        younger &= requests.attribute != HEAD_OF_QUEUE
        found += int((ended[older] > progress.started_ns[row]).sum())
        found += int((progress.started_ns[younger] < ended[row]).sum())
    return [f"{found} tasks did not keep the order of an ORDERED task"] if found else []


def _leftovers(world: World) -> list[str]:
    """At the end nothing is outstanding, parked, held or in service."""
    left = {
        "outstanding commands": int(np.abs(world.members.outstanding).sum()),
        "outstanding bytes": int(np.abs(world.members.outstanding_bytes).sum()),
        "parked commands": int(world.nexuses.parked.sum()),
        "held commands": int((world.nexuses.held_first != NONE).sum()),
        "busy servers": int(world.devices.busy.sum()),
        "tasks in logical units": int(world.devices.present.sum()),
        "tasks in task sets": int((world.task_sets.first != NONE).sum()),
        "unread connections": int((world.paths.unread_first != NONE).sum()),
        "blocked connections": int((world.paths.blocked_by != NONE).sum()),
        "waiting requests": int((world.devices.queue_first != NONE).sum()),
    }
    return [f"{count} {what} are left at the end" for what, count in left.items() if count]

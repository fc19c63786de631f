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
    GATE_IN_ORDER,
    LOG_TRANSFERS,
    NEVER,
    NONE,
    WINDOW_BY_COMPLETION,
    World,
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
    """All rules that a finished replay broke."""
    return (
        *_completion(world),
        *_causes(world),
        *_order(world),
        *_window(world),
        *_links(world),
        *_data(world),
        *_leftovers(world),
    )


def _completion(world: World) -> list[str]:
    missing = int((world.progress.completed_ns == NEVER).sum())
    return [f"{missing} requests did not complete"] if missing else []


def _causes(world: World) -> list[str]:
    """No step before the one that leads to it, and no request before the completion that it waits for."""
    found = []
    progress, requests = world.progress, world.requests
    for before, after in pairwise(STEPS):
        early = int((progress[after] < progress[before]).sum())
        if early:
            found.append(f"{early} requests have {after} before {before}")
    waits = np.flatnonzero(requests.predecessor != NONE)
    due = progress.completed_ns[requests.predecessor[waits]] + requests.after_ns[waits]
    early = int((progress.ready_ns[waits] != due).sum())
    if early:
        found.append(f"{early} requests were not asked for when their predecessor let them")
    short = progress.completed_ns - progress.started_ns < requests.service_ns
    if short.any():
        found.append(f"{int(short.sum())} requests were served in less than their service time")
    return found


def _numbered(world: World, nexus: int) -> Int64s:
    """The requests with a CmdSN of ``nexus``, in order of CmdSN."""
    mine = (world.paths.nexus[world.progress.path] == nexus) & (world.progress.cmd_sn != NONE)
    rows = np.flatnonzero(mine)
    ordered: Int64s = rows[np.argsort(world.progress.cmd_sn[rows], kind="stable")]
    return ordered


def _order(world: World) -> list[str]:
    """Every CmdSN once; behind an ordering gate, released when the last of it and all lower ones is there."""
    found = []
    for nexus in range(len(world.nexuses)):
        rows = _numbered(world, nexus)
        if not np.array_equal(world.progress.cmd_sn[rows], np.arange(len(rows))):
            found.append(f"nexus {nexus}: CmdSNs have holes or doubles")
        expected = world.progress.arrived_ns[rows]
        if world.nexuses[nexus].gate == GATE_IN_ORDER:
            expected = np.maximum.accumulate(expected)
        if not np.array_equal(world.progress.released_ns[rows], expected):
            found.append(f"nexus {nexus}: commands passed the gate out of order or late")
    immediate = np.flatnonzero(world.progress.cmd_sn == NONE)
    if (world.progress.released_ns[immediate] != world.progress.arrived_ns[immediate]).any():
        found.append("an immediate command waited at the gate")
    return found


def _window(world: World) -> list[str]:
    """No command beyond the window: at its sending, enough earlier ones had been released or served."""
    found = []
    progress = world.progress
    for nexus in range(len(world.nexuses)):
        rows = _numbered(world, nexus)
        moved = progress.released_ns[rows]
        if world.nexuses[nexus].window_rule == WINDOW_BY_COMPLETION:
            moved = progress.started_ns[rows] + world.requests.service_ns[rows]
        freed = np.searchsorted(np.sort(moved), progress.sent_ns[rows], side="right")
        beyond = progress.cmd_sn[rows] - freed >= world.nexuses[nexus].window
        if beyond.any():
            found.append(f"nexus {nexus}: {int(beyond.sum())} commands were sent beyond the window")
    return found


def _links(world: World) -> list[str]:
    """What a direction took on before any moment it could send by then at its rate, credit included."""
    used = int(world.log.used[LOG_TRANSFERS])
    if used > len(world.log.transfers):
        return []
    found = []
    for direction, link in enumerate(world.links):
        rows = world.log.transfers[:used][world.log.transfers[:used, 0] == direction]
        given, free, delivered, wire = rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4]
        begun = np.maximum(given, np.concatenate([[0], free[:-1]])) if len(rows) else given
        if link.rate_bps and (wire * 8e9 > (free - begun) * float(link.rate_bps) * (1 + 1e-12)).any():
            found.append(f"direction {direction} carried more than its rate")
        if (delivered < np.maximum(given, free - link.credit_ns) + link.delay_ns).any():
            found.append(f"direction {direction} delivered before it had sent")
        if int(wire.sum()) != int(link.wire_bytes) or int((free - begun).sum()) != int(link.busy_ns):
            found.append(f"direction {direction} does not account for its bytes or its time")
    return found


def _data(world: World) -> list[str]:
    """The data of every write is at the target, and each way carried just the data of all requests."""
    found = []
    if (world.progress.received_bytes != world.requests.write_bytes).any():
        found.append("a write was served without all of its data, or with more")
    used = int(world.log.used[LOG_TRANSFERS])
    if used <= len(world.log.transfers):
        rows = world.log.transfers[:used]
        is_back = rows[:, 0] % 2 == 1
        if int(rows[~is_back, 5].sum()) != int(world.requests.write_bytes.sum()):
            found.append("the links towards the target did not carry just the data written")
        if int(rows[is_back, 5].sum()) != int(world.requests.read_bytes.sum()):
            found.append("the links from the target did not carry just the data read")
    return found


def _leftovers(world: World) -> list[str]:
    """At the end nothing is outstanding, parked, held or in service."""
    left = {
        "outstanding commands": int(np.abs(world.schedulers.outstanding).sum()),
        "outstanding bytes": int(np.abs(world.schedulers.outstanding_bytes).sum()),
        "parked commands": int(world.nexuses.parked.sum()),
        "held commands": int((world.nexuses.held_first != NONE).sum()),
        "busy servers": int(world.devices.busy.sum()),
        "waiting requests": int((world.devices.queue_first != NONE).sum()),
    }
    return [f"{count} {what} are left at the end" for what, count in left.items() if count]

"""When the application asked: which completion each request waited for, and how long it thought.

A request is linked to the latest completion before its issue, of the same host and logical unit,
that no other request is linked to; so the number in flight stays what it was. The recorder sees a
command leave, not being asked for: one that left behind other data, or after a higher CmdSN of its
session had left, was asked for earlier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.recorded_links import RecordedLinks
from analyzer.replay.state import NONE
from analyzer.serial_numbers import unwrap
from analyzer.tables.folder import Timeline

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SCSI_COMMAND = 0x01


@dataclass(frozen=True, slots=True)
class Issues:
    """When commands were asked for, shape (tasks,): not before ``earliest_ns``, not after ``latest_ns``.

    ``order`` lists the tasks in the order in which they were asked for.
    """

    earliest_ns: Int64s
    latest_ns: Int64s
    order: Int64s


@dataclass(frozen=True, slots=True)
class Pacing:
    """Shape (requests,), in order of issue: the request waited for (or NONE) and the delay behind it.

    ``is_exact`` where the capture shows when the request was asked for.
    """

    predecessor: Int32s
    think_ns: Int64s
    is_exact: Bools


def issues(timeline: Timeline, links: RecordedLinks) -> Issues:
    """Bounds on the time at which each task was asked for."""
    latest = timeline.values("tasks", "command_ns").astype(np.int64)
    session = timeline.values("tasks", "session_index")
    numbered = ~timeline.values("tasks", "is_immediate")
    cmd_sn = timeline.values("tasks", "cmd_sn")
    rank = np.zeros(len(latest), np.int64)
    for index in np.unique(session):
        mine = np.flatnonzero((session == index) & numbered)
        mine = mine[np.argsort(latest[mine], kind="stable")]
        number = unwrap(cmd_sn[mine])
        mine, number = mine[np.argsort(number, kind="stable")], np.sort(number)
        rank[mine] = number
        latest[mine] = np.minimum.accumulate(latest[mine][::-1])[::-1]
    earliest = np.minimum(latest, _busy_since(timeline, links))
    return Issues(earliest, latest, np.lexsort((rank, latest)))


def _busy_since(timeline: Timeline, links: RecordedLinks) -> Int64s:
    """Since when the lane towards the target was busy up to each command, shape (tasks,)."""
    pdus = links.pdus
    since = timeline.values("tasks", "command_ns").astype(np.int64)
    commands = np.flatnonzero((pdus.opcode == SCSI_COMMAND) & (pdus.task >= 0))
    queued = commands[~pdus.is_free[commands]]
    np.minimum.at(since, pdus.task[queued], pdus.since_ns[queued])
    return since


def linked(
    earliest_ns: Int64s, latest_ns: Int64s, completed_ns: Int64s, stream: Int64s, unseen_ns: Int64s
) -> Pacing:
    """Link requests, given in order of issue, to completions; all arguments have shape (requests,).

    ``completed_ns`` is -1 for those that did not complete; only requests of one ``stream`` are
    linked. ``unseen_ns`` is the part of a think time that passed between recorder and initiator.
    Where the time of asking is not known exactly, the think time is the median of those that are,
    within its bounds.
    """
    done = np.flatnonzero(completed_ns >= 0)
    after = np.maximum(completed_ns, latest_ns + 1)  # nothing can wait for itself, whatever the capture says
    done = done[np.argsort(after[done], kind="stable")]
    predecessor = _latest_unused(latest_ns, after, done, stream)
    is_linked = predecessor != NONE
    waited_for = completed_ns[np.maximum(predecessor, 0)]
    longest = np.where(is_linked, latest_ns - waited_for - unseen_ns, 0)
    shortest = np.where(is_linked, earliest_ns - waited_for - unseen_ns, 0)
    longest, shortest = np.maximum(longest, 0), np.maximum(shortest, 0)
    exact = is_linked & (earliest_ns == latest_ns)
    usual = int(np.median(longest[exact])) if exact.any() else 0
    think = np.where(exact, longest, np.clip(usual, shortest, longest))
    return Pacing(predecessor, think, earliest_ns == latest_ns)


@njit(cache=True, nogil=True)
def _latest_unused(latest_ns: Int64s, completed_ns: Int64s, done: Int64s, stream: Int64s) -> Int32s:
    """The latest completion of the same stream at or before each issue that was not taken yet, or NONE.

    Completions of a stream are a stack: new ones go on top as time passes, an issue takes the top.
    """
    count = len(latest_ns)
    predecessor = np.full(count, NONE, np.int32)
    below = np.full(count, NONE, np.int32)
    top = np.full(stream.max() + 1 if count else 0, NONE, np.int32)
    place = 0
    for request in range(count):
        while place < len(done) and completed_ns[done[place]] <= latest_ns[request]:
            finished = done[place]
            below[finished] = top[stream[finished]]
            top[stream[finished]] = finished
            place += 1
        found = top[stream[request]]
        if found != NONE:
            predecessor[request] = found
            top[stream[request]] = below[found]
    return predecessor

"""When the application asked for each command, which completion it waited for, and how long it thought.

The recorder sees a command leave, not being asked for: behind data of the same connection it waits unseen
in the initiator. But a command carries ExpStatSN (RFC 7143 section 11.3): it was built after the status
before that number had come, and before the one with that number was taken in. So each command has a span in
which it was asked for, and each completion brings at most one command: number in flight and order follow
from both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.recorded_links import TOLERANCE_NS, RecordedLinks
from analyzer.replay.state import NONE
from analyzer.serial_numbers import unwrap
from analyzer.tables.folder import Timeline

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOP_IN, SCSI_COMMAND, DATA_IN = 0x20, 0x01, 0x25
WITH_STATUS = (0x21, 0x22, 0x23, 0x24, 0x26, 0x32, 0x3F)
STATUS_BIT = 0x01
SERIALS = 1 << 32
FEWEST_EXACT, EXACT_SHARE = 8, 0.05
"""So many think times must be seen, and such a share, to say anything of those that are not."""
TOGETHER_SHARE = 0.1
"""A completion so little before a span, as a share of it, may have been read together with the one that
begins it: the command acknowledges both."""
NEVER_NS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Spans:
    """When each command was asked for, shape (tasks,): not before ``earliest_ns``, not after ``latest_ns``.

    A completion that it waited for was seen in that span; one span is empty where ExpStatSN tells nothing.
    ``is_seen`` where it left at once, so that it was asked for at ``latest_ns``; ``is_acknowledging`` where
    its ExpStatSN bounds the time. ``rank`` is the order of CmdSN in its session.
    """

    earliest_ns: Int64s
    latest_ns: Int64s
    is_seen: Bools
    is_acknowledging: Bools
    rank: Int64s


@dataclass(frozen=True, slots=True)
class Pacing:
    """Shape (requests,): the request waited for (or NONE), the delay behind it, and the time of asking.

    ``is_exact`` where the capture shows when the request was asked for; elsewhere the delay may have been
    anything up to ``longest_think_ns``.
    """

    predecessor: Int32s
    think_ns: Int64s
    longest_think_ns: Int64s
    is_exact: Bools
    issued_ns: Int64s


def spans_of(timeline: Timeline, links: RecordedLinks) -> Spans:
    """Bounds on the time at which each task was asked for."""
    left = timeline.values("tasks", "command_ns").astype(np.int64)
    is_seen, went = _left_freely(timeline, links)
    acknowledged, unacknowledged = _acknowledged(timeline)
    is_acknowledging = acknowledged > 0
    latest = np.where(is_seen, left, np.minimum(left, np.maximum(unacknowledged - 1, acknowledged)))
    earliest = np.where(is_acknowledging, np.minimum(acknowledged, latest), latest)
    # What acknowledges nothing since all lay idle was asked for together with the first that left then.
    begun = _busy_since(left, np.where(is_seen, left, went), timeline.values("tasks", "ended_ns"))
    is_first = is_acknowledging & ~is_seen & (acknowledged < begun)
    latest = np.where(is_first, np.minimum(begun, latest), latest)
    session = timeline.values("tasks", "session_index")
    numbered = ~timeline.values("tasks", "is_immediate")
    cmd_sn = timeline.values("tasks", "cmd_sn")
    rank = np.zeros(len(left), np.int64)
    for index in np.unique(session):
        mine = np.flatnonzero((session == index) & numbered)
        mine = mine[np.argsort(left[mine], kind="stable")]
        number = unwrap(cmd_sn[mine])
        mine, number = mine[np.argsort(number, kind="stable")], np.sort(number)
        rank[mine] = number
        sooner = np.minimum.accumulate(latest[mine][::-1])[::-1]
        latest[mine] = sooner
        earliest[mine] = np.minimum(np.maximum.accumulate(earliest[mine]), sooner)
    earliest = np.where(is_seen, earliest, np.maximum(earliest, np.minimum(begun, latest)))
    return Spans(earliest, latest, is_seen, is_acknowledging, rank)


def _busy_since(left_ns: Int64s, waited_ns: Int64s, ended_ns: Int64s) -> Int64s:
    """Since when at least one command was outstanding at each ``left_ns``, all of shape (tasks,).

    One that was on its way at ``waited_ns``, before all others had ended, was outstanding before it was seen.
    """
    order = np.argsort(left_ns, kind="stable")
    ended = np.maximum.accumulate(ended_ns[order])
    is_begin = np.ones(len(order), np.bool_)
    is_begin[1:] = waited_ns[order][1:] > ended[:-1]
    begins = np.maximum.accumulate(np.where(is_begin, np.arange(len(order)), 0))
    since = np.empty(len(order), np.int64)
    since[order] = left_ns[order][begins]
    return since


def _left_freely(timeline: Timeline, links: RecordedLinks) -> tuple[Bools, Int64s]:
    """Whether nothing lay before the command on its way out, and when it went at the latest, shape (tasks,).

    The recorder sees a packet when the link has carried it.
    """
    pdus = links.pdus
    is_seen = np.ones(timeline.arrow["tasks"].num_rows, np.bool_)
    went = timeline.values("tasks", "command_ns").astype(np.int64)
    commands = np.flatnonzero((pdus.opcode == SCSI_COMMAND) & (pdus.task >= 0))
    is_seen[pdus.task[commands[~pdus.is_free[commands]]]] = False
    rate = links.rate_to_target_bps[pdus.lane[commands] // 2]
    carried = np.where(rate > 0, pdus.first_bytes[commands] * 8e9 / np.maximum(rate, 1), 0)
    went[pdus.task[commands]] = pdus.first_ns[commands] - carried.astype(np.int64) - TOLERANCE_NS
    return is_seen, went


def _acknowledged(timeline: Timeline) -> tuple[Int64s, Int64s]:
    """When the last status that each command acknowledges was seen, and the first that it does not.

    Both of shape (tasks,); 0 and ``NEVER_NS`` where that status is not in the recording.
    """
    values = timeline.values
    tasks = timeline.arrow["tasks"].num_rows
    opcode, connection = values("pdus", "opcode"), values("pdus", "connection_index").astype(np.int64)
    has_status = np.isin(opcode, WITH_STATUS)
    has_status |= (opcode == DATA_IN) & ((values("pdus", "flags") & STATUS_BIT) > 0)
    has_status |= (opcode == NOP_IN) & ~timeline.is_null("pdus", "initiator_task_tag")
    has_status &= values("pdus", "from_target") & ~timeline.is_null("pdus", "stat_sn")
    rows = np.flatnonzero(has_status)
    keys = connection[rows] * SERIALS + values("pdus", "stat_sn", 0)[rows].astype(np.int64)
    keys, first = np.unique(keys, return_index=True)
    times = values("pdus", "time_last_ns")[rows][first]
    task = values("pdus", "task_index", -1).astype(np.int64)
    commands = np.flatnonzero(
        (opcode == SCSI_COMMAND) & (task >= 0) & ~timeline.is_null("pdus", "exp_stat_sn")
    )
    expected = values("pdus", "exp_stat_sn", 0)[commands].astype(np.int64)
    acknowledged, unacknowledged = np.zeros(tasks, np.int64), np.full(tasks, NEVER_NS)
    for serial, found in (((expected - 1) % SERIALS, acknowledged), (expected, unacknowledged)):
        wanted = connection[commands] * SERIALS + serial
        place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        is_there = keys[place] == wanted if len(keys) else np.zeros(len(wanted), np.bool_)
        found[task[commands[is_there]]] = times[place[is_there]]
    return acknowledged, unacknowledged


def paced(
    earliest_ns: Int64s,
    latest_ns: Int64s,
    completed_ns: Int64s,
    is_seen: Bools,
    group: Int64s,
    stream: Int64s,
    unseen_ns: Int64s,
) -> Pacing:
    """Find the completion that each request waited for; all arguments have shape (requests,).

    ``completed_ns`` is -1 for those that did not complete. Requests of one ``group`` (a session and stream)
    are given in the order in which they were asked for; only requests of one ``stream`` wait for each
    other. ``unseen_ns`` is the part of a think time that passed between recorder and initiator. A request
    that waited unseen thought as long as the median of the others, within its bounds, or not at all where
    few are seen.
    """
    done = np.flatnonzero(completed_ns >= 0)
    # Nothing can wait for itself, whatever the capture says.
    after = np.maximum(completed_ns, latest_ns + 1)
    done = done[np.argsort(after[done], kind="stable")]
    predecessor = np.full(len(latest_ns), NONE, np.int32)
    order = np.lexsort((np.arange(len(latest_ns)), latest_ns))
    # First those whose time is known, then those with a span, then what is left whatever its span.
    _add_latest_unused(predecessor, order[is_seen[order]], earliest_ns, latest_ns, after, done, stream)
    _match_spans(predecessor, earliest_ns, latest_ns, after, done, group, stream)
    _add_latest_unused(predecessor, order, np.zeros_like(latest_ns), latest_ns, after, done, stream)
    is_linked = predecessor != NONE
    waited_for = completed_ns[np.maximum(predecessor, 0)]
    longest = np.where(is_linked, np.maximum(latest_ns - waited_for - unseen_ns, 0), 0)
    exact = is_linked & is_seen
    is_enough = exact.sum() >= max(FEWEST_EXACT, EXACT_SHARE * is_linked.sum())
    usual = int(np.median(longest[exact])) if is_enough else 0
    think = np.where(is_seen, longest, np.minimum(usual, longest))
    behind = np.where(is_linked, waited_for + unseen_ns + think, earliest_ns)
    asked = np.where(is_seen, latest_ns, np.clip(behind, earliest_ns, latest_ns))
    for one in np.unique(group):
        mine = np.flatnonzero(group == one)
        asked[mine] = np.minimum.accumulate(asked[mine][::-1])[::-1]
    return Pacing(predecessor, think, longest, is_seen, asked)


def pacing_values(pacing: Pacing, *, has_no_think_time: bool) -> tuple[CalibratedValue, ...]:
    """How many requests waited for a completion, and how long the application thought then.

    Where a request waited unseen its think time is open up to a bound, and so is whatever hangs on which of
    two came first at the initiator. Of an application that is known not to think, it is the initiator's time.
    """
    total = len(pacing.predecessor)
    linked = pacing.predecessor != NONE
    exact = linked & pacing.is_exact
    confidence = Confidence.LOW
    if exact.sum() >= FEWEST_EXACT:
        confidence = Confidence.HIGH if 2 * exact.sum() >= linked.sum() else Confidence.MEDIUM
    rests_on = f"{int(exact.sum())} of {int(linked.sum())} requests left when they were asked for"
    rests_on += "; given as the initiator's own time" if has_no_think_time else ""
    thought, longest = pacing.think_ns[linked], pacing.longest_think_ns[linked]
    return (
        CalibratedValue(
            "requests that waited for a completion",
            int(linked.sum()),
            "requests",
            f"of {total}; ExpStatSN and the time of leaving say which completion",
            confidence,
            key="pacing",
        ),
        CalibratedValue(
            "think time of the application",
            int(np.median(thought)) if len(thought) else None,
            "ns",
            rests_on if linked.any() else "no request waited for a completion",
            confidence,
            float(np.percentile(thought, 10)) if len(thought) else None,
            float(np.percentile(longest, 90)) if len(thought) else None,
            "think_time",
        ),
    )


@njit(cache=True, nogil=True)
def _match_spans(
    predecessor: Int32s,
    earliest_ns: Int64s,
    latest_ns: Int64s,
    completed_ns: Int64s,
    done: Int64s,
    group: Int64s,
    stream: Int64s,
) -> None:
    """Give each unused completion to the open request whose span holds it and ends first.

    The requests of a group stand in order, so only the first of each that is still open can be next. Where no
    span holds it, it goes to the one that begins right behind it: left over, it would leave each request that
    follows waiting for the completion after its own.
    """
    count = len(latest_ns)
    is_used = used_by(predecessor)
    groups = group.max() + 1 if count else 0
    following = np.full(count, NONE, np.int64)
    head = np.full(groups, NONE, np.int64)
    for request in range(count - 1, -1, -1):
        if predecessor[request] == NONE:
            following[request] = head[group[request]]
            head[group[request]] = request
    for place in range(len(done)):
        finished = done[place]
        if is_used[finished]:
            continue
        at = completed_ns[finished]
        best, soonest = NONE, NONE
        for one in range(groups):
            while head[one] != NONE and latest_ns[head[one]] < at:
                head[one] = following[head[one]]
            request = head[one]
            if request == NONE or stream[request] != stream[finished]:
                continue
            begin, end = earliest_ns[request], latest_ns[request]
            if begin > at:
                if begin - at <= TOGETHER_SHARE * (end - begin) and (
                    soonest == NONE or begin < earliest_ns[head[soonest]]
                ):
                    soonest = one
            elif best == NONE or end < latest_ns[head[best]]:
                best = one
        if best == NONE:
            best = soonest
        if best != NONE:
            predecessor[head[best]] = finished
            head[best] = following[head[best]]


@njit(cache=True, nogil=True)
def used_by(predecessor: Int32s) -> Bools:
    """Whether some request waits for each, shape (requests,)."""
    is_used = np.zeros(len(predecessor), np.bool_)
    for request in range(len(predecessor)):
        if predecessor[request] != NONE:
            is_used[predecessor[request]] = True
    return is_used


@njit(cache=True, nogil=True)
def _add_latest_unused(
    predecessor: Int32s,
    order: Int64s,
    lowest_ns: Int64s,
    latest_ns: Int64s,
    completed_ns: Int64s,
    done: Int64s,
    stream: Int64s,
) -> None:
    """Link the open requests of ``order`` to the latest completion before each that nothing waits for.

    Completions of a stream are a stack: new ones go on top as time passes, a request takes the top, unless
    that is from before its ``lowest_ns``.
    """
    is_used = used_by(predecessor)
    below = np.full(len(latest_ns), NONE, np.int32)
    top = np.full(stream.max() + 1 if len(stream) else 0, NONE, np.int32)
    place = 0
    for request in order:
        while place < len(done) and completed_ns[done[place]] <= latest_ns[request]:
            finished = done[place]
            if not is_used[finished]:
                below[finished] = top[stream[finished]]
                top[stream[finished]] = finished
            place += 1
        found = top[stream[request]]
        if predecessor[request] == NONE and found != NONE and completed_ns[found] >= lowest_ns[request]:
            predecessor[request] = found
            top[stream[request]] = below[found]

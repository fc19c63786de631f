"""How long the target took for each task, with what the links explain taken off.

A response that was sent behind another one shows only an upper limit: it may have been ready long
before the link was free. Such a task takes the median of its kind among the tasks that show their
time, but no more than its limit. Where a full link hides nearly all, the few whose answer found it at rest
tell more, if only the first of a recording. Knows no policy; what comes out belongs to the target and goes
with the task to any path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.replay.grant_order import granted_in_order, pairs_of
from analyzer.replay.recorded_links import RecordedLinks
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DATA_OUT, SCSI_RESPONSE, DATA_IN, R2T = 0x05, 0x21, 0x25, 0x31
ENOUGH_EXACT = 0.2
SHORTEST_PERCENT = 1
STALL_SHARE = 0.2
KINDS_OF_DIRECTION = 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Columns of shape (tasks,); ``visible_rtt_ns`` (links,) is the round trip beyond the recorder.

    ``service_ns`` holds what a command waited for inside of the device; from ``arrived_ns`` on it was there
    whole. ``is_exact`` where the capture showed the end; ``kind`` is one number for operation and length.
    """

    arrived_ns: Int64s
    service_ns: Int64s
    is_exact: Bools
    kind: Int64s
    grant_ns: Int64s
    turnaround_ns: Int64s
    has_own_status: Bools
    sense_bytes: Int64s
    visible_rtt_ns: Int64s


@dataclass(frozen=True, slots=True)
class _Sent:
    """When the first of certain PDUs of each task was ready to be sent, shape (tasks,).

    ``ready_ns`` at the latest, ``since_ns`` at the earliest; ``is_exact`` where the first of them is right.
    ``place`` orders them as they went, those of one packet too.
    """

    ready_ns: Int64s
    since_ns: Int64s
    is_exact: Bools
    is_present: Bools
    place: Int64s


def service_times(timeline: Timeline, links: RecordedLinks) -> ServiceTimes:
    """Service times of all tasks in ns, at least 0."""
    pdus = links.pdus
    tasks = timeline.arrow["tasks"].num_rows
    link = links.link_of_connection[timeline.values("tasks", "connection_index")]
    released = timeline.values("tasks", "command_last_ns") + timeline.values("tasks", "order_wait_ns")
    is_answer = (pdus.opcode == DATA_IN) | (pdus.opcode == SCSI_RESPONSE)
    answer = _sent(links, np.flatnonzero(is_answer & (pdus.task >= 0)), tasks)
    visible = _visible_round_trips(links, link, answer.ready_ns - released, answer.is_present)
    whole = released.copy()
    is_write = timeline.values("tasks", "direction") == "write"
    came = is_write & ~timeline.is_null("tasks", "last_data_ns")
    whole[came] = np.maximum(released, timeline.values("tasks", "last_data_ns", 0))[came]
    kinds = kinds_of_tasks(timeline)
    is_shown = ~is_sent_again(timeline)
    responded = ~timeline.is_null("tasks", "response_ns") & is_shown
    found_rest = _found_rest(links, whole, answer)
    service = _between(whole + visible[link], answer, kinds, responded, found_rest)
    connection = timeline.values("tasks", "connection_index").astype(np.int64)
    is_answered = answer.is_present & responded
    service = in_order_of_answers(
        connection, whole + visible[link], service, answer.ready_ns, answer.place, is_answered
    )
    first_r2ts = np.flatnonzero((pdus.opcode == R2T) & (pdus.task >= 0))
    first_r2ts = first_r2ts[np.unique(pdus.task[first_r2ts], return_index=True)[1]]
    asked = _sent(links, first_r2ts, tasks)
    grant = _waits(links, released + visible[link], asked, kinds, is_shown)
    data_ns = np.where(is_write, 0, timeline.values("tasks", "first_data_ns", 0)) * is_shown
    r2t_ns = timeline.values("tasks", "first_r2t_ns", 0) * is_shown
    pairs = pairs_of(connection, released, r2t_ns, data_ns)
    grant = granted_in_order(grant, r2t_ns > 0, service, data_ns > 0, pairs)
    turnaround = _turnarounds(timeline, links, visible, kinds)
    own_status = np.zeros(tasks, np.bool_)
    sense = np.zeros(tasks, np.int64)
    statuses = np.flatnonzero((pdus.opcode == SCSI_RESPONSE) & (pdus.task >= 0))
    own_status[pdus.task[statuses]] = True
    sense[pdus.task[statuses]] = pdus.data_bytes[statuses]
    return ServiceTimes(
        arrived_ns=whole + visible[link] // 2,
        service_ns=service,
        is_exact=answer.is_present & answer.is_exact & responded,
        kind=kinds,
        grant_ns=grant,
        turnaround_ns=turnaround,
        has_own_status=own_status,
        sense_bytes=sense,
        visible_rtt_ns=visible,
    )


def _turnarounds(timeline: Timeline, links: RecordedLinks, visible: Int64s, kinds: Int64s) -> Int64s:
    """What the initiator took from its first R2T to the data, for every task."""
    pdus = links.pdus
    tasks = timeline.arrow["tasks"].num_rows
    link = links.link_of_connection[timeline.values("tasks", "connection_index")]
    asked = timeline.values("tasks", "first_r2t_ns", np.iinfo(np.int64).max)
    data = np.flatnonzero((pdus.opcode == DATA_OUT) & (pdus.task >= 0))
    data = data[pdus.first_ns[data] >= asked[pdus.task[data]]]
    first = data[np.unique(pdus.task[data], return_index=True)[1]]
    known = np.where(timeline.is_null("tasks", "first_r2t_ns"), 0, asked)
    seen_by_initiator = known + links.rtt_ns[link] - visible[link]
    return _waits(links, seen_by_initiator, _sent(links, first, tasks), kinds, np.ones(tasks, np.bool_))


def is_sent_again(timeline: Timeline) -> Bools:
    """Which tasks were sent more than once, shape (tasks,): what passed since then shows no service."""
    retried: Bools = (timeline.values("tasks", "retry_count", 0) > 0) | (
        timeline.values("tasks", "reassign_count", 0) > 0
    )
    return retried


def _waits(links: RecordedLinks, from_ns: Int64s, sent: _Sent, kinds: Int64s, is_shown: Bools) -> Int64s:
    """What passes before an R2T is sent or answered, for every task.

    Where a lane was always busy the times hold queueing, and R2Ts go in order: all take the usual one, for
    with times of their own a later R2T would overtake those before it.
    """
    if links.pdus.is_always_busy.any():
        shown = np.maximum(sent.ready_ns - from_ns, 0)
        is_limit = sent.is_present & is_shown
        return np.full(len(kinds), _usual(shown, sent.is_exact & is_limit, is_limit))
    return _between(from_ns, sent, kinds, is_shown, np.zeros(len(kinds), np.bool_))


def _found_rest(links: RecordedLinks, arrived_ns: Int64s, answer: _Sent) -> Bools:
    """Which tasks were answered before anything else went their way since they arrived, shape (tasks,).

    Whatever came before them lay behind the last byte on the link by then.
    """
    pdus = links.pdus
    if not len(pdus.lane):
        return np.zeros(len(arrived_ns), np.bool_)
    before = np.maximum(answer.place - 1, 0)
    is_first = (answer.place == 0) | (pdus.lane[before] != pdus.lane[answer.place])
    found: Bools = answer.is_present & (is_first | (pdus.end_ns[before] <= arrived_ns))
    return found


def _sent(links: RecordedLinks, rows: Int64s, tasks: int) -> _Sent:
    """When the first of the PDUs ``rows`` of each task was ready.

    A target that sends its answer slower than the link would carry it is taken to have begun that much later.
    """
    pdus = links.pdus
    ready = np.zeros(tasks, np.int64)
    since = np.zeros(tasks, np.int64)
    is_exact = np.zeros(tasks, np.bool_)
    is_present = np.zeros(tasks, np.bool_)
    place = np.zeros(tasks, np.int64)
    if not len(rows):
        return _Sent(ready, since, is_exact, is_present, place)
    owner, first = np.unique(pdus.task[rows], return_index=True)
    last = len(rows) - 1 - np.unique(pdus.task[rows][::-1], return_index=True)[1]
    first, last = rows[first], rows[last]
    stalled = _stalled_ns(links, first, last)
    is_present[owner] = True
    place[owner] = first
    ready[owner] = pdus.ready_ns[first] + stalled
    is_busy = pdus.is_always_busy[pdus.lane[first]]
    since[owner] = np.where(is_busy, 0, pdus.since_ns[first])
    is_exact[owner] = pdus.is_free[first] & ~is_busy
    return _Sent(ready, since, is_exact, is_present, place)


def _stalled_ns(links: RecordedLinks, first: Int64s, last: Int64s) -> Int64s:
    """How much longer the PDUs from ``first`` to ``last`` took than all that the lane carried meanwhile.

    Nothing where it is little: acknowledgements and the jitter of the sender explain so much.
    """
    pdus = links.pdus
    rates = np.stack([links.rate_to_target_bps, links.rate_from_target_bps], axis=1).reshape(-1)
    rate = rates[pdus.lane[first]]
    sent = np.cumsum(pdus.wire_bytes)
    carried = (sent[last] - sent[first] + pdus.wire_bytes[first]) * 8e9 / np.maximum(rate, 1)
    span = pdus.end_ns[last] - pdus.first_ns[first]
    stalled = np.where(rate > 0, span - carried, 0).astype(np.int64)
    return np.where((stalled > STALL_SHARE * span) & (pdus.end_ns[last] > pdus.end_ns[first]), stalled, 0)


def _between(from_ns: Int64s, sent: _Sent, kinds: Int64s, is_whole: Bools, found_rest: Bools) -> Int64s:
    """The time from ``from_ns`` to the sending, for every task, as well as it is shown.

    Where the exact ones are too few, it is no longer than of those that found the link at rest.
    """
    longest = np.maximum(sent.ready_ns - from_ns, 0)
    shortest = np.maximum(sent.since_ns - from_ns, 0)
    is_limit = sent.is_present & is_whole
    return _completed_by_kind(
        shortest, longest, is_limit & sent.is_exact, is_limit, is_limit & found_rest, kinds
    )


def in_order_of_answers(
    connection: Int64s,
    from_ns: Int64s,
    service_ns: Int64s,
    sent_ns: Int64s,
    place: Int64s,
    is_answered: Bools,
) -> Int64s:
    """Service times with which the answers of a connection are ready in the order in which they were sent.

    All of shape (tasks,): service begins at ``from_ns`` and lasts until ``sent_ns`` at most; ``place`` is the
    order of sending, for several go in one packet. A target hands answers to TCP as they get ready. So one
    that lay unseen behind others was ready no sooner than the one before it, of which more may be known.
    """
    result = service_ns.copy()
    rows = np.flatnonzero(is_answered)
    rows = rows[np.lexsort((place[rows], connection[rows]))]
    longest = np.maximum(sent_ns - from_ns, 0)
    for one in np.unique(connection[rows]):
        mine = rows[connection[rows] == one]
        ready = np.maximum.accumulate(from_ns[mine] + service_ns[mine])
        result[mine] = np.maximum(service_ns[mine], np.minimum(ready - from_ns[mine], longest[mine]))
    return result


def _visible_round_trips(
    links: RecordedLinks, link: npt.NDArray[np.int32], waits: Int64s, is_answered: Bools
) -> Int64s:
    """The round trip between recorder and target, but no more than an answer took at the quickest.

    An acknowledgement may take the host longer than sending what was ready.
    """
    visible: Int64s = links.target_side_rtt_ns.copy()
    for index in range(len(visible)):
        mine = waits[(link == index) & is_answered]
        if len(mine):
            visible[index] = min(visible[index], max(int(mine.min()), 0))
    return visible


def kinds_of_tasks(timeline: Timeline) -> Int64s:
    """One number for each operation and power of two of the length."""
    operation = timeline.arrow["tasks"].column("operation").unify_dictionaries().combine_chunks()
    codes = np.asarray(operation.indices.to_numpy(zero_copy_only=False), np.int64)
    length = np.maximum(timeline.values("tasks", "expected_bytes"), 1)
    moves = (timeline.values("tasks", "direction") == "write").astype(np.int64)
    moves += 2 * (timeline.values("tasks", "direction") == "none")
    kinds: Int64s = moves * KINDS_OF_DIRECTION + codes * 64 + np.log2(length).astype(np.int64)
    return kinds


def _completed_by_kind(
    shortest: Int64s, shown: Int64s, is_exact: Bools, is_limit: Bools, found_rest: Bools, kinds: Int64s
) -> Int64s:
    """The service time of every task from what is ``shown``: exactly, or only as a limit (shape (tasks,)).

    Where enough tasks of a kind are exact, the others take their median, within their limits. Where
    the link was nearly always busy, even the exact ones are suspect (TCP waits for acknowledgements
    then): all such tasks of one direction take the shortest times that any kind of them shows, or the median
    of those that found the link at rest where that is less, within what they show themselves. Tasks that show
    nothing take what their kind has.
    """
    result = np.zeros(len(shown), np.int64)
    everything = _usual(shown, is_exact, is_limit)
    hidden: dict[int, list[int]] = {}
    usual: dict[int, int] = {}
    for kind in np.unique(kinds).tolist():
        limited = (kinds == kind) & is_limit
        exact = limited & is_exact
        usual[kind] = _usual(shown, exact, limited) if limited.any() else everything
        if limited.any() and not _is_enough(exact, limited):
            hidden.setdefault(kind // KINDS_OF_DIRECTION, []).append(usual[kind])
    for direction, values in hidden.items():
        seen = shown[found_rest & (kinds // KINDS_OF_DIRECTION == direction)]
        if len(seen):
            values.append(int(np.median(seen)))
    for kind, value in usual.items():
        mine = kinds == kind
        limited, exact = mine & is_limit, mine & is_exact
        is_enough = _is_enough(exact, limited)
        if limited.any() and not is_enough:
            value = min(hidden[kind // KINDS_OF_DIRECTION])
        result[mine] = value
        result[limited] = np.clip(value, np.where(exact, 0, shortest)[limited], shown[limited])
        if is_enough:
            result[exact] = shown[exact]
    return result


def _is_enough(is_exact: Bools, is_limit: Bools) -> bool:
    return bool(is_exact.sum() >= ENOUGH_EXACT * is_limit.sum()) and bool(is_exact.any())


def _usual(shown: Int64s, is_exact: Bools, is_limit: Bools) -> int:
    if not is_limit.any():
        return 0
    if _is_enough(is_exact, is_limit):
        return int(np.median(shown[is_exact]))
    return int(np.percentile(shown[is_limit], SHORTEST_PERCENT))

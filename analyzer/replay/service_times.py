"""How long the target took for each task, with what the links explain taken off.

A response that was sent behind another one shows only an upper limit: it may have been ready long
before the link was free. Such a task takes the median of its kind among the tasks that show their
time, but no more than its limit. Knows no policy; what comes out belongs to the target and goes
with the task to any path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.recorded_links import TOLERANCE_NS, RecordedLinks
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DATA_OUT, SCSI_RESPONSE, DATA_IN, R2T = 0x05, 0x21, 0x25, 0x31
ENOUGH_EXACT = 0.2
SHORTEST_PERCENT = 1


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Columns of shape (tasks,); ``visible_rtt_ns`` (links,) is the round trip beyond the recorder."""

    service_ns: Int64s
    grant_ns: Int64s
    turnaround_ns: Int64s
    has_own_status: Bools
    sense_bytes: Int64s
    visible_rtt_ns: Int64s
    values: tuple[CalibratedValue, ...]


@dataclass(frozen=True, slots=True)
class _Sent:
    """When certain PDUs of each task began to be sent, shape (tasks,), or nothing where it has none.

    ``earliest_ns`` is since when the lane had been busy: the sender cannot have had them ready
    before, or they would have gone. ``is_alone`` where nothing of another task was right before them.
    """

    began_ns: Int64s
    earliest_ns: Int64s
    is_alone: Bools
    is_present: Bools


def service_times(timeline: Timeline, links: RecordedLinks) -> ServiceTimes:
    """Service times of all tasks in ns, at least 0."""
    pdus = links.pdus
    tasks = timeline.arrow["tasks"].num_rows
    link = links.link_of_connection[timeline.values("tasks", "connection_index")]
    released = timeline.values("tasks", "command_last_ns") + timeline.values("tasks", "order_wait_ns")
    is_answer = (pdus.opcode == DATA_IN) | (pdus.opcode == SCSI_RESPONSE)
    answer = _sent(links, np.flatnonzero(is_answer & (pdus.task >= 0)), tasks)
    visible = _visible_round_trips(links, link, answer.began_ns - released, answer.is_present)
    whole = released.copy()
    is_write = timeline.values("tasks", "direction") == "write"
    came = is_write & ~timeline.is_null("tasks", "last_data_ns")
    whole[came] = np.maximum(released, timeline.values("tasks", "last_data_ns", 0))[came]
    kinds = _kinds(timeline)
    responded = ~timeline.is_null("tasks", "response_ns")
    service = _between(whole + visible[link], answer, kinds, responded)
    first_r2ts = np.flatnonzero((pdus.opcode == R2T) & (pdus.task >= 0))
    first_r2ts = first_r2ts[np.unique(pdus.task[first_r2ts], return_index=True)[1]]
    asked = _sent(links, first_r2ts, tasks)
    grant = _between(released + visible[link], asked, kinds, np.ones(tasks, np.bool_))
    turnaround = _turnarounds(timeline, links, visible, kinds)
    own_status = np.zeros(tasks, np.bool_)
    sense = np.zeros(tasks, np.int64)
    statuses = np.flatnonzero((pdus.opcode == SCSI_RESPONSE) & (pdus.task >= 0))
    own_status[pdus.task[statuses]] = True
    sense[pdus.task[statuses]] = pdus.data_bytes[statuses]
    shown = answer.is_present & responded
    values = _values(links, visible, service[shown], int((shown & answer.is_alone).sum()))
    return ServiceTimes(service, grant, turnaround, own_status, sense, visible, values)


def _turnarounds(timeline: Timeline, links: RecordedLinks, visible: Int64s, kinds: Int64s) -> Int64s:
    """What the initiator took from its first R2T to the data, for every task."""
    pdus = links.pdus
    tasks = len(kinds)
    link = links.link_of_connection[timeline.values("tasks", "connection_index")]
    asked = timeline.values("tasks", "first_r2t_ns", np.iinfo(np.int64).max)
    data = np.flatnonzero((pdus.opcode == DATA_OUT) & (pdus.task >= 0))
    data = data[pdus.first_ns[data] >= asked[pdus.task[data]]]
    first = data[np.unique(pdus.task[data], return_index=True)[1]]
    known = np.where(timeline.is_null("tasks", "first_r2t_ns"), 0, asked)
    seen_by_initiator = known + links.rtt_ns[link] - visible[link]
    return _between(seen_by_initiator, _sent(links, first, tasks), kinds, np.ones(tasks, np.bool_))


def _sent(links: RecordedLinks, rows: Int64s, tasks: int) -> _Sent:
    """When the PDUs ``rows`` of each task began to be sent: as if in one go up to their last end."""
    pdus = links.pdus
    began = np.zeros(tasks, np.int64)
    earliest = np.zeros(tasks, np.int64)
    is_alone = np.zeros(tasks, np.bool_)
    is_present = np.zeros(tasks, np.bool_)
    if not len(rows):
        return _Sent(began, earliest, is_alone, is_present)
    owner = pdus.task[rows]
    taken = np.zeros(tasks, np.int64)
    np.add.at(taken, owner, pdus.end_ns[rows] - pdus.begin_ns[rows])
    last_row = np.full(tasks, -1, np.int64)
    np.maximum.at(last_row, owner, rows)  # rows of a lane are in order of their ends
    is_present[owner] = True
    last = last_row[is_present]
    began[is_present] = pdus.end_ns[last] - taken[is_present]
    since = np.full(tasks, np.iinfo(np.int64).max)
    np.minimum.at(since, owner, pdus.busy_since_ns[rows])
    earliest[is_present] = np.minimum(since, began)[is_present]
    before = _end_of_another_before(links)[last]
    pause = pdus.packet_ns[pdus.lane[last]] + TOLERANCE_NS
    is_alone[is_present] = before < began[is_present] - pause
    return _Sent(began, earliest, is_alone, is_present)


def _between(from_ns: Int64s, sent: _Sent, kinds: Int64s, is_whole: Bools) -> Int64s:
    """The time from ``from_ns`` to the sending, for every task, as well as it is shown."""
    longest = np.maximum(sent.began_ns - from_ns, 0)
    shortest = np.maximum(sent.earliest_ns - from_ns, 0)
    is_limit = sent.is_present & is_whole
    return _completed_by_kind(shortest, longest, is_limit & sent.is_alone, is_limit, kinds)


def _end_of_another_before(links: RecordedLinks) -> Int64s:
    """For each PDU the end of the latest before it in its lane of another task; -1 for none."""
    pdus = links.pdus
    count = len(pdus.task)
    place = np.arange(count)
    changes = np.ones(count, np.bool_)
    changes[1:] = (pdus.task[1:] != pdus.task[:-1]) | (pdus.lane[1:] != pdus.lane[:-1])
    run_begins = np.maximum.accumulate(np.where(changes, place, 0))
    before = run_begins - 1
    is_same_lane = (before >= 0) & (pdus.lane[np.maximum(before, 0)] == pdus.lane)
    ends: Int64s = np.where(is_same_lane, pdus.end_ns[np.maximum(before, 0)], -1)
    return ends


def _visible_round_trips(
    links: RecordedLinks, link: npt.NDArray[np.int32], waits: Int64s, is_answered: Bools
) -> Int64s:
    """The round trip between recorder and target: all of it, unless an answer came sooner."""
    visible: Int64s = links.rtt_ns.copy()
    for index in range(len(visible)):
        mine = waits[(link == index) & is_answered]
        if len(mine):
            visible[index] = min(visible[index], max(int(mine.min()), 0))
    return visible


def _kinds(timeline: Timeline) -> Int64s:
    """One number for each operation and power of two of the length."""
    operation = timeline.arrow["tasks"].column("operation").unify_dictionaries().combine_chunks()
    codes = np.asarray(operation.indices.to_numpy(zero_copy_only=False), np.int64)
    length = np.maximum(timeline.values("tasks", "expected_bytes"), 1)
    kinds: Int64s = codes * 64 + np.log2(length).astype(np.int64)
    return kinds


def _completed_by_kind(
    shortest: Int64s, shown: Int64s, is_exact: Bools, is_limit: Bools, kinds: Int64s
) -> Int64s:
    """The service time of every task from what is ``shown``: exactly, or only as a limit (shape (tasks,)).

    Where enough tasks of a kind are exact, the others take their median, within their limits. Where
    the link was nearly always busy, even the exact ones are suspect (TCP waits for acknowledgements
    then): all tasks of the kind take the shortest times shown, within what they show themselves.
    Tasks that show nothing take what their kind has.
    """
    result = np.zeros(len(shown), np.int64)
    everything = _usual(shown, is_exact, is_limit)
    for kind in np.unique(kinds):
        mine = kinds == kind
        limited, exact = mine & is_limit, mine & is_exact
        usual = _usual(shown, exact, limited) if limited.any() else everything
        result[mine] = usual
        result[limited] = np.clip(usual, np.where(exact, 0, shortest)[limited], shown[limited])
        if _is_enough(exact, limited):
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


def _values(
    links: RecordedLinks, visible: Int64s, service: Int64s, exact: int
) -> tuple[CalibratedValue, ...]:
    found = []
    for name, seen, rtt in zip(links.names, visible, links.rtt_ns, strict=True):
        where = "at the initiator" if seen >= rtt else "nearer to the target"
        found.append(
            CalibratedValue(
                f"round trip between recorder and target, {name}",
                int(seen),
                "ns",
                f"quickest answer against the round trip: recorded {where}",
            )
        )
    if len(service):
        found.append(
            CalibratedValue(
                "median service time",
                int(np.median(service)),
                "ns",
                f"{exact} of {len(service)} answered tasks whose answer found the link idle",
            )
        )
    return tuple(found)

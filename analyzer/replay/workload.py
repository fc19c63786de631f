"""What is replayed: the requests of a recording in the order in which they were asked for.

Decides which tasks belong to the workload, whose they are (host, logical unit) and which path
they took. Chooses no path and models nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.errors import UnusableInputError
from analyzer.replay.answer_order import AnswerOrder, Answers, answer_order, in_order
from analyzer.replay.capture_limits import limits_of, nothing_to_replay
from analyzer.replay.device_servers import DeviceServers, device_servers
from analyzer.replay.pacing import Pacing, Spans, paced, spans_of
from analyzer.replay.queue_depth import QueueDepth, queue_depth
from analyzer.replay.recorded_links import RecordedLinks
from analyzer.replay.service_times import DATA_OUT, ServiceTimes, is_sent_again
from analyzer.replay.state import ATTRIBUTES, NONE, SIMPLE
from analyzer.replay.turns import asked_in_turn, in_turn
from analyzer.tables.folder import Timeline

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Int8s = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]


GOOD, CHECK_CONDITION, ACA_ACTIVE = 0x00, 0x02, 0x30
WITHOUT_ADDRESS = (
    "READ(6)",
    "WRITE(6)",
    "READ REVERSE(6)",
    "VERIFY(6)",
    "SPACE(6)",
    "SPACE(16)",
    "WRITE FILEMARKS(6)",
    "WRITE FILEMARKS(16)",
)


@dataclass(frozen=True, slots=True)
class Host:
    """One initiator: the connections (in order of first appearance) that carried its tasks."""

    name: str
    connections: tuple[int, ...]
    concurrent: int
    """The most of them that were in use at one time: the recorded number of paths."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Columns of shape (requests,), in order of issue. Times are ns since ``begin_ns`` (ns since the epoch).

    ``lun_index`` numbers the logical units as the hosts see them, ``device`` as the targets have them: two
    hosts may share one. ``attribute`` is SIMPLE, ORDERED or HEAD_OF_QUEUE; ``recorded_path`` is the place of
    the connection in its host. ``issued_ns`` is the latest time at which the request can have been
    asked for. ``ends_in_check`` marks those that are answered with CHECK CONDITION, ``cannot_repeat``
    commands of sequential devices without an address: sent twice, they act twice. The last ``neighbours`` of
    the hosts are not of the recording.
    """

    begin_ns: int
    hosts: tuple[Host, ...]
    task: Int64s
    host: Int32s
    lun_index: Int32s
    luns: int
    device: Int32s
    devices: int
    lba: Int64s
    blocks: Int64s
    attribute: Int8s
    read_bytes: Int64s
    write_bytes: Int64s
    is_immediate: Bools
    has_own_status: Bools
    sense_bytes: Int64s
    ends_in_check: Bools
    service_ns: Int64s
    grant_ns: Int64s
    turnaround_ns: Int64s
    recorded_path: Int32s
    issued_ns: Int64s
    pacing: Pacing
    answer_order: AnswerOrder
    queue_depth: QueueDepth
    device_servers: DeviceServers
    """How many commands each device serves at once; ``service_ns`` is without the wait for it."""
    limits: tuple[str, ...]
    """What the recording lacks, in sentences; they come before all that is assumed."""
    assumptions: tuple[str, ...]
    cannot_repeat: Bools
    neighbours: int = 0
    has_no_think_time: bool = False
    """Whether the think times in ``pacing`` are the initiator's own time, and so latency."""

    def __len__(self) -> int:
        return len(self.task)


def workload_of(timeline: Timeline, links: RecordedLinks, service: ServiceTimes) -> Workload:
    """The workload of a timeline. Raises UnusableInputError where it holds no command to replay."""
    chosen = np.flatnonzero(timeline.is_null("tasks", "retry_of_task_index"))
    total = timeline.arrow["tasks"].num_rows
    if not len(chosen):
        raise UnusableInputError(f"the recording {nothing_to_replay(timeline)}")
    spans = spans_of(timeline, links)
    hosts, host_of_session = _hosts(timeline)
    stream_of, luns = _streams(timeline, host_of_session)
    task, pacing = _paced(timeline, links, service, spans, chosen, stream_of)
    order = answer_order(pacing, _answers(timeline, links, task))
    is_hidden = bool(links.pdus.is_always_busy.any())
    pacing, turnaround = in_order(pacing, service.turnaround_ns[task], is_hidden, order)
    connection = timeline.values("tasks", "connection_index")[task]
    host = host_of_session[timeline.values("tasks", "session_index")[task]]
    place = np.full(timeline.arrow["connections"].num_rows, -1, np.int32)
    for owner in hosts:
        place[list(owner.connections)] = np.arange(len(owner.connections), dtype=np.int32)
    stream = stream_of[task]
    device_of_lun = _devices(timeline, luns, host_of_session)
    device = device_of_lun[stream]
    responded = ~timeline.is_null("tasks", "response_ns")[task]
    begin = int(pacing.issued_ns.min())
    read_bytes, write_bytes = _data(timeline, task, responded)
    moves_data = read_bytes + write_bytes > 0
    servers = device_servers(
        service.arrived_ns[task],
        service.service_ns[task],
        service.is_exact[task],
        service.kind[task],
        np.where(moves_data, device, NONE),
        int(device.max()) + 1,
    )
    answered = _answered_ns(timeline)[task]
    is_known = pacing.is_exact | spans.is_acknowledging[task]
    depth = queue_depth(
        pacing.issued_ns, answered, pacing.predecessor, pacing.think_ns, stream, moves_data, is_known
    )
    think = depth.limited(pacing.think_ns, pacing.issued_ns, answered, moves_data)
    pacing = replace(pacing, think_ns=think)
    return Workload(
        begin_ns=begin,
        hosts=hosts,
        task=task,
        host=host,
        lun_index=stream.astype(np.int32),
        luns=luns.shape[1],
        device=device.astype(np.int32),
        devices=int(device.max()) + 1,
        blocks=timeline.values("tasks", "blocks", 0)[task].astype(np.int64),
        attribute=_attributes(timeline)[task],
        lba=timeline.values("tasks", "lba", 0)[task].astype(np.int64),
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        is_immediate=timeline.values("tasks", "is_immediate")[task].astype(np.bool_),
        has_own_status=service.has_own_status[task],
        sense_bytes=service.sense_bytes[task],
        ends_in_check=timeline.values("tasks", "status", GOOD)[task] == CHECK_CONDITION,
        service_ns=servers.service_ns,
        grant_ns=service.grant_ns[task],
        turnaround_ns=turnaround,
        recorded_path=place[connection],
        issued_ns=pacing.issued_ns - begin,
        pacing=pacing,
        answer_order=order,
        queue_depth=depth,
        device_servers=servers,
        limits=limits_of(timeline),
        assumptions=_assumptions(timeline, hosts, int(total - len(chosen)), int((~responded).sum())),
        cannot_repeat=_cannot_repeat(timeline, task),
    )


def _streams(timeline: Timeline, host_of_session: Int32s) -> tuple[Int64s, npt.NDArray[np.uint64]]:
    """The stream of each task (host and logical unit), and both of each stream, shape (2, streams)."""
    session = timeline.values("tasks", "session_index")
    pairs = np.stack([host_of_session[session].astype(np.uint64), timeline.values("tasks", "lun")])
    luns, stream = np.unique(pairs, axis=1, return_inverse=True)
    return stream.reshape(-1).astype(np.int64), luns


def _paced(
    timeline: Timeline,
    links: RecordedLinks,
    service: ServiceTimes,
    spans: Spans,
    chosen: Int64s,
    stream_of: Int64s,
) -> tuple[Int64s, Pacing]:
    """The tasks in order of asking, with what each waited for."""
    session = timeline.values("tasks", "session_index")[chosen].astype(np.int64)
    in_order = chosen[np.lexsort((spans.rank[chosen], spans.latest_ns[chosen], session))]
    stream = stream_of[in_order]
    _, group = np.unique(
        timeline.values("tasks", "session_index")[in_order].astype(np.int64) * (int(stream.max()) + 1)
        + stream,
        return_inverse=True,
    )
    link = links.link_of_connection[timeline.values("tasks", "connection_index")[in_order]]
    found = paced(
        spans.earliest_ns[in_order],
        spans.latest_ns[in_order],
        _answered_ns(timeline)[in_order],
        spans.is_seen[in_order],
        group.reshape(-1).astype(np.int64),
        stream,
        links.rtt_ns[link] - service.visible_rtt_ns[link],
    )
    issued, turn = _asked_in_turn(timeline, spans, in_order, stream, found.issued_ns)
    order = np.lexsort((spans.rank[in_order], turn, issued))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    waited_for = found.predecessor[order]
    predecessor = np.where(waited_for == NONE, NONE, place[np.maximum(waited_for, 0)]).astype(np.int32)
    pacing = Pacing(
        predecessor,
        found.think_ns[order],
        found.longest_think_ns[order],
        found.is_exact[order],
        issued[order],
    )
    return in_order[order], pacing


def _asked_in_turn(
    timeline: Timeline, spans: Spans, task: Int64s, stream: Int64s, issued_ns: Int64s
) -> tuple[Int64s, Int64s]:
    """When each was asked for, and its place among those of the same time; as told by turns, where they are.

    Only what moves data is given to sessions in turn: path checkers ask each of them.
    """
    issued, turn = issued_ns, np.zeros(len(task), np.int64)
    moves_data = timeline.values("tasks", "expected_bytes")[task] > 0
    session = timeline.values("tasks", "session_index")[task].astype(np.int64)
    latest = spans.latest_ns[task]
    earliest = np.where(spans.is_seen[task], latest, spans.earliest_ns[task])
    for one in np.unique(stream):
        mine = np.flatnonzero(moves_data & (stream == one))
        mine = mine[np.lexsort((issued[mine], session[mine]))]
        turns = in_turn(session[mine], earliest[mine], latest[mine])
        if turns is not None:
            rows = mine[turns]
            issued = asked_in_turn(rows, issued, earliest, latest)
            turn[rows] = np.arange(len(rows))
    return issued, turn


def _answers(timeline: Timeline, links: RecordedLinks, task: Int64s) -> Answers:
    """What the order of answers is told from, for the requests that stand for ``task``."""
    pdus = links.pdus
    r2t = timeline.values("tasks", "first_r2t_ns", 0)
    data = np.flatnonzero((pdus.opcode == DATA_OUT) & (pdus.task >= 0))
    # Unsolicited data may come before: what the R2T brought is not sooner than it.
    data = data[pdus.first_ns[data] >= r2t[pdus.task[data]]]
    first = np.full(timeline.arrow["tasks"].num_rows, np.iinfo(np.int64).max)
    np.minimum.at(first, pdus.task[data], pdus.first_ns[data])
    responded = ~timeline.is_null("tasks", "response_ns")
    return Answers(
        timeline.values("tasks", "connection_index")[task].astype(np.int64),
        timeline.values("tasks", "command_ns")[task].astype(np.int64),
        np.where(responded, timeline.values("tasks", "response_ns", 0), -1)[task],
        r2t[task].astype(np.int64),
        np.where(first == np.iinfo(np.int64).max, 0, first)[task],
    )


def _answered_ns(timeline: Timeline) -> Int64s:
    """When each task or the last re-issue of it was answered, shape (tasks,); -1 for never."""
    answered: Int64s = timeline.values("tasks", "response_ns", -1).astype(np.int64)
    again = np.flatnonzero(~timeline.is_null("tasks", "retry_of_task_index"))
    first = timeline.values("tasks", "retry_of_task_index", 0)[again].astype(np.int64)
    of_last = answered.copy()
    np.maximum.at(of_last, first, answered[again])
    return of_last


def with_neighbours(workload: Workload, count: int) -> Workload:
    """The same with ``count`` more initiators, each asking on its own for what the first one asked for.

    They have paths and links of their own to the same logical units.
    """
    if not count:
        return workload
    mine = np.flatnonzero(workload.host == 0)
    copies = [np.arange(len(workload)), *([mine] * count)]
    number = np.repeat(np.arange(count + 1), [len(workload), *([len(mine)] * count)])
    source = np.concatenate(copies)
    order = np.lexsort((number, workload.issued_ns[source]))
    source, number = source[order], number[order]
    place = np.full((count + 1, len(workload)), NONE, np.int32)
    place[number, source] = np.arange(len(source), dtype=np.int32)
    columns = _rows(workload, source)
    is_made = number > 0
    columns["host"] = np.where(is_made, len(workload.hosts) + number - 1, columns["host"]).astype(np.int32)
    columns["lun_index"] = (columns["lun_index"] + number * workload.luns).astype(np.int32)
    before = workload.pacing.predecessor[source]
    after = np.where(before == NONE, NONE, place[number, np.maximum(before, 0)]).astype(np.int32)
    made = tuple(replace(workload.hosts[0], name=f"neighbour {one + 1}") for one in range(count))
    said = f"{count} more initiators ask for the same as the first, over links of their own."
    return replace(
        workload,
        **columns,
        # A pool shared by all would let a stalled initiator take the places of the others.
        queue_depth=replace(workload.queue_depth, depth=None),
        hosts=(*workload.hosts, *made),
        luns=workload.luns * (count + 1),
        pacing=_pacing_rows(workload.pacing, source, after),
        assumptions=(*workload.assumptions, said),
        neighbours=count,
    )


def _rows(workload: Workload, source: Int64s) -> dict[str, Any]:
    """Some rows of every column."""
    return {
        name: value[source]
        for name in workload.__slots__
        if isinstance(value := getattr(workload, name), np.ndarray)
    }


def _pacing_rows(pacing: Pacing, source: Int64s, predecessor: Int32s) -> Pacing:
    """Some rows of a pacing, with the places that those they waited for have among them."""
    return Pacing(
        predecessor,
        pacing.think_ns[source],
        pacing.longest_think_ns[source],
        pacing.is_exact[source],
        pacing.issued_ns[source],
    )


def excerpt_around(workload: Workload, moment_ns: int, most: int) -> Workload:
    """The ``most`` requests asked for around ``moment_ns`` (ns since the epoch), or all where they are fewer.

    They follow one another in order of issue; one that waited for a request before them is asked for at its
    recorded time.
    """
    count = len(workload)
    if count <= most:
        return workload
    middle = int(np.searchsorted(workload.issued_ns, moment_ns - workload.begin_ns))
    first = int(np.clip(middle - most // 2, 0, count - most))
    source = np.arange(first, first + most)
    columns = _rows(workload, source)
    begin_ns = int(columns["issued_ns"][0])
    columns["issued_ns"] = columns["issued_ns"] - begin_ns
    before = workload.pacing.predecessor[source]
    inside = np.where(before >= first, before - first, NONE).astype(np.int32)
    said = f"Of {count:,} requests the {most:,} around the busiest moment are replayed."
    return replace(
        workload,
        **columns,
        begin_ns=workload.begin_ns + begin_ns,
        queue_depth=replace(workload.queue_depth, at_once=0),
        pacing=_pacing_rows(workload.pacing, source, inside),
        assumptions=(said, *workload.assumptions),
    )


def peak_of(timeline: Timeline) -> int:
    """When most commands were outstanding, ns since the epoch; of several such moments the middle one."""
    outstanding = timeline.values("tasks", "outstanding")
    if not len(outstanding):
        return 0
    at_ns = timeline.values("tasks", "command_ns")
    peaks_ns = at_ns[outstanding == outstanding.max()]
    return int(peaks_ns[np.abs(peaks_ns - np.median(at_ns)).argmin()])


def peak_share(timeline: Timeline, workload: Workload) -> float:
    """The share of the requests that the recording had completed one completion after its peak.

    The time of the peak may lie behind the end of a quicker replay; as many completions do not.
    """
    ended_ns = timeline.values("tasks", "ended_ns")[workload.task]
    done = int((ended_ns <= peak_of(timeline)).sum()) + 1
    return min(done, len(ended_ns) - 0.5) / max(len(ended_ns), 1)


def _cannot_repeat(timeline: Timeline, task: Int64s) -> Bools:
    """Commands that act on the place where the medium is: of sequential devices, without an address (SSC)."""
    operation = timeline.values("tasks", "operation").astype(str)[task]
    has_no_address = timeline.is_null("tasks", "lba")[task]
    found: Bools = np.isin(operation, WITHOUT_ADDRESS) & has_no_address
    return found


def _data(timeline: Timeline, task: Int64s, responded: Bools) -> tuple[Int64s, Int64s]:
    """Bytes each way: those moved where the task was answered, those expected where it was not."""
    names, codes = timeline.categories("tasks", "direction")
    direction = np.array(names, np.str_)[codes[task]]
    moved = timeline.values("tasks", "transferred_bytes")[task]
    expected = timeline.values("tasks", "expected_bytes")[task]
    asked = np.where(responded, np.minimum(moved, expected), expected)
    reads = np.where((direction == "read") | (direction == "bidirectional"), asked, 0)
    writes = np.where(direction == "write", asked, 0)
    return reads.astype(np.int64), writes.astype(np.int64)


def _attributes(timeline: Timeline) -> Int8s:
    """The task attribute of every task, as the task set takes it."""
    names, codes = timeline.categories("tasks", "attribute")
    of_name = np.array([ATTRIBUTES.get(name, SIMPLE) for name in names], np.int8)
    return np.asarray(of_name[codes])


def _devices(timeline: Timeline, luns: npt.NDArray[np.uint64], host_of_session: Int32s) -> Int64s:
    """The logical unit behind each (host, LUN): hosts with a target name in common share theirs."""
    names = timeline.values("sessions", "target_name", "").astype(str)
    group = np.arange(int(host_of_session.max(initial=0)) + 1)
    first_host: dict[str, int] = {}
    for session in np.flatnonzero(host_of_session >= 0):
        host = int(host_of_session[session])
        if names[session]:
            other = first_host.setdefault(names[session], host)
            group[group == group[host]] = group[other]
    keys = list(zip(group[luns[0].astype(np.int64)].tolist(), luns[1].tolist(), strict=True))
    known = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([known[key] for key in keys], np.int64)


def _hosts(timeline: Timeline) -> tuple[tuple[Host, ...], Int32s]:
    """The initiators by name, and the host of each session; sessions without a name are of one host."""
    names = timeline.values("sessions", "initiator_name", "")
    known = list(dict.fromkeys(names[np.unique(timeline.values("tasks", "session_index"))]))
    host_of_session = np.array([known.index(name) if name in known else -1 for name in names], np.int32)
    session = timeline.values("tasks", "session_index")
    connection = timeline.values("tasks", "connection_index")
    begins, ends = timeline.values("tasks", "command_ns"), timeline.values("tasks", "ended_ns")
    hosts = []
    for index, name in enumerate(known):
        mine = host_of_session[session] == index
        used = np.unique(connection[mine])
        first = np.array([begins[mine & (connection == one)].min() for one in used])
        last = np.array([ends[mine & (connection == one)].max() for one in used])
        last = np.maximum(first, last)
        concurrent = max(int(((first <= moment) & (last >= moment)).sum()) for moment in first)
        hosts.append(Host(str(name) or "initiator", tuple(int(one) for one in used), concurrent))
    return tuple(hosts), host_of_session


def _assumptions(
    timeline: Timeline, hosts: tuple[Host, ...], retries: int, unanswered: int
) -> tuple[str, ...]:
    found = []
    if timeline.is_null("sessions", "initiator_name").any():
        found.append("Sessions whose login was not recorded are taken to be of one initiator.")
    if len(hosts) > 1:
        found.append(f"The {len(hosts)} initiators share the target's logical units but no link.")
    if retries:
        found.append(
            f"{retries} re-issues of failed commands are left out: the application asked for each once."
        )
    names, codes = timeline.categories("tasks", "attribute")
    in_aca = timeline.values("tasks", "status", GOOD) == ACA_ACTIVE
    in_aca |= np.array([name == "aca" for name in names], np.bool_)[codes]
    if in_aca.any():
        found.append(
            f"{int(in_aca.sum())} commands met an auto contingent allegiance, which is not modelled."
        )
    if unanswered:
        found.append(
            f"{unanswered} commands without a recorded response are taken to last as long as the median "
            "of their kind."
        )
    again = int(is_sent_again(timeline).sum())
    if again:
        found.append(
            f"{again} commands were sent again: they are taken to last as others of their kind, since what "
            "passed in between is not the device's."
        )
    return tuple(found)

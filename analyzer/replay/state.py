"""The state of one replay as plain arrays, and the numbers that name events, stages and gates.

An entity is one array of records whose fields are declared here; compiled code reads and writes
them as ``progress[request].ready_ns``. (One array for each entity rather than one for each field:
Numba takes five times as long to compile functions that are handed eighty arrays.) Nothing here
decides anything. Times are integer nanoseconds from the beginning of the replay; ``NEVER`` stands
for a time that did not come, ``NONE`` for an index that there is not (both become null in the
tables).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

NEVER = -1
NONE = -1

# What waits for a link that is down is due on the halted clock of that link, so much beyond all times.
FAR_NS = np.int64(1 << 61)

# Numbers that are handed to functions are NumPy's: of a Python constant Numba makes a type of its own
# and compiles the function again for each.
NOTHING = np.int64(0)
FROM_TARGET = np.int64(1)

# Kinds of event; at one time the smaller number goes first. What frees something goes before what takes it.
STATUS_ARRIVES = np.int64(0)  # at the initiator: the request completes
R2T_ARRIVES = np.int64(1)  # at the initiator; value = bytes asked for
COMMAND_ARRIVES = np.int64(2)  # at the target, whole, with its immediate data
DATA_ARRIVES = np.int64(3)  # at the target: a whole sequence of Data-Out; value = its bytes
CONNECTION_READS = np.int64(4)  # the target takes the next that lies unread; of a path, not a request
GATE_TIMEOUT = np.int64(5)  # a blocked connection waits no longer for lower CmdSNs
GRANT = np.int64(6)  # the target has room for the data of a write and begins to ask for it
SERVICE_ENDS = np.int64(7)  # the device is done with it
ANSWER_DUE = np.int64(8)  # the target answers on a connection that the task was moved to
TASK_SET_TURN = np.int64(9)  # a task set looks for the next that may start; of a task set, not a request
DATA_DUE = np.int64(10)  # the initiator has the data that an R2T asked for; value = its bytes
SEND_DUE = np.int64(11)  # it is written to its connection under the CmdSN that it has
READY = np.int64(12)  # the application asks for it, or asks again
NEXT_DUE = np.int64(13)  # the application asks for the next of its list; of a stream, not a request
EVENT_KINDS = (
    "status-arrives",
    "r2t-arrives",
    "command-arrives",
    "data-arrives",
    "connection-reads",
    "gate-timeout",
    "grant",
    "service-ends",
    "answer-due",
    "task-set-turn",
    "data-due",
    "send-due",
    "ready",
    "next-due",
)
OF_NO_REQUEST = (int(CONNECTION_READS), int(TASK_SET_TURN), int(NEXT_DUE))
ON_A_LINK = (int(STATUS_ARRIVES), int(R2T_ARRIVES), int(COMMAND_ARRIVES), int(DATA_ARRIVES))

# Ordering gates of a target.
GATE_IN_ORDER = 0  # RFC 7143 section 4.2.2.1: a command waits until all lower CmdSNs have arrived
GATE_NONE = 1  # a command is executed as it arrives
GATE_BLOCKING = 2  # istgt: the connection is not read while its command waits, for at most 10 s
GATE_REFUSING = 3  # SPDK: executed as it arrives if not below ExpCmdSN, which then moves by one; else refused
GATES = {"in-order": 0, "lio": 0, "none": 1, "istgt": 2, "spdk": 3}
BLOCKED_AT_MOST_NS = np.int64(10_000_000_000)

# How a request ended.
UNFINISHED, GOOD, REFUSED, FAILED = 0, 1, 2, 3

# Why a request that was asked for is not sent: its session is being recovered, or no path works.
NOT_HELD, HELD_BY_PATH, HELD_FOR_PATH = 0, 1, 2
ENDED_UNKNOWN = 3  # or it was sent, and another nexus has ended it at the target

# When MaxCmdSN moves on.
WINDOW_BY_ARRIVAL = np.int64(0)  # with ExpCmdSN, when the gate lets a command pass
WINDOW_BY_COMPLETION = np.int64(1)  # with each status sent: it limits outstanding commands too

# Stages of a request at the target.
STAGE_SENT = 0
STAGE_RELEASED = 1
STAGE_GRANTED = 2
STAGE_QUEUED = 3  # its data is in; it waits for the device
STAGE_ANSWERED = 4  # its status is ready, and sent unless its connection is lost
STAGE_REFUSED = 5  # it is answered without being executed

# What a status says beside that the request completed.
STATUS_GOOD = np.int64(0)
STATUS_TASK_SET_FULL = np.int64(1)  # ask again later
STATUS_REFUSED = np.int64(2)  # its CmdSN came too late
STATUS_UNIT_ATTENTION = np.int64(3)  # not executed; something befell the nexus or the logical unit
STATUS_TASK_ABORTED = np.int64(4)  # aborted by another nexus, and told so (TAS)

# Task attributes (SAM-5): untagged tasks are treated as SIMPLE; ACA tasks, outside of an ACA
# condition, as HEAD OF QUEUE.
SIMPLE, ORDERED, HEAD_OF_QUEUE = 0, 1, 2
ATTRIBUTES = {
    "untagged": SIMPLE,
    "simple": SIMPLE,
    "ordered": ORDERED,
    "head-of-queue": HEAD_OF_QUEUE,
    "aca": HEAD_OF_QUEUE,
}


def _record(**fields: str) -> np.dtype[np.void]:
    return np.dtype(list(fields.items()), align=True)


REQUEST = _record(
    lba="i8",
    read_bytes="i8",
    write_bytes="i8",
    grant_ns="i8",
    turnaround_ns="i8",
    service_ns="i8",
    after_ns="i8",
    blocks="i8",
    scope="i4",
    lun="i4",
    device_index="i4",
    sense_bytes="i4",
    recorded_path="i4",
    predecessor="i4",
    follower="i4",
    next_unprompted="i4",
    is_immediate="i1",
    has_own_status="i1",
    is_check="i1",
    attribute="i1",
)
"""What is asked, never written to by a replay.

``after_ns`` is the delay behind the completion of ``predecessor``, or the time of asking where there is
none; ``follower`` is the request that has this one as its predecessor, ``next_unprompted`` the next in time
of those that wait for no other, or of those that do where any completion brings the next (IS_POOLED).
``grant_ns`` is what the target takes to ask for data of a write, ``turnaround_ns`` what the initiator takes
to answer an R2T, ``service_ns`` what passes between the last byte of a request and its status. ``is_check``
where that status is a CHECK CONDITION that ends other commands.
"""

PROGRESS = _record(
    cmd_sn="i8",
    ready_ns="i8",
    dispatched_ns="i8",
    sent_ns="i8",
    arrived_ns="i8",
    released_ns="i8",
    started_ns="i8",
    completed_ns="i8",
    received_bytes="i8",
    granted_bytes="i8",
    served_ns="i8",
    path="i4",
    sequences="i4",
    next_in_queue="i4",
    next_in_set="i4",
    previous_in_set="i4",
    stream="i4",
    retries="i4",
    reassigns="i4",
    resumed_bytes="i8",
    stage="i1",
    is_joined="i1",
    end="i1",
    held="i1",
)
"""What became of a request.

``received_bytes`` and ``granted_bytes`` count the data of a write that is at the target, and that
was sent unasked or asked for; ``sequences`` are the Data-Out sequences under way. ``next_in_queue``
chains requests that wait in one queue, ``next_in_set`` and ``previous_in_set`` the tasks of a task
set. ``served_ns`` is what its service took. ``stream`` is the place of the queue depth (or the chain)
that asks. Times are those of the last attempt, but for ``ready_ns``. ``retries`` counts all attempts but
the first, ``reassigns`` moves of its allegiance; ``resumed_bytes`` of a read need not be sent again.
``is_joined`` where its command begins in the last packet of what was written before.

Rows behind the requests are attempts that the initiator gave up and the target has not ended yet.
"""

PATH = _record(
    nexus="i8",
    link_to="i8",
    link_from="i8",
    header_bytes="i8",
    digest_bytes="i8",
    immediate_bytes="i8",
    first_burst_bytes="i8",
    max_burst_bytes="i8",
    max_outstanding_r2t="i8",
    is_initial_r2t="i8",
    read_segment_bytes="i8",
    write_segment_bytes="i8",
    inner_scope="i8",
    blocked_by="i8",
    unread_first="i8",
    unread_last="i8",
    heard_ns="i8",
    is_lost="i1",
    is_held="i1",
)
"""What was agreed on a path (an iSCSI connection), and what lies unread of it.

``link_to`` and ``link_from`` are link directions. ``header_bytes`` is a basic header segment with
its digest, ``digest_bytes`` a data digest or 0. ``inner_scope`` is the scope that chooses among the
connections of its session, where sessions are chosen first. ``blocked_by`` is the command for which
the target has stopped reading; ``unread_first`` and ``unread_last`` are slots of the event queue.
``heard_ns`` is when the initiator last had a PDU from it. On a lost connection nothing more is sent; where
it is held, the initiator keeps back the commands given to it.
"""

LINK = _record(
    rate_bps="i8",
    full_rate_bps="i8",
    least_delay_ns="i8",
    delay_ns="i8",
    credit_ns="i8",
    segment_bytes="i8",
    packet_overhead_bytes="i8",
    is_postpaid="i8",
    packets_per_ack="i8",
    free_ns="i8",
    busy_ns="i8",
    wire_bytes="i8",
    packets="i8",
    ack_debt_ns="i8",
    ack_debt_bytes="i8",
    unacknowledged_bytes="i8",
    tail_owner="i8",
    tail_begins_ns="i8",
    tail_left_ns="i8",
    tail_room_bytes="i8",
    halted_ns="i8",
)
"""One direction of a link: what it is, then what it carried.

``rate_bps`` 0 means that sending takes no time; ``full_rate_bps`` and ``least_delay_ns`` are what they are
without a fault. ``free_ns`` is when all that was given to the direction so far will be paid for at its
rate; ``credit_ns`` is how far ahead of that a packet may leave (a token bucket), 0 for a wire;
``is_postpaid`` where each packet leaves first and is paid for then. The tail is the last packet that was
formed: the direction of a connection that owns it, when it begins to be sent and when it leaves, and the
bytes that still fit into it. The debt is what acknowledgements of the other direction have yet to take on
this one; of the last ``unacknowledged_bytes`` none is due. The clock of a direction that is down stands at
``halted_ns``, which is NEVER where it works.
"""

LANE = _record(
    rate_bps="i8",
    credit_ns="i8",
    free_ns="i8",
    arrives_ns="i8",
    jitter_ns="i8",
    loss_per_billion="i8",
    round_trip_ns="i8",
    idle_restart_ns="i8",
    segment_bytes="i8",
    numbers_drawn="i8",
    lost="i8",
    queue_packets="i8",
    written_bytes="i8",
    sent_bytes="i8",
    entered_ns="i8",
    packets="i8",
    acknowledged="i8",
    window_segments="i8",
    used_up_until="i8",
    counted="i8",
    least_round_trip_ns="i8",
    is_past_slow_start="i1",
    is_late="i1",
    is_windowed="i1",
    is_plain="i1",
)
"""One direction of a connection: what TCP adds to its link.

``rate_bps`` with ``credit_ns`` is the most that its window lets through; nothing arrives before
``arrives_ns``, which the bytes before it set. Where it ``is_windowed``, of the ``written_bytes`` the first
``sent_bytes`` have entered the queue below TCP as ``packets``, the latest at ``entered_ns``; at most
``queue_packets`` lie there, and so many are ``acknowledged``. While those below ``used_up_until`` come back
the congestion window limits, and grows. ``counted`` are packets late in coming back during slow start,
acknowledged ones behind it. ``is_late`` where the latest packet left behind its time on the link.
``is_plain`` where none of this limits.
"""

NEXUS = _record(
    window="i8",
    window_rule="i8",
    gate="i8",
    next_cmd_sn="i8",
    known_max_cmd_sn="i8",
    exp_cmd_sn="i8",
    max_cmd_sn="i8",
    parked="i8",
    held_first="i8",
    held_last="i8",
    processor_ns="i8",
    processor_free_ns="i8",
    given_up="i8",
)
"""A set of paths over which CmdSN order is kept; CmdSNs are 64-bit and count from 0.

``held_first`` and ``held_last`` are the queue of commands that the initiator may not send because
the window is closed; ``parked`` are the commands that the target keeps back for lower CmdSNs. The
initiator takes ``processor_ns`` for each command of a session, one after the other. ``given_up`` counts
the CmdSNs of attempts that the initiator gave up.
"""

DEVICE = _record(
    servers="i8",
    busy="i8",
    queue_first="i8",
    queue_last="i8",
    depth="i8",
    present="i8",
    retry_ns="i8",
    is_sorting="i8",
    is_ordering="i8",
    seek_ns="i8",
    bytes_per_s="i8",
    cached_ns="i8",
    read_ahead_blocks="i8",
    write_cache_bytes="i8",
    next_lba="i8",
    ahead_first_lba="i8",
    ahead_end_lba="i8",
    dirty_bytes="i8",
    dirty_at_ns="i8",
    broken_sequences="i8",
    cache_hits="i8",
)
"""A logical unit: what it is, then what state it is in.

``servers`` 0 serves all requests at once, ``depth`` 0 takes any number of commands. ``is_ordering``
where tasks may not all start as they come. ``next_lba`` is where the latest request ended.
"""

TASK_SET = _record(first="i8", last="i8", ordered="i8", is_restricted="i8", is_turning="i8")
"""The tasks that a logical unit has taken and not ended, in order of arrival; ``ordered`` counts those
with the attribute ORDERED. Restricted: SIMPLE tasks start in that order too."""


SCOPE = _record(first_member="i8", member_count="i8", is_outer="i8")
"""In which a policy chooses: a session for MC/S, a logical unit for MPIO.

Its members are paths, or where ``is_outer`` scopes themselves: first a session is chosen, then one of
its connections. ``first_member`` is the number of the first.
"""

MEMBER = _record(outstanding="i8", outstanding_bytes="i8", value="i8", is_usable="i1")
"""What a policy may see of a member of its scope (``policies.interface.PathStates``)."""

ENTERED, LEFT, END = np.int64(0), np.int64(1), np.int64(2)
FLIGHT_FACTS = 3
FLIGHTS = np.int64(1 << 10)
"""So many packets of a direction are remembered. A window that has grown so far limits no more."""

USAGE_BINS = 512
FIRST_BIN_NS = 1 << 10

LOG_EVENTS, LOG_TRANSFERS, LOG_EPISODES = 0, 1, 2
LOG_COLUMNS = 8
"""A log is one array (1 + rows, 8). Row 0 counts what was written down of each kind, then gives the
room for each; what found no room is counted only. Then come the rows:

events: time, kind, request. transfers: direction, given at, free from, delivered at, wire bytes, data
bytes, begun at, 0 for a header in the packet before. episodes: time, kind, nexus, request.
"""

# Kinds of episode.
GATE_HELD = np.int64(0)
GATE_RELEASED = np.int64(1)
WINDOW_CLOSED = np.int64(2)
WINDOW_OPENED = np.int64(3)
TASK_SET_FULL = np.int64(4)
COMMAND_REFUSED = np.int64(5)

# Counters of the engine, and what it returns.
COMPLETED, NEXT_UNPROMPTED, NEXT_IN_LIST, DEPTH, DIGEST, EVENTS, NOW_NS, SEED, BIN_NS = range(9)
IS_POOLED, REQUESTS, MAY_WAIT, CALL, CALL_AT, NEXT_TO_ASK, IS_TASK_BY_DATA = range(9, 16)
COUNTERS = 16
"""Where any completion brings the next of a list, ``NEXT_IN_LIST`` is the one whose delay begins behind the
next completion, ``NEXT_TO_ASK`` the one that is asked for when the next delay ends. ``REQUESTS`` is how many
rows are requests, ``MAY_WAIT`` whether a request without a path waits for one. ``CALL`` is the request for
which the event loop is to be left (NONE for none), ``CALL_AT`` the number of completions behind which it is.
``IS_TASK_BY_DATA``: whether a write is a task of its logical unit only when all its data is in.
"""
ENDED, PAUSED, QUEUE_FULL, WRONG_PATH, REACHED, CALLED = range(6)


class World(NamedTuple):
    """All that one replay works on: arrays of the records above, shape (entities,).

    ``lanes`` has two rows for each path, the one towards the target first; ``task_sets`` one for each
    logical unit, or one for each logical unit and nexus. ``flights`` has shape (lanes, 3, FLIGHTS): when the
    latest packets of each entered the queue below TCP, when they left it, and the byte behind them.

    ``attentions`` has shape (nexuses, logical units): whether a unit attention awaits the next command.
    ``members`` has shape (scopes, members of a scope), ``memory`` (scopes, words of the policy) and
    ``options`` (2, options): of the policy, and of the one inside sessions. ``arrived`` has shape
    (nexuses, ring) with a power of two above every window: the request that is at the gate under
    ``cmd_sn & (ring - 1)``. ``busy_ns`` (directions, bins) is how long each direction was sending in
    each span of ``counters[BIN_NS]``. (Few arrays, since each is handed on at every call.)
    """

    requests: Any
    progress: Any
    paths: Any
    links: Any
    lanes: Any
    flights: Int64s
    nexuses: Any
    arrived: Int64s
    devices: Any
    task_sets: Any
    attentions: Any
    scopes: Any
    members: Any
    memory: Int64s
    options: Float64s
    busy_ns: Int64s
    log: Int64s
    counters: Int64s


def records(kind: np.dtype[np.void], count: int, **fields: Any) -> Any:
    """An array of ``count`` records of ``kind`` with these fields set, and all others 0."""
    made = np.zeros(count, kind).view(np.recarray)
    for name, values in fields.items():
        made[name] = values
    return made


def fresh_progress(requests: int) -> Any:
    """The progress of requests that have not begun."""
    times = {name: NEVER for name in PROGRESS.names or () if name.endswith("_ns")}
    nowhere = dict.fromkeys(("cmd_sn", "path", "next_in_queue", "next_in_set", "previous_in_set"), NONE)
    return records(PROGRESS, requests, stage=STAGE_SENT, end=UNFINISHED, held=NOT_HELD, **nowhere, **times)


def fresh_log(*, events: int = 0, transfers: int = 0, episodes: int = 0) -> Int64s:
    """An empty log with room for that many rows of each kind."""
    log = np.zeros((1 + events + transfers + episodes, LOG_COLUMNS), np.int64)
    log[0, 3:6] = events, transfers, episodes
    return log


def logged(log: Int64s, kind: int) -> Int64s:
    """The rows of one kind that were written down."""
    begin = 1 + int(log[0, 3 : 3 + kind].sum())
    kept: Int64s = log[begin : begin + min(int(log[0, kind]), int(log[0, 3 + kind]))]
    return kept


def is_whole(log: Int64s, kind: int) -> bool:
    """Whether there was room for all rows of one kind."""
    return bool(log[0, kind] <= log[0, 3 + kind])

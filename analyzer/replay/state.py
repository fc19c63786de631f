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

# Numbers that are handed to functions are NumPy's: of a Python constant Numba makes a type of its own
# and compiles the function again for each.
NOTHING = np.int64(0)

# Kinds of event; at one time the smaller number goes first. What frees something goes before what takes it.
STATUS_ARRIVES = np.int64(0)  # at the initiator: the request completes
R2T_ARRIVES = np.int64(1)  # at the initiator; value = bytes asked for
COMMAND_ARRIVES = np.int64(2)  # at the target, whole, with its immediate data
DATA_ARRIVES = np.int64(3)  # at the target: a whole sequence of Data-Out; value = its bytes
GRANT = np.int64(4)  # the target has room for the data of a write and begins to ask for it
SERVICE_ENDS = np.int64(5)  # the device is done with it
DATA_DUE = np.int64(6)  # the initiator has the data that an R2T asked for; value = its bytes
READY = np.int64(7)  # the application asks for it
EVENT_KINDS = (
    "status-arrives",
    "r2t-arrives",
    "command-arrives",
    "data-arrives",
    "grant",
    "service-ends",
    "data-due",
    "ready",
)

# Ordering gates of a target.
GATE_IN_ORDER = 0  # RFC 7143 section 4.2.2.1: a command waits until all lower CmdSNs have arrived
GATE_NONE = 1  # a command is executed as it arrives

# When MaxCmdSN moves on.
WINDOW_BY_ARRIVAL = np.int64(0)  # with ExpCmdSN, when the gate lets a command pass
WINDOW_BY_COMPLETION = np.int64(1)  # with each status sent: it limits outstanding commands too

# Stages of a write at the target.
STAGE_SENT = 0
STAGE_RELEASED = 1
STAGE_GRANTED = 2


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
    scope="i4",
    lun="i4",
    sense_bytes="i4",
    recorded_path="i4",
    predecessor="i4",
    follower="i4",
    is_immediate="i1",
    has_own_status="i1",
)
"""What is asked, never written to by a replay.

``after_ns`` is the delay behind the completion of ``predecessor``, or the time of asking where there
is none; ``follower`` is the request that has this one as its predecessor. ``grant_ns`` is what the
target takes to ask for data of a write, ``turnaround_ns`` what the initiator takes to answer an R2T,
``service_ns`` what passes between the last byte of a request and its status.
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
    path="i4",
    sequences="i4",
    next_in_queue="i4",
    stage="i1",
)
"""What became of a request.

``received_bytes`` and ``granted_bytes`` count the data of a write that is at the target, and that
was sent unasked or asked for; ``sequences`` are the Data-Out sequences under way. ``next_in_queue``
chains requests that wait in one queue.
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
)
"""What was agreed on a path (an iSCSI connection), never written to.

``link_to`` and ``link_from`` are link directions. ``header_bytes`` is a basic header segment with
its digest, ``digest_bytes`` a data digest or 0.
"""

LINK = _record(
    rate_bps="i8",
    delay_ns="i8",
    credit_ns="i8",
    segment_bytes="i8",
    packet_overhead_bytes="i8",
    free_ns="i8",
    busy_ns="i8",
    wire_bytes="i8",
    packets="i8",
)
"""One direction of a link: what it is, then what it carried.

``rate_bps`` 0 means that sending takes no time. ``free_ns`` is when all that was given to the
direction so far will be paid for at its rate; ``credit_ns`` is how far ahead of that a packet may
leave (a token bucket), 0 for a wire.
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
)
"""A set of paths over which CmdSN order is kept; CmdSNs are 64-bit and count from 0.

``held_first`` and ``held_last`` are the queue of commands that the initiator may not send because
the window is closed; ``parked`` are the commands that the target keeps back for lower CmdSNs.
"""

DEVICE = _record(servers="i8", busy="i8", queue_first="i8", queue_last="i8")
"""A logical unit. ``servers`` 0 serves all requests at once."""


class Schedulers(NamedTuple):
    """One row for each scope in which a policy chooses: a session for MC/S, a logical unit for MPIO.

    Shape (scopes,) or (scopes, paths of a scope); ``memory`` (scopes, words) belongs to the policy.
    """

    first_path: Int64s
    path_count: Int64s
    is_usable: npt.NDArray[np.int8]
    outstanding: npt.NDArray[np.int64]
    outstanding_bytes: npt.NDArray[np.int64]
    memory: npt.NDArray[np.int64]


class Log(NamedTuple):
    """What a replay writes down beside the requests, each as long as there is room for; ``used`` counts all.

    ``events`` (capacity, 3): time, kind, request. ``transfers`` (capacity, 6): direction, given at,
    free from, delivered at, wire bytes, data bytes. ``episodes`` (capacity, 4): time, kind, nexus,
    request.
    """

    events: npt.NDArray[np.int64]
    transfers: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]
    used: Int64s


LOG_EVENTS, LOG_TRANSFERS, LOG_EPISODES = 0, 1, 2

# Kinds of episode.
GATE_HELD = np.int64(0)
GATE_RELEASED = np.int64(1)
WINDOW_CLOSED = np.int64(2)
WINDOW_OPENED = np.int64(3)

# Counters of the engine, and what it returns.
COMPLETED, NEXT_UNPROMPTED, NEXT_IN_LIST, DEPTH, DIGEST, EVENTS, NOW_NS = 0, 1, 2, 3, 4, 5, 6
COUNTERS = 7
ENDED, PAUSED, QUEUE_FULL, WRONG_PATH = 0, 1, 2, 3


class World(NamedTuple):
    """All that one replay works on: arrays of the records above, shape (entities,).

    ``arrived`` has shape (nexuses, ring) with a power of two above every window: the request that
    is at the gate under ``cmd_sn & (ring - 1)``. ``unprompted`` are the requests that wait for no
    other, in order of time.
    """

    requests: Any
    progress: Any
    paths: Any
    links: Any
    nexuses: Any
    arrived: Int64s
    devices: Any
    schedulers: Schedulers
    log: Log
    unprompted: Int64s
    options: Float64s
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
    return records(PROGRESS, requests, cmd_sn=NONE, path=NONE, next_in_queue=NONE, stage=STAGE_SENT, **times)


def fresh_log(*, events: int = 0, transfers: int = 0, episodes: int = 0) -> Log:
    """An empty log with room for that many rows of each kind."""
    return Log(
        np.zeros((events, 3), np.int64),
        np.zeros((transfers, 6), np.int64),
        np.zeros((episodes, 4), np.int64),
        np.zeros(3, np.int64),
    )

"""What the initiator does: give a request to a path, keep the command window, send data that was asked for.

Knows nothing of the target but what arrives from it. Commands and data of one path are written to its
connection in the order in which they are due (RFC 7143 section 4.2.5.1: all of a task on one connection).
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, int64
from analyzer.replay.event_queue import EventQueue, post
from analyzer.replay.policies.interface import Choose, PathRequest, PathStates
from analyzer.replay.state import (
    COMMAND_ARRIVES,
    COMPLETED,
    DATA_ARRIVES,
    DATA_DUE,
    DEPTH,
    LOG_EPISODES,
    NEXT_IN_LIST,
    NEXT_UNPROMPTED,
    NONE,
    NOTHING,
    READY,
    WINDOW_CLOSED,
    WINDOW_OPENED,
    Log,
    World,
)
from analyzer.replay.wire import pdu_stream_bytes, transmit


@engine_function
def note_episode(log: Log, now: int, kind: int, nexus: int, request: int) -> None:
    """Write an episode down where there is room."""
    row = log.used[LOG_EPISODES]
    log.used[LOG_EPISODES] += 1
    if row < len(log.episodes):
        entry = log.episodes[row]
        entry[0] = now
        entry[1] = kind
        entry[2] = nexus
        entry[3] = request


@engine_function
def post_next_unprompted(world: World, queue: EventQueue) -> None:
    """Post the next request that waits for no other; only one of them is ever in the queue."""
    place = world.counters[NEXT_UNPROMPTED]
    if place < len(world.unprompted):
        request = world.unprompted[place]
        world.counters[NEXT_UNPROMPTED] += 1
        post(queue, world.requests[request].after_ns, READY, request, NOTHING, NOTHING)


@engine_function
def make_ready(choose: Choose, world: World, queue: EventQueue, now: int, request: int) -> bool:
    """The application asks for ``request``: choose its path; send it, or hold it at a closed window.

    False where the policy named no usable path.
    """
    asked, schedulers = world.requests[request], world.schedulers
    if world.counters[DEPTH] == 0 and asked.predecessor == NONE:
        post_next_unprompted(world, queue)
    scope = asked.scope
    count = schedulers.path_count[scope]
    data_bytes = asked.read_bytes + asked.write_bytes
    chosen = choose(
        PathRequest(
            now,
            int64(asked.lun),
            asked.lba,
            data_bytes,
            int64(asked.write_bytes > 0),
            int64(asked.recorded_path),
        ),
        PathStates(
            schedulers.is_usable[scope, :count],
            schedulers.outstanding[scope, :count],
            schedulers.outstanding_bytes[scope, :count],
        ),
        schedulers.memory[scope],
        world.options,
    )
    if chosen < 0 or chosen >= count or not schedulers.is_usable[scope, chosen]:
        return False
    schedulers.outstanding[scope, chosen] += 1
    schedulers.outstanding_bytes[scope, chosen] += data_bytes
    path = schedulers.first_path[scope] + chosen
    done = world.progress[request]
    done.ready_ns = now
    done.dispatched_ns = now
    done.path = path
    index = world.paths[path].nexus
    nexus = world.nexuses[index]
    if asked.is_immediate or (nexus.held_first == NONE and nexus.next_cmd_sn <= nexus.known_max_cmd_sn):
        send_command(world, queue, now, request)
    else:
        hold(world, now, index, request)
    return True


@engine_function
def hold(world: World, now: int, index: int, request: int) -> None:
    """Put a command behind those that wait for the window of a nexus to open."""
    nexus = world.nexuses[index]
    if nexus.held_first == NONE:
        nexus.held_first = request
        note_episode(world.log, now, WINDOW_CLOSED, index, request)
    else:
        world.progress[nexus.held_last].next_in_queue = request
    nexus.held_last = request


@engine_function
def learn_window(world: World, queue: EventQueue, now: int, path: int, max_cmd_sn: int) -> None:
    """A PDU of the target brought ``max_cmd_sn`` on ``path``: send what may be sent now.

    A smaller number is an older one from another connection and is ignored (RFC 7143 section 4.2.2.1).
    """
    index = world.paths[path].nexus
    nexus = world.nexuses[index]
    if max_cmd_sn <= nexus.known_max_cmd_sn:
        return
    nexus.known_max_cmd_sn = max_cmd_sn
    while nexus.held_first != NONE and nexus.next_cmd_sn <= max_cmd_sn:
        request = nexus.held_first
        held = world.progress[request]
        nexus.held_first = held.next_in_queue
        held.next_in_queue = NONE
        if nexus.held_first == NONE:
            note_episode(world.log, now, WINDOW_OPENED, index, request)
        send_command(world, queue, now, request)


@engine_function
def send_command(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Take a CmdSN and write the command with its immediate data, then its unsolicited data.

    Immediate data goes up to the smallest of FirstBurstLength, the target's
    MaxRecvDataSegmentLength and the length; unsolicited Data-Out follows up to FirstBurstLength
    (RFC 7143 sections 13.10, 13.11, 13.14).
    """
    asked, done = world.requests[request], world.progress[request]
    path = world.paths[done.path]
    if not asked.is_immediate:
        nexus = world.nexuses[path.nexus]
        done.cmd_sn = nexus.next_cmd_sn
        nexus.next_cmd_sn += 1
    done.sent_ns = now
    immediate = min(path.immediate_bytes, asked.write_bytes)
    unsolicited = 0
    if not path.is_initial_r2t:
        unsolicited = min(path.first_burst_bytes, asked.write_bytes) - immediate
    done.received_bytes = immediate
    done.granted_bytes = immediate
    post(queue, send_data(world, done.path, now, immediate), COMMAND_ARRIVES, request, NOTHING, NOTHING)
    if unsolicited > 0:
        done.granted_bytes += unsolicited
        done.sequences = 1
        at = send_data(world, done.path, now, unsolicited)
        post(queue, at, DATA_ARRIVES, request, unsolicited, NOTHING)


@engine_function
def send_data(world: World, path: int, now: int, data_bytes: int) -> int:
    """Write PDUs with ``data_bytes`` of data to the connection; gives when they are at the target."""
    by = world.paths[path]
    stream = pdu_stream_bytes(data_bytes, by.write_segment_bytes, by.header_bytes, by.digest_bytes)
    at: int = transmit(world.links, world.log, by.link_to, now, stream, data_bytes)
    return at


@engine_function
def answer_r2t(world: World, queue: EventQueue, now: int, request: int, burst_bytes: int) -> None:
    """Answer an R2T, at once or after the turnaround of the initiator."""
    turnaround_ns = world.requests[request].turnaround_ns
    if turnaround_ns > 0:
        post(queue, now + turnaround_ns, DATA_DUE, request, burst_bytes, NOTHING)
    else:
        send_solicited(world, queue, now, request, burst_bytes)


@engine_function
def send_solicited(world: World, queue: EventQueue, now: int, request: int, burst_bytes: int) -> None:
    """Send one sequence of Data-Out PDUs."""
    at = send_data(world, world.progress[request].path, now, burst_bytes)
    post(queue, at, DATA_ARRIVES, request, burst_bytes, NOTHING)


@engine_function
def complete(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The status is there: free its place on the path and post the request that waited for it."""
    asked, schedulers = world.requests[request], world.schedulers
    world.progress[request].completed_ns = now
    world.counters[COMPLETED] += 1
    scope = asked.scope
    place = world.progress[request].path - schedulers.first_path[scope]
    schedulers.outstanding[scope, place] -= 1
    schedulers.outstanding_bytes[scope, place] -= asked.read_bytes + asked.write_bytes
    following = int64(asked.follower)
    at = now
    if world.counters[DEPTH] > 0:
        following = world.counters[NEXT_IN_LIST]
        world.counters[NEXT_IN_LIST] += 1
        if following >= len(world.requests):
            following = NONE
    elif following != NONE:
        at += world.requests[following].after_ns
    if following != NONE:
        post(queue, at, READY, following, NOTHING, NOTHING)

"""What the initiator does: give a request to a path, keep the command window, send data that was asked for.

Knows nothing of the target but what arrives from it. Commands and data of one path are written to its
connection in the order in which they are due (RFC 7143 section 4.2.5.1: all of a task on one connection).
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, engine_step, int64
from analyzer.replay.connections import deliver
from analyzer.replay.event_queue import EventQueue, post
from analyzer.replay.policies.interface import (
    Choose,
    Completion,
    Finish,
    PathRequest,
    PathStates,
    Rules,
)
from analyzer.replay.state import (
    CALL,
    CALL_AT,
    COMMAND_ARRIVES,
    COMPLETED,
    DATA_ARRIVES,
    DATA_DUE,
    DEPTH,
    GOOD,
    HELD_BY_PATH,
    HELD_FOR_PATH,
    IS_POOLED,
    LOG_EPISODES,
    LOG_EVENTS,
    LOG_TRANSFERS,
    MAY_WAIT,
    NEVER,
    NEXT_DUE,
    NEXT_IN_LIST,
    NEXT_TO_ASK,
    NEXT_UNPROMPTED,
    NONE,
    NOTHING,
    READY,
    REFUSED,
    REQUESTS,
    SEND_DUE,
    STAGE_SENT,
    STATUS_GOOD,
    STATUS_REFUSED,
    STATUS_TASK_SET_FULL,
    STATUS_UNIT_ATTENTION,
    WINDOW_CLOSED,
    WINDOW_OPENED,
    Float64s,
    Int64s,
    World,
)
from analyzer.replay.wire import filling_bytes, pdu_stream_bytes


@engine_function
def note_episode(log: Int64s, now: int, kind: int, nexus: int, request: int) -> None:
    """Write an episode down where there is room."""
    row = log[0, LOG_EPISODES]
    log[0, LOG_EPISODES] += 1
    if row < log[0, 3 + LOG_EPISODES]:
        entry = log[1 + log[0, 3 + LOG_EVENTS] + log[0, 3 + LOG_TRANSFERS] + row]
        entry[0] = now
        entry[1] = kind
        entry[2] = nexus
        entry[3] = request


@engine_step
def post_next_unprompted(world: World, queue: EventQueue) -> None:
    """Post the next request that waits for no other; only one of them is ever in the queue."""
    request = world.counters[NEXT_UNPROMPTED]
    if request != NONE:
        asked = world.requests[request]
        world.counters[NEXT_UNPROMPTED] = asked.next_unprompted
        world.progress[request].stream = request
        post(queue, asked.after_ns, READY, request, NOTHING, NOTHING)


@engine_step
def make_ready(rules: Rules, world: World, queue: EventQueue, now: int, request: int) -> bool:
    """The application asks for ``request``: choose its path; send it, or hold it at a closed window.

    A command that met a full task set is asked for again, on the path it was given; one without a usable
    path waits where recovery may bring one. False where the policy named no usable path.
    """
    asked, done = world.requests[request], world.progress[request]
    if done.ready_ns == NEVER:
        if world.counters[DEPTH] == 0 and asked.predecessor == NONE:
            post_next_unprompted(world, queue)
        done.ready_ns = now
    elif done.sequences > 0:
        # Data of the attempt before is still under way: the command goes behind it.
        post(queue, now + world.devices[asked.device_index].retry_ns, READY, request, NOTHING, NOTHING)
        return True
    if done.path == NONE:
        if world.counters[MAY_WAIT] and not is_any_usable(world, int64(asked.scope)):
            done.held = HELD_FOR_PATH
            return True
        member = assigned(rules.choose, world, world.options[0], now, request, int64(asked.scope))
        if member >= 0 and world.scopes[asked.scope].is_outer:
            member = assigned(rules.choose_inner, world, world.options[1], now, request, member)
        if member < 0:
            return False
        done.dispatched_ns = now
        done.path = member
    if world.paths[done.path].is_held:
        done.held = HELD_BY_PATH
        return True
    index = world.paths[done.path].nexus
    nexus = world.nexuses[index]
    if asked.is_immediate or (nexus.held_first == NONE and nexus.next_cmd_sn <= nexus.known_max_cmd_sn):
        number_command(world, queue, now, request)
    else:
        hold(world, now, index, request)
    return True


@engine_step
def is_any_usable(world: World, scope: int) -> bool:
    """Whether any member of a scope works."""
    is_any = False
    for place in range(world.scopes[scope].member_count):
        is_any = is_any or world.members[scope, place].is_usable != 0
    return is_any


@engine_function
def assigned(choose: Choose, world: World, options: Float64s, now: int, request: int, scope: int) -> int:
    """The member of ``scope`` that takes the request, which now is outstanding there; -1 for none."""
    asked, by = world.requests[request], world.scopes[scope]
    data_bytes = asked.read_bytes + asked.write_bytes
    chosen = choose(
        PathRequest(
            now,
            int64(asked.lun),
            asked.lba,
            data_bytes,
            int64(asked.write_bytes > 0),
            int64(asked.recorded_path),
            int64(world.progress[request].stream),
        ),
        states_of(world, scope),
        world.memory[scope],
        options,
    )
    if chosen < 0 or chosen >= by.member_count or not world.members[scope, chosen].is_usable:
        return -1
    member = world.members[scope, chosen]
    member.outstanding += 1
    member.outstanding_bytes += data_bytes
    return int(by.first_member + chosen)


@engine_step
def states_of(world: World, scope: int) -> PathStates:
    """What the policy of a scope may see of its members."""
    members = world.members[scope, : world.scopes[scope].member_count]
    return PathStates(members.is_usable, members.outstanding, members.outstanding_bytes, members.value)


@engine_step
def hold(world: World, now: int, index: int, request: int) -> None:
    """Put a command behind those that wait for the window of a nexus to open."""
    nexus = world.nexuses[index]
    if nexus.held_first == NONE:
        nexus.held_first = request
        note_episode(world.log, now, WINDOW_CLOSED, index, request)
    else:
        world.progress[nexus.held_last].next_in_queue = request
    nexus.held_last = request


@engine_step
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
        number_command(world, queue, now, request)


@engine_step
def number_command(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Take a CmdSN, then the time of the processor that serves the session, where that is limited."""
    done = world.progress[request]
    nexus = world.nexuses[world.paths[done.path].nexus]
    if not world.requests[request].is_immediate:
        done.cmd_sn = nexus.next_cmd_sn
        nexus.next_cmd_sn += 1
    if nexus.processor_ns > 0:
        nexus.processor_free_ns = max(now, nexus.processor_free_ns) + nexus.processor_ns
        post(queue, nexus.processor_free_ns, SEND_DUE, request, NOTHING, NOTHING)
    else:
        send_command(world, queue, now, request)


@engine_function
def send_command(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Write the command with its immediate data, then its unsolicited data.

    Immediate data goes up to the smallest of FirstBurstLength, the target's
    MaxRecvDataSegmentLength and the length; unsolicited Data-Out follows up to FirstBurstLength
    (RFC 7143 sections 13.10, 13.11, 13.14).
    """
    asked, done = world.requests[request], world.progress[request]
    path = world.paths[done.path]
    done.sent_ns = now
    done.stage = STAGE_SENT
    immediate = min(path.immediate_bytes, asked.write_bytes)
    unsolicited = 0
    if not path.is_initial_r2t:
        unsolicited = min(path.first_burst_bytes, asked.write_bytes) - immediate
    done.received_bytes = immediate
    done.granted_bytes = immediate
    done.is_joined = filling_bytes(world.links[path.link_to], 2 * done.path, now, 1)
    send_data(world, queue, now, request, immediate, COMMAND_ARRIVES, NOTHING)
    if unsolicited > 0:
        done.granted_bytes += unsolicited
        done.sequences = 1
        send_data(world, queue, now, request, unsolicited, DATA_ARRIVES, unsolicited)


@engine_step
def send_data(
    world: World, queue: EventQueue, now: int, request: int, data_bytes: int, kind: int, value: int
) -> None:
    """Write PDUs with ``data_bytes`` of data to the connection; ``kind`` happens when the target has them."""
    path = int64(world.progress[request].path)
    by = world.paths[path]
    stream = pdu_stream_bytes(data_bytes, by.write_segment_bytes, by.header_bytes, by.digest_bytes)
    deliver(world, queue, path, NOTHING, now, stream, data_bytes, kind, request, value, NOTHING)


@engine_step
def answer_r2t(world: World, queue: EventQueue, now: int, request: int, burst_bytes: int) -> None:
    """Answer an R2T, at once or after the turnaround of the initiator."""
    world.paths[world.progress[request].path].heard_ns = now
    turnaround_ns = world.requests[request].turnaround_ns
    if turnaround_ns > 0:
        post(queue, now + turnaround_ns, DATA_DUE, request, burst_bytes, NOTHING)
    else:
        send_solicited(world, queue, now, request, burst_bytes)


@engine_step
def send_solicited(world: World, queue: EventQueue, now: int, request: int, burst_bytes: int) -> None:
    """Send one sequence of Data-Out PDUs."""
    send_data(world, queue, now, request, burst_bytes, DATA_ARRIVES, burst_bytes)


@engine_step
def take_status(rules: Rules, world: World, queue: EventQueue, now: int, request: int, status: int) -> None:
    """A status is there: the request has ended, or the task set was full and it is asked for again."""
    done = world.progress[request]
    world.paths[done.path].heard_ns = now
    if status != STATUS_GOOD and status != STATUS_REFUSED:
        done.retries += 1
        done.arrived_ns = NEVER
        done.released_ns = NEVER
        if done.cmd_sn != NONE:
            world.nexuses[world.paths[done.path].nexus].given_up += 1
            done.cmd_sn = NONE
        again_ns = now
        if status == STATUS_TASK_SET_FULL:
            again_ns += world.devices[world.requests[request].device_index].retry_ns
        elif status == STATUS_UNIT_ATTENTION:
            world.counters[CALL] = request
        post(queue, again_ns, READY, request, NOTHING, NOTHING)
        return
    done.completed_ns = now
    done.end = GOOD if status == STATUS_GOOD else REFUSED
    world.counters[COMPLETED] += 1
    if world.counters[COMPLETED] == world.counters[CALL_AT] or world.requests[request].is_check:
        world.counters[CALL] = request
    scope = int64(world.requests[request].scope)
    member = int64(done.path)
    if world.scopes[scope].is_outer:
        inner = world.paths[member].inner_scope
        free_place(rules.finish_inner, world, world.options[1], now, request, inner, member)
        member = inner
    free_place(rules.finish, world, world.options[0], now, request, scope, member)
    post_following(world, queue, now, request)


@engine_function
def free_place(
    finish: Finish, world: World, options: Float64s, now: int, request: int, scope: int, member: int
) -> None:
    """The request is no longer outstanding; its policy may learn from it."""
    asked = world.requests[request]
    place = member - world.scopes[scope].first_member
    data_bytes = asked.read_bytes + asked.write_bytes
    freed = world.members[scope, place]
    freed.outstanding -= 1
    freed.outstanding_bytes -= data_bytes
    completion = Completion(
        now, place, world.progress[request].dispatched_ns, data_bytes, int64(asked.write_bytes > 0)
    )
    finish(completion, states_of(world, scope), world.memory[scope], options)


@engine_step
def post_following(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Post the request that waited for this one, or that the next of the list is due in its place."""
    counters = world.counters
    follower = int64(world.requests[request].follower)
    if counters[DEPTH] > 0 or (counters[IS_POOLED] > 0 and follower != NONE):
        delayed = next_of_list(world, NEXT_IN_LIST)
        if delayed != NONE:
            delay_ns = world.requests[delayed].after_ns
            post(queue, now + delay_ns, NEXT_DUE, int64(world.progress[request].stream), NOTHING, NOTHING)
    elif follower != NONE:
        world.progress[follower].stream = world.progress[request].stream
        post(queue, now + world.requests[follower].after_ns, READY, follower, NOTHING, NOTHING)


@engine_step
def next_of_list(world: World, pointer: int) -> int:
    """The request of the list that a counter points to, NONE at its end; the counter moves on."""
    counters = world.counters
    request = counters[pointer]
    if request == NONE:
        return NONE
    if counters[DEPTH] > 0:
        counters[pointer] = request + 1 if request + 1 < counters[REQUESTS] else NONE
    else:
        counters[pointer] = world.requests[request].next_unprompted
    return int(request)


@engine_step
def ask_next(rules: Rules, world: World, queue: EventQueue, now: int, stream: int) -> bool:
    """The application asks for the next of its list, in the order of the list whichever delay ended first."""
    request = next_of_list(world, NEXT_TO_ASK)
    world.progress[request].stream = stream
    return bool(make_ready(rules, world, queue, now, request))

"""What the target does: reading its connections, the ordering gate, asking for write data, the answer.

A command that has arrived whole passes the gate of its session, gets its data in, is served by
its logical unit (devices.py) and answered on its own connection. Gates: in order, as RFC 7143 has it and LIO
and tgt do; blocking, as istgt does; refusing what comes too late, as SPDK does; none.
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, engine_step, int64
from analyzer.replay.connections import deliver
from analyzer.replay.devices import enter, has_room, leave, next_of_device, serve_if_whole
from analyzer.replay.event_queue import EventQueue, keep, let_go, post
from analyzer.replay.initiator import note_episode
from analyzer.replay.state import (
    BLOCKED_AT_MOST_NS,
    COMMAND_ARRIVES,
    COMMAND_REFUSED,
    CONNECTION_READS,
    FROM_TARGET,
    GATE_BLOCKING,
    GATE_HELD,
    GATE_NONE,
    GATE_REFUSING,
    GATE_RELEASED,
    GATE_TIMEOUT,
    GRANT,
    IS_TASK_BY_DATA,
    NONE,
    NOTHING,
    R2T_ARRIVES,
    REQUESTS,
    STAGE_ANSWERED,
    STAGE_GRANTED,
    STAGE_REFUSED,
    STAGE_RELEASED,
    STATUS_ARRIVES,
    STATUS_GOOD,
    STATUS_REFUSED,
    STATUS_TASK_SET_FULL,
    STATUS_UNIT_ATTENTION,
    TASK_SET_FULL,
    WINDOW_BY_ARRIVAL,
    WINDOW_BY_COMPLETION,
    World,
)
from analyzer.replay.wire import pdu_stream_bytes


@engine_step
def reaches_target(world: World, queue: EventQueue, now: int, kind: int, subject: int, value: int) -> None:
    """A command or a sequence of data is at the target: read it, unless its connection is not being read.

    With CONNECTION_READS the target reads on: one thing that lies unread at a time, until it has to
    stop again.
    """
    index = subject if kind == CONNECTION_READS else int64(world.progress[subject].path)
    path = world.paths[index]
    request = subject
    if kind == CONNECTION_READS:
        if path.blocked_by != NONE or path.unread_first == NONE:
            return
        slot = path.unread_first
        path.unread_first = queue.next_kept[slot]
        kind, request, value = queue.number[slot], queue.subject[slot], queue.value[slot]
        let_go(queue, slot)
    elif path.blocked_by != NONE or path.unread_first != NONE:
        slot = keep(queue, kind, request, value)
        if path.unread_first == NONE:
            path.unread_first = slot
        else:
            queue.next_kept[path.unread_last] = slot
        path.unread_last = slot
        return
    if kind == COMMAND_ARRIVES:
        command_arrives(world, queue, now, request)
    else:
        data_arrives(world, queue, now, request, value)
    if path.unread_first != NONE and path.blocked_by == NONE:
        post(queue, now, CONNECTION_READS, index, NOTHING, NOTHING)


@engine_step
def command_arrives(world: World, queue: EventQueue, now: int, request: int) -> None:
    """A command is whole at the target: let it pass, or keep it until the lower CmdSNs have come.

    Immediate commands are not ordered (RFC 7143 section 4.2.2.1).
    """
    world.progress[request].arrived_ns = now
    index = world.paths[world.progress[request].path].nexus
    nexus = world.nexuses[index]
    if world.requests[request].is_immediate:
        release(world, queue, now, request)
    elif nexus.gate == GATE_NONE or nexus.gate == GATE_REFUSING:
        if nexus.gate == GATE_REFUSING and world.progress[request].cmd_sn < nexus.exp_cmd_sn:
            refuse(world, queue, now, index, request)
            return
        nexus.exp_cmd_sn += 1
        move_window(world, index, WINDOW_BY_ARRIVAL)
        release(world, queue, now, request)
    elif nexus.gate == GATE_BLOCKING and world.progress[request].cmd_sn < nexus.exp_cmd_sn:
        refuse(world, queue, now, index, request)
    else:
        pass_in_order(world, queue, now, index, request)


@engine_step
def pass_in_order(world: World, queue: EventQueue, now: int, index: int, request: int) -> None:
    """Put a command among those that wait for lower CmdSNs; let all pass for which none is missing."""
    nexus = world.nexuses[index]
    ring = world.arrived[index]
    mask = len(ring) - 1
    had_parked = nexus.parked > 0
    cmd_sn = world.progress[request].cmd_sn
    ring[cmd_sn & mask] = request
    nexus.parked += 1
    if cmd_sn != nexus.exp_cmd_sn:
        if not had_parked:
            note_episode(world.log, now, GATE_HELD, index, request)
        if nexus.gate == GATE_BLOCKING:
            world.paths[world.progress[request].path].blocked_by = request
            post(queue, now + BLOCKED_AT_MOST_NS, GATE_TIMEOUT, request, cmd_sn, NOTHING)
        return
    let_pass(world, queue, now, index)
    if had_parked and nexus.parked == 0:
        note_episode(world.log, now, GATE_RELEASED, index, request)


@engine_function
def let_pass(world: World, queue: EventQueue, now: int, index: int) -> None:
    """Let commands pass in the order of CmdSN up to the first that is missing."""
    nexus = world.nexuses[index]
    ring = world.arrived[index]
    mask = len(ring) - 1
    passing = ring[nexus.exp_cmd_sn & mask]
    while passing != NONE:
        ring[nexus.exp_cmd_sn & mask] = NONE
        nexus.parked -= 1
        nexus.exp_cmd_sn += 1
        move_window(world, index, WINDOW_BY_ARRIVAL)
        release(world, queue, now, passing)
        read_on(world, queue, now, passing)
        passing = ring[nexus.exp_cmd_sn & mask]


@engine_step
def read_on(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Read the connection again if it was this command that stopped it."""
    path = int64(world.progress[request].path)
    if world.paths[path].blocked_by == request:
        world.paths[path].blocked_by = NONE
        post(queue, now, CONNECTION_READS, path, NOTHING, NOTHING)


@engine_step
def gate_timeout(world: World, queue: EventQueue, now: int, request: int, cmd_sn: int) -> None:
    """No longer than 10 s does istgt wait for lower CmdSNs: it goes on as if this command were expected."""
    done = world.progress[request]
    path = world.paths[done.path]
    if path.blocked_by != request or done.cmd_sn != cmd_sn:
        return
    nexus = world.nexuses[path.nexus]
    ring = world.arrived[path.nexus]
    while nexus.exp_cmd_sn < cmd_sn:
        passed_over = ring[nexus.exp_cmd_sn & (len(ring) - 1)]
        if passed_over != NONE:
            ring[nexus.exp_cmd_sn & (len(ring) - 1)] = NONE
            nexus.parked -= 1
            read_on(world, queue, now, passed_over)
            refuse(world, queue, now, path.nexus, passed_over)
        nexus.exp_cmd_sn += 1
        move_window(world, path.nexus, WINDOW_BY_ARRIVAL)
    let_pass(world, queue, now, path.nexus)
    if nexus.parked == 0:
        note_episode(world.log, now, GATE_RELEASED, path.nexus, request)


@engine_step
def refuse(world: World, queue: EventQueue, now: int, index: int, request: int) -> None:
    """A command below ExpCmdSN is an error: it fails, as soon as the initiator can know."""
    note_episode(world.log, now, COMMAND_REFUSED, index, request)
    if world.nexuses[index].gate == GATE_REFUSING:
        move_window(world, index, WINDOW_BY_ARRIVAL)
    send_status(world, queue, now, request, STATUS_REFUSED)


@engine_step
def move_window(world: World, nexus: int, rule: int) -> None:
    """Open the command window by one where ``rule`` is how this target moves MaxCmdSN."""
    if world.nexuses[nexus].window_rule == rule:
        world.nexuses[nexus].max_cmd_sn += 1


@engine_function
def release(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The command goes to its logical unit: ask for the data that did not come by itself, or serve it."""
    asked, done = world.requests[request], world.progress[request]
    done.released_ns = now
    is_task = not world.counters[IS_TASK_BY_DATA] or done.received_bytes >= asked.write_bytes
    if is_task and request < world.counters[REQUESTS] and takes_attention(world, request):
        send_status(world, queue, now, request, STATUS_UNIT_ATTENTION)
        return
    if not has_room(world, request):
        note_episode(world.log, now, TASK_SET_FULL, world.paths[done.path].nexus, request)
        send_status(world, queue, now, request, STATUS_TASK_SET_FULL)
        return
    enter(world, request)
    done.stage = STAGE_RELEASED
    if done.granted_bytes < asked.write_bytes:
        post(queue, now + asked.grant_ns, GRANT, request, NOTHING, NOTHING)
    else:
        serve_if_whole(world, queue, now, request)


@engine_step
def takes_attention(world: World, request: int) -> bool:
    """Whether a unit attention awaits the nexus of a command; it is told once."""
    nexus = world.paths[world.progress[request].path].nexus
    device = world.requests[request].device_index
    is_there = bool(world.attentions[nexus, device])
    world.attentions[nexus, device] = 0
    return is_there


@engine_function
def send_status(world: World, queue: EventQueue, now: int, request: int, status: int) -> None:
    """Answer a command that is not executed, with a SCSI Response."""
    path = world.paths[world.progress[request].path]
    if not world.requests[request].is_immediate:
        move_window(world, path.nexus, WINDOW_BY_COMPLETION)
    world.progress[request].stage = STAGE_REFUSED
    if path.is_lost or request >= world.counters[REQUESTS]:
        return
    answered(world, queue, now, request, path.header_bytes, NOTHING, STATUS_ARRIVES, status)


@engine_step
def grant(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Ask for data of a write. An attempt that was given up goes on without."""
    if request >= world.counters[REQUESTS]:
        serve_if_whole(world, queue, now, request)
        return
    world.progress[request].stage = STAGE_GRANTED
    send_r2ts(world, queue, now, request)


@engine_step
def send_r2ts(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Send R2Ts of at most MaxBurstLength while fewer than MaxOutstandingR2T sequences are under way.

    Unsolicited Data-Out still under way counts as one of them, as a target with one buffer has it
    (the RFC leaves the implied R2T out of the limit, but no target has to ask that early).
    """
    done = world.progress[request]
    path = world.paths[done.path]
    if path.is_lost or request >= world.counters[REQUESTS]:
        return
    length = world.requests[request].write_bytes
    while done.granted_bytes < length and done.sequences < path.max_outstanding_r2t:
        burst = min(path.max_burst_bytes, length - done.granted_bytes)
        done.granted_bytes += burst
        done.sequences += 1
        answered(world, queue, now, request, path.header_bytes, NOTHING, R2T_ARRIVES, burst)


@engine_function
def answered(
    world: World,
    queue: EventQueue,
    now: int,
    request: int,
    stream_bytes: int,
    data_bytes: int,
    kind: int,
    value: int,
) -> None:
    """Write PDUs of a command to its connection, the last with the MaxCmdSN of now."""
    path = int64(world.progress[request].path)
    max_cmd_sn = world.nexuses[world.paths[path].nexus].max_cmd_sn
    deliver(world, queue, path, FROM_TARGET, now, stream_bytes, data_bytes, kind, request, value, max_cmd_sn)


@engine_step
def data_arrives(world: World, queue: EventQueue, now: int, request: int, data_bytes: int) -> None:
    """A whole sequence of Data-Out is in: ask for more, or serve the request when it was the last."""
    if request >= world.counters[REQUESTS]:
        return
    done = world.progress[request]
    done.received_bytes += data_bytes
    done.sequences -= 1
    asked = world.requests[request]
    if done.stage == STAGE_GRANTED and done.granted_bytes < asked.write_bytes:
        post(queue, now + asked.grant_ns, GRANT, request, NOTHING, NOTHING)
    becomes_task = (
        world.counters[IS_TASK_BY_DATA] > 0
        and (done.stage == STAGE_RELEASED or done.stage == STAGE_GRANTED)
        and done.received_bytes >= asked.write_bytes
    )
    if becomes_task and takes_attention(world, request):
        leave(world, queue, now, request)
        send_status(world, queue, now, request, STATUS_UNIT_ATTENTION)
        return
    serve_if_whole(world, queue, now, request)


@engine_step
def service_ends(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The device is done: it takes the next request, and this one is answered."""
    index = int64(world.requests[request].device_index)
    world.devices[index].busy -= 1
    leave(world, queue, now, request)
    next_of_device(world, queue, now, index)
    answer(world, queue, now, request)


@engine_step
def answer(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Send the data of a read and the status, on the connection of the command.

    The status rides on the last Data-In or in a SCSI Response of its own (RFC 7143 section 11.7.3). On a
    lost connection it waits until the task is moved, which may be never.
    """
    asked, done = world.requests[request], world.progress[request]
    path = world.paths[done.path]
    if not asked.is_immediate and done.stage != STAGE_ANSWERED:
        move_window(world, path.nexus, WINDOW_BY_COMPLETION)
    done.stage = STAGE_ANSWERED
    if path.is_lost or request >= world.counters[REQUESTS]:
        return
    stream = 0
    read_bytes = asked.read_bytes - done.resumed_bytes
    if read_bytes > 0:
        stream = pdu_stream_bytes(read_bytes, path.read_segment_bytes, path.header_bytes, path.digest_bytes)
    if stream == 0 or asked.has_own_status:
        sense_bytes = int64(asked.sense_bytes)
        stream += pdu_stream_bytes(sense_bytes, max(sense_bytes, 1), path.header_bytes, path.digest_bytes)
    answered(world, queue, now, request, stream, read_bytes, STATUS_ARRIVES, STATUS_GOOD)

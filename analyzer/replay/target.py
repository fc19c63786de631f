"""What the target does: the ordering gate, the asking for write data, the device, and the answer.

A command that has arrived whole passes the gate of its session, gets its data in, is served by
its logical unit and answered on its own connection. The device serves any number of requests at once, or
``servers`` of them with the others waiting in order of arrival.
"""

from __future__ import annotations

from analyzer.replay.compiled import engine_function, int64
from analyzer.replay.event_queue import EventQueue, post
from analyzer.replay.initiator import note_episode
from analyzer.replay.state import (
    GATE_HELD,
    GATE_IN_ORDER,
    GATE_RELEASED,
    GRANT,
    NONE,
    NOTHING,
    R2T_ARRIVES,
    SERVICE_ENDS,
    STAGE_GRANTED,
    STAGE_RELEASED,
    STAGE_SENT,
    STATUS_ARRIVES,
    WINDOW_BY_ARRIVAL,
    WINDOW_BY_COMPLETION,
    World,
)
from analyzer.replay.wire import pdu_stream_bytes, transmit


@engine_function
def command_arrives(world: World, queue: EventQueue, now: int, request: int) -> None:
    """A command is whole at the target: let it pass, or keep it until the lower CmdSNs have come.

    Immediate commands are not ordered (RFC 7143 section 4.2.2.1).
    """
    world.progress[request].arrived_ns = now
    index = world.paths[world.progress[request].path].nexus
    nexus = world.nexuses[index]
    ring = world.arrived[index]
    mask = len(ring) - 1
    is_numbered = not world.requests[request].is_immediate
    is_ordered = is_numbered and nexus.gate == GATE_IN_ORDER
    had_parked = nexus.parked > 0
    if is_ordered:
        cmd_sn = world.progress[request].cmd_sn
        ring[cmd_sn & mask] = request
        nexus.parked += 1
        if cmd_sn != nexus.exp_cmd_sn:
            if not had_parked:
                note_episode(world.log, now, GATE_HELD, index, request)
            return
    passing = request
    while passing != NONE:
        if is_ordered:
            ring[nexus.exp_cmd_sn & mask] = NONE
            nexus.parked -= 1
        if is_numbered:
            nexus.exp_cmd_sn += 1
            move_window(world, index, WINDOW_BY_ARRIVAL)
        release(world, queue, now, passing)
        passing = ring[nexus.exp_cmd_sn & mask] if is_ordered else NONE
    if had_parked and is_ordered and nexus.parked == 0:
        note_episode(world.log, now, GATE_RELEASED, index, request)


@engine_function
def move_window(world: World, nexus: int, rule: int) -> None:
    """Open the command window by one where ``rule`` is how this target moves MaxCmdSN."""
    if world.nexuses[nexus].window_rule == rule:
        world.nexuses[nexus].max_cmd_sn += 1


@engine_function
def release(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The command goes to its logical unit: ask for the data that did not come by itself, or serve it."""
    asked, done = world.requests[request], world.progress[request]
    done.released_ns = now
    done.stage = STAGE_RELEASED
    if done.granted_bytes < asked.write_bytes:
        post(queue, now + asked.grant_ns, GRANT, request, NOTHING, NOTHING)
    else:
        serve_if_whole(world, queue, now, request)


@engine_function
def grant(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Ask for data of a write."""
    world.progress[request].stage = STAGE_GRANTED
    send_r2ts(world, queue, now, request)


@engine_function
def send_r2ts(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Send R2Ts of at most MaxBurstLength while fewer than MaxOutstandingR2T sequences are under way.

    Unsolicited Data-Out still under way counts as one of them, as a target with one buffer has it
    (the RFC leaves the implied R2T out of the limit, but no target has to ask that early).
    """
    done = world.progress[request]
    path = world.paths[done.path]
    length = world.requests[request].write_bytes
    max_cmd_sn = world.nexuses[path.nexus].max_cmd_sn
    while done.granted_bytes < length and done.sequences < path.max_outstanding_r2t:
        burst = min(path.max_burst_bytes, length - done.granted_bytes)
        done.granted_bytes += burst
        done.sequences += 1
        at = transmit(world.links, world.log, path.link_from, now, path.header_bytes, NOTHING)
        post(queue, at, R2T_ARRIVES, request, burst, max_cmd_sn)


@engine_function
def data_arrives(world: World, queue: EventQueue, now: int, request: int, data_bytes: int) -> None:
    """A whole sequence of Data-Out is in: ask for more, or serve the request when it was the last."""
    done = world.progress[request]
    done.received_bytes += data_bytes
    done.sequences -= 1
    asked = world.requests[request]
    if done.stage == STAGE_GRANTED and done.granted_bytes < asked.write_bytes:
        post(queue, now + asked.grant_ns, GRANT, request, NOTHING, NOTHING)
    serve_if_whole(world, queue, now, request)


@engine_function
def serve_if_whole(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Hand a request to its device once it passed the gate and all its data is in."""
    asked, done = world.requests[request], world.progress[request]
    if done.stage == STAGE_SENT or done.received_bytes < asked.write_bytes:
        return
    device = world.devices[asked.lun]
    if device.servers == 0 or device.busy < device.servers:
        begin_service(world, queue, now, request)
        return
    if device.queue_first == NONE:
        device.queue_first = request
    else:
        world.progress[device.queue_last].next_in_queue = request
    device.queue_last = request


@engine_function
def begin_service(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The device takes a request."""
    asked = world.requests[request]
    world.devices[asked.lun].busy += 1
    world.progress[request].started_ns = now
    post(queue, now + asked.service_ns, SERVICE_ENDS, request, NOTHING, NOTHING)


@engine_function
def service_ends(world: World, queue: EventQueue, now: int, request: int) -> None:
    """The device is done: it takes the next request, and this one is answered."""
    device = world.devices[world.requests[request].lun]
    device.busy -= 1
    following = device.queue_first
    if following != NONE:
        waiting = world.progress[following]
        device.queue_first = waiting.next_in_queue
        waiting.next_in_queue = NONE
        begin_service(world, queue, now, following)
    answer(world, queue, now, request)


@engine_function
def answer(world: World, queue: EventQueue, now: int, request: int) -> None:
    """Send the data of a read and the status, on the connection of the command.

    The status rides on the last Data-In or in a SCSI Response of its own (RFC 7143 section 11.7.3).
    """
    asked = world.requests[request]
    path = world.paths[world.progress[request].path]
    if not asked.is_immediate:
        move_window(world, path.nexus, WINDOW_BY_COMPLETION)
    stream = 0
    if asked.read_bytes > 0:
        stream = pdu_stream_bytes(
            asked.read_bytes, path.read_segment_bytes, path.header_bytes, path.digest_bytes
        )
    if stream == 0 or asked.has_own_status:
        sense_bytes = int64(asked.sense_bytes)
        stream += pdu_stream_bytes(sense_bytes, max(sense_bytes, 1), path.header_bytes, path.digest_bytes)
    at = transmit(world.links, world.log, path.link_from, now, stream, asked.read_bytes)
    post(queue, at, STATUS_ARRIVES, request, NOTHING, world.nexuses[path.nexus].max_cmd_sn)

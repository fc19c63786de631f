"""An outcome from the arrays of a finished replay: its tables, its figures, and what it assumed.

Turns times back to the clock of the timeline and measures from the record. Decides nothing about
the replay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analyzer.measures import MEASURES, measure
from analyzer.provenance import provenance
from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.disturbance import Note
from analyzer.replay.failover import Failover
from analyzer.replay.incidents import incident_table
from analyzer.replay.repeats import Figures, metrics_columns
from analyzer.replay.scenario import Scenario
from analyzer.replay.state import (
    BIN_NS,
    COMMAND_REFUSED,
    DEPTH,
    DIGEST,
    EVENTS,
    FAILED,
    GATE_HELD,
    GATE_RELEASED,
    GOOD,
    IS_POOLED,
    LOG_EPISODES,
    NEVER,
    NONE,
    REFUSED,
    TASK_SET_FULL,
    WINDOW_CLOSED,
    WINDOW_OPENED,
    World,
    logged,
)
from analyzer.replay.topology import Network
from analyzer.replay.workload import Workload
from analyzer.tables.arrow_arrays import dictionary
from analyzer.tables.folder import Outcome, Timeline
from analyzer.tables.outcome_tables import METRICS, OUTCOME_EVENTS, PATHS, REPEATS, REQUESTS, UTILISATION

Int64s = npt.NDArray[np.int64]

END_NAMES = ("unfinished", "completed", "failed", "failed")
EPISODE_NAMES: dict[int, str] = {
    int(GATE_HELD): "gate-held",
    int(GATE_RELEASED): "gate-released",
    int(WINDOW_CLOSED): "window-closed",
    int(WINDOW_OPENED): "window-opened",
    int(TASK_SET_FULL): "task-set-full",
    int(COMMAND_REFUSED): "request-failed",
}


def outcome_of(
    timeline: Timeline,
    workload: Workload,
    scenario: Scenario,
    network: Network,
    world: World,
    values: tuple[CalibratedValue, ...],
    assumptions: tuple[str, ...],
    failover: Failover | None = None,
) -> Outcome:
    """The outcome of a replay that has ended, without repeats."""
    world = _without_attempts(workload, world)
    answered_ns = world.progress.completed_ns
    world = _as_application_saw(workload, world)
    is_completed = _is_completed(workload, world)
    disturbances = failover.disturbances if failover is not None else []
    notes = failover.notes if failover is not None else []
    tables = {
        "requests": _requests(timeline, workload, world, answered_ns),
        "paths": _paths(network, workload, world, is_completed),
        "events": _events(workload, world, notes),
        "incidents": incident_table(disturbances, workload, world),
        "utilisation": _utilisation(workload, world),
        "metrics": METRICS.build(metrics_columns(_figures(workload, network, world))),
        "repeats": REPEATS.empty(),
    }
    linked = int((workload.pacing.predecessor != NONE).sum())
    manifest: dict[str, Any] = {
        "label": scenario.label,
        "is_baseline": scenario.is_baseline,
        "topology": str(scenario.topology),
        "policy": scenario.policy,
        "pacing": scenario.pacing_text,
        "loop": "open" if scenario.pacing == "recorded" else "closed",
        "requests": len(workload),
        "linked_requests": linked,
        "seed": scenario.seed,
        "scenario": scenario.model_dump(mode="json"),
        "links": [link.model_dump(mode="json") for link in network.links],
        "assumptions": list(assumptions),
        "calibration": [one.as_json() for one in values],
        "replayed_events": int(world.counters[EVENTS]),
        "digest": f"{int(world.counters[DIGEST]):016x}",
        "episodes_not_kept": int(world.log[0, LOG_EPISODES]) - len(logged(world.log, LOG_EPISODES)),
        "provenance": provenance(),
    }
    return Outcome(tables, manifest)


def _requests(timeline: Timeline, workload: Workload, world: World, answered_ns: Int64s) -> pa.Table:
    """One row for each request, of which the status came at ``answered_ns``."""
    progress = world.progress
    tasks = timeline.arrow["tasks"]
    rows = pa.array(workload.task)

    def when(times: Int64s) -> np.ma.MaskedArray[Any, Any]:
        return np.ma.MaskedArray(times + workload.begin_ns, mask=times == NEVER)

    count = len(workload)
    return REQUESTS.build(
        {
            "request_index": np.arange(count, dtype=np.int32),
            "task_index": np.ma.MaskedArray(
                workload.task.astype(np.int32),
                mask=workload.host >= len(workload.hosts) - workload.neighbours,
            ),
            "initiator_index": workload.host,
            "path_index": np.ma.MaskedArray(progress.path, mask=progress.path == NONE),
            "cmd_sn": np.ma.MaskedArray(progress.cmd_sn, mask=progress.cmd_sn == NONE),
            "lun": tasks.column("lun").take(rows),
            "operation": tasks.column("operation").take(rows),
            "direction": tasks.column("direction").take(rows),
            "transferred_bytes": workload.read_bytes + workload.write_bytes,
            "ready_ns": progress.ready_ns + workload.begin_ns,
            "dispatched_ns": when(progress.dispatched_ns),
            "sent_ns": when(progress.sent_ns),
            "arrived_ns": when(progress.arrived_ns),
            "released_ns": when(progress.released_ns),
            "started_ns": when(progress.started_ns),
            "completed_ns": when(progress.completed_ns),
            "latency_ns": np.ma.MaskedArray(
                progress.completed_ns - progress.ready_ns, mask=progress.completed_ns == NEVER
            ),
            "seen_latency_ns": np.ma.MaskedArray(
                answered_ns - left_ns(workload, world),
                mask=progress.completed_ns == NEVER,
            ),
            "end": dictionary(progress.end, END_NAMES),
            "retry_count": progress.retries.astype(np.int32),
            "reassign_count": progress.reassigns,
        }
    )


def left_ns(workload: Workload, world: World) -> Int64s:
    """When the first packet of each command left, shape (requests,): its arrival less what it took.

    A token bucket shows a packet as it arrives; on a wire it is seen before it is sent. One that went behind
    other bytes took as long as its own, with their share of what packets carry besides.
    """
    progress, path = world.progress, np.maximum(world.progress.path, 0)
    link = world.links[world.paths.link_to[path]]
    immediate = np.minimum(world.paths.immediate_bytes[path], workload.write_bytes)
    stream = world.paths.header_bytes[path] + immediate
    segment, overhead = link["segment_bytes"], link["packet_overhead_bytes"]
    wire = stream + -(-stream // segment) * overhead
    first = np.minimum(wire, segment + overhead)
    is_limiter = (link["credit_ns"] > 0) | (link["is_postpaid"] > 0)
    alone = wire - np.where(is_limiter, first, 0)
    taken_bytes = np.where(progress.is_joined > 0, stream + stream * overhead // segment, alone)
    rate = np.maximum(link["rate_bps"], 1)
    taken = np.where(link["rate_bps"] > 0, taken_bytes * 8e9 / rate, 0)
    left = progress.arrived_ns - link["delay_ns"] - taken.astype(np.int64)
    has_left = progress.arrived_ns != NEVER
    found: Int64s = np.where(has_left, np.maximum(left, progress.sent_ns), progress.ready_ns)
    return found


def _paths(
    network: Network, workload: Workload, world: World, is_completed: npt.NDArray[np.bool_]
) -> pa.Table:
    count = len(network.paths)
    of_path = world.progress.path[is_completed]

    def total(values: Int64s) -> Int64s:
        result = np.zeros(count, np.int64)
        np.add.at(result, of_path, values[is_completed])
        return result

    links, to, back = world.links, world.paths.link_to, world.paths.link_from
    return PATHS.build(
        {
            "path_index": np.arange(count, dtype=np.int32),
            "name": [path.name for path in network.paths],
            "nexus_index": world.paths.nexus,
            "link_index": np.array([path.link for path in network.paths], np.int32),
            "rate_to_target_bps": links.rate_bps[to].astype(np.float64),
            "rate_from_target_bps": links.rate_bps[back].astype(np.float64),
            "delay_to_target_ns": links.delay_ns[to],
            "delay_from_target_ns": links.delay_ns[back],
            "requests": np.bincount(of_path, minlength=count).astype(np.int64),
            "read_bytes": total(workload.read_bytes),
            "written_bytes": total(workload.write_bytes),
            "wire_bytes_to_target": links.wire_bytes[to],
            "wire_bytes_from_target": links.wire_bytes[back],
            "busy_to_target_ns": links.busy_ns[to],
            "busy_from_target_ns": links.busy_ns[back],
        }
    )


def _utilisation(workload: Workload, world: World) -> pa.Table:
    """The share of each bin of time in which each direction was sending, up to the end of the replay."""
    width = int(world.counters[BIN_NS])
    end = max(int(world.progress.completed_ns.max(initial=0)), 1)
    bins = min(-(-end // width), world.busy_ns.shape[1])
    directions = len(world.links)
    begins = np.arange(bins) * width
    busy = world.busy_ns[:, :bins]
    return UTILISATION.build(
        {
            "link_index": np.repeat(np.arange(directions, dtype=np.int32) // 2, bins),
            "from_target": np.repeat(np.arange(directions) % 2 == 1, bins),
            "begin_ns": np.tile(begins + workload.begin_ns, directions),
            "width_ns": np.full(bins * directions, width, np.int64),
            "busy_share": (busy / width).reshape(-1),
        }
    )


def _events(workload: Workload, world: World, notes: Sequence[Note]) -> pa.Table:
    """What the engine and the recovery wrote down, in order of time."""
    episodes = logged(world.log, LOG_EPISODES)
    request = np.where(episodes[:, 3] < len(workload), episodes[:, 3], NONE)
    path = np.where(request == NONE, NONE, world.progress.path[np.maximum(request, 0)])
    nexuses = np.unique(episodes[:, 2]).tolist()
    details = {nexus: json.dumps({"nexus_index": nexus}) for nexus in nexuses}
    at_ns = np.concatenate([episodes[:, 0], np.array([note.at_ns for note in notes], np.int64)])
    order = np.argsort(at_ns, kind="stable")
    paths = np.concatenate([path, np.array([_index(note.path) for note in notes], np.int64)])[order]
    requests = np.concatenate([request, np.array([_index(note.request) for note in notes], np.int64)])[order]
    kinds = [EPISODE_NAMES[kind] for kind in episodes[:, 1].tolist()] + [note.kind for note in notes]
    said = [details[nexus] for nexus in episodes[:, 2].tolist()] + [json.dumps(note.detail) for note in notes]
    return OUTCOME_EVENTS.build(
        {
            "event_index": np.arange(len(order), dtype=np.int32),
            "at_ns": at_ns[order] + workload.begin_ns,
            "path_index": np.ma.MaskedArray(paths.astype(np.int32), mask=paths == NONE),
            "request_index": np.ma.MaskedArray(requests.astype(np.int32), mask=requests == NONE),
            "kind": np.array(kinds, object)[order].tolist(),
            "detail": np.array(said, object)[order].tolist(),
        }
    )


def _index(number: int | None) -> int:
    return NONE if number is None else number


def _without_attempts(workload: Workload, world: World) -> World:
    """The world without the rows of attempts that were given up."""
    count = len(workload)
    return world._replace(requests=world.requests[:count], progress=world.progress[:count])


def _as_application_saw(workload: Workload, world: World) -> World:
    """The world with completions as late as the application saw them.

    Of one that does not think, that is when it asked for the next: the delay behind a completion is the
    initiator's time. What nothing followed is complete with its status.
    """
    if not workload.has_no_think_time:
        return world
    requests, progress = world.requests, world.progress.copy()
    count = len(workload)
    depth = int(world.counters[DEPTH])
    if depth or world.counters[IS_POOLED]:
        # Each completion begins the delay of the next in the list.
        brings = np.arange(count) if depth else np.flatnonzero(requests.follower != NONE)
        brought = np.arange(depth, count) if depth else np.flatnonzero(requests.predecessor != NONE)
        brings = brings[np.argsort(progress.completed_ns[brings], kind="stable")][: len(brought)]
    else:
        brought = np.flatnonzero(requests.predecessor != NONE)
        brings = requests.predecessor[brought]
    progress.completed_ns[brings] += requests.after_ns[brought[: len(brings)]]
    return world._replace(progress=progress)


def _is_completed(workload: Workload, world: World) -> npt.NDArray[np.bool_]:
    """Which requests of the recorded initiators completed, shape (requests,)."""
    is_recorded = workload.host < len(workload.hosts) - workload.neighbours
    found: npt.NDArray[np.bool_] = (world.progress.end == GOOD) & is_recorded
    return found


def figures_of(workload: Workload, network: Network, world: World) -> Figures:
    """The figures of a replay that has ended, of the recorded initiators alone.

    The measures, then shares and utilisation of each path, then waits at the gate and for the window.
    """
    return _figures(workload, network, _as_application_saw(workload, _without_attempts(workload, world)))


def _figures(workload: Workload, network: Network, world: World) -> Figures:
    """The same of a world as the application saw it."""
    is_completed = _is_completed(workload, world)
    progress = world.progress
    measured = measure(
        ready_ns=progress.ready_ns,
        completed_ns=progress.completed_ns,
        is_completed=is_completed,
        order_wait_ns=np.maximum(progress.released_ns - progress.arrived_ns, 0),
        read_bytes=int(workload.read_bytes.sum(where=is_completed)),
        written_bytes=int(workload.write_bytes.sum(where=is_completed)),
    )
    found: dict[str, tuple[float | None, str]] = {
        item.name: (measured[item.name], item.unit) for item in MEASURES
    }
    done = max(int(is_completed.sum()), 1)
    span = (measured["duration_s"] or 0.0) * 1e9
    for index in range(len(network.paths)):
        mine = is_completed & (progress.path == index)
        found[f"path_{index}_request_share"] = float(mine.sum()) / done, "share"
        for way, direction in (("to", world.paths.link_to[index]), ("from", world.paths.link_from[index])):
            busy = float(world.links.busy_ns[direction])
            utilisation = busy / span if span > 0 else None
            found[f"path_{index}_utilisation_{way}_target"] = utilisation, "share"
    held = (progress.sent_ns - progress.dispatched_ns)[is_completed]
    found["window_wait_ns_mean"] = _mean(held), "ns"
    found["window_waited"] = float((held > 0).sum()), "requests"
    found["task_set_full"] = float(progress.retries.sum()), "responses"
    found["failed"] = float(np.isin(progress.end, (REFUSED, FAILED)).sum()), "requests"
    found["broken_sequences"] = float(world.devices.broken_sequences.sum()), "requests"
    found["cache_hits"] = float(world.devices.cache_hits.sum()), "requests"
    found["packets_lost"] = float(world.lanes.lost.sum()), "packets"
    found["data_and_queue_wait_ns_mean"] = (
        _mean((progress.started_ns - progress.released_ns)[is_completed]),
        "ns",
    )
    return found


def _mean(values: Int64s) -> float | None:
    return float(values.mean()) if len(values) else None

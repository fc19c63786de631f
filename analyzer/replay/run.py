"""A replay from beginning to end: calibrate, build the scenario, run the engine, hand over the outcome.

``replay`` is a function of (timeline, scenario, seed); nothing is remembered between runs. The
engine and the policies are compiled when first needed and kept on disk by Numba.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np

from analyzer.compilation import kept_beside_its_sources
from analyzer.errors import UnusableInputError
from analyzer.replay import engine
from analyzer.replay.agreements import agreements_of
from analyzer.replay.event_queue import MAX_SLOTS, EventQueue, empty_queue, grown, post
from analyzer.replay.made import made_network, made_workload
from analyzer.replay.outcome import outcome_of
from analyzer.replay.policies import POLICIES
from analyzer.replay.policies.interface import Choose, Policy, example_arguments
from analyzer.replay.recorded_links import recorded_links
from analyzer.replay.scenario import Pacing, Scenario, Topology, scenario_of
from analyzer.replay.service_times import service_times
from analyzer.replay.state import (
    COMPLETED,
    COUNTERS,
    DEPTH,
    DEVICE,
    ENDED,
    NEXT_IN_LIST,
    NEXT_UNPROMPTED,
    NONE,
    QUEUE_FULL,
    READY,
    REQUEST,
    WRONG_PATH,
    Log,
    World,
    fresh_log,
    fresh_progress,
    records,
)
from analyzer.replay.topology import (
    Network,
    link_records,
    network_of,
    nexus_records,
    path_records,
    scheduler_arrays,
)
from analyzer.replay.workload import Workload, workload_of
from analyzer.tables.folder import Outcome, Timeline

Progress = Callable[[int, int], None]

EVENTS_AT_A_TIME = 2_000_000
EPISODES_KEPT = 100_000
QUEUE_BEGINS_WITH = 4096
HIDDEN_SHARE = 0.05


def replay(
    timeline: Timeline,
    policy: str,
    *,
    pacing: str = "closed",
    seed: int = 0,
    faults: Sequence[str] = (),
    links: Any = None,
    target: Any = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> Outcome:
    """Run the workload of ``timeline`` under ``policy``, given as ``TOPOLOGY/POLICY`` or ``as-recorded``.

    ``links`` and ``target`` override what the recording shows (``scenario.LinkModel``,
    ``TargetModel``, or mappings of their fields). ``progress`` is called with requests completed
    and asked for. ``log`` takes down events and transfers, for checks. Raises UnusableInputError
    for a scenario that makes no sense, or a timeline without commands.
    """
    scenario = scenario_of(policy, pacing=pacing, seed=seed, links=links, target=target)
    if faults:
        raise UnusableInputError("this version replays links that stay up", source="--fault")
    recorded = recorded_links(timeline)
    service = service_times(timeline, recorded)
    workload = workload_of(timeline, recorded, service)
    agreements, windows = agreements_of(timeline)
    network = network_of(scenario, workload, recorded, agreements)
    if scenario.link_count is None and not scenario.is_baseline:
        scenario = scenario.model_copy(update={"link_count": network.link_count})
    world = world_of(scenario, workload, network, log or fresh_log(episodes=EPISODES_KEPT))
    run(world, scenario.declared_policy, progress)
    values = recorded.values + service.values + windows
    return outcome_of(timeline, workload, scenario, network, world, values, _assumptions(scenario, workload))


def prepare() -> None:
    """Compile the engine and every declared policy, or load them from Numba's cache, on one tiny request."""
    workload = made_workload(2, read_bytes=512)
    for policy in POLICIES:
        scenario = Scenario(topology=Topology.MCS, link_count=2, policy=policy.name)
        run(world_of(scenario, workload, made_network(scenario), fresh_log()), policy)


def world_of(scenario: Scenario, workload: Workload, network: Network, log: Log) -> World:
    """The arrays that the engine works on, at the moment before anything happens."""
    schedulers, scope = scheduler_arrays(network, scenario, workload)
    paced = scenario.pacing is Pacing.CLOSED
    predecessor = workload.pacing.predecessor if paced else np.full(len(workload), NONE, np.int32)
    after = np.where(predecessor == NONE, workload.issued_ns, workload.pacing.think_ns)
    if scenario.pacing is Pacing.DEPTH:
        after = np.zeros(len(workload), np.int64)
    follower = np.full(len(workload), NONE, np.int32)
    waiting = np.flatnonzero(predecessor != NONE)
    follower[predecessor[waiting]] = waiting
    service = workload.service_ns
    if scenario.target.service_ns is not None:
        service = np.full(len(workload), scenario.target.service_ns, np.int64)
    nexuses = nexus_records(network, scenario)
    ring = 1 << int(nexuses.window.max()).bit_length()
    counters = np.zeros(COUNTERS, np.int64)
    counters[DEPTH] = scenario.depth or 0
    return World(
        requests=records(
            REQUEST,
            len(workload),
            scope=scope,
            lun=workload.lun_index,
            lba=workload.lba,
            read_bytes=workload.read_bytes,
            write_bytes=workload.write_bytes,
            is_immediate=workload.is_immediate,
            has_own_status=workload.has_own_status,
            sense_bytes=workload.sense_bytes,
            grant_ns=workload.grant_ns,
            turnaround_ns=workload.turnaround_ns,
            service_ns=service,
            recorded_path=workload.recorded_path,
            predecessor=predecessor,
            follower=follower,
            after_ns=after,
        ),
        progress=fresh_progress(len(workload)),
        paths=path_records(network),
        links=link_records(network.links),
        nexuses=nexuses,
        arrived=np.full((len(nexuses), ring), NONE, np.int64),
        devices=records(
            DEVICE, workload.luns, servers=scenario.target.servers, queue_first=NONE, queue_last=NONE
        ),
        schedulers=schedulers,
        log=log,
        unprompted=_unprompted(predecessor, after, scenario),
        options=np.array(scenario.option_values or [0.0], np.float64),
        counters=counters,
    )


def _unprompted(predecessor: Any, after: Any, scenario: Scenario) -> Any:
    """Requests that wait for no other, in order of the time they are asked for."""
    if scenario.pacing is Pacing.DEPTH:
        return np.zeros(0, np.int64)
    free = np.flatnonzero(predecessor == NONE)
    return free[np.argsort(after[free], kind="stable")]


def run(world: World, policy: Policy, progress: Progress | None = None) -> None:
    """Run a world to its end. Every request then has completed; anything else is a broken invariant."""
    choose = compiled(policy)
    reserve = _reserve(world)
    queue = empty_queue(min(MAX_SLOTS, max(QUEUE_BEGINS_WITH, 4 * reserve)))
    queue = _begin(world, queue, reserve)
    total = len(world.requests.scope)
    while True:
        state = engine.run_events(choose, world, queue, reserve, EVENTS_AT_A_TIME)
        if state == QUEUE_FULL:
            queue = grown(queue, min(MAX_SLOTS, 2 * len(queue.at_ns)))
        elif state == WRONG_PATH:
            raise RuntimeError(f"policy {policy.name} named a path that there is not")
        if progress is not None:
            progress(int(world.counters[COMPLETED]), total)
        if state == ENDED:
            break
    if int(world.counters[COMPLETED]) != total:
        raise RuntimeError(f"{int(world.counters[COMPLETED])} of {total} requests completed")


def _begin(world: World, queue: EventQueue, reserve: int) -> EventQueue:
    """Post the requests that come first."""
    depth = int(world.counters[DEPTH])
    if depth == 0:
        if len(world.unprompted):
            first = int(world.unprompted[0])
            world.counters[NEXT_UNPROMPTED] = 1
            post(queue, int(world.requests[first].after_ns), READY, first, 0, 0)
        return queue
    begun = min(depth, len(world.requests.scope))
    queue = grown(queue, min(MAX_SLOTS, len(queue.at_ns) + begun)) if begun > reserve else queue
    for request in range(begun):
        post(queue, 0, READY, request, 0, 0)
    world.counters[NEXT_IN_LIST] = begun
    return queue


def _reserve(world: World) -> int:
    """The most events that one event may post.

    A window full of commands with their unsolicited data, or of commands that pass the gate, or the
    R2Ts of one write.
    """
    ring = world.arrived.shape[1]
    r2ts = int(world.paths.max_outstanding_r2t.max())
    return int(2 * ring + r2ts + 8)


@functools.cache
def compiled(policy: Policy) -> Choose:
    """The policy as a first-class function of the engine's signature; as it is where nothing is compiled."""
    if getattr(numba.config, "DISABLE_JIT", False):
        return policy.choose
    typeof: Any = numba.typeof
    signature = numba.types.int64(*(typeof(argument) for argument in example_arguments()))
    with kept_beside_its_sources(policy.choose):
        function: Choose = numba.cfunc(signature, cache=True)(policy.choose)
    return function


def _assumptions(scenario: Scenario, workload: Workload) -> tuple[str, ...]:
    """What a reader must know before believing the outcome, in whole sentences."""
    linked = int((workload.pacing.predecessor != NONE).sum())
    total = len(workload)
    loops = {
        Pacing.RECORDED: "Open loop: every request is asked for at its recorded time, however slow the "
        "replay is.",
        Pacing.CLOSED: f"Closed loop: {linked} of {total} requests wait for the completion that they "
        "followed in the recording and then for the think time seen; the others are asked for at "
        "their recorded time.",
        Pacing.DEPTH: f"Closed loop: {scenario.depth} requests are outstanding at any time, in recorded "
        "order, "
        "without think times.",
    }
    found = [loops[scenario.pacing]]
    hidden = total - int(workload.pacing.is_exact.sum())
    if scenario.pacing is Pacing.CLOSED and hidden > HIDDEN_SHARE * total:
        found.append(
            f"{hidden} of {total} commands were recorded leaving behind other data, so when they were "
            "asked for is not known; more may have been outstanding than it seems. If the queue "
            "depth is known, pacing depth:N replays it."
        )
    if scenario.target.service_ns is None:
        found.append(
            "Each request is served as long as its task was in the recording, whatever else the device does."
        )
    found.append("Links do not fail, and TCP loses nothing; its acknowledgements take no time on the links.")
    found.append("An initiator writes to a connection first in, first out: commands wait behind data.")
    if not scenario.is_baseline:
        found.append("Every path has a link of its own.")
    return (*found, *workload.assumptions)

"""A replay from beginning to end: calibrate, build the scenario, run the engine, hand over the outcome.

``replay`` is a function of (timeline, scenario, seed); nothing is remembered between runs. The
engine and the policies are compiled when first needed and kept on disk by Numba.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from analyzer.errors import UnusableInputError
from analyzer.replay import engine
from analyzer.replay.assumptions import assumptions_of
from analyzer.replay.calibrated import Confidence
from analyzer.replay.calibration import Calibration, calibration_of
from analyzer.replay.event_queue import MAX_SLOTS, EventQueue, empty_queue, grown, post
from analyzer.replay.failover import Failover
from analyzer.replay.faults import Fault, fault_of
from analyzer.replay.given import NOTHING_GIVEN, Given
from analyzer.replay.made import made_network, made_workload
from analyzer.replay.outcome import figures_of, outcome_of
from analyzer.replay.path_recovery import recovery_for
from analyzer.replay.policies import POLICY_BY_NAME
from analyzer.replay.recorded_recovery import with_recorded_timers
from analyzer.replay.recovery import Recovery, recovery_of
from analyzer.replay.repeats import Figures, repeats_of, with_repeats
from analyzer.replay.rules import rules_of
from analyzer.replay.scenario import Pacing, Scenario
from analyzer.replay.state import (
    BIN_NS,
    CALL,
    CALL_AT,
    CALLED,
    COMPLETED,
    COUNTERS,
    DEPTH,
    ENDED,
    FAR_NS,
    FIRST_BIN_NS,
    FLIGHT_FACTS,
    FLIGHTS,
    IS_POOLED,
    IS_TASK_BY_DATA,
    NEXT_DUE,
    NEXT_IN_LIST,
    NEXT_TO_ASK,
    NEXT_UNPROMPTED,
    NONE,
    NOW_NS,
    QUEUE_FULL,
    REACHED,
    READY,
    REQUEST,
    REQUESTS,
    SEED,
    SIMPLE,
    USAGE_BINS,
    WRONG_PATH,
    Int64s,
    World,
    fresh_log,
    fresh_progress,
    records,
)
from analyzer.replay.topology import (
    Network,
    device_records,
    lane_records,
    link_records,
    network_of,
    nexus_records,
    path_records,
    schedulers_of,
    task_set_records,
)
from analyzer.replay.words import scenario_of
from analyzer.replay.workload import Workload, peak_share, with_neighbours
from analyzer.tables.folder import Outcome, Timeline

Progress = Callable[[int, int], None]

EVENTS_AT_A_TIME = 2_000_000
EPISODES_KEPT = 100_000
QUEUE_BEGINS_WITH = 4096


def replay(
    timeline: Timeline,
    policy: str | Scenario,
    *,
    pacing: str = "closed",
    seed: int = 0,
    faults: Sequence[str | Fault] = (),
    recovery: str | Recovery | None = None,
    neighbours: int = 0,
    links: Any = None,
    target: Any = None,
    given: Given = NOTHING_GIVEN,
    repeats: int | None = None,
    progress: Progress | None = None,
    log: Int64s | None = None,
) -> Outcome:
    """Run the workload of ``timeline`` under ``policy``: ``TOPOLOGY/POLICY``, ``as-recorded`` or a Scenario.

    A Scenario (``scenario_files.read_scenarios`` gives them) carries its own pacing, seed, links and target.
    ``given`` is what is known of the recording itself, and its calibration rests on it.
    ``faults`` (as behind ``--fault``) strike while it runs, ``recovery`` (as behind ``--recovery``) has the
    timers; ``neighbours`` more initiators share the logical units. A scenario's own go before.
    ``links`` and ``target`` override what the recording shows (``scenario.LinkModel``,
    ``TargetModel``, or mappings of their fields). ``repeats`` is how often it is replayed again with what is
    uncertain drawn anew, which gives figures their intervals; None is by the number of requests.
    ``progress`` is called with requests completed and asked for, of the first replay. ``log`` takes down
    events and transfers, for checks. Raises UnusableInputError for a scenario that makes no sense, or a
    timeline without commands.
    """
    scenario = policy
    if not isinstance(scenario, Scenario):
        scenario = scenario_of(scenario, pacing=pacing, seed=seed, links=links, target=target)
    scenario = disturbed(scenario, faults, recovery, neighbours)
    calibration = calibration_of(timeline, given)
    (outcome,) = _each(timeline, calibration, [scenario], repeats, progress, log)
    return outcome


def replay_all(
    timeline: Timeline,
    policies: Sequence[str | Scenario],
    *,
    pacing: str = "closed",
    seed: int = 0,
    given: Given = NOTHING_GIVEN,
    faults: Sequence[str | Fault] = (),
    recovery: str | Recovery | None = None,
    neighbours: int = 0,
    repeats: int | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """One outcome for each of ``policies``, in order, on all cores; as ``replay`` does one by one.

    The engine holds no lock of Python while it runs, so threads suffice. ``progress`` is called with
    outcomes done and asked for. The recorded topology is the baseline and replayed without faults.
    """
    scenarios = [
        one if isinstance(one, Scenario) else scenario_of(one, pacing=pacing, seed=seed) for one in policies
    ]
    scenarios = [
        one if one.is_baseline else disturbed(one, faults, recovery, neighbours) for one in scenarios
    ]
    outcomes = []
    for outcome in replay_each(timeline, scenarios, given, repeats):
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(scenarios))
    return outcomes


def disturbed(
    scenario: Scenario, faults: Sequence[str | Fault], recovery: str | Recovery | None, neighbours: int
) -> Scenario:
    """The scenario with faults, their recovery and neighbours, where it has none of its own.

    Raises UnusableInputError for words that make no sense.
    """
    more: dict[str, Any] = {}
    if faults and not scenario.faults:
        more["faults"] = tuple(fault_of(fault) for fault in faults)
    if recovery is not None and scenario.recovery is None:
        more["recovery"] = recovery_of(recovery) if isinstance(recovery, str) else recovery
    if neighbours and not scenario.neighbours:
        more["neighbours"] = neighbours
    return scenario.model_copy(update=more) if more else scenario


def replay_each(
    timeline: Timeline,
    scenarios: Sequence[Scenario],
    given: Given = NOTHING_GIVEN,
    repeats: int | None = None,
) -> Iterator[Outcome]:
    """The same, one after the other: no more outcomes than cores are held for who takes them."""
    yield from replay_from(timeline, calibration_of(timeline, given), scenarios, repeats)


def replay_from(
    timeline: Timeline,
    calibration: Calibration,
    scenarios: Sequence[Scenario],
    repeats: int | None = None,
) -> Iterator[Outcome]:
    """The same from what was taken from the timeline before."""
    prepare(scenarios)
    yield from _each(timeline, calibration, scenarios, repeats)


def _each(
    timeline: Timeline,
    calibration: Calibration,
    scenarios: Sequence[Scenario],
    repeats: int | None,
    progress: Progress | None = None,
    log: Int64s | None = None,
) -> Iterator[Outcome]:
    """One outcome with its repeats for each scenario, in order, over all cores."""
    count = repeats_of(repeats, len(calibration.workload))
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    running: deque[_Running] = deque()
    try:
        for scenario in scenarios:
            outcome = pool.submit(_outcome, timeline, calibration, scenario, progress, log)
            repeated = [
                pool.submit(_repeat, timeline, calibration, scenario, number)
                for number in range(1, count + 1)
            ]
            running.append(_Running(outcome, repeated, calibration.draws.digest(scenario.seed)))
            if len(running) > cores:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Running(NamedTuple):
    """An outcome with its repeats on their way; ``draws`` names what these draw."""

    outcome: Future[Outcome]
    repeats: list[Future[Figures]]
    draws: str

    def result(self) -> Outcome:
        """The outcome with its repeats, once all have ended."""
        return with_repeats(self.outcome.result(), [one.result() for one in self.repeats], self.draws)


class _Replayed(NamedTuple):
    """A replay that has ended: what was replayed, and how it came out."""

    workload: Workload
    scenario: Scenario
    network: Network
    world: World
    failover: Failover | None


def _replayed(
    timeline: Timeline,
    calibration: Calibration,
    scenario: Scenario,
    progress: Progress | None = None,
    log: Int64s | None = None,
) -> _Replayed:
    scenario = _as_driven(scenario, calibration.workload)
    workload = with_neighbours(calibration.workload, scenario.neighbours)
    network = network_of(scenario, workload, calibration.recorded, calibration.agreements)
    if scenario.link_count is None and not scenario.is_baseline:
        scenario = scenario.model_copy(update={"link_count": network.link_count})
    world = world_of(scenario, workload, network, fresh_log(episodes=EPISODES_KEPT) if log is None else log)
    failover = None
    if scenario.faults or (scenario.target.q_err and workload.ends_in_check.any()):
        recovery = with_recorded_timers(recovery_for(scenario), timeline)
        scenario = scenario.model_copy(update={"recovery": recovery})
        peak = peak_share(timeline, calibration.workload)
        failover = Failover(scenario, network, peak_share=peak, cannot_repeat=workload.cannot_repeat)
    return _Replayed(workload, scenario, network, run(world, scenario, progress, failover), failover)


def _outcome(
    timeline: Timeline,
    calibration: Calibration,
    scenario: Scenario,
    progress: Progress | None = None,
    log: Int64s | None = None,
) -> Outcome:
    found = _replayed(timeline, calibration, scenario, progress, log)
    assumed = assumptions_of(found.scenario, found.network, found.workload, found.failover)
    return outcome_of(
        timeline,
        found.workload,
        found.scenario,
        found.network,
        found.world,
        calibration.values,
        assumed,
        found.failover,
    )


def _repeat(timeline: Timeline, calibration: Calibration, scenario: Scenario, number: int) -> Figures:
    """The figures of the scenario with draw ``number`` of what is uncertain."""
    workload, recorded = calibration.draws.drawn(scenario.seed, number)
    drawn = replace(calibration, workload=workload, recorded=recorded)
    scenario = scenario.model_copy(update={"seed": calibration.draws.seed_of(scenario.seed, number)})
    found = _replayed(timeline, drawn, scenario, log=fresh_log())
    return figures_of(found.workload, found.network, found.world)


def _as_driven(scenario: Scenario, workload: Workload) -> Scenario:
    """The baseline keeps the queue depth of the recording where that is known; another would be no check."""
    is_known = workload.queue_depth.value.confidence is not Confidence.LOW
    if not (scenario.is_baseline and scenario.pacing is Pacing.DEPTH and is_known):
        return scenario
    return scenario.model_copy(update={"pacing": Pacing.CLOSED, "depth": None})


def prepare(scenarios: Sequence[str | Scenario] = ("mcs:2/round-robin",)) -> None:
    """Compile the engine and the policies of ``scenarios``, or load them, on a tiny workload."""
    workload = made_workload(2, read_bytes=512)
    done: set[tuple[str, str]] = set()
    for one in scenarios:
        scenario = one if isinstance(one, Scenario) else scenario_of(one)
        if (scenario.policy, scenario.inner_policy) not in done:
            done.add((scenario.policy, scenario.inner_policy))
            world = world_of(scenario, workload, made_network(scenario), fresh_log())
            run(world, scenario)


def world_of(scenario: Scenario, workload: Workload, network: Network, log: Int64s) -> World:
    """The arrays that the engine works on, at the moment before anything happens."""
    schedulers = schedulers_of(network, scenario, workload)
    waits = _waits(workload, scenario)
    after = waits.after_ns
    if scenario.time_scale != 1:
        after = np.rint(after * scenario.time_scale).astype(np.int64)
    service = workload.service_ns
    if scenario.target.service_ns is not None:
        service = np.full(len(workload), scenario.target.service_ns, np.int64)
    nexuses = nexus_records(network, scenario)
    ring = 1 << int(nexuses.window.max()).bit_length()
    counters = np.zeros(COUNTERS, np.int64)
    counters[DEPTH] = scenario.depth or 0
    counters[SEED] = scenario.seed
    counters[BIN_NS] = FIRST_BIN_NS
    counters[REQUESTS] = len(workload)
    counters[CALL] = counters[CALL_AT] = NONE
    counters[IS_POOLED] = waits.is_pooled
    counters[IS_TASK_BY_DATA] = scenario.target.tasks_begin == "with-data"
    following = np.full(len(workload), NONE, np.int32)
    unprompted = np.flatnonzero(waits.is_unprompted)
    counters[NEXT_UNPROMPTED] = _chain(unprompted[np.argsort(after[unprompted], kind="stable")], following)
    if waits.is_pooled:
        counters[NEXT_IN_LIST] = _chain(np.flatnonzero(~waits.is_unprompted), following)
        counters[NEXT_TO_ASK] = counters[NEXT_IN_LIST]
    links = link_records(network.links)
    outer_scopes = workload.luns if scenario.is_by_session else len(workload.hosts)
    return World(
        requests=records(
            REQUEST,
            len(workload),
            scope=schedulers.scope,
            lun=workload.lun_index,
            device_index=workload.device,
            lba=workload.lba,
            blocks=workload.blocks,
            attribute=workload.attribute if scenario.target.attributes == "honoured" else SIMPLE,
            read_bytes=workload.read_bytes,
            write_bytes=workload.write_bytes,
            is_immediate=workload.is_immediate,
            has_own_status=workload.has_own_status,
            is_check=workload.ends_in_check if scenario.target.q_err else 0,
            sense_bytes=workload.sense_bytes,
            grant_ns=workload.grant_ns,
            turnaround_ns=workload.turnaround_ns,
            service_ns=service,
            recorded_path=workload.recorded_path,
            predecessor=waits.predecessor,
            follower=waits.follower,
            next_unprompted=following,
            after_ns=after,
        ),
        progress=fresh_progress(len(workload)),
        paths=path_records(network, scenario, outer_scopes),
        links=links,
        lanes=lane_records(network, scenario),
        flights=np.zeros((2 * len(network.paths), FLIGHT_FACTS, int(FLIGHTS)), np.int64),
        nexuses=nexuses,
        arrived=np.full((len(nexuses), ring), NONE, np.int64),
        devices=device_records(scenario, workload),
        task_sets=task_set_records(scenario, workload, len(nexuses)),
        attentions=np.zeros((len(nexuses), workload.devices), np.int8),
        scopes=schedulers.scopes,
        members=schedulers.members,
        memory=schedulers.memory,
        options=_options(scenario),
        busy_ns=np.zeros((len(links), USAGE_BINS), np.int64),
        log=log,
        counters=counters,
    )


class _Waits(NamedTuple):
    """What each request waits for, shape (requests,): nothing, a predecessor, or where pooled its turn.

    ``follower`` is NONE for a request whose completion brings no other. ``after_ns`` is how long a request
    thinks behind what it waits for; of an unprompted one when it is asked for.
    """

    predecessor: Any
    follower: Any
    after_ns: Any
    is_unprompted: Any
    is_pooled: bool


def _waits(workload: Workload, scenario: Scenario) -> _Waits:
    """The waits of a pacing. Pooled requests take their turn at any completion, to keep the depth."""
    count = len(workload)
    predecessor, follower = np.full(count, NONE, np.int32), np.full(count, NONE, np.int32)
    usual, issued, think = workload.queue_depth, workload.issued_ns, workload.pacing.think_ns
    if scenario.pacing is Pacing.DEPTH:
        return _Waits(predecessor, follower, np.full(count, usual.think_ns), np.zeros(count, np.bool_), False)
    if scenario.pacing is Pacing.RECORDED:
        return _Waits(predecessor, follower, issued, np.ones(count, np.bool_), False)
    waits_for_none = workload.pacing.predecessor == NONE
    if usual.depth is None:
        predecessor = workload.pacing.predecessor
        waiting = np.flatnonzero(~waits_for_none)
        follower[predecessor[waiting]] = waiting
        return _Waits(predecessor, follower, np.where(waits_for_none, issued, think), waits_for_none, False)
    moves_data = workload.read_bytes + workload.write_bytes > 0
    begun = int(np.searchsorted(np.cumsum(moves_data), usual.depth)) + 1
    is_first = np.arange(count) < begun
    think = np.where(waits_for_none, usual.think_ns, think)
    # In a pool only NONE or not matters: who waits, and whose completion brings the next.
    predecessor[~is_first] = 0
    follower[moves_data | ~is_first] = 0
    after = np.where(is_first, usual.begun(issued, moves_data), think)
    return _Waits(predecessor, follower, after, is_first, True)


def _chain(members: Any, following: Any) -> int:
    """Write into ``following`` what comes behind each of ``members``, and give the first of them or NONE."""
    following[members[:-1]] = members[1:]
    return int(members[0]) if len(members) else NONE


def _options(scenario: Scenario) -> Any:
    """The options of both policies, shape (2, options of the one that has more)."""
    both = (scenario.option_values, scenario.inner_option_values)
    options = np.zeros((2, max(1, *map(len, both))), np.float64)
    for row, values in zip(options, both, strict=True):
        row[: len(values)] = values
    return options


def run(
    world: World, scenario: Scenario, progress: Progress | None = None, failover: Failover | None = None
) -> World:
    """Run a world to its end; gives it, with more rows where attempts were given up.

    Every request then has ended; anything else is a broken invariant. Raises UnusableInputError where a
    user's policy names a path that there is not.
    """
    rules = rules_of(scenario)
    reserve = _reserve(world)
    queue = empty_queue(min(MAX_SLOTS, max(QUEUE_BEGINS_WITH, 4 * reserve)))
    queue = _begin(world, queue, reserve)
    if failover is not None:
        failover.begin(world, queue)
    total = int(world.counters[REQUESTS])
    while True:
        until_ns = int(FAR_NS) if failover is None else failover.next_ns()
        state = engine.run_events(rules, world, queue, reserve, EVENTS_AT_A_TIME, until_ns)
        if state == QUEUE_FULL:
            queue = grown(queue, min(MAX_SLOTS, 2 * len(queue.at_ns)))
        elif state == WRONG_PATH:
            _complain_of_choice(scenario, int(world.counters[NOW_NS]))
        if progress is not None:
            progress(int(world.counters[COMPLETED]), total)
        if failover is None:
            if state == ENDED:
                break
        elif state in (CALLED, REACHED, ENDED):
            if not _recover(failover, state, is_over=int(world.counters[COMPLETED]) == total):
                break
            world, queue = failover.world, failover.attempts.queue
        else:
            failover.attempts.queue = queue
    if int(world.counters[COMPLETED]) != total:
        raise RuntimeError(f"{int(world.counters[COMPLETED])} of {total} requests completed")
    return world


def _recover(failover: Failover, state: int, *, is_over: bool) -> bool:
    """Let recovery do what is due now. False where nothing more is to come."""
    if is_over:
        failover.drop_agenda()
        failover.world.counters[CALL] = NONE
        return state == CALLED or bool(failover.attempts.drain())
    if state == CALLED:
        failover.called()
    elif failover.next_ns() < FAR_NS:
        failover.act()
    else:
        return failover.end()
    return True


def _begin(world: World, queue: EventQueue, reserve: int) -> EventQueue:
    """Post the requests that come first."""
    depth = int(world.counters[DEPTH])
    if depth == 0:
        first = int(world.counters[NEXT_UNPROMPTED])
        if first != NONE:
            world.counters[NEXT_UNPROMPTED] = world.requests[first].next_unprompted
            world.progress[first].stream = first
            post(queue, int(world.requests[first].after_ns), READY, first, 0, 0)
        return queue
    begun = min(depth, len(world.requests.scope))
    queue = grown(queue, min(MAX_SLOTS, len(queue.at_ns) + begun)) if begun > reserve else queue
    for stream in range(begun):
        post(queue, 0, NEXT_DUE, stream, 0, 0)
    world.counters[NEXT_TO_ASK] = 0
    world.counters[NEXT_IN_LIST] = begun if begun < len(world.requests.scope) else NONE
    return queue


def _complain_of_choice(scenario: Scenario, now_ns: int) -> None:
    """A policy gave no usable path: the mistake of its author, who is the user or we."""
    wrong = f"names a path that is not there or not usable, {now_ns} ns from the beginning"
    for name in (scenario.policy, scenario.inner_policy):
        if name not in POLICY_BY_NAME:
            raise UnusableInputError(wrong, source=name)
    raise RuntimeError(f"policy {scenario.policy} {wrong}")


def _reserve(world: World) -> int:
    """The most events that one event may post.

    A window full of commands with their unsolicited data, or of commands that pass the gate and let
    their connections be read, or the R2Ts of one write.
    """
    ring = world.arrived.shape[1]
    r2ts = int(world.paths.max_outstanding_r2t.max())
    return int(3 * ring + r2ts + 8)

"""Made workloads run through the engine with every checker on; what each test of the replay uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analyzer.replay.checkers import broken_rules
from analyzer.replay.failover import Failover
from analyzer.replay.faults import fault_of
from analyzer.replay.made import WIRE, made_network
from analyzer.replay.recovery import recovery_of
from analyzer.replay.run import run, world_of
from analyzer.replay.scenario import LinkModel, Scenario
from analyzer.replay.state import World, fresh_log
from analyzer.replay.words import scenario_of
from analyzer.replay.workload import Workload


def ideal_link(rate_bps: int, one_way_ns: int = 0, **fields: Any) -> LinkModel:
    """Give a link without packets: every byte of a PDU takes its time, and nothing else does."""
    ideal: dict[str, Any] = {
        "rate_to_target_bps": rate_bps,
        "rate_from_target_bps": rate_bps,
        "delay_to_target_ns": one_way_ns,
        "delay_from_target_ns": one_way_ns,
        "mtu_bytes": 1 << 20,
        "packet_overhead_bytes": 0,
        "header_in_mtu_bytes": 0,
    }
    return LinkModel.model_validate(ideal | fields)


def played(
    workload: Workload,
    words: str,
    links: tuple[LinkModel, ...] = (WIRE,),
    *,
    pacing: str = "closed",
    target: dict[str, Any] | None = None,
    events: int = 0,
    hosts: int = 1,
    **agreed: Any,
) -> World:
    """Run ``workload`` under ``words``; the replay has kept every rule, or this raises."""
    scenario = scenario_of(words, pacing=pacing, target=target)
    return played_in(scenario, workload, links, events=events, hosts=hosts, **agreed)


def played_in(
    scenario: Scenario,
    workload: Workload,
    links: tuple[LinkModel, ...] = (WIRE,),
    *,
    events: int = 0,
    hosts: int = 1,
    **agreed: Any,
) -> World:
    """Run ``workload`` under ``scenario`` with every checker on."""
    network = made_network(scenario, links, hosts=hosts, **agreed)
    transfers = 50 * len(workload) + 100
    log = fresh_log(events=events, transfers=transfers, episodes=1000)
    world = world_of(scenario, workload, network, log)
    world = run(world, scenario, _must_end)
    broken = broken_rules(world)
    assert not broken, broken
    return world


def disturbed(
    workload: Workload,
    words: str,
    faults: Sequence[str],
    recovery: str | None = None,
    links: tuple[LinkModel, ...] = (WIRE,),
    *,
    pacing: str = "closed",
    target: dict[str, Any] | None = None,
    hosts: int = 1,
    cannot_repeat: Any = None,
    processor_ns: int = 0,
    **agreed: Any,
) -> tuple[World, Failover]:
    """Run ``workload`` while ``faults`` strike; the replay has kept every rule, or this raises."""
    scenario = scenario_of(
        words,
        pacing=pacing,
        target=target,
        faults=tuple(fault_of(fault) for fault in faults),
        recovery=None if recovery is None else recovery_of(recovery),
        processor_ns=processor_ns,
    )
    network = made_network(scenario, links, hosts=hosts, **agreed)
    world = world_of(scenario, workload, network, fresh_log(transfers=100 * len(workload) + 1000))
    failover = Failover(scenario, network, cannot_repeat=cannot_repeat)
    _calls.clear()
    world = run(world, scenario, _must_end_soon, failover)
    broken = broken_rules(world)
    assert not broken, broken
    return world, failover


def _must_end_soon(completed: int, asked: int) -> None:
    """Called at each moment of recovery; a run has not that many."""
    if completed < asked:
        _calls.append(completed)
    else:
        _calls.clear()
    assert len(_calls) < 100_000, f"the replay goes on for ever at {completed} of {asked} requests"


_calls: list[int] = []


def _must_end(completed: int, asked: int) -> None:
    """No made workload has as many events as the engine works off between two calls."""
    assert completed == asked, f"the replay goes on for ever at {completed} of {asked} requests"

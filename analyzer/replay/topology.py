"""Which paths there are, on which links, and over what set CmdSN order is kept: the scenario made concrete.

MC/S and MPIO differ here and nowhere else: one nexus over all paths of a host, or one for each. What the
scenario leaves open is taken from the recording, path by path. Makes the arrays that the engine works on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.replay.agreements import Agreement
from analyzer.replay.recorded_links import DEFAULT_MTU_BYTES, RecordedLinks
from analyzer.replay.scenario import LinkModel, Scenario, Topology
from analyzer.replay.state import (
    GATE_IN_ORDER,
    GATE_NONE,
    LINK,
    NEXUS,
    NONE,
    PATH,
    WINDOW_BY_ARRIVAL,
    WINDOW_BY_COMPLETION,
    Schedulers,
    records,
)
from analyzer.replay.workload import Workload

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TopologyForm:
    """How a topology is written in ``--with``, and what it is."""

    form: str
    sentence: str


TOPOLOGIES: tuple[TopologyForm, ...] = (
    TopologyForm("single", "One session with one connection on one link."),
    TopologyForm("mcs:N", "One session with a connection on each of N links: one CmdSN order over all."),
    TopologyForm("mpio:N", "A session on each of N links: a CmdSN order for each."),
    TopologyForm("as-recorded", "The recorded sessions, connections and paths: the baseline."),
)


@dataclass(frozen=True, slots=True)
class Path:
    """One path before it becomes a row of arrays. ``nexus`` and ``link`` count over all hosts."""

    name: str
    host: int
    nexus: int
    link: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Network:
    """The paths and links of a scenario with nothing left open. ``link_count`` is paths of the first host."""

    paths: tuple[Path, ...]
    links: tuple[LinkModel, ...]
    link_count: int


def network_of(
    scenario: Scenario, workload: Workload, recorded: RecordedLinks, agreements: tuple[Agreement, ...]
) -> Network:
    """The paths of every host. ``agreements`` has one entry for each connection of the timeline."""
    if scenario.is_baseline:
        return _recorded_network(scenario, workload, recorded, agreements)
    paths: list[Path] = []
    links: list[LinkModel] = []
    nexuses = 0
    for index, host in enumerate(workload.hosts):
        count = scenario.link_count or host.concurrent
        several = f" of {host.name}" if len(workload.hosts) > 1 else ""
        for place in range(count):
            connection = host.connections[place % len(host.connections)]
            link = _link(scenario, place, recorded, int(recorded.link_of_connection[connection]))
            what = "session" if scenario.topology is Topology.MPIO else "connection"
            paths.append(
                Path(
                    f"{scenario.topology} {what} {place}{several}",
                    index,
                    nexuses + (place if scenario.topology is Topology.MPIO else 0),
                    len(links),
                    agreements[connection],
                )
            )
            links.append(link)
        nexuses += count if scenario.topology is Topology.MPIO else 1
    first = sum(path.host == 0 for path in paths)
    return Network(tuple(paths), tuple(links), first)


def _recorded_network(
    scenario: Scenario, workload: Workload, recorded: RecordedLinks, agreements: tuple[Agreement, ...]
) -> Network:
    """Every recorded connection that carried tasks; connections between the same addresses share a link."""
    links = tuple(_link(scenario, link, recorded, link) for link in range(len(recorded.names)))
    sessions: dict[int, int] = {}
    paths = []
    for index, host in enumerate(workload.hosts):
        for connection in host.connections:
            agreement = agreements[connection]
            nexus = sessions.setdefault(agreement.session_index, len(sessions))
            name = f"session {agreement.session_index} connection {connection}"
            link = int(recorded.link_of_connection[connection])
            paths.append(Path(name, index, nexus, link, agreement))
    return Network(tuple(paths), links, sum(path.host == 0 for path in paths))


def _link(scenario: Scenario, place: int, recorded: RecordedLinks, link: int) -> LinkModel:
    """The model of one link: as given, else as recorded."""
    given = scenario.links[place % len(scenario.links)]
    delay = int(recorded.rtt_ns[link]) // 2
    found = {
        "rate_to_target_bps": int(recorded.rate_to_target_bps[link]),
        "rate_from_target_bps": int(recorded.rate_from_target_bps[link]),
        "delay_to_target_ns": delay,
        "delay_from_target_ns": delay,
        "mtu_bytes": int(recorded.mtu_bytes[link]),
    }
    return given.model_copy(
        update={name: value for name, value in found.items() if getattr(given, name) is None}
    )


def path_records(network: Network) -> Any:
    """What was agreed on each path, as records."""
    links = np.array([path.link for path in network.paths])
    shared = [name for name in PATH.names or () if name not in ("nexus", "link_to", "link_from")]
    return records(
        PATH,
        len(network.paths),
        nexus=[path.nexus for path in network.paths],
        link_to=2 * links,
        link_from=2 * links + 1,
        **{name: [getattr(path.agreement, name) for path in network.paths] for name in shared},
    )


def link_records(models: tuple[LinkModel, ...]) -> Any:
    """Both directions of each link, the one towards the target first."""
    made = records(LINK, 2 * len(models))
    for place, model in enumerate(models):
        mtu = model.mtu_bytes or DEFAULT_MTU_BYTES
        for direction, rate, delay in (
            (made[2 * place], model.rate_to_target_bps or 0, model.delay_to_target_ns),
            (made[2 * place + 1], model.rate_from_target_bps or 0, model.delay_from_target_ns),
        ):
            direction.rate_bps = rate
            direction.delay_ns = delay or 0
            direction.credit_ns = model.bucket_bytes * 8_000_000_000 // rate if rate else 0
            direction.segment_bytes = max(1, mtu - model.header_in_mtu_bytes)
            direction.packet_overhead_bytes = model.packet_overhead_bytes
    return made


def nexus_records(network: Network, scenario: Scenario) -> Any:
    """The ordering gate and command window of each nexus."""
    first_of: dict[int, Path] = {}
    for path in network.paths:
        first_of.setdefault(path.nexus, path)
    agreements = [first_of[nexus].agreement for nexus in sorted(first_of)]
    window = np.array([scenario.target.window or one.window for one in agreements])
    rules = {"arrival": WINDOW_BY_ARRIVAL, "completion": WINDOW_BY_COMPLETION}
    return records(
        NEXUS,
        len(agreements),
        window=window,
        window_rule=[rules[scenario.target.window_follows or one.window_follows] for one in agreements],
        gate=GATE_IN_ORDER if scenario.target.gate == "in-order" else GATE_NONE,
        known_max_cmd_sn=window - 1,
        max_cmd_sn=window - 1,
        held_first=NONE,
        held_last=NONE,
    )


def scheduler_arrays(network: Network, scenario: Scenario, workload: Workload) -> tuple[Schedulers, Int32s]:
    """The scopes of the policy, and the scope of each request, shape (requests,).

    An MC/S policy belongs to the session, a multipath policy to the logical unit (dm-multipath
    maps, Windows MPIO disks); the recorded paths need no scope of their own.
    """
    by_lun = scenario.topology is Topology.MPIO
    hosts = range(len(workload.hosts))
    first = {host: next(i for i, path in enumerate(network.paths) if path.host == host) for host in hosts}
    count = {host: sum(path.host == host for path in network.paths) for host in hosts}
    if by_lun:
        scope = workload.lun_index.astype(np.int32)
        owner = np.zeros(workload.luns, np.int32)
        owner[workload.lun_index] = workload.host
    else:
        scope = workload.host.astype(np.int32)
        owner = np.arange(len(workload.hosts), dtype=np.int32)
    widest = max(count.values())
    words = max(1, scenario.declared_policy.memory_words(widest))
    scopes = len(owner)
    return Schedulers(
        first_path=np.array([first[int(host)] for host in owner], np.int64),
        path_count=np.array([count[int(host)] for host in owner], np.int64),
        is_usable=np.ones((scopes, widest), np.int8),
        outstanding=np.zeros((scopes, widest), np.int64),
        outstanding_bytes=np.zeros((scopes, widest), np.int64),
        memory=np.zeros((scopes, words), np.int64),
    ), scope

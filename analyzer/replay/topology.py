"""Which paths there are, on which links, and over what set CmdSN order is kept: the scenario made concrete.

MC/S and MPIO differ here and nowhere else: one nexus over all paths of a host, or one for each. What the
scenario leaves open is taken from the recording, path by path. Makes the arrays that the engine works on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.replay.agreements import Agreement, renegotiated
from analyzer.replay.bonds import bond_link, further_connection, striped
from analyzer.replay.congestion import INITIAL_WINDOW_SEGMENTS, begin_window
from analyzer.replay.recorded_links import DEFAULT_MTU_BYTES, Endpoints, RecordedLinks
from analyzer.replay.scenario import BondMode, LinkModel, OptionValue, Scenario, path_values
from analyzer.replay.state import (
    DEVICE,
    FLIGHTS,
    GATES,
    LANE,
    LINK,
    MEMBER,
    NEVER,
    NEXUS,
    NONE,
    PATH,
    SCOPE,
    SIMPLE,
    TASK_SET,
    WINDOW_BY_ARRIVAL,
    WINDOW_BY_COMPLETION,
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
    TopologyForm("mpio:Nxmcs:M", "N sessions of M connections, each on a link of its own."),
    TopologyForm(
        "bond:N[:MODE]",
        "N links under one address, MODE balance-rr, active-backup, layer2 (802.3ad), layer2+3 or layer3+4; "
        "with xmpio:S, xmcs:C or both behind it for more than one connection.",
    ),
    TopologyForm("as-recorded", "The recorded sessions, connections and paths: the baseline."),
)


@dataclass(frozen=True, slots=True)
class Path:
    """One path before it becomes a row of arrays. ``nexus`` and ``link`` count over all hosts.

    ``striped_links`` is how many links a balance-rr bond stripes the connection over; 0 for none.
    """

    name: str
    host: int
    nexus: int
    link: int
    agreement: Agreement
    striped_links: int = 0


@dataclass(frozen=True, slots=True)
class Network:
    """The paths and links of a scenario with nothing left open.

    The paths of a host are in order of session, then of connection. ``link_count`` is links (or for a
    bond, those bonded) of the first host.
    """

    paths: tuple[Path, ...]
    links: tuple[LinkModel, ...]
    link_count: int


def network_of(
    scenario: Scenario, workload: Workload, recorded: RecordedLinks, agreements: tuple[Agreement, ...]
) -> Network:
    """The paths of every host. ``agreements`` has one entry for each connection of the timeline."""
    agreements = tuple(renegotiated(one, scenario.negotiated) for one in agreements)
    if scenario.is_baseline:
        return _recorded_network(scenario, workload, recorded, agreements)
    ends = []
    for host in workload.hosts:
        of_host = []
        sessions, connections = scenario.shape(host.concurrent)
        for place in range(max(sessions * connections, scenario.link_count or 0)):
            connection = host.connections[place % len(host.connections)]
            link = _link(scenario, place, recorded, int(recorded.link_of_connection[connection]))
            opened = recorded.endpoints[connection]
            later = place // len(host.connections)
            of_host.append(End(agreements[connection], link, further_connection(opened, later)))
        ends.append(of_host)
    several = len(workload.hosts) > 1
    names = [f" of {host.name}" if several else "" for host in workload.hosts]
    return laid_out(scenario, ends, names)


@dataclass(frozen=True, slots=True)
class End:
    """What place number n of a host would be: its agreement, its link, and its addresses and ports."""

    agreement: Agreement
    link: LinkModel
    endpoints: Endpoints


def laid_out(scenario: Scenario, ends: list[list[End]], suffixes: list[str]) -> Network:
    """The sessions and connections of every host over its links; ``ends`` are given host by host."""
    paths: list[Path] = []
    links: list[LinkModel] = []
    nexuses = 0
    for host, of_host in enumerate(ends):
        sessions, connections = scenario.shape(len(of_host))
        first_link = 0 if scenario.are_links_shared else len(links)
        if not scenario.are_links_shared or not links:
            links += _links_of_host(scenario, [end.link.on_a_wire for end in of_host])
        for place in range(sessions * connections):
            end = of_host[place]
            session = place // connections
            link, striped_links = place, 0
            if scenario.bond_mode is not None:
                count = scenario.link_count or 1
                link = bond_link(scenario.bond_mode, end.endpoints, count)
                striped_links = count if scenario.bond_mode is BondMode.BALANCE_RR else 0
            paths.append(
                Path(
                    _path_name(scenario, place, connections) + suffixes[host],
                    host,
                    nexuses + session,
                    first_link + link,
                    end.agreement,
                    striped_links,
                )
            )
        nexuses += sessions
    first = scenario.link_count or sum(path.host == 0 for path in paths)
    return Network(tuple(paths), tuple(links), first)


def _links_of_host(scenario: Scenario, links: list[LinkModel]) -> list[LinkModel]:
    sessions, connections = scenario.shape(len(links))
    if scenario.bond_mode is None:
        return links[: sessions * connections]
    bonded = tuple(links[: scenario.link_count])
    return [striped(bonded)] if scenario.bond_mode is BondMode.BALANCE_RR else list(bonded)


def _path_name(scenario: Scenario, place: int, connections: int) -> str:
    if scenario.is_nested:
        return f"{scenario.topology} session {place // connections} connection {place % connections}"
    what = "session" if scenario.is_by_session else "connection"
    return f"{scenario.topology} {what} {place}"


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
        "packet_overhead_bytes": int(recorded.overhead_bytes[link]),
        "header_in_mtu_bytes": int(recorded.header_bytes[link]),
        "bucket_bytes": int(recorded.bucket_bytes[link]),
        "packets_per_ack": int(recorded.packets_per_ack[link]),
        "queue_to_target_bytes": int(recorded.queue_to_target_bytes[link]),
        "queue_from_target_bytes": int(recorded.queue_from_target_bytes[link]),
    }
    return given.model_copy(
        update={name: value for name, value in found.items() if getattr(given, name) is None}
    )


def path_records(network: Network, scenario: Scenario, first_inner_scope: int) -> Any:
    """What was agreed on each path, as records."""
    links = np.array([path.link for path in network.paths])
    nexus = np.array([path.nexus for path in network.paths])
    shared = [name for name in PATH.names or () if name in Agreement.__dataclass_fields__]
    return records(
        PATH,
        len(network.paths),
        nexus=nexus,
        link_to=2 * links,
        link_from=2 * links + 1,
        inner_scope=first_inner_scope + nexus if scenario.is_nested else NONE,
        blocked_by=NONE,
        unread_first=NONE,
        unread_last=NONE,
        **{name: [getattr(path.agreement, name) for path in network.paths] for name in shared},
    )


def link_records(models: tuple[LinkModel, ...]) -> Any:
    """Both directions of each link, the one towards the target first."""
    made = records(LINK, 2 * len(models), tail_owner=NONE, halted_ns=NEVER)
    for place, model in enumerate(models):
        for direction, rate, delay in (
            (made[2 * place], model.rate_to_target_bps or 0, model.delay_to_target_ns),
            (made[2 * place + 1], model.rate_from_target_bps or 0, model.delay_from_target_ns),
        ):
            direction.rate_bps = direction.full_rate_bps = rate
            direction.delay_ns = direction.least_delay_ns = delay or 0
            direction.credit_ns = (model.bucket_bytes or 0) * 8_000_000_000 // rate if rate else 0
            direction.is_postpaid = model.is_postpaid
            direction.segment_bytes = _segment_bytes(model)
            direction.packet_overhead_bytes = model.packet_overhead_bytes
            direction.packets_per_ack = model.packets_per_ack
    return made


def _segment_bytes(model: LinkModel) -> int:
    return max(1, (model.mtu_bytes or DEFAULT_MTU_BYTES) - (model.header_in_mtu_bytes or 0))


def holds_acknowledgements(model: LinkModel) -> bool:
    """Whether a sender may have to wait for them, which it never has for what fits into its first window."""
    queue_bytes = max(model.queue_to_target_bytes or 0, model.queue_from_target_bytes or 0)
    is_rated = bool(model.rate_to_target_bps and model.rate_from_target_bps)
    return is_rated and queue_bytes > INITIAL_WINDOW_SEGMENTS * _segment_bytes(model)


def lane_records(network: Network, scenario: Scenario) -> Any:
    """What TCP adds to both directions of each path, the one towards the target first."""
    made = records(LANE, 2 * len(network.paths))
    for place, path in enumerate(network.paths):
        model = network.links[path.link]
        round_trip_ns = (model.delay_to_target_ns or 0) + (model.delay_from_target_ns or 0)
        rates = model.rate_to_target_bps or 0, model.rate_from_target_bps or 0
        queues = model.queue_to_target_bytes or 0, model.queue_from_target_bytes or 0
        is_windowed = holds_acknowledgements(model) or model.idle_restart_ns > 0
        for lane, link_rate, queue_bytes in zip(made[2 * place : 2 * place + 2], rates, queues, strict=True):
            if model.window_bytes and round_trip_ns:
                lane.rate_bps = max(1, model.window_bytes * 8_000_000_000 // round_trip_ns)
                lane.credit_ns = round_trip_ns
            if path.striped_links > scenario.reorder_links and link_rate:
                most = int(link_rate * scenario.reorder_links / path.striped_links)
                lane.rate_bps = min(lane.rate_bps or most, most)
            lane.jitter_ns = model.jitter_ns
            lane.loss_per_billion = model.loss_per_billion
            lane.idle_restart_ns = model.idle_restart_ns
            lane.round_trip_ns = round_trip_ns
            lane.segment_bytes = _segment_bytes(model)
            lane.is_windowed = is_windowed
            lane.queue_packets = min(FLIGHTS, max(1, queue_bytes // _segment_bytes(model)))
            lane.is_plain = not (lane.rate_bps or lane.jitter_ns or lane.loss_per_billion or lane.is_windowed)
            begin_window(lane)
            if not (path.agreement.is_opening_seen or lane.idle_restart_ns):
                lane.window_segments = FLIGHTS
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
        gate=GATES[scenario.target.gate],
        known_max_cmd_sn=window - 1,
        max_cmd_sn=window - 1,
        held_first=NONE,
        held_last=NONE,
        processor_ns=scenario.processor_ns,
    )


def device_records(scenario: Scenario, workload: Workload) -> Any:
    """The logical units as the target has them."""
    target = scenario.target
    is_restricted = target.reordering == "restricted"
    is_honouring = target.attributes == "honoured" and bool((workload.attribute != SIMPLE).any())
    return records(
        DEVICE,
        workload.devices,
        servers=servers_of(scenario, workload),
        queue_first=NONE,
        queue_last=NONE,
        depth=target.depth,
        retry_ns=target.retry_ns,
        is_sorting=target.scheduler == "sorting",
        is_ordering=is_restricted or is_honouring,
        seek_ns=target.seek_ns,
        bytes_per_s=target.bytes_per_s,
        cached_ns=target.cached_ns,
        read_ahead_blocks=target.read_ahead_blocks,
        write_cache_bytes=target.write_cache_bytes,
        next_lba=NONE,
    )


def servers_of(scenario: Scenario, workload: Workload) -> tuple[int, ...]:
    """How many requests each device serves at once; 0 for all."""
    target = scenario.target
    if target.servers is not None:
        return (target.servers,) * workload.devices
    return workload.device_servers.servers if target.service_ns is None else (0,) * workload.devices


def task_set_records(scenario: Scenario, workload: Workload, nexuses: int) -> Any:
    """A task set for each logical unit, or where TST says so for each nexus and logical unit."""
    count = workload.devices * (nexuses if scenario.target.task_sets == "per-nexus" else 1)
    return records(
        TASK_SET, count, first=NONE, last=NONE, is_restricted=scenario.target.reordering == "restricted"
    )


class Schedulers(NamedTuple):
    """The scopes, their members and memories, and the scope of each request, shape (requests,)."""

    scopes: Any
    members: Any
    memory: npt.NDArray[np.int64]
    scope: Int32s


def schedulers_of(network: Network, scenario: Scenario, workload: Workload) -> Schedulers:
    """The scopes of the policies.

    An MC/S policy belongs to the session, a multipath policy to the logical unit (dm-multipath
    maps, Windows MPIO disks); the recorded paths need no scope of their own. Where both choose,
    the scopes of the sessions stand behind those of the logical units.
    """
    hosts = range(len(workload.hosts))
    of_host = [[i for i, path in enumerate(network.paths) if path.host == host] for host in hosts]
    if scenario.is_by_session:
        scope = workload.lun_index.astype(np.int32)
        owner = np.zeros(workload.luns, np.int32)
        owner[workload.lun_index] = workload.host
    else:
        scope = workload.host.astype(np.int32)
        owner = np.arange(len(workload.hosts), dtype=np.int32)
    outer = len(owner)
    first = [of_host[host][0] for host in owner]
    count = [len(of_host[host]) for host in owner]
    policies = [(scenario.declared_policy, scenario.policy_options)] * outer
    if scenario.is_nested:
        sessions = [len(paths) // scenario.connections for paths in of_host]
        before = np.concatenate([[0], np.cumsum(sessions)])
        first = [outer + int(before[host]) for host in owner]
        count = [sessions[host] for host in owner]
        first += [place * scenario.connections for place in range(int(before[-1]))]
        count += [scenario.connections] * int(before[-1])
        policies += [(scenario.declared_inner_policy, scenario.inner_policy_options)] * int(before[-1])
    widest = max(count)
    words = max(1, *(policy.memory_words(widest) for policy, _ in policies))
    scopes = len(first)
    members = records(MEMBER, scopes * widest).reshape(scopes, widest)
    members["is_usable"] = [usable_members(options, [True] * widest) for _, options in policies]
    members["value"] = [path_values(policy, options, widest) for policy, options in policies]
    made = records(
        SCOPE,
        scopes,
        first_member=first,
        member_count=count,
        is_outer=[scenario.is_nested and place < outer for place in range(scopes)],
    )
    return Schedulers(made, members, np.zeros((scopes, words), np.int64), scope)


def priorities_of(options: dict[str, OptionValue], count: int) -> list[int]:
    """The priority of each of ``count`` members of a scope; those of one priority are a path group."""
    given = options.get("priorities", ())
    assert isinstance(given, tuple)
    return [*given, *([0] * (count - len(given)))][:count]


def usable_members(options: dict[str, OptionValue], works: list[bool]) -> list[bool]:
    """Which members a policy may use: of those that work, the path group with the highest priority."""
    priorities = priorities_of(options, len(works))
    best = max((one for one, is_alive in zip(priorities, works, strict=True) if is_alive), default=0)
    return [is_alive and one == best for one, is_alive in zip(priorities, works, strict=True)]

"""Workloads and networks made instead of recorded: to warm up the engine, measure it and test it.

Decides nothing about the model; every column that is not given has the plainest value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.replay.agreements import Agreement
from analyzer.replay.answer_order import AnswerOrder
from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.device_servers import DeviceServers
from analyzer.replay.pacing import Pacing
from analyzer.replay.queue_depth import QueueDepth
from analyzer.replay.recorded_links import Endpoints
from analyzer.replay.scenario import LinkModel, Scenario
from analyzer.replay.state import NONE
from analyzer.replay.topology import End, Network, laid_out
from analyzer.replay.workload import Host, Workload

BLOCK_BYTES = 512
FIRST_PORT = 50_000
UNLIMITED = QueueDepth(None, 0, CalibratedValue("queue depth", None, "requests", "made"))
WIRE = LinkModel(
    rate_to_target_bps=10**9,
    rate_from_target_bps=10**9,
    delay_to_target_ns=50_000,
    delay_from_target_ns=50_000,
    mtu_bytes=1500,
)


def made_workload(requests: int, **columns: Any) -> Workload:
    """``requests`` of them, all asked for at once unless ``issued_ns`` or ``predecessor`` say otherwise.

    A column is one value for all, or an array of shape (requests,): ``read_bytes``, ``write_bytes``,
    ``service_ns``, ``grant_ns``,
    ``turnaround_ns``, ``issued_ns``, ``predecessor``, ``think_ns``, ``recorded_path``,
    ``lun_index``, ``device``, ``host``, ``lba``, ``blocks``, ``attribute``, ``is_immediate``,
    ``has_own_status``, ``sense_bytes``, ``ends_in_check``, ``cannot_repeat``. Hosts have logical units of
    their own unless ``device`` says otherwise.
    """

    def column(name: str, kind: Any, default: Any = 0) -> Any:
        return np.broadcast_to(np.asarray(columns.pop(name, default), kind), (requests,)).copy()

    lun_index = column("lun_index", np.int32)
    host = column("host", np.int32)
    device = column("device", np.int32, lun_index)
    read_bytes, write_bytes = column("read_bytes", np.int64), column("write_bytes", np.int64)
    service_ns, devices = column("service_ns", np.int64), int(device.max(initial=0)) + 1
    think_ns = column("think_ns", np.int64)
    hosts = tuple(Host(f"initiator {index}", (index,), 1) for index in range(int(host.max(initial=0)) + 1))
    made = Workload(
        begin_ns=0,
        hosts=hosts,
        task=np.arange(requests),
        host=host,
        lun_index=lun_index,
        luns=int(lun_index.max(initial=0)) + 1,
        lba=column("lba", np.int64),
        device=device,
        devices=devices,
        blocks=column("blocks", np.int64, (read_bytes + write_bytes) // BLOCK_BYTES),
        attribute=column("attribute", np.int8),
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        is_immediate=column("is_immediate", np.bool_),
        has_own_status=column("has_own_status", np.bool_),
        sense_bytes=column("sense_bytes", np.int64),
        ends_in_check=column("ends_in_check", np.bool_),
        service_ns=service_ns,
        grant_ns=column("grant_ns", np.int64),
        turnaround_ns=column("turnaround_ns", np.int64),
        recorded_path=column("recorded_path", np.int32),
        issued_ns=column("issued_ns", np.int64),
        pacing=Pacing(
            column("predecessor", np.int32, NONE),
            think_ns,
            think_ns,
            np.ones(requests, np.bool_),
            np.zeros(requests, np.int64),
        ),
        answer_order=AnswerOrder(None, None, 0, 0),
        queue_depth=UNLIMITED,
        device_servers=DeviceServers((0,) * devices, (0,) * devices, service_ns, ()),
        limits=(),
        assumptions=(),
        cannot_repeat=column("cannot_repeat", np.bool_),
    )
    if columns:
        raise TypeError(f"no column {sorted(columns)}")
    return made


def made_network(
    scenario: Scenario, links: tuple[LinkModel, ...] = (WIRE,), *, hosts: int = 1, **agreed: Any
) -> Network:
    """The paths of ``scenario``, the links used in turn; ``agreed`` are fields of ``Agreement``."""
    count = scenario.link_count or 1
    sessions, connections = scenario.shape(count)
    ends = [
        [
            End(Agreement(session_index=0, **agreed), links[place % len(links)], _endpoints(host, place))
            for place in range(max(count, sessions * connections))
        ]
        for host in range(hosts)
    ]
    return laid_out(scenario, ends, [f" of host {host}" for host in range(hosts)])


def _endpoints(host: int, place: int) -> Endpoints:
    return Endpoints(f"10.0.{host}.1", FIRST_PORT + 2 * place, "10.0.255.1", 3260)

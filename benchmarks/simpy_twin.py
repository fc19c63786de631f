"""The same reduced system in SimPy: reads at a fixed depth over MC/S links, a gate in CmdSN order, a device.

A second opinion on the engine's times, written from the description and not from its code, and the peer that
its speed is measured against. One process for each place of the queue depth.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

HEADER_BYTES = 48


def completion_times(
    read_bytes: int,
    service_ns: npt.NDArray[np.int64],
    *,
    depth: int,
    links: int,
    rate_bps: int,
    delay_ns: int,
) -> npt.NDArray[np.int64]:
    """When each request completes, in ns, shape (requests,): round-robin over equal links.

    A packet holds anything: a command that finds the one before it waiting goes and arrives in its packet.
    """
    environment = simpy.Environment()
    begins, arrives, free = [0] * links, [0] * links, [0] * links
    from_target = [simpy.Resource(environment) for _ in range(links)]
    arrived = [environment.event() for _ in service_ns]
    completed = np.zeros(len(service_ns), np.int64)
    command_ns = HEADER_BYTES * 8 * 10**9 // rate_bps
    data_ns = (HEADER_BYTES + read_bytes) * 8 * 10**9 // rate_bps
    coming = iter(range(len(service_ns)))

    def command(path: int) -> Generator[Any, Any, None]:
        now = int(environment.now)
        begun = max(now, free[path])
        free[path] = begun + command_ns
        if now >= begins[path]:
            begins[path] = begun
            arrives[path] = free[path] + delay_ns
        yield environment.timeout(arrives[path] - now)

    def sent(link: simpy.Resource, taken_ns: int) -> Generator[Any, Any, None]:
        with link.request() as turn:
            yield turn
            yield environment.timeout(taken_ns)

    def place() -> Generator[Any, Any, None]:
        for request in coming:
            path = request % links
            yield from command(path)
            if request:
                yield arrived[request - 1]
            arrived[request].succeed()
            yield environment.timeout(int(service_ns[request]))
            yield from sent(from_target[path], data_ns)
            yield environment.timeout(delay_ns)
            completed[request] = environment.now

    for _ in range(depth):
        environment.process(place())
    environment.run()
    return completed

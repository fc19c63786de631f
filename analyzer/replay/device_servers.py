"""How many commands a device works on at the same time, and what each took once its turn had come.

Where more are with the device than it works on, they wait inside of it, and the time from arrival to answer
grows with the queue. Taken to be served in order of arrival by N servers (G/G/N), the times of
the others tell when each began; N is right where what is left as service scatters least, for waiting
scatters with the queue. A number too small lets commands end before they could begin. Works on plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit
from analyzer.replay.calibrated import CalibratedValue, Confidence

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST_SERVERS = 64
MOST_LOOKED_AT = 20_000
FEWEST_EXACT = 30
EXACT_SHARE = 0.2
FEWEST_WAITING = 0.1
"""Less than this share of commands that waited says nothing of what they waited for."""
SCATTERS_LESS, SCATTERS_MUCH_LESS = 0.75, 0.5
AS_GOOD = 1.15
MOST_TOO_SOON = 0.02
"""So many commands may seem to end before they began: their times are known to some microseconds."""
SHORTEST_TOLD_NS = 200_000
"""Of shorter services the host's own jitter is a part too large to tell waiting from it."""


@dataclass(frozen=True, slots=True)
class DeviceServers:
    """``servers`` has shape (devices,), 0 where it is not sure that commands wait; ``service_ns`` (n,).

    ``most_at_once`` has shape (devices,) too: how many were with the device at most.
    """

    servers: tuple[int, ...]
    most_at_once: tuple[int, ...]
    service_ns: Int64s
    values: tuple[CalibratedValue, ...]


def device_servers(
    arrived_ns: Int64s, took_ns: Int64s, is_exact: Bools, kind: Int64s, device: Int64s, devices: int
) -> DeviceServers:
    """Separate waiting from service, device by device; all arrays of shape (requests,).

    ``took_ns`` is the time from arrival to answer, ``is_exact`` where the capture showed it, ``kind`` one
    number for requests that should take alike.
    """
    service = took_ns.copy()
    servers, deepest, values = [], [], []
    for index in range(devices):
        mine = np.flatnonzero(device == index)
        mine = mine[np.argsort(arrived_ns[mine], kind="stable")]
        found, value = _servers(arrived_ns[mine], took_ns[mine], is_exact[mine], kind[mine], index)
        values.append(value)
        servers.append(found)
        deepest.append(most_at_once(arrived_ns[mine], arrived_ns[mine] + took_ns[mine]))
        if found:
            service[mine] = np.maximum(served_ns(arrived_ns[mine], took_ns[mine], found), 0)
    return DeviceServers(tuple(servers), tuple(deepest), service, tuple(values))


@njit(cache=True, nogil=True)
def served_ns(arrived_ns: Int64s, took_ns: Int64s, servers: int) -> Int64s:
    """What requests in order of arrival took from their turn on; below 0 where one ended before it."""
    free_ns = np.full(servers, np.iinfo(np.int64).min, np.int64)
    service = np.empty(len(arrived_ns), np.int64)
    for request in range(len(arrived_ns)):
        first = 0
        for server in range(1, servers):
            if free_ns[server] < free_ns[first]:
                first = server
        ended_ns = arrived_ns[request] + took_ns[request]
        service[request] = ended_ns - max(arrived_ns[request], free_ns[first])
        free_ns[first] = max(free_ns[first], ended_ns)
    return service


def _servers(
    arrived_ns: Int64s, took_ns: Int64s, is_exact: Bools, kind: Int64s, device: int
) -> tuple[int, CalibratedValue]:
    """The number of servers of one device, 0 where it is not sure that commands wait for one."""
    part = slice(0, MOST_LOOKED_AT)
    arrived_ns, took_ns, is_exact, kind = arrived_ns[part], took_ns[part], is_exact[part], kind[part]
    deepest = most_at_once(arrived_ns, arrived_ns + took_ns)
    at_least = _value(
        device, None, f"up to {deepest} were served at once, and none was seen to wait", deepest
    )
    if is_exact.sum() < max(FEWEST_EXACT, EXACT_SHARE * len(is_exact)) or deepest < 2:
        return 0, at_least if deepest > 1 else _value(device, None, "never more than one at a time", 1)
    together = _scatter(took_ns, is_exact, kind)
    scatters = {}
    for servers in range(1, min(deepest, MOST_SERVERS + 1)):
        service = served_ns(arrived_ns, took_ns, servers)
        if (service[is_exact] < 0).mean() <= MOST_TOO_SOON and (service < took_ns).mean() >= FEWEST_WAITING:
            scatters[servers] = _scatter(service, is_exact, kind)
    best = min(scatters, key=lambda one: scatters[one], default=0)
    if not best or scatters[best] > SCATTERS_LESS * together:
        return 0, at_least
    service = served_ns(arrived_ns, took_ns, best)
    if np.median(service) < SHORTEST_TOLD_NS:
        return 0, at_least
    as_good = [one for one, scatter in scatters.items() if scatter <= AS_GOOD * scatters[best]]
    is_sharp = scatters[best] <= SCATTERS_MUCH_LESS * together and as_good == [best]
    rests_on = (
        f"served in order by so many, what a command takes scatters by {scatters[best] / 1e6:.3g} ms instead "
        f"of {together / 1e6:.3g} ms; {(service < took_ns).mean():.0%} of the commands waited for their turn"
    )
    bounds = min(as_good), max(as_good)
    if is_sharp:
        return best, _value(device, best, rests_on, *bounds, Confidence.HIGH)
    # A queue that only shows through other delays would be simulated on top of them.
    doubt = f"{rests_on}; too little to be replayed unless it is given"
    return 0, _value(device, best, doubt, *bounds, Confidence.MEDIUM)


def most_at_once(begun_ns: Int64s, ended_ns: Int64s) -> int:
    """How many of some spans were open at the same time at most; one that ends as another begins is over."""
    if not len(begun_ns):
        return 0
    begun = np.sort(begun_ns)
    return int((np.arange(1, len(begun) + 1) - np.searchsorted(np.sort(ended_ns), begun, side="right")).max())


def _scatter(took_ns: Int64s, is_exact: Bools, kind: Int64s) -> float:
    """The mean distance in ns from the median of the kind, each at most the median: a stall is no rule."""
    total = 0.0
    for one in np.unique(kind[is_exact]):
        mine = took_ns[is_exact & (kind == one)]
        middle = float(np.median(mine))
        total += float(np.minimum(np.abs(mine - middle), max(middle, 1.0)).sum())
    return total / int(is_exact.sum())


def _value(
    device: int,
    servers: int | None,
    rests_on: str,
    low: float,
    high: float | None = None,
    confidence: Confidence = Confidence.LOW,
) -> CalibratedValue:
    return CalibratedValue(
        f"commands served at once, logical unit {device}",
        servers,
        "requests",
        rests_on,
        confidence,
        float(low),
        None if high is None else float(high),
        "target.servers",
    )

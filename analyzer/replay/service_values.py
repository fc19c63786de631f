"""How long the target served commands, by operation, length and sequentiality, as calibrated values.

Says what ``service_times.py`` and ``device_servers.py`` found, waiting inside of the device left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.service_times import ServiceTimes
from analyzer.replay.workload import Workload
from analyzer.sequentiality import continues
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MANY, FEW = 30, 5
FEWEST_OF_EACH = 10
"""Sequential and random commands of a kind are told apart where there are so many of both."""
MOST_KINDS = 24


def service_values(
    timeline: Timeline, workload: Workload, service: ServiceTimes
) -> tuple[CalibratedValue, ...]:
    """The median over all answered requests, then that of each kind, the most frequent kinds first."""
    names, codes = timeline.categories("tasks", "operation")
    answered = ~timeline.is_null("tasks", "response_ns")[workload.task]
    is_exact = service.is_exact[workload.task] & answered
    operation = codes[workload.task].astype(np.int64)
    moved = workload.read_bytes + workload.write_bytes
    follows = continues(
        2 * workload.device.astype(np.int64) + (workload.write_bytes > 0),
        workload.lba,
        workload.lba + workload.blocks,
    )
    if not answered.any():
        return ()
    found = [_value("median service time", workload.service_ns, answered, is_exact)]
    power = np.log2(np.maximum(moved, 1)).astype(np.int64)
    kinds, of_kind, counts = np.unique(operation * 64 + power, return_inverse=True, return_counts=True)
    for kind in np.argsort(-counts, kind="stable")[:MOST_KINDS].tolist():
        mine = (of_kind.reshape(-1) == kind) & answered
        if not mine.any():
            continue
        name = f"service time, {names[int(kinds[kind]) // 64]}{_lengths(moved[mine])}"
        parts = [(name, mine)]
        if min((mine & follows).sum(), (mine & ~follows).sum()) >= FEWEST_OF_EACH:
            parts = [(f"{name}, sequential", mine & follows), (f"{name}, random", mine & ~follows)]
        found += [_value(text, workload.service_ns, chosen, is_exact) for text, chosen in parts]
    return tuple(found)


def _lengths(moved: Int64s) -> str:
    least, most = int(moved.min()), int(moved.max())
    if not most:
        return ""
    return f" of {least} bytes" if least == most else f" of {least} to {most} bytes"


def _value(name: str, service_ns: Int64s, chosen: Bools, is_exact: Bools) -> CalibratedValue:
    """The median of the ``chosen``; the bounds hold the middle 80 % of them."""
    exact, count = int((chosen & is_exact).sum()), int(chosen.sum())
    low, high = (float(one) for one in np.percentile(service_ns[chosen], [10, 90]))
    confidence = Confidence.LOW
    if exact >= FEW:
        confidence = Confidence.HIGH if exact >= MANY and 2 * exact >= count else Confidence.MEDIUM
    return CalibratedValue(
        name,
        int(np.median(service_ns[chosen])),
        "ns",
        f"{exact} of {count} answered commands whose answer found the link free"
        + ("" if 2 * exact >= count else "; of the others only bounds were seen"),
        confidence,
        low,
        high,
        "target.service",
    )

"""What is measured of a set of requests, and how: one definition for recordings and replays.

Each measure is declared once with its unit and the better direction. ``measure`` works on plain
arrays and knows neither tasks nor requests nor where they came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. ``better`` is ``higher``, ``lower`` or empty where neither is."""

    name: str
    unit: str
    better: str
    sentence: str


MEASURES: tuple[Measure, ...] = (
    Measure("requests", "requests", "", "Requests that were asked for."),
    Measure("completed", "requests", "higher", "Requests that completed."),
    Measure("failed", "requests", "lower", "Requests that failed or never ended."),
    Measure("duration_s", "s", "lower", "From the first request made ready to the last completion."),
    Measure("iops", "requests/s", "higher", "Completed requests over the duration."),
    Measure("read_bytes_per_s", "bytes/s", "higher", "Data of completed reads over the duration."),
    Measure("written_bytes_per_s", "bytes/s", "higher", "Data of completed writes over the duration."),
    Measure("bytes_per_s", "bytes/s", "higher", "All data of completed requests over the duration."),
    Measure("latency_ns_mean", "ns", "lower", "Mean latency of completed requests."),
    Measure("latency_ns_p50", "ns", "lower", "Median latency."),
    Measure("latency_ns_p90", "ns", "lower", "Latency that 90 % of the requests stay within."),
    Measure("latency_ns_p99", "ns", "lower", "Latency that 99 % of the requests stay within."),
    Measure("latency_ns_max", "ns", "lower", "Latency of the slowest request."),
    Measure("outstanding_mean", "requests", "", "Requests in flight, averaged over time (Little's law)."),
    Measure("order_wait_ns_mean", "ns", "lower", "Mean wait at the target for lower CmdSNs."),
    Measure("order_wait_ns_p99", "ns", "lower", "Order wait that 99 % of the requests stay within."),
    Measure("order_wait_ns_max", "ns", "lower", "Longest order wait."),
    Measure("order_waited", "requests", "lower", "Requests that waited for lower CmdSNs at all."),
    Measure(
        "longest_gap_ns", "ns", "lower", "Longest time without a completion while requests were in flight."
    ),
)
MEASURE_BY_NAME: dict[str, Measure] = {measure.name: measure for measure in MEASURES}

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def measure(
    *,
    ready_ns: Int64s,
    completed_ns: Int64s,
    is_completed: Bools,
    order_wait_ns: Int64s,
    read_bytes: int,
    written_bytes: int,
) -> dict[str, float | None]:
    """All measures of n requests, each array of shape (n,), by name; None where there is no such figure.

    Where ``is_completed`` is false, ``completed_ns`` and ``order_wait_ns`` are not looked at. ``read_bytes``
    and ``written_bytes`` are those of all completed requests. Percentiles are the nearest-rank ones (a
    latency that occurred). Order waits count completed requests.
    """
    figures: dict[str, float | None] = {item.name: None for item in MEASURES}
    figures["requests"] = float(len(ready_ns))
    completed = int(np.count_nonzero(is_completed))
    figures["completed"] = float(completed)
    figures["failed"] = float(len(ready_ns) - completed)
    if not completed:
        return figures
    ends = np.sort(completed_ns[is_completed])
    begin, end = int(ready_ns.min()), int(ends[-1])
    figures["longest_gap_ns"] = float(_longest_gap_ns(ready_ns, ends))
    del ends  # Of millions of requests each such array is tens of megabytes.
    latency = completed_ns[is_completed]
    latency -= ready_ns[is_completed]
    latency.sort()
    seconds = (end - begin) / 1e9
    figures["duration_s"] = seconds
    if seconds > 0:
        figures["iops"] = completed / seconds
        figures["read_bytes_per_s"] = read_bytes / seconds
        figures["written_bytes_per_s"] = written_bytes / seconds
        figures["bytes_per_s"] = (read_bytes + written_bytes) / seconds
        figures["outstanding_mean"] = float(latency.sum()) / (end - begin)
    figures["latency_ns_mean"] = float(latency.mean())
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
        figures[f"latency_ns_{name}"] = _nearest_rank(latency, share)
    figures["latency_ns_max"] = float(latency[-1])
    del latency
    waits = order_wait_ns[is_completed]
    waits.sort()
    figures["order_wait_ns_mean"] = float(waits.mean())
    figures["order_wait_ns_p99"] = _nearest_rank(waits, 99)
    figures["order_wait_ns_max"] = float(waits[-1])
    figures["order_waited"] = float(completed - int(np.searchsorted(waits, 0, side="right")))
    return figures


def percentile(values: Int64s, share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least ``share`` percent lie at or below."""
    return float(np.percentile(values, share, method="inverted_cdf"))


def _nearest_rank(ordered: Int64s, share: int) -> float:
    """The same of values in ascending order, and of a whole ``share``."""
    return float(ordered[max(-(-len(ordered) * share // 100) - 1, 0)])


def longest_gap_ns(ready_ns: Int64s, completed_ns: Int64s, is_completed: Bools) -> int:
    """Longest stretch without a completion in which at least one request was in flight.

    A stretch begins at a completion that leaves requests in flight, or when the first request
    enters an idle system. Requests that never completed count as in flight until the last completion.
    """
    return _longest_gap_ns(ready_ns, np.sort(completed_ns[is_completed]))


def _longest_gap_ns(ready_ns: Int64s, ends: Int64s) -> int:
    """The same of completions in ascending order.

    Before the completion of number i, something was in flight since the one before it, or since the request
    of number i became ready, whichever was later: earlier, all that had become ready had completed.
    """
    if not len(ends):
        return 0
    begins = np.sort(ready_ns)[: len(ends)]
    np.maximum(begins[1:], ends[:-1], out=begins[1:])
    np.subtract(ends, begins, out=begins)
    return max(int(begins.max()), 0)

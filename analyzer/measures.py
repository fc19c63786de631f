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


def measure(
    *,
    ready_ns: Int64s,
    completed_ns: Int64s,
    is_completed: npt.NDArray[np.bool_],
    read_bytes: Int64s,
    written_bytes: Int64s,
    order_wait_ns: Int64s,
) -> dict[str, float | None]:
    """All measures of n requests, each argument of shape (n,), by name; None where there is no such figure.

    Where ``is_completed`` is false, ``completed_ns`` and ``order_wait_ns`` are not looked at.
    Percentiles are the nearest-rank ones (a latency that occurred). Order waits count completed requests.
    """
    figures: dict[str, float | None] = {item.name: None for item in MEASURES}
    done = np.flatnonzero(is_completed)
    figures["requests"] = float(len(ready_ns))
    figures["completed"] = float(len(done))
    figures["failed"] = float(len(ready_ns) - len(done))
    if not len(done):
        return figures
    latency = completed_ns[done] - ready_ns[done]
    begin, end = int(ready_ns.min()), int(completed_ns[done].max())
    seconds = (end - begin) / 1e9
    figures["duration_s"] = seconds
    if seconds > 0:
        figures["iops"] = len(done) / seconds
        figures["read_bytes_per_s"] = float(read_bytes[done].sum()) / seconds
        figures["written_bytes_per_s"] = float(written_bytes[done].sum()) / seconds
        figures["bytes_per_s"] = float(read_bytes[done].sum() + written_bytes[done].sum()) / seconds
        figures["outstanding_mean"] = float(latency.sum()) / (end - begin)
    figures["latency_ns_mean"] = float(latency.mean())
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
        figures[f"latency_ns_{name}"] = percentile(latency, share)
    figures["latency_ns_max"] = float(latency.max())
    waits = order_wait_ns[done]
    figures["order_wait_ns_mean"] = float(waits.mean())
    figures["order_wait_ns_p99"] = percentile(waits, 99)
    figures["order_wait_ns_max"] = float(waits.max())
    figures["order_waited"] = float(np.count_nonzero(waits > 0))
    figures["longest_gap_ns"] = float(longest_gap_ns(ready_ns, completed_ns, is_completed))
    return figures


def percentile(values: Int64s, share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least ``share`` percent lie at or below."""
    return float(np.percentile(values, share, method="inverted_cdf"))


def longest_gap_ns(ready_ns: Int64s, completed_ns: Int64s, is_completed: npt.NDArray[np.bool_]) -> int:
    """Longest stretch without a completion in which at least one request was in flight.

    A stretch begins at a completion that leaves requests in flight, or when the first request
    enters an idle system. Requests that never completed count as in flight until the last completion.
    """
    done = np.flatnonzero(is_completed)
    if not len(done):
        return 0
    last = int(completed_ns[done].max())
    ends = np.where(is_completed, completed_ns, last + 1)
    times = np.concatenate([ready_ns, ends])
    steps = np.concatenate([np.ones(len(ready_ns), np.int64), -np.ones(len(ends), np.int64)])
    order = np.lexsort((steps, times))
    times, steps = times[order], steps[order]
    in_flight = np.cumsum(steps)
    is_start = (steps < 0) | (in_flight == 1)
    starts = np.flatnonzero(is_start & (in_flight > 0))
    completions = np.flatnonzero((steps < 0) & (times <= last))
    following = np.searchsorted(completions, starts, side="right")
    known = following < len(completions)
    gaps = times[completions[following[known]]] - times[starts[known]]
    return int(gaps.max(initial=0))

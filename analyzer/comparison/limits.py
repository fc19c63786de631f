"""What a replayed workload was limited by: how busy its links were, and where its requests waited.

Reads the tables of an outcome and measures; decides what counts as a busy link. Knows no simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.tables.folder import Outcome

BUSY_SHARE = 0.8
"""A link that sends for so much of the time is the limit, or close to it."""

STAGES = (
    ("path", "waiting for a path", "ready_ns", "dispatched_ns"),
    ("window", "waiting for the command window", "dispatched_ns", "sent_ns"),
    ("sending", "on the way to the target", "sent_ns", "arrived_ns"),
    ("order", "waiting for lower CmdSNs", "arrived_ns", "released_ns"),
    ("queue", "waiting for the device", "released_ns", "started_ns"),
    ("service", "served, with data and status on the way back", "started_ns", "completed_ns"),
)
"""The stages of a replayed request's life: name, words, and the columns between which it lies."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The busiest direction of a link of an outcome."""

    path: str
    from_target: bool
    share: float
    """Of the duration of the replay, between 0 and 1."""


def busiest(outcome: Outcome) -> Busy | None:
    """The direction of a path's link that was sending for most of the time; None where nothing completed."""
    metrics = outcome.arrow["metrics"]
    figures = dict(
        zip(metrics.column("metric").to_pylist(), metrics.column("value").to_pylist(), strict=True)
    )
    duration_s = figures.get("duration_s")
    if not duration_s:
        return None
    found = [
        Busy(path["name"], from_target, min(1.0, path[column] / 1e9 / duration_s))
        for path in outcome.arrow["paths"].to_pylist()
        for column, from_target in (("busy_to_target_ns", False), ("busy_from_target_ns", True))
    ]
    return max(found, key=lambda one: one.share, default=None)


def stage_means_ns(outcome: Outcome) -> tuple[float, ...]:
    """The mean of each of ``STAGES`` over the completed requests, in ns; nothing where none completed.

    Stages of requests that have no such moments, since they were sent again, count where both ends are known.
    """
    done = outcome.values("requests", "end") == "completed"
    if not done.any():
        return ()
    means = []
    for _, _, begin, end in STAGES:
        known = done & ~outcome.is_null("requests", begin) & ~outcome.is_null("requests", end)
        spans = outcome.values("requests", end, 0)[known] - outcome.values("requests", begin, 0)[known]
        means.append(float(np.maximum(spans, 0).sum() / done.sum()))
    return tuple(means)

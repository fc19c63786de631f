"""Events as marks on a time axis: the same in every figure that shows them.

Decides which events stand out in a plot. Several of one kind on one connection within a
thousandth of the recording become one mark that says how many they are.
"""

from __future__ import annotations

import numpy as np

from analyzer.report.blocks import Hover, Series, Shape
from analyzer.report.study import Study
from analyzer.report.words import told

_MARKED = {
    "connection-lost": "x",
    "session-reinstated": "star-diamond",
    "connection-reinstated": "star-diamond",
    "task-management": "triangle-down",
    "task-reassigned": "triangle-up",
    "task-retried": "triangle-up",
    "logout": "square-open",
    "login": "circle-open",
    "login-failed": "x-open",
    "async-message": "diamond",
    "reject": "x",
    "snack": "diamond-open",
    "nop-timeout": "x",
    "unit-attention": "diamond-open",
    "reservation-conflict": "diamond",
    "window-closed": "square",
    "stall": "square",
    "digest-error": "x",
    "capture-gap": "cross",
}
"""Kinds that are drawn, with their symbol, gravest first."""


def event_series(study: Study, row: float, limit: int = 600) -> tuple[Series, ...]:
    """One series per kind of event at height ``row``, gravest kinds first, ``limit`` marks in all at most."""
    kinds = study.timeline.values("events", "kind").astype(str)
    at = study.seconds(study.timeline.values("events", "at_ns"))
    connections = study.timeline.values("events", "connection_index", -1)
    details = study.timeline.arrow["events"].column("detail")
    grain = max((study.recorded.end_ns - study.begin_ns) / 1e9, 1e-6) / 1000
    series = []
    left = limit
    for kind, symbol in _MARKED.items():
        mine = np.flatnonzero(kinds == kind)
        if not len(mine) or left <= 0:
            continue
        key = np.stack([connections[mine], np.floor(at[mine] / grain).astype(np.int64)], axis=1)
        _, first, number = np.unique(key, axis=0, return_index=True, return_counts=True)
        order = np.argsort(first)[:left]
        left -= len(order)
        shown, number = mine[first[order]], number[order]
        hover = (
            Hover("", np.arange(len(shown)), names=(kind,) * len(shown)),
            Hover(
                "on",
                np.arange(len(shown)),
                names=tuple(
                    study.connection_names[one] if one >= 0 else "no connection" for one in connections[shown]
                ),
            ),
            Hover("times", number),
            Hover(
                "detail",
                np.arange(len(shown)),
                names=tuple(told(details[int(one)].as_py(), study.begin_ns, 120) for one in shown),
            ),
        )
        series.append(
            Series(
                kind,
                Shape.POINTS,
                "event",
                at[shown],
                np.full(len(shown), row),
                hover=hover,
                symbol=symbol,
            )
        )
    return tuple(series)

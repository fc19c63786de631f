"""What limits the workload under each policy: how busy the links are, and where requests wait.

Decides which links are drawn. The figures are those of the outcomes; what counts as busy is
``comparison.limits``.
"""

from __future__ import annotations

import numpy as np

from analyzer.comparison.limits import BUSY_SHARE, STAGES, busiest, stage_means_ns
from analyzer.report.blocks import (
    Align,
    Axis,
    AxisKind,
    Block,
    Cell,
    Figure,
    Heading,
    Hover,
    Section,
    Series,
    Shape,
    Table,
)
from analyzer.report.cells import share_cell, time_cell
from analyzer.report.palette import series_color
from analyzer.report.study import Study
from analyzer.report.words import percent, sentence, shortened
from analyzer.tables.folder import Outcome

DRAWN_LINKS = 12
IDLE_SHARE = 0.001
"""Links that send for less of the time in every replay have no curve worth drawing."""
_STAGE_COLORS = ("series-6", "series-3", "write", "wait", "other", "read")
_INTERVALS = 60
"""Spans of time that a curve is drawn over; shorter ones are averaged."""


def build(study: Study) -> Section | None:
    """Nothing where nothing was replayed."""
    if not study.outcomes:
        return None
    blocks: list[Block] = [_lives(study), _waits(study)]
    links = _links(study)
    is_idle = all(one.y.max(initial=0.0) < 100 * IDLE_SHARE for one in links.series)
    return Section(
        "limits",
        "Limits",
        "What would be the limit: links, command window, order or target?",
        _answer(study),
        tuple(blocks if is_idle else [links, *blocks]),
    )


def _answer(study: Study) -> str:
    found = [
        (busy.share, label, busy)
        for label, outcome in zip(study.comparison.labels, study.outcomes, strict=True)
        if (busy := busiest(outcome)) is not None
    ]
    if not found:
        return "Nothing completed in any replay."
    share, label, busy = max(found, key=lambda one: one[0])
    if share < IDLE_SHARE:
        return (
            "The links are the limit in no replay: the capture tells no rate of theirs that matters, so "
            "sending takes hardly any time. A known rate can be given with --set links.rate=100Mbps."
        )
    way = "from" if busy.from_target else "to"
    told = (
        f"the busiest link is {busy.path} {way} the target under {label}, "
        f"sending {percent(100 * share)} of the time"
    )
    full = sum(one[0] >= BUSY_SHARE for one in found)
    rest = (
        f"in {full} of {len(found)} replays a link is the limit"
        if full
        else "the links are the limit in no replay"
    )
    return sentence(f"{told}; {rest}")


def _link_series(study: Study, place: int, outcome: Outcome) -> list[Series]:
    """The busier direction of each link of one outcome, averaged over at most ``_INTERVALS`` spans."""
    link, way = outcome.values("utilisation", "link_index"), outcome.values("utilisation", "from_target")
    share, begin = outcome.values("utilisation", "busy_share"), outcome.values("utilisation", "begin_ns")
    widths = outcome.values("utilisation", "width_ns")
    label = shortened(study.comparison.labels[place], 30)
    found = []
    for one in np.unique(link):
        means = {bool(side): float(share[(link == one) & (way == side)].mean()) for side in np.unique(way)}
        side = max(means, key=means.__getitem__)
        mine = np.flatnonzero((link == one) & (way == side))
        mine = mine[np.argsort(begin[mine], kind="stable")]
        firsts = np.arange(0, len(mine), -(-len(mine) // _INTERVALS))
        level = np.add.reduceat(share[mine], firsts) / np.diff(np.append(firsts, len(mine)))
        found.append(
            Series(
                f"{label}, link {one} {'from' if side else 'to'} target",
                Shape.STEPS,
                series_color(place),
                study.seconds(np.append(begin[mine][firsts], begin[mine[-1]] + widths[0])),
                100 * np.append(level, 0.0),
                dash=("solid", "dot", "dash", "dashdot")[int(one) % 4],
                thickness=1.5,
            )
        )
    return found


def _links(study: Study) -> Figure:
    series = [
        one for place, outcome in enumerate(study.outcomes) for one in _link_series(study, place, outcome)
    ]
    spans = [float(one.x[-1]) for one in series]
    left_out = max(0, len(series) - DRAWN_LINKS)
    return Figure(
        "utilisation",
        "How busy each link is: what stays near the top is the limit",
        "Share of time in which the busier direction of each link was sending, over time, for each replay.",
        Axis(
            "time since the start of the capture",
            "s",
            AxisKind.REPLAY_TIME,
            range=(0.0, 1.01 * max(spans, default=1.0)),
        ),
        Axis("sending", "%", range=(0.0, 102.0)),
        tuple(series[:DRAWN_LINKS]),
        height=300,
        note=f"{left_out} more links are in the outcome folders." if left_out else "",
    )


def _lives(study: Study) -> Figure:
    labels = study.comparison.labels
    means = [stage_means_ns(outcome) for outcome in study.outcomes]
    rows = len(labels)
    series = []
    for stage, (_, words, *_) in enumerate(STAGES):
        known = [(place, one) for place, one in enumerate(means) if one]
        begin = np.array([sum(one[:stage]) / 1e6 for _, one in known])
        length = np.array([one[stage] / 1e6 for _, one in known])
        series.append(
            Series(
                words,
                Shape.BARS,
                _STAGE_COLORS[stage],
                begin,
                np.array([float(rows - place) for place, _ in known]),
                begin + length,
                hover=(
                    Hover("", np.array([place for place, _ in known]), names=labels),
                    Hover(words, np.round(length * 1e6), "ns"),
                ),
            )
        )
    return Figure(
        "limits-lives",
        "Mean life of a request under each policy: the longest part is what to change",
        "Stacked bars, one per replay: waiting for a path, for the command window, on the way, for order, "
        "for the device, and being served. The table below has the numbers.",
        Axis("mean time", "ms"),
        Axis(
            "replay",
            kind=AxisKind.LANES,
            ticks=tuple((float(rows - place), shortened(label, 34)) for place, label in enumerate(labels)),
            range=(0.4, rows + 0.6),
        ),
        tuple(series),
        height=int(np.clip(110 + 30 * rows, 190, 900)),
    )


def _waits(study: Study) -> Table:
    headings = (
        Heading("Replay"),
        Heading("For a path", Align.NUMBER, "From when the application asked until a path was chosen; mean."),
        Heading("For the window", Align.NUMBER, "Until the command window let it be sent; mean."),
        Heading("To the target", Align.NUMBER, "Until its command was whole at the target; mean."),
        Heading("For order", Align.NUMBER, "Until the ordering gate let it pass; mean."),
        Heading("For the device", Align.NUMBER, "Until the device began with it; mean."),
        Heading("Served and back", Align.NUMBER, "Until the initiator had its status; mean."),
        Heading("Mean life", Align.NUMBER),
        Heading(
            "Busiest link", Align.NUMBER, "Share of the duration in which its busier direction was sending."
        ),
    )
    rows = []
    for place, (label, outcome) in enumerate(zip(study.comparison.labels, study.outcomes, strict=True)):
        means, busy = stage_means_ns(outcome), busiest(outcome)
        cells = means or (None,) * len(STAGES)
        rows.append(
            (
                Cell(shortened(label, 40), float(place), color=series_color(place)),
                *(time_cell(mean) for mean in cells),
                time_cell(sum(means) if means else None),
                share_cell(None if busy is None else busy.share),
            )
        )
    return Table("limits", "Where requests wait, and how busy the links are", headings, tuple(rows))

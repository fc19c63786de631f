"""How good the recording is: the files, what was lost, what was assumed.

Decides what counts as loss. The single diagnostics stand in their own section.
"""

from __future__ import annotations

import pandas as pd

from analyzer.report.blocks import Align, Heading, Line, Lines, Section, Table
from analyzer.report.cells import amount_cell, count_cell, maybe, moment_cell, name_cell, records, time_cell
from analyzer.report.study import Study
from analyzer.report.words import amount, count, duration, moment, plural, sentence


def build(study: Study) -> Section:
    """The captures as a table, the losses and assumptions as lines."""
    timeline = study.timeline
    packets = int(timeline.values("captures", "packets").sum())
    lost = int(timeline.values("connections", "lost_bytes").sum())
    cut = int(timeline.values("captures", "cut_packets").sum())
    resent = int(timeline.values("connections", "retransmitted_segments").sum())
    losses = []
    if lost:
        losses.append(f"{amount(lost)} of TCP payload missing")
    if cut:
        losses.append(f"{plural(cut, 'packet')} cut short")
    said = ", ".join(losses) if losses else "nothing was lost"
    answer = sentence(
        f"{plural(packets, 'packet')} in {plural(len(study.names_of_captures), 'file')} over "
        f"{duration(study.recorded.end_ns - study.begin_ns)}, {count(timeline.arrow['pdus'].num_rows)} PDUs: "
        f"{said}"
    )
    lines = (
        Line("Begins", moment(study.begin_ns) + "; all times on this page count from here."),
        Line("Lost", _lost(lost, cut), "warning" if lost or cut else "good"),
        Line(
            "Resent",
            sentence(f"{plural(resent, 'TCP segment')} sent again by the network stacks"),
            "warning" if resent else "good",
        ),
        Line("Assumed", *_assumed(study)),
    )
    return Section(
        "quality",
        "Capture quality",
        "How much of the traffic was recorded?",
        answer,
        (Lines(lines), _captures(study)),
    )


def _lost(lost: int, cut: int) -> str:
    parts = []
    if lost:
        parts.append(f"{amount(lost)} that the recorder missed")
    if cut:
        parts.append(f"the payload of {plural(cut, 'packet')} beyond the snap length")
    return sentence(" and ".join(parts)) if parts else "Nothing that can be noticed."


def _assumed(study: Study) -> tuple[str, str]:
    diagnostics: pd.DataFrame = study.timeline.diagnostics
    by_us = diagnostics[diagnostics["source"] == "analyzer"]
    texts = [str(text) for text in study.timeline.manifest.get("assumptions", []) if isinstance(text, str)]
    texts += sorted({str(meaning) for meaning in by_us["meaning"]})
    if not texts:
        return "Nothing: sessions, digests and parameters are as the logins say.", "good"
    return " ".join(texts), "warning"


def _captures(study: Study) -> Table:
    headings = (
        Heading("File", Align.CODE),
        Heading("Format"),
        Heading("Size", Align.NUMBER),
        Heading("Packets", Align.NUMBER),
        Heading("TCP", Align.NUMBER, "Packets that carried TCP."),
        Heading("Cut", Align.NUMBER, "Packets cut by the snap length."),
        Heading("First packet, s", Align.NUMBER),
        Heading("Last packet, s", Align.NUMBER),
        Heading("Clock moved by", Align.NUMBER, "Added to the times of this file to merge it."),
    )
    rows = []
    for name, row in zip(study.names_of_captures, records(study.timeline.captures), strict=True):
        compression = "" if row["compression"] == "none" else f", {row['compression']}"
        rows.append(
            (
                name_cell(name),
                name_cell(f"{row['format']}{compression}"),
                amount_cell(maybe(row["size_bytes"])),
                count_cell(row["packets"]),
                count_cell(row["tcp_packets"]),
                count_cell(row["cut_packets"], "warning" if row["cut_packets"] else ""),
                moment_cell(_since(study, row["first_ns"])),
                moment_cell(_since(study, row["last_ns"])),
                time_cell(row["clock_offset_ns"]),
            )
        )
    return Table("captures", f"Capture files ({count(len(rows))})", headings, tuple(rows))


def _since(study: Study, at_ns: int | None) -> float | None:
    at_ns = maybe(at_ns)
    return None if at_ns is None else (at_ns - study.begin_ns) / 1e9

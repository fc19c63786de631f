"""The answer in five lines: what was recorded, what order cost, what went wrong, what to trust, what if.

Decides which figures are said first. Every number comes from the measures that the later
sections show in full.
"""

from __future__ import annotations

from typing import Any

from analyzer.comparison.baseline import Fit
from analyzer.report.advice import advice_of
from analyzer.report.blocks import Line, Lines, Section
from analyzer.report.incident_cuts import cuts
from analyzer.report.study import Study
from analyzer.report.words import (
    amount,
    count,
    duration,
    figure,
    listed,
    percent,
    plural,
    rate,
    sentence,
    significant,
)

_GRAVE_EVENTS = {
    "connection-lost": ("lost connection", "lost connections"),
    "session-reinstated": ("session reinstatement", "session reinstatements"),
    "connection-reinstated": ("connection reinstatement", "connection reinstatements"),
    "task-reassigned": ("reassigned command", "reassigned commands"),
    "task-retried": ("retried command", "retried commands"),
    "task-management": ("task management function", "task management functions"),
    "login-failed": ("refused login", "refused logins"),
    "reject": ("reject", "rejects"),
    "digest-error": ("digest error", "digest errors"),
    "nop-timeout": ("NOP timeout", "NOP timeouts"),
    "reservation-conflict": ("reservation conflict", "reservation conflicts"),
    "stall": ("stall", "stalls"),
}
"""Events that a healthy recording does not have, in the order they are told."""


def build(study: Study) -> Section:
    """Five lines."""
    lines = (_workload(study), _order(study), _trouble(study), _trust(study), _what_if(study))
    return Section(
        "verdict", "Verdict", "What happened here, in five lines?", _answer(study), (Lines(lines),)
    )


def _answer(study: Study) -> str:
    overall = study.recorded.overall
    if not overall["completed"]:
        return "The capture holds no completed SCSI command."
    return (
        f"{plural(overall['requests'] or 0, 'command')} in {figure(overall['duration_s'], 's')}: "
        f"{significant(overall['iops'] or 0)} per second, {rate(overall['bytes_per_s'])}; half were answered "
        f"within {duration(overall['latency_ns_p50'])}, 99{chr(0x202F)}% within "
        f"{duration(overall['latency_ns_p99'])}."
    )


def _workload(study: Study) -> Line:
    sessions = study.recorded.by_session
    operations = study.recorded.by_operation
    if not operations:
        return Line("Workload", "No SCSI command was recorded.", "warning", "quality")
    total = study.recorded.overall["requests"] or 0
    parts = [
        f"{part.label} {percent(100 * (part.measures['requests'] or 0) / total)}" for part in operations[:3]
    ]
    rest = "" if len(operations) <= 3 else f" and {plural(len(operations) - 3, 'other operation')}"
    outstanding = study.recorded.overall["outstanding_mean"]
    depth = "" if outstanding is None else f", {significant(outstanding, 2)} commands outstanding on average"
    return Line(
        "Workload",
        f"{', '.join(parts)}{rest} over {plural(len(sessions), 'session')} and "
        f"{plural(len(study.carrying_connections), 'connection')}{depth}.",
        section="latency",
    )


def _order(study: Study) -> Line:
    overall = study.recorded.overall
    waited, completed = overall["order_waited"], overall["completed"]
    if not waited or not completed:
        several = len(study.carrying_connections) > len(study.recorded.by_session)
        why = (
            ", although a session had several connections"
            if several
            else ": each session had one connection, where order costs nothing"
        )
        return Line("Order", f"No command waited at the target for a lower CmdSN{why}.", "good", "order")
    return Line(
        "Order",
        f"{count(waited)} of {plural(completed, 'command')} ({percent(100 * waited / completed)}) waited "
        f"at the target for lower CmdSNs: 99{chr(0x202F)}% up to {duration(overall['order_wait_ns_p99'])}, "
        f"the longest {duration(overall['order_wait_ns_max'])}.",
        "warning",
        "order",
    )


def _trouble(study: Study) -> Line:
    kinds = study.timeline.values("events", "kind").tolist()
    told = [plural(kinds.count(kind), *words) for kind, words in _GRAVE_EVENTS.items() if kinds.count(kind)]
    ends = study.recorded.ends
    unanswered = sum(number for end, number in ends.items() if end != "responded")
    if unanswered:
        told.append(f"{plural(unanswered, 'command')} never answered")
    overall = study.recorded.overall
    longest = (
        f" The slowest command took {duration(overall['latency_ns_max'])}" if overall["completed"] else ""
    )
    gap = overall["longest_gap_ns"]
    silence = f"; the longest time without any completion was {duration(gap)}." if gap else "."
    tail = f"{longest}{silence}" if longest else ""
    held = longest_stall(study.incidents)
    if not told:
        return Line(
            "Trouble",
            f"No connection, command or login was lost or refused.{tail}{held}",
            "bad" if held else "good",
            "incidents" if held else "events",
        )
    return Line(
        "Trouble", f"{sentence(listed(told))}{held or tail}", "bad", "incidents" if held else "events"
    )


def longest_stall(incidents: list[dict[str, Any]]) -> str:
    """What held commands longest, as a sentence behind a space; nothing where nothing did."""
    worst = max(incidents, key=lambda row: int(row["stall_ns"] or 0), default=None)
    if worst is None or not worst["stall_ns"] or not worst["outstanding"]:
        return ""
    parts = [f"{duration(length)} {label}" for _, label, _, length in cuts(worst)]
    spent = f": {listed(parts)}" if parts else ""
    return f" {plural(worst['outstanding'], 'command')} took up to {duration(worst['stall_ns'])}{spent}."


def _trust(study: Study) -> Line:
    severities = study.timeline.values("diagnostics", "severity").tolist()
    errors, warnings = severities.count("error"), severities.count("warning")
    lost = int(study.timeline.values("connections", "lost_bytes").sum())
    if not errors and not warnings:
        said = "The capture is complete: nothing was lost"
    else:
        said = (
            f"The capture has {plural(errors, 'diagnostic')} of severity error and "
            f"{plural(warnings, 'warning')}"
        )
    said += f", {amount(lost)} missing." if lost else "."
    tone = "bad" if errors else "warning" if warnings else "good"
    baseline = study.baseline
    if baseline is None:
        return Line("Trust", said, tone, "quality")
    if baseline.fit in (Fit.POOR, Fit.UNKNOWN):
        tone = "bad"
    elif baseline.fit is Fit.FAIR and tone == "good":
        tone = "warning"
    return Line("Trust", f"{said} {baseline.sentence}", tone, "validity")


def _what_if(study: Study) -> Line:
    if not study.comparison.labels:
        return Line("What if", "No replay was asked for; add one with --with, for example mcs:2/round-robin.")
    advice = advice_of(study)
    if advice is None:
        return Line("What if", "Only the recording itself was replayed.", section="validity")
    reasons = dict(advice.reasons)
    told = (advice.advice, reasons.get("MC/S or MPIO", ""), reasons.get("Links", ""))
    return Line("What if", " ".join(text for text in told if text), section="comparison")

"""What to do, in words: which policy of those tried, why, and what speaks against trusting it.

Decides how figures become advice; every figure is one that a section shows. Only what was tried is advised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.comparison.baseline import Fit
from analyzer.comparison.differences import Difference
from analyzer.comparison.limits import BUSY_SHARE, STAGES, busiest, stage_means_ns
from analyzer.report.incident_cuts import cuts
from analyzer.report.study import Study
from analyzer.report.words import (
    beside,
    between,
    duration,
    listed,
    percent,
    percent_between,
    plural,
    sentence,
)

_TOLD = {
    "iops": ("throughput", 1),
    "latency_ns_p50": ("median latency", -1),
    "latency_ns_p99": ("p99 latency", -1),
}
"""Measures that advice goes by, with the sign of the better direction."""


WIDE_SHARE = 0.2
"""An interval is called wide where it spans more of its figure."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Labelled sentences: what to do, its reasons, its caveats."""

    advice: str
    reasons: tuple[tuple[str, str], ...]
    caveats: tuple[str, ...]


def advice_of(study: Study) -> Advice | None:
    """None where nothing but the recording itself was replayed."""
    comparison = study.comparison
    others = [place for place, label in enumerate(comparison.labels) if label != comparison.reference]
    if not others:
        return None
    reasons = [
        (label, text)
        for label, text in (
            ("Links", _links(study)),
            ("Time", _time(study)),
            ("MC/S or MPIO", _families(study)),
            ("Stalls", _stalls(study)),
        )
        if text
    ]
    best = _best(study, others)
    if is_doubtful(study):
        best = f"With doubt, since the model errs much here: {best[:1].lower()}{best[1:]}"
    return Advice(best, tuple(reasons), tuple(_caveats(study)))


def is_doubtful(study: Study) -> bool:
    """Whether the model reproduces the recording too badly for its figures to be relied on."""
    return study.baseline is not None and study.baseline.fit in (Fit.POOR, Fit.UNKNOWN)


def _best(study: Study, others: list[int]) -> str:
    """The outcome that is best in throughput, else in p99 latency, among those that can be told apart."""
    comparison = study.comparison
    for name, (_, sign) in _TOLD.items():
        apart = [
            (sign * (found.percent or 0.0), place)
            for place in others
            if (found := comparison.difference(name, place)).is_apart
        ]
        gain, best = max(apart, default=(0.0, 0))
        if gain > 0:
            alike = [
                comparison.labels[place]
                for place in others
                if place != best and not comparison.difference(name, place, best).is_apart
            ]
            told = f"Of what was tried, {comparison.labels[best]} does best: {_changes(study, best)}"
            if alike:
                told += f"; {listed(alike[:4])} cannot be told apart from it in {_TOLD[name][0]}"
            return sentence(told)
        if apart and len(apart) == len(others):
            return sentence(
                f"nothing that was tried does better than {comparison.reference}; leave it as it is"
            )
    return sentence(
        f"nothing that was tried can be told apart from {comparison.reference}: the choice of policy does "
        "not matter to this workload"
    )


def _changes(study: Study, place: int) -> str:
    told = [
        f"{_change(found)} {word}"
        for name, (word, _) in _TOLD.items()
        if (found := study.comparison.difference(name, place)).is_apart
    ]
    return f"{listed(told)} against {study.comparison.reference}"


def _change(found: Difference) -> str:
    """A difference with its interval."""
    interval = percent_between(found.low_percent, found.high_percent)
    return beside(percent(found.percent, signed=True), interval)


def _reference(study: Study) -> int:
    labels = study.comparison.labels
    return labels.index(study.comparison.reference) if study.comparison.reference in labels else 0


def _links(study: Study) -> str:
    place = _reference(study)
    found = busiest(study.outcomes[place])
    if found is None:
        return ""
    way = "from" if found.from_target else "to"
    is_limit = found.share >= BUSY_SHARE
    verdict = "are the limit" if is_limit else "are not the limit"
    label = study.comparison.labels[place]
    return (
        f"The links {verdict}: under {label} the busiest, {found.path} {way} the target, "
        f"sends {percent(100 * found.share)} of the time."
    )


def _time(study: Study) -> str:
    means = stage_means_ns(study.outcomes[_reference(study)])
    whole = sum(means)
    if not whole:
        return ""
    largest = max(range(len(means)), key=means.__getitem__)
    return (
        f"Of a request's mean life of {duration(whole)}, {percent(100 * means[largest] / whole)} passes "
        f"{STAGES[largest][1]}."
    )


def _families(study: Study) -> str:
    """MC/S against MPIO over as many links under one policy: the largest difference, or none."""
    found = []
    for mcs, mpio in _twins(study):
        for name, (word, _) in _TOLD.items():
            difference = study.comparison.difference(name, mpio, mcs)
            if difference.percent is not None:
                found.append((difference.is_apart, abs(difference.percent), difference, word, mcs, mpio))
    if not found:
        return ""
    is_apart, most, difference, word, mcs, mpio = max(found, key=lambda one: one[:2])
    labels = study.comparison.labels
    if not is_apart:
        return f"MC/S and MPIO under one policy differ by {percent(most)} at most and cannot be told apart."
    return (
        f"{labels[mpio]} has {_change(difference)} {word} against {labels[mcs]}, the "
        "largest difference between the two."
    )


def _twins(study: Study) -> Iterator[tuple[int, int]]:
    """Places of an MC/S outcome and of the MPIO outcome that differs from it in nothing else."""
    words = {label: place for place, label in enumerate(study.comparison.labels)}
    for label, place in words.items():
        if label.startswith("mcs:") and (twin := f"mpio:{label.removeprefix('mcs:')}") in words:
            yield place, words[twin]


def _stalls(study: Study) -> str:
    held = [row for row in study.incidents if row["stall_ns"] and row["outstanding"]]
    if not held:
        return ""
    worst = max(held, key=lambda row: int(row["stall_ns"]))
    found = cuts(worst)
    if not found:
        return ""
    whole = sum(length for *_, length in found)
    _, label, _, length = max(found, key=lambda one: one[3])
    return (
        f"No policy removes the stall of {duration(worst['stall_ns'])} at "
        f"{(worst['failed_ns'] - study.begin_ns) / 1e9:.3f} s: {duration(length)} of it "
        f"({percent(100 * length / whole)}) passed {label}."
    )


def _wide(study: Study) -> Iterator[str]:
    """Outcomes whose throughput chance moves so far that one run says little."""
    comparison = study.comparison
    unit = comparison.row("iops").measure.unit
    for place, label in enumerate(comparison.labels):
        value, found = comparison.row("iops").values[place], comparison.interval("iops", place)
        if value and found is not None and found[1] - found[0] > WIDE_SHARE * value:
            yield f"Under {label} the throughput may come out anywhere from {between(found, unit)}."


def _caveats(study: Study) -> Iterator[str]:
    baseline = study.baseline
    if baseline is None:
        yield "The recording was not replayed as it was, so the error of the model is not known."
    elif is_doubtful(study):
        yield baseline.sentence
    else:
        errors = [
            f"{word} {percent(error)}"
            for name, (word, _) in _TOLD.items()
            if (error := study.comparison.error_percent(name)) is not None
        ]
        yield f"On the recording itself the model errs by: {listed(errors)}."
    if study.comparison.meaning:
        yield study.comparison.meaning
    else:
        yield "Nothing was repeated, so what chance does to the figures is not known."
    yield from _wide(study)
    assumptions = study.outcomes[_reference(study)].manifest.get("assumptions")
    if isinstance(assumptions, list) and assumptions:
        yield f"The model rests on {plural(len(assumptions), 'assumption')}, listed under replay validity."
    lost = int(study.timeline.values("connections", "lost_bytes").sum())
    if lost:
        yield "The capture is not complete, so the workload may not be either."

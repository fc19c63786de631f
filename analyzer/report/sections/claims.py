"""The claims of the MC/S-versus-MPIO debate, as tried on this recording.

Decides how a verdict looks. What is tried and judged is ``comparison.claims``.
"""

from __future__ import annotations

from collections import Counter

from analyzer.comparison.claims.interface import Finding, Verdict
from analyzer.report.blocks import Findings, Section, Tried
from analyzer.report.study import Study
from analyzer.report.words import count, figure, listed, percent, visible

_TONES = {Verdict.HOLDS: "good", Verdict.FAILS: "bad", Verdict.UNTRIED: ""}


def build(study: Study) -> Section | None:
    """Nothing where no claim was tried."""
    if not study.findings:
        return None
    numbers = Counter(finding.judgement.verdict for finding in study.findings)
    parts = []
    if numbers[Verdict.HOLDS]:
        holds = numbers[Verdict.HOLDS]
        parts.append(f"{count(holds)} {'holds' if holds == 1 else 'hold'} on this recording")
    if numbers[Verdict.FAILS]:
        fails = numbers[Verdict.FAILS]
        parts.append(f"{count(fails)} {'does' if fails == 1 else 'do'} not")
    if numbers[Verdict.UNTRIED]:
        parts.append(f"{count(numbers[Verdict.UNTRIED])} cannot be tried on it")
    excerpts = dict.fromkeys(finding.excerpt for finding in study.findings if finding.excerpt)
    return Section(
        "claims",
        "Claims",
        "Which claims about MC/S and MPIO hold here?",
        " ".join((f"Of {count(len(study.findings))} claims of the debate {listed(parts)}.", *excerpts)),
        (Findings(tuple(_tried(finding) for finding in study.findings)),),
    )


def _tried(finding: Finding) -> Tried:
    claim, judgement = finding.claim, finding.judgement
    how = [("Looked at" if not claim.is_replayed else "Run", claim.is_run), ("Measured", claim.is_measured)]
    if finding.caveat:
        how.append(("Doubt", finding.caveat))
    return Tried(
        claim.number,
        claim.sentence,
        f"{judgement.verdict.value}, with doubt" if finding.caveat else judgement.verdict.value,
        _TONES[judgement.verdict],
        visible(judgement.reason),
        tuple(how),
        tuple(
            (number.label, percent(number.value, signed=number.label.startswith(("gain", "throughput"))))
            if number.unit == "%"
            else (number.label, figure(number.value, number.unit))
            for number in judgement.numbers
        ),
        claim.section,
    )

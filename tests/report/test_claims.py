"""Claims on the page: counted, told with their numbers, and escaped."""

from __future__ import annotations

from pathlib import Path

from analyzer.comparison.claims.interface import Claim, Finding, Judgement, Number, Verdict, untried
from analyzer.report.blocks import Findings
from analyzer.report.page import report_studies
from analyzer.report.sections import claims
from analyzer.report.study import Study
from analyzer.report.words import NARROW_SPACE
from tests.made import make_timeline
from tests.report.test_render import HOSTILE, Page


def finding(number: int, judgement: Judgement, caveat: str = "", section: str = "order") -> Finding:
    claim = Claim(number, f"Claim {number}.", "Run.", "Measured.", section, lambda trial: judgement)
    return Finding(claim, judgement, caveat)


FINDINGS = (
    finding(
        7,
        Judgement(
            Verdict.HOLDS,
            "It does.",
            (
                Number("gain of MPIO", 1.25, "%"),
                Number("wait", 1500.0, "ns"),
                Number("rate", 2500.0, "bytes/s"),
            ),
        ),
    ),
    finding(8, Judgement(Verdict.FAILS, HOSTILE), "Doubt it."),
    finding(9, untried("No tape."), section="nowhere"),
)


def test_the_answer_counts_the_verdicts():
    section = claims.build(Study(make_timeline(tasks=5), findings=FINDINGS))
    assert section is not None
    assert section.answer == (
        "Of 3 claims of the debate 1 holds on this recording, 1 does not and 1 cannot be tried on it."
    )


def test_each_claim_is_told_with_verdict_reason_and_numbers():
    section = claims.build(Study(make_timeline(tasks=5), findings=FINDINGS))
    (block,) = section.blocks
    assert isinstance(block, Findings)
    assert [item.tone for item in block.items] == ["good", "bad", ""]
    assert block.items[0].numbers == (
        ("gain of MPIO", f"+1.2{NARROW_SPACE}%"),
        ("wait", f"1.5{NARROW_SPACE}µs"),
        ("rate", f"2.5{NARROW_SPACE}kB/s"),
    )
    assert ("Doubt", "Doubt it.") in block.items[1].how


def test_without_claims_there_is_no_section():
    assert claims.build(Study(make_timeline(tasks=5))) is None


def test_on_the_page_reasons_are_text_and_links_lead_somewhere(tmp_path: Path):
    studies = [Study(make_timeline(tasks=5), findings=FINDINGS)]
    page = Page(report_studies(studies, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "<script>alert(1)</script>" in "".join(page.words)
    assert len(page.scripts) == 4
    ids = {attributes.get("id") for _, attributes in page.elements}
    links = {attributes["href"].removeprefix("#") for tag, attributes in page.elements if tag == "a"}
    assert links <= ids

"""``analyzer claims``: the claims of the MC/S-versus-MPIO debate, tried on a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer.commands.replay import Port, Seed

if TYPE_CHECKING:
    from analyzer.comparison.claims.interface import Finding
    from analyzer.tables.folder import Timeline


def claims(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Captures, or one timeline folder.", show_default=False),
    ],
    seed: Seed = 0,
    port: Port = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """Try the claims about MC/S and MPIO on this recording: each holds, does not hold, or cannot be tried."""
    from analyzer.commands.shown import output_console, plain, print_json, table
    from analyzer.commands.sources import timeline_and_outcomes

    timeline, _ = timeline_and_outcomes(sources, port or ())
    findings = tried(timeline, seed)
    if as_json:
        print_json({"claims": [as_document(finding) for finding in findings]})
        return
    rows = []
    for finding in findings:
        reason = " ".join(part for part in (finding.judgement.reason, finding.caveat) if part)
        claim = f"{finding.claim.number}. {finding.claim.sentence}"
        rows.append([plain(claim), plain(finding.judgement.verdict.value), plain(reason)])
    columns = [("claim", ""), ("verdict", ""), ("why", "")]
    output_console().print(table("Claims tried on this recording", columns, rows))
    for excerpt in dict.fromkeys(finding.excerpt for finding in findings if finding.excerpt):
        output_console().print(excerpt)


def tried(timeline: Timeline, seed: int) -> tuple[Finding, ...]:
    """Every claim tried, with progress on a terminal."""
    from analyzer.commands.sources import COMPILING
    from analyzer.commands.waiting import announced_if_compiling, progress_bar
    from analyzer.comparison.claims.catalogue import try_claims
    from analyzer.replay.run import prepare

    with announced_if_compiling(COMPILING.format(seconds=20)):
        prepare()
    with progress_bar("Trying claims") as progress:
        return try_claims(timeline, seed, progress)


def as_document(finding: Finding) -> dict[str, Any]:
    """A finding as plain JSON data."""
    return {
        "number": finding.claim.number,
        "claim": finding.claim.sentence,
        "is_run": finding.claim.is_run,
        "is_measured": finding.claim.is_measured,
        "verdict": finding.judgement.verdict.value,
        "reason": finding.judgement.reason,
        "caveat": finding.caveat,
        "excerpt": finding.excerpt,
        "numbers": [
            {"label": number.label, "value": number.value, "unit": number.unit}
            for number in finding.judgement.numbers
        ],
    }

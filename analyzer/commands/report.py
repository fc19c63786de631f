"""``analyzer report``: timelines and their outcomes as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analyzer.commands.export import Anonymize
from analyzer.commands.replay import Faults, Neighbours, Pacing, Port, RecoveryPreset, Repeats, Seed, With

if TYPE_CHECKING:
    from analyzer.tables.folder import Outcome

CLAIMS_UP_TO = 1_000_000
"""Commands of a recording whose claims are tried without being asked for."""


def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Captures (together one study) or timeline folders (one study each), each followed by "
            "the outcome folders of that study, or folders of these.",
            show_default=False,
        ),
    ],
    policies: With = None,
    faults: Faults = None,
    recovery: RecoveryPreset = None,
    neighbours: Neighbours = 0,
    pacing: Pacing = "closed",
    seed: Seed = 0,
    repeats: Repeats = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE", help="The page; reports/NAME.html unless given."),
    ] = None,
    anonymize: Anonymize = False,
    port: Port = None,
    with_claims: Annotated[
        bool | None,
        typer.Option(
            "--claims/--no-claims",
            help=f"Try the claims about MC/S and MPIO; up to {CLAIMS_UP_TO:,} commands by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write one interactive HTML page that works without a network and can be sent on.

    With --with, the workload of every study is replayed first; without, the outcomes among the
    sources are shown. Several studies stand on one page, with a switch between them.
    """
    from analyzer.commands.claims import tried
    from analyzer.commands.replay import Disturbing, run_all
    from analyzer.commands.shown import byte_count, output_console
    from analyzer.commands.sources import StudySources, base_name, studies_of
    from analyzer.report.page import report_studies
    from analyzer.report.study import Study
    from analyzer.tables.anonymous import Disguise

    disturbing = Disturbing(tuple(faults or ()), recovery, neighbours)
    disturbing.check()
    found = studies_of(sources, port or ())
    if anonymize:
        disguise = Disguise(source.timeline for source in found)
        found = [StudySources(*disguise.study(source.timeline, source.outcomes)) for source in found]
    studies = []
    for source in found:
        replayed: list[Outcome] = []
        if policies:
            replayed = run_all(source.timeline, policies, pacing, seed, disturbing, repeats=repeats)
        is_small = source.timeline.arrow["tasks"].num_rows <= CLAIMS_UP_TO
        findings = tried(source.timeline, seed) if with_claims or (with_claims is None and is_small) else ()
        studies.append(Study(source.timeline, (*source.outcomes, *replayed), findings=findings))
    page = report_studies(studies, output or Path("reports") / f"{base_name(sources[0])}.html")
    output_console().print(f"Report written to {page} ({byte_count(page.stat().st_size)})", soft_wrap=True)

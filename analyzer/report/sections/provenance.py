"""From what, by what and with which words this page was made, so that it can be made again.

Decides what of the manifests is shown. Says what private names the page holds.
"""

from __future__ import annotations

import json
from typing import Any

from analyzer.provenance import provenance, version
from analyzer.report.blocks import Align, Block, Cell, Folded, Heading, Line, Lines, Section, Table
from analyzer.report.cells import amount_cell, maybe, name_cell, records
from analyzer.report.study import Study
from analyzer.report.words import plural, visible
from analyzer.tables.anonymous import MARK

_TEXT_LIMIT = 20_000


def build(study: Study) -> Section:
    """Inputs by digest, versions, command line, seeds, and the whole manifests on demand."""
    made = provenance()
    is_anonymous = bool(study.timeline.manifest.get(MARK))
    libraries = ", ".join(f"{name} {number}" for name, number in made["libraries"].items())
    lines = [
        Line("Command", "not told: this page is anonymous" if is_anonymous else _command(made["arguments"])),
        Line("Analyzer", f"version {version()}, Python {made['python']}, {made['platform']}"),
        Line("Stands on", libraries),
        Line(
            "Private",
            "Names of initiators, targets and files and network addresses are replaced, each by the same "
            "other "
            "one everywhere; block addresses and times are as recorded. There is no payload and no secret of "
            "a "
            "login."
            if is_anonymous
            else "This page names initiators, targets, network addresses, file names and block addresses. It "
            "holds no payload and no secret of a login.",
        ),
    ]
    seeds = [
        f"{label} seed {outcome.manifest.get('seed', 'not said')}"
        for label, outcome in zip(study.comparison.labels, study.outcomes, strict=True)
    ]
    if seeds:
        lines.insert(1, Line("Seeds", visible("; ".join(seeds))))
    folded: list[Block] = [Folded("Manifest of the timeline", _pretty(study.timeline.manifest))]
    folded += [
        Folded(f"Scenario of {visible(label)}", _pretty(outcome.manifest))
        for label, outcome in zip(study.comparison.labels, study.outcomes, strict=True)
    ]
    answer = (
        f"From {plural(len(study.names_of_captures), 'capture file')} by version {version()} of the "
        "analyzer; the digests below say which."
    )
    return Section(
        "provenance",
        "Provenance",
        "Where do these numbers come from?",
        answer,
        (Lines(tuple(lines)), _inputs(study), *folded),
    )


def _inputs(study: Study) -> Table:
    headings = (Heading("Input", Align.CODE), Heading("Size", Align.NUMBER), Heading("SHA-256", Align.CODE))
    rows = []
    for name, row in zip(study.names_of_captures, records(study.timeline.captures), strict=True):
        digest = maybe(row["sha256"])
        rows.append(
            (
                name_cell(name),
                amount_cell(maybe(row["size_bytes"])),
                Cell("read from a pipe" if digest is None else visible(digest), digest),
            )
        )
    return Table("inputs", "Inputs", headings, tuple(rows))


def _command(arguments: list[str]) -> str:
    return visible(" ".join(["analyzer", *(_quoted(word) for word in arguments)]))


def _quoted(word: str) -> str:
    return f"'{word}'" if not word or any(character.isspace() for character in word) else word


def _pretty(manifest: dict[str, Any]) -> str:
    text = json.dumps(manifest, indent=1, ensure_ascii=False, default=str)
    text = "\n".join(visible(line) for line in text.splitlines())
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}\n…"

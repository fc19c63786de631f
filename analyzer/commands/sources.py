"""What a ``SOURCE`` argument names: captures, a timeline folder, or outcome folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.commands.waiting import announced_if_compiling, progress_bar
from analyzer.errors import UnusableInputError

if TYPE_CHECKING:
    from analyzer.tables.folder import Outcome, Timeline

COMPILING = "Compiling for this machine; only the first run does this (about {seconds} s) ..."


def read_captures(
    captures: Sequence[str],
    decoder: str,
    ports: Sequence[int],
    meanwhile: Callable[[], None] | None = None,
) -> Timeline:
    """Decode captures into one timeline, with a progress bar on a terminal.

    ``meanwhile`` is called while the captures are read.
    """
    import analyzer

    with (
        progress_bar("Reading", is_bytes=True) as progress,
        announced_if_compiling(COMPILING.format(seconds=30)),
    ):
        return analyzer.analyze(
            *captures, decoder=decoder, ports=ports, progress=progress, meanwhile=meanwhile
        )


@dataclass(slots=True)
class StudySources:
    """One timeline with the outcomes that were given for it."""

    timeline: Timeline
    outcomes: list[Outcome]


def timeline_and_outcomes(
    sources: Sequence[str], ports: Sequence[int] = ()
) -> tuple[Timeline, list[Outcome]]:
    """Read sources that make one study.

    Raises UnusableInputError where there is no timeline, or more than one, among them.
    """
    studies = studies_of(sources, ports)
    if len(studies) > 1:
        raise UnusableInputError(
            f"these are {len(studies)} timelines; only one can be replayed at a time",
            source=" ".join(sources),
        )
    return studies[0].timeline, studies[0].outcomes


def studies_of(sources: Sequence[str], ports: Sequence[int] = ()) -> list[StudySources]:
    """Tell captures, timeline folders and outcome folders apart and read them as studies.

    Every timeline folder begins a study, and all captures together are one, which begins with the
    first of them. Outcome folders, and folders of outcomes, belong to the study that began last. Raises
    UnusableInputError where there is no timeline, or where it is open to which of several an outcome belongs.
    """
    from analyzer.tables.folder import Outcome, Timeline

    captures: list[str] = []
    begun: list[tuple[str | None, list[Outcome]]] = []
    before: list[Outcome] = []
    for source in sources:
        format_name = _folder_format(source)
        if format_name == Timeline.format_name:
            begun.append((source, []))
        elif format_name is None:
            if not captures:
                begun.append((None, []))
            captures.append(source)
        else:
            found = [Path(source)] if format_name == Outcome.format_name else _outcomes_in(Path(source))
            (begun[-1][1] if begun else before).extend(Outcome.read(folder) for folder in found)
    if not begun:
        raise UnusableInputError("no capture and no timeline folder was given", source=" ".join(sources))
    if before and len(begun) > 1:
        raise UnusableInputError(
            "several timelines are given, and outcomes stand before the first: put them behind their own",
            source=" ".join(sources),
        )
    studies = [
        StudySources(
            read_captures(captures, "native", ports) if folder is None else Timeline.read(folder), outcomes
        )
        for folder, outcomes in begun
    ]
    studies[0].outcomes[:0] = before
    return studies


def _folder_format(source: str) -> str | None:
    """The format of a folder; empty for a folder that may hold outcomes, None for what is no folder."""
    from analyzer.tables.folder import MANIFEST, read_manifest

    place = Path(source)
    if source == "-" or not place.is_dir():
        return None
    if (place / MANIFEST).exists():
        return str(read_manifest(place).get("format"))
    return ""


def _outcomes_in(folder: Path) -> list[Path]:
    from analyzer.tables.folder import Outcome, is_folder_of

    found = [
        place
        for place in sorted(folder.iterdir())
        if place.is_dir() and is_folder_of(place, Outcome.format_name)
    ]
    if not found:
        raise UnusableInputError("holds neither a timeline nor outcomes", source=str(folder))
    return found


def base_name(source: str) -> str:
    """The name of a source without folder and suffixes, to name what is made of it."""
    name = "stdin" if source == "-" else Path(source).resolve().name
    for suffix in (".zst", ".gz", ".pcapng", ".pcap", ".cap"):
        name = name.removesuffix(suffix)
    return name

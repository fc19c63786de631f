"""What a ``SOURCE`` argument names: captures, a timeline folder, or outcome folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.commands.waiting import announced_if_slow, progress_bar
from analyzer.errors import UnusableInputError

if TYPE_CHECKING:
    from analyzer.tables.folder import Outcome, Timeline

COMPILING = "Compiling for this machine; only the first run does this (about {seconds} s) ..."


def read_captures(captures: Sequence[str], decoder: str, ports: Sequence[int]) -> Timeline:
    """Decode captures into one timeline, with a progress bar on a terminal."""
    import analyzer
    from analyzer.decoders import native

    with announced_if_slow(COMPILING.format(seconds=30)):
        native.prepare()
    with progress_bar("Reading", is_bytes=True) as progress:
        return analyzer.analyze(*captures, decoder=decoder, ports=ports, progress=progress)


def timeline_and_outcomes(
    sources: Sequence[str], ports: Sequence[int] = (), *, decoder: str = "native"
) -> tuple[Timeline, list[Outcome]]:
    """Tell captures, timeline folders and outcome folders apart and read them.

    All captures make one timeline. Raises UnusableInputError where there is no timeline, or more
    than one, among the sources.
    """
    from analyzer.tables.folder import Outcome, Timeline

    captures: list[str] = []
    timelines: list[Timeline] = []
    outcomes: list[Outcome] = []
    for source in sources:
        format_name = _folder_format(source)
        if format_name == Timeline.format_name:
            timelines.append(Timeline.read(source))
        elif format_name == Outcome.format_name:
            outcomes.append(Outcome.read(source))
        elif format_name is None:
            captures.append(source)
        else:
            outcomes.extend(Outcome.read(folder) for folder in _outcomes_in(Path(source)))
    if captures:
        timelines.append(read_captures(captures, decoder, ports))
    if not timelines:
        raise UnusableInputError("no capture and no timeline folder was given", source=" ".join(sources))
    if len(timelines) > 1:
        raise UnusableInputError(
            "captures and timeline folders cannot be mixed, nor can two timeline folders",
            source=" ".join(sources),
        )
    return timelines[0], outcomes


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

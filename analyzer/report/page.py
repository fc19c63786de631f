"""One timeline and its outcomes as one HTML file that opens anywhere, without network.

Decides the head of the page and how the file comes to its place; sections decide the rest.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from analyzer.errors import UnusableInputError
from analyzer.report.blocks import Section
from analyzer.report.render import Head, render
from analyzer.report.sections import SECTIONS
from analyzer.report.study import Study
from analyzer.report.words import duration, moment
from analyzer.tables.folder import Outcome, Timeline


def report(timeline: Timeline, outcomes: Sequence[Outcome], page: str | Path) -> Path:
    """Write the page and give its path.

    Raises UnusableInputError where the place cannot be written. The file appears whole or not at all.
    """
    study = Study(timeline, tuple(outcomes))
    text = render(head(study), sections(study))
    return _write(Path(page), text)


def sections(study: Study) -> tuple[Section, ...]:
    """The sections that have something to say, in reading order."""
    built = (build(study) for build in SECTIONS)
    return tuple(section for section in built if section is not None)


def head(study: Study) -> Head:
    """Title and subject of the page."""
    names = study.names_of_captures
    title = (
        names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more" if names else "no capture"
    )
    return Head(title, names, moment(study.begin_ns), duration(study.recorded.end_ns - study.begin_ns))


def _write(place: Path, text: str) -> Path:
    beside: str | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{place.name[:64]}.", dir=place.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # A temporary file is private; a page is made to be handed on, as the user's umask allows.
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(0o666 & ~mask)
        Path(beside).replace(place)
    except OSError as error:
        raise UnusableInputError(f"cannot be written: {error.strerror}", source=str(place)) from None
    finally:
        if beside is not None:
            with contextlib.suppress(OSError):
                Path(beside).unlink(missing_ok=True)
    return place

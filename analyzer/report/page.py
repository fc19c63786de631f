"""Timelines and their outcomes as one HTML file that opens anywhere, without network.

Decides the head of the page and how the file comes to its place; sections decide the rest.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import UnusableInputError
from analyzer.report.blocks import Section
from analyzer.report.lives import lives_of
from analyzer.report.render import Head, lives_data, panels_of, render, strata_data
from analyzer.report.sections import SECTIONS
from analyzer.report.sections.incidents import marks_of
from analyzer.report.study import Study
from analyzer.report.words import duration, moment, visible
from analyzer.tables.folder import Outcome, Timeline


def report(timeline: Timeline, outcomes: Sequence[Outcome], page: str | Path) -> Path:
    """Write the page of one study and give its path; see ``report_studies``."""
    return report_studies([Study(timeline, tuple(outcomes))], page)


def report_studies(studies: Sequence[Study], page: str | Path) -> Path:
    """Write one page of all studies, with a switch between them where there are several, and give its path.

    Raises UnusableInputError where the place cannot be written, and ValueError without a study. The
    file appears whole or not at all.
    """
    if not studies:
        raise ValueError("a page needs a study")
    return _write(Path(page), page_text(studies))


def page_text(studies: Sequence[Study]) -> str:
    """The page as text."""
    return render(panels_of([(head(study), sections(study), extras(study)) for study in studies]))


def extras(study: Study) -> dict[str, Any]:
    """What the page needs for selection, filters and marks: lives, choices and incidents."""
    sessions = np.unique(study.timeline.values("tasks", "session_index")).tolist()
    return {
        "lives": lives_data(lives_of(study)),
        "strata": strata_data(study.strata),
        "filters": {
            "session": [[index, f"session {index}"] for index in sessions],
            "lun": [[code, name] for code, name in enumerate(study.luns[1])],
            "operation": [[code, name] for code, name in enumerate(study.requests.operation.names)],
        },
        "incidents": marks_of(study),
    }


def sections(study: Study) -> tuple[Section, ...]:
    """The sections that have something to say, in reading order."""
    built = (build(study) for build in SECTIONS)
    return tuple(section for section in built if section is not None)


def head(study: Study) -> Head:
    """Title and subject of a study."""
    lasts = duration(study.recorded.end_ns - study.begin_ns)
    return Head(visible(study.title), study.names_of_captures, moment(study.begin_ns), lasts)


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

"""What an exporter is: a name, where its output goes, and a function from a timeline to files.

Decides nothing about any format.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from analyzer.errors import UnusableInputError
from analyzer.tables.folder import Timeline


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: ``written`` says how much, ``remarks`` what was left out and how to use it."""

    place: Path
    written: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format. ``suffix`` is added to the name of the source to name the output."""

    name: str
    suffix: str
    sentence: str
    write: Callable[[Timeline, Path], Exported]
    """Raises UnusableInputError where the place cannot be written."""


@contextmanager
def whole_file(place: Path) -> Iterator[BinaryIO]:
    """A file that appears at ``place`` whole, or not at all.

    Raises UnusableInputError where it cannot be written.
    """
    beside: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{place.name[:64]}.", dir=place.parent)
        beside = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(place)
    except OSError as error:
        raise UnusableInputError(f"cannot be written: {error.strerror}", source=str(place)) from None
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)

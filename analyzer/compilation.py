"""How hot loops are compiled and where the compiled code is kept: decided once, for all of them.

Numba keeps compiled code beside a note of the one file a function stands in. It does not see a
change in the functions and records that the function uses, so that after an upgrade it could run
old code or fail to load it. Here the code of each room is kept in a folder named by a digest of
all sources it may rest on: changed sources compile anew, and old folders are cleared away.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.runtime.nrt import rtsys

PACKAGE = Path(__file__).parent
KEPT_FOLDERS = 8
Function = TypeVar("Function", bound=Callable[..., Any])

_DECODING = ("capture", "network", "iscsi", "scsi", "decoders", "timeline")


def njit(**options: Any) -> Callable[[Function], Function]:
    """``numba.njit`` whose cache, where ``cache=True`` asks for one, is that of the sources as they are.

    To those who read types, the compiled function is the function it was made of.
    """
    is_kept = options.pop("cache", False)

    def decorate(function: Function) -> Function:
        compiled: Any = numba.njit(**options)(function)
        if is_kept and isinstance(compiled, Dispatcher):
            vars(compiled)["_cache"] = _KeptCode(function)
        result: Function = compiled
        return result

    return decorate


class _KeptCode:
    """The kept code of one function, looked for when it is first called.

    Most functions are only called by compiled ones, whose kept code holds theirs. Loading leaves out what
    only a compilation needs: Numba's own class first imports its implementations of all of Python and
    NumPy, which takes longer than loading the decoder.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @functools.cached_property
    def _of_numba(self) -> Any:
        keep: Any = FunctionCache
        with kept_beside_its_sources(self._function):
            return keep(self._function)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of one signature, None where none is kept."""
        rtsys.initialize(target_context)
        with self._of_numba._guard_against_spurious_io_errors():
            return self._of_numba._load_overload(sig, target_context)

    def __getattr__(self, name: str) -> Any:
        """All else, saving among it, is Numba's."""
        return getattr(self._of_numba, name)


@contextmanager
def kept_beside_its_sources(function: Callable[..., Any]) -> Iterator[None]:
    """Let Numba's decorators inside keep the code of ``function`` in the folder of its sources."""
    config: Any = numba.config
    before = config.CACHE_DIR
    folder = _folder(_room(function.__module__), before)
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _room(module: str) -> str:
    """The folder or file below ``analyzer`` that a module stands in; empty for what is not ours."""
    names = module.split(".")
    return names[1] if names[0] == "analyzer" and len(names) > 1 else ""


@functools.cache
def _folder(room: str, given: str) -> Path | None:
    """Where the compiled code of one room lies; None where nothing can be written (Numba then decides)."""
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = root / "iscsi-path-analyzer" / "compiled"
    place = base / _digest(_rests_on(room))
    try:
        if not place.is_dir():
            place.mkdir(parents=True, mode=0o700)
            _clear_old(base)
        os.utime(place)
    except OSError:
        return None
    return place


def _rests_on(room: str) -> tuple[str, ...]:
    """The rooms whose compiled functions a room may call, and the files beside the rooms."""
    beside = tuple(sorted(path.name for path in PACKAGE.glob("*.py")))
    if room in _DECODING or not (PACKAGE / room).is_dir():
        return (*beside, *_DECODING)
    return (*beside, room)


@functools.cache
def _digest(rooms: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for room in rooms:
        place = PACKAGE / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(path.relative_to(PACKAGE)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _clear_old(base: Path) -> None:
    folders = sorted(
        (path for path in base.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for folder in folders[:-KEPT_FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)

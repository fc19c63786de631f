"""Compiled code is kept apart by the sources it rests on, and never stands in the way of running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer import compilation
from tests.real import capture_path


@pytest.fixture(autouse=True)
def _forget_folders() -> None:
    compilation._folder.cache_clear()
    compilation._digest.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with the rooms of decoding, and replay, in place of ours."""
    root = tmp_path / "analyzer"
    for room in (*compilation._DECODING, "replay"):
        (root / room).mkdir(parents=True)
        (root / room / "loop.py").write_text("FIRST = 1\n")
    monkeypatch.setattr(compilation, "PACKAGE", root)
    return root


def folder(room: str, cache: Path) -> Path:
    compilation._folder.cache_clear()
    compilation._digest.cache_clear()
    place = compilation._folder(room, str(cache))
    assert place is not None
    return place


def test_changed_sources_have_another_folder_and_unchanged_ones_the_same(
    package: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    network, replay = folder("network", cache), folder("replay", cache)
    assert network != replay
    assert folder("network", cache) == network
    (package / "network" / "callee.py").write_text("SECOND = 2\n")
    assert folder("network", cache) != network
    assert folder("replay", cache) == replay, "replay rests on no network code"


def test_rooms_of_decoding_rest_on_each_other(package: Path, tmp_path: Path) -> None:
    assert folder("iscsi", tmp_path / "cache") == folder("network", tmp_path / "cache")


def test_old_folders_are_cleared_away(package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for version in range(compilation.KEPT_FOLDERS + 5):
        (package / "network" / "loop.py").write_text(f"FIRST = {version}\n")
        newest = folder("network", cache)
    kept = list(newest.parent.iterdir())
    assert len(kept) == compilation.KEPT_FOLDERS
    assert newest in kept


def test_a_place_that_cannot_be_written_leaves_the_choice_to_numba(package: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    assert compilation._folder("network", str(blocked)) is None


def test_what_numba_was_told_by_others_is_restored(tmp_path: Path) -> None:
    import numba

    before = numba.config.CACHE_DIR
    with compilation.kept_beside_its_sources(folder):
        pass
    assert before == numba.config.CACHE_DIR


COMPILED_FOR_A_CAPTURE = """
import json, sys
from numba.core.dispatcher import Dispatcher
from analyzer.decoders import native
from analyzer.timeline.build import build

def compiled():
    return {
        f"{module}.{name}": [str(signature) for signature in value.signatures]
        for module, content in list(sys.modules.items()) if module.startswith("analyzer.timeline")
        for name, value in vars(content).items() if isinstance(value, Dispatcher) and value.signatures
    }

native.prepare()
build(native.nothing_decoded())
before = compiled()
build(native.decode([sys.argv[1]]))
print(json.dumps([before, compiled()]))
"""


def test_a_capture_needs_no_code_that_was_not_loaded_while_it_was_read() -> None:
    program = [sys.executable, "-c", COMPILED_FOR_A_CAPTURE, str(capture_path("mcs-2conn-rr-mtu1500-tgt"))]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    loaded, needed = json.loads(done.stdout)
    assert "analyzer.timeline.task_tracker._track" in needed
    assert needed == loaded

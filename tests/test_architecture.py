"""The folder list is the architecture: imports go one way, and the source keeps its own house rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analyzer"

BASE = {
    "alongside",
    "byte_order",
    "compilation",
    "errors",
    "intervals",
    "lanes",
    "sequentiality",
    "serial_numbers",
    "diagnostics",
    "provenance",
    "measures",
    "scratch",
    "tables",
}
ALLOWED: dict[str, set[str]] = {
    # the base; only tables stand on the rest of it
    "alongside": set(),
    "byte_order": {"compilation"},
    "compilation": set(),
    "errors": set(),
    "intervals": set(),
    "lanes": {"compilation"},
    "sequentiality": {"compilation"},
    "serial_numbers": set(),
    "diagnostics": set(),
    "provenance": set(),
    "measures": set(),
    "scratch": {"errors"},
    "tables": {"errors", "diagnostics", "provenance", "measures", "scratch"},
    # from packets to a timeline
    "capture": BASE,
    "iscsi": BASE,
    "scsi": BASE,
    "network": BASE | {"capture", "iscsi"},
    "decoders": BASE | {"capture", "network", "iscsi"},
    "timeline": BASE | {"decoders", "iscsi", "scsi"},
    # from a timeline to a page: tables only, never a packet
    "replay": BASE,
    "comparison": BASE | {"replay"},
    "report": BASE | {"comparison"},
    "export": BASE,
    # what the user calls
    "__init__": BASE | {"timeline", "replay", "comparison", "report"},
    "commands": BASE
    | {"__init__", "capture", "iscsi", "scsi", "decoders", "timeline"}
    | {"replay", "comparison", "report", "export"},
}

SOURCES = sorted(PACKAGE.rglob("*.py"))
PURE = ("iscsi", "scsi")


def room_of(path: Path) -> str:
    """Give the layer a file belongs to: its folder below ``analyzer``, or its own name."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """All layers that a file imports from, type-checking imports included."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "analyzer":
                below = parts[1] if len(parts) > 1 else "__init__"
                rooms.add(
                    below if (PACKAGE / below).is_dir() or (PACKAGE / f"{below}.py").exists() else "__init__"
                )
    return rooms - {room_of(path)}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_go_down_the_layers_only(path: Path) -> None:
    assert imported_rooms(path) <= ALLOWED[room_of(path)]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_all_compiled_code_is_kept_by_its_sources(path: Path) -> None:
    """Numba's own njit would keep code that an upgrade makes stale."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "numba":
            assert "njit" not in {alias.name for alias in node.names}


def test_every_folder_has_its_place_among_the_layers() -> None:
    rooms = {room_of(path) for path in SOURCES}
    assert rooms == set(ALLOWED)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_file_opens_with_its_charter(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.rstrip().endswith((".", "!", "?", ")", ":"))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_file_is_longer_than_a_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_names_are_spelled_out(path: Path) -> None:
    """No drawer for leftovers, and no unfinished work in the tree."""
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}
    text = path.read_text()
    assert not [word for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X") if word in text]


@pytest.mark.parametrize("path", [p for p in SOURCES if room_of(p) in PURE], ids=relative)
def test_protocol_code_does_no_input_or_output(path: Path) -> None:
    """Layouts and code tables read no file, no clock and no chance."""
    forbidden = {"os", "pathlib", "socket", "time", "random", "subprocess", "io", "sys"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & forbidden
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.module.split(".")[0] not in forbidden
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}


def test_tracked_traces_stay_small() -> None:
    """What is shipped for tests and the demo stays under 12 MB in all."""
    assert sum(path.stat().st_size for path in (ROOT / "traces").rglob("*") if path.is_file()) < 12_000_000

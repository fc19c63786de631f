"""Who made a result, from what, with which words: the part of a manifest that lets it be repeated."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

DISTRIBUTION = "iscsi-path-analyzer"
_VERSIONED = ("numpy", "numba", "pyarrow", "pandas", "plotly", "pyshark")


def version() -> str:
    """The version of this analyzer as installed, or ``unknown`` in a bare checkout."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def provenance(arguments: list[str] | None = None) -> dict[str, Any]:
    """Plain JSON data: versions of the analyzer and what it stands on, platform, command line."""
    versions = {}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "analyzer": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": versions,
        "arguments": list(sys.argv[1:] if arguments is None else arguments),
    }

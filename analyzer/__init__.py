"""Reads iSCSI captures, rebuilds the life of every SCSI command, and replays it under other policies.

The public API, without logic: ``analyze`` a capture into a ``Timeline``, ``replay`` it into
an ``Outcome``, ``compare`` outcomes, ``report`` them as one page. Heavy libraries are imported
when a function is first called, so that ``import analyzer`` and ``--help`` stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Imported first so that the functions of the same names below are not replaced by these
# packages when something imports from them later.
import analyzer.replay
import analyzer.report  # noqa: F401
from analyzer.errors import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from analyzer.replay.scenario import Scenario
    from analyzer.tables.folder import Outcome, Timeline

__all__ = ["Outcome", "Timeline", "UnusableInputError", "analyze", "compare", "replay", "report"]


def analyze(*captures: str | Path, **options: Any) -> Timeline:
    """Read one or more captures as one timeline; see ``analyzer.timeline.analysis.analyze``."""
    from analyzer.timeline.analysis import analyze as implementation

    return implementation(*captures, **options)


def replay(timeline: Timeline, policy: str | Scenario, **options: Any) -> Outcome:
    """Run a timeline under ``TOPOLOGY/POLICY`` or a Scenario; see ``analyzer.replay.run.replay``."""
    from analyzer.replay.run import replay as implementation

    return implementation(timeline, policy, **options)


def compare(outcomes: Sequence[Outcome], timeline: Timeline | None = None) -> pd.DataFrame:
    """Outcomes side by side, one row per measure; see ``analyzer.comparison.compare.compare``."""
    from analyzer.comparison.compare import compare as implementation

    return implementation(outcomes, timeline)


def report(timeline: Timeline, outcomes: Sequence[Outcome], page: str | Path) -> Path:
    """Write one self-contained HTML page; see ``analyzer.report.page.report``."""
    from analyzer.report.page import report as implementation

    return implementation(timeline, outcomes, page)


def __getattr__(name: str) -> Any:
    """``Timeline`` and ``Outcome``, whose module imports Arrow."""
    if name in ("Timeline", "Outcome"):
        from analyzer.tables import folder

        return getattr(folder, name)
    raise AttributeError(f"module 'analyzer' has no attribute {name!r}")

"""Sources on the command line: what belongs to which study."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.commands.sources import studies_of, timeline_and_outcomes
from analyzer.errors import UnusableInputError
from tests.commands.run import run
from tests.made import make_outcome, make_timeline


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Two timelines, an outcome of each, and a folder of two outcomes."""
    first, second = make_timeline(tasks=20), make_timeline(tasks=30)
    first.write(tmp_path / "first")
    second.write(tmp_path / "second")
    make_outcome(first, "mcs:2/x").write(tmp_path / "x")
    make_outcome(second, "mcs:2/y").write(tmp_path / "several" / "00-y")
    make_outcome(second, "mcs:2/z").write(tmp_path / "several" / "01-z")
    return {name: str(tmp_path / name) for name in ("first", "second", "x", "several")}


def told(sources: list[str]) -> list[tuple[int, list[str]]]:
    return [
        (study.timeline.arrow["tasks"].num_rows, [outcome.label for outcome in study.outcomes])
        for study in studies_of(sources)
    ]


def test_outcomes_belong_to_the_timeline_before_them(folders: dict[str, str]) -> None:
    sources = [folders[name] for name in ("first", "x", "second", "several")]
    assert told(sources) == [(20, ["mcs:2/x"]), (30, ["mcs:2/y", "mcs:2/z"])]


def test_with_one_timeline_the_order_does_not_matter(folders: dict[str, str]) -> None:
    assert told([folders["x"], folders["first"]]) == [(20, ["mcs:2/x"])]


def test_an_outcome_before_two_timelines_is_of_neither(folders: dict[str, str]) -> None:
    with pytest.raises(UnusableInputError, match="before the first"):
        studies_of([folders["x"], folders["first"], folders["second"]])


def test_replay_wants_exactly_one(folders: dict[str, str]) -> None:
    timeline, outcomes = timeline_and_outcomes([folders["first"], folders["x"]])
    assert timeline.arrow["tasks"].num_rows == 20
    assert len(outcomes) == 1
    with pytest.raises(UnusableInputError, match="2 timelines"):
        timeline_and_outcomes([folders["first"], folders["second"]])


def test_outcomes_alone_are_no_study(folders: dict[str, str]) -> None:
    with pytest.raises(UnusableInputError, match="no capture and no timeline"):
        studies_of([folders["x"]])


def test_two_timelines_become_one_page(folders: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run(
        [
            "report",
            *(folders[name] for name in ("first", "x", "second", "several")),
            "--no-claims",
            "-o",
            page,
        ]
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert 'id="s1-verdict"' in text
    assert 'id="s2-comparison"' in text

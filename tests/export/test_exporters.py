"""What holds for every format, and the tables as CSV and Parquet."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analyzer.errors import UnusableInputError
from analyzer.export import csv_tables
from analyzer.export.formats import EXPORTERS
from analyzer.export.interface import Exporter
from analyzer.tables.folder import Timeline
from tests.commands.run import run
from tests.made import make_timeline
from tests.report.test_render import HOSTILE


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda one: one.name)
@pytest.mark.parametrize("tasks", [0, 1, 40])
def test_every_format_takes_any_timeline_twice(exporter: Exporter, tasks: int, tmp_path: Path):
    """Names may be hostile, the folder may not be there yet, and a second run replaces the first."""
    timeline = make_timeline(tasks=tasks, initiator_name=HOSTILE)
    place = tmp_path / "new" / f"made{exporter.suffix}"
    assert exporter.write(timeline, place).place == place
    first = {path.name: path.read_bytes() for path in ([place] if place.is_file() else place.iterdir())}
    done = exporter.write(timeline, place)
    assert done.written
    assert {
        path.name: path.read_bytes() for path in ([place] if place.is_file() else place.iterdir())
    } == first
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda one: one.name)
def test_a_place_that_cannot_be_written_is_one_clear_line(exporter: Exporter, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableInputError):
        exporter.write(make_timeline(tasks=1), tmp_path / "file" / "below")


def test_formats_have_names_of_their_own():
    assert len({exporter.name for exporter in EXPORTERS}) == len(EXPORTERS)
    assert all(exporter.sentence.endswith(".") for exporter in EXPORTERS)


def test_every_table_is_a_csv_with_all_rows(tmp_path: Path):
    """Read back with another reader: same header, same number of rows, quoted texts whole, nulls empty."""
    timeline = make_timeline(tasks=20, initiator_name=HOSTILE)
    csv_tables.write(timeline, tmp_path / "out")
    for name, table in timeline.arrow.items():
        with (tmp_path / "out" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(line.replace("\0", "\\0") for line in file))
        assert len(rows) == table.num_rows
        if rows:
            assert list(rows[0]) == table.column_names
    with (tmp_path / "out" / "tasks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["latency_ns"]) for row in rows] == timeline.values("tasks", "latency_ns").tolist()
    assert {row["sense_key"] for row in rows} == {""}
    assert rows[0]["operation"] == "READ(10)"
    assert HOSTILE.split("\0")[0] in (tmp_path / "out" / "sessions.csv").read_text().replace('""', '"')


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = run(["export", written(tmp_path), "--format", "parquet", "-o", tmp_path / "mine"])
    assert done.returncode == 2
    assert (tmp_path / "mine" / "thesis.txt").exists()


def written(tmp_path: Path) -> Path:
    return make_timeline(tasks=30).write(tmp_path / "timeline")


def test_the_verb_exports_and_says_where(tmp_path: Path):
    source = written(tmp_path)
    done = run(["export", source, "--format", "parquet", "-o", tmp_path / "copy"])
    assert done.returncode == 0, done.stderr
    assert Timeline.read(tmp_path / "copy").arrow["tasks"].equals(Timeline.read(source).arrow["tasks"])
    done = run(["export", source, "--format", "fio", "-o", tmp_path / "copy.fio"], columns=200)
    assert "30 actions written to" in done.stdout
    assert "--read_iolog=" in done.stdout


def test_a_format_that_there_is_not_is_one_line(tmp_path: Path):
    done = run(["export", written(tmp_path), "--format", "vhs"])
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "perfetto" in done.stderr

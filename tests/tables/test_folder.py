"""A folder reads back as it was written, and nothing else passes for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from analyzer.errors import UnusableInputError
from analyzer.scratch import Scratch
from analyzer.tables.folder import MANIFEST, Outcome, Timeline
from tests.made import make_outcome, make_timeline


def test_a_timeline_reads_back_equal(tmp_path: Path) -> None:
    timeline = make_timeline(tasks=20)
    again = Timeline.read(timeline.write(tmp_path / "timeline"))
    assert again.arrow == timeline.arrow
    assert again.manifest["tables"]["tasks"] == 20
    assert again.manifest["made"] == timeline.manifest["made"]


def test_an_outcome_reads_back_equal(tmp_path: Path) -> None:
    outcome = make_outcome(make_timeline(tasks=20), "mpio:2/service-time")
    again = Outcome.read(outcome.write(tmp_path / "outcome"))
    assert again.arrow == outcome.arrow
    assert again.label == "mpio:2/service-time"


def test_frames_keep_integers_and_nulls_apart() -> None:
    tasks = make_timeline(tasks=4).tasks
    assert tasks["cmd_sn"].dtype == "UInt32"
    assert tasks["sense_key"].isna().all()
    assert tasks["command_ns"].dtype == "Int64"


def test_values_want_a_stand_in_for_null() -> None:
    timeline = make_timeline(tasks=3)
    with pytest.raises(ValueError, match="holds null"):
        timeline.values("tasks", "sense_key")
    assert timeline.values("tasks", "sense_key", 255).tolist() == [255] * 3
    assert timeline.is_null("tasks", "sense_key").all()
    assert timeline.values("tasks", "direction").tolist() == ["read", "read", "write"]


@pytest.mark.parametrize("scratch", [None, Scratch()])
def test_columns_in_chunks_are_those_in_one_piece(scratch: Scratch | None) -> None:
    whole = make_timeline(tasks=30)
    parts = {
        name: pa.concat_tables([table.slice(0, 7), table.slice(7, 1), table.slice(8)])
        for name, table in whole.arrow.items()
    }
    chunked = Timeline(parts, whole.manifest, scratch)
    assert chunked.arrow["tasks"].column("latency_ns").num_chunks == 3
    assert (chunked.values("tasks", "latency_ns", -1) == whole.values("tasks", "latency_ns", -1)).all()
    assert (chunked.values("tasks", "end") == whole.values("tasks", "end")).all()
    assert (chunked.is_null("tasks", "response_ns") == whole.is_null("tasks", "response_ns")).all()
    for column in ("operation", "direction", "end"):
        names, codes = chunked.categories("tasks", column)
        expected_names, expected_codes = whole.categories("tasks", column)
        assert [names[code] for code in codes] == [expected_names[code] for code in expected_codes]


def test_chunks_with_words_of_their_own_are_numbered_together() -> None:
    whole = make_timeline(tasks=4)
    tasks = whole.arrow["tasks"]
    place = tasks.schema.get_field_index("operation")
    kind = tasks.schema.field(place).type
    words = ["read", "write", "write", "read"]
    chunks = [pa.array([word], pa.string()).dictionary_encode().cast(kind) for word in words]
    tasks = tasks.set_column(place, tasks.schema.field(place), pa.chunked_array(chunks))
    names, codes = Timeline({**whole.arrow, "tasks": tasks}).categories("tasks", "operation")
    assert names == ("read", "write")
    assert codes.tolist() == [0, 1, 1, 0]


def test_writing_replaces_an_earlier_timeline_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "result"
    make_timeline(tasks=3).write(place)
    make_timeline(tasks=5).write(place)
    assert Timeline.read(place).arrow["tasks"].num_rows == 5
    with pytest.raises(UnusableInputError, match="not overwritten"):
        make_outcome(make_timeline(tasks=3)).write(place)
    foreign = tmp_path / "letters"
    foreign.mkdir()
    (foreign / "dear.txt").write_text("kept")
    with pytest.raises(UnusableInputError, match="not overwritten"):
        make_timeline(tasks=3).write(foreign)
    assert (foreign / "dear.txt").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters", "result"]


def damage_manifest(place: Path) -> None:
    (place / MANIFEST).write_text("{")


def damage_version(place: Path) -> None:
    manifest = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).write_text(json.dumps(manifest | {"format_version": 99}))


def damage_table(place: Path) -> None:
    (place / "tasks.parquet").write_bytes(b"PAR1 not really")


def remove_table(place: Path) -> None:
    (place / "events.parquet").unlink()


def wrong_columns(place: Path) -> None:
    (place / "tasks.parquet").write_bytes((place / "events.parquet").read_bytes())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (damage_manifest, "is no JSON"),
        (damage_version, "format version 99"),
        (damage_table, "is damaged"),
        (remove_table, "is missing"),
        (wrong_columns, "is damaged"),
    ],
)
def test_a_damaged_folder_is_one_clear_line(tmp_path: Path, damage: object, complaint: str) -> None:
    place = make_timeline(tasks=3).write(tmp_path / "timeline")
    assert callable(damage)
    damage(place)
    with pytest.raises(UnusableInputError, match=complaint) as raised:
        Timeline.read(place)
    assert str(place) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_outcome_is_no_timeline(tmp_path: Path) -> None:
    place = make_outcome(make_timeline(tasks=3)).write(tmp_path / "outcome")
    with pytest.raises(UnusableInputError, match="is no iscsi-timeline folder"):
        Timeline.read(place)


def test_values_of_a_made_timeline_obey_cause_and_effect() -> None:
    """The builder that other tests rely on makes no nonsense."""
    timeline = make_timeline(tasks=100, depth=4)
    command, response = timeline.values("tasks", "command_ns"), timeline.values("tasks", "response_ns", 0)
    assert (response > command).all()
    assert timeline.values("tasks", "outstanding").max() == 3
    assert np.array_equal(np.sort(timeline.values("pdus", "time_ns")), timeline.values("pdus", "time_ns"))

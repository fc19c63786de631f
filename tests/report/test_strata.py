"""What filters add up: over all strata the sums are those of the recording, whatever it holds."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.report.life_parts import parts_of
from analyzer.report.render import strata_data
from analyzer.report.strata import CELLS_PER_DECADE, LIMIT, strata_of
from analyzer.report.study import Study
from tests.made import make_timeline, null_where


@pytest.fixture(scope="module")
def study() -> Study:
    """Two sessions of two connections, two logical units, reads and writes, some never answered."""
    made = make_timeline(tasks=400)
    silent = np.arange(400) % 50 == 49
    return Study(
        make_timeline(
            tasks=400,
            sessions=2,
            lun=np.where(np.arange(400) % 5 == 0, 1 << 48, 0).astype(np.uint64),
            response_ns=null_where(made.values("tasks", "response_ns"), silent),
            latency_ns=null_where(made.values("tasks", "latency_ns"), silent),
            end=np.where(silent, "capture-ended", "responded").tolist(),
        )
    )


def test_the_strata_add_up_to_the_recording(study: Study):
    strata = study.strata
    overall = study.recorded.overall
    assert strata.requests.sum() == overall["requests"] == 400
    assert strata.completed.sum() == overall["completed"] == 392
    assert strata.completions.sum() == 392
    assert strata.moved_bytes.sum() == study.requests.transferred_bytes[study.requests.is_completed].sum()
    assert strata.latency_ns.sum() / 392 == pytest.approx(overall["latency_ns_mean"])
    assert strata.latency_ns_max.max() == overall["latency_ns_max"]
    assert strata.parts_ns.sum() == pytest.approx(sum(column.sum() for column in parts_of(study).columns()))
    assert strata.cells[2].sum() == 392


def test_a_stratum_is_the_commands_that_its_keys_name(study: Study):
    strata = study.strata
    for one in range(len(strata.requests)):
        mine = (
            (study.requests.path == strata.connection[one])
            & (study.luns[0] == strata.lun[one])
            & (study.requests.operation.codes == strata.operation[one])
        )
        assert mine.sum() == strata.requests[one] > 0
        assert np.array_equal(strata.of_task == one, mine)
        assert (study.timeline.values("tasks", "session_index")[mine] == strata.session[one]).all()


def test_the_mean_in_flight_is_littles(study: Study):
    """Summed over time, what is in flight is the time that commands spent, however the time is cut."""
    strata = study.strata
    spent = (strata.in_flight * np.diff(strata.edges)).sum()
    lives = study.timeline.values("tasks", "ended_ns") - study.requests.ready_ns
    assert spent == pytest.approx(lives.sum() / 1e9, rel=1e-6)


def test_a_percentile_of_the_cells_is_within_their_width(study: Study):
    _, cell, number = study.strata.cells
    order = np.argsort(cell, kind="stable")
    reached = np.searchsorted(np.cumsum(number[order]), 392 * 0.99)
    about = 10 ** ((cell[order][reached] + 0.5) / CELLS_PER_DECADE)
    assert about == pytest.approx(study.recorded.overall["latency_ns_p99"], rel=0.025)


def test_too_many_strata_are_not_kept():
    """An operation of its own for every command of one connection."""
    several = [f"operation {number}" for number in range(LIMIT + 1)]
    timeline = make_timeline(tasks=LIMIT + 1, connections=1, operation=several)
    assert strata_of(Study(timeline)) is None
    assert strata_data(None) is None


def test_no_command_makes_no_stratum():
    assert strata_of(Study(make_timeline(tasks=0))) is None

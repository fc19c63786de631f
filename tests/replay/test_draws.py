"""What repeats draw: other moments of the recording, within groups and bounds, and always the same ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.calibration import calibration_of
from analyzer.replay.draws import drawn_moments, draws_of, strata_of
from analyzer.replay.made import made_workload
from analyzer.replay.recorded_links import PduColumns, RecordedLinks
from tests.real import capture_path

MCS = "mcs-2conn-rr-tgt"
NOTHING = np.zeros(0, np.int64)
NO_LINKS = RecordedLinks(
    *((), NOTHING.astype(np.int32)),
    *(NOTHING,) * 11,
    PduColumns(*(NOTHING,) * 12),
    (),
)


@pytest.fixture(scope="module")
def calibration():
    return calibration_of(analyzer.analyze(capture_path(MCS)))


@given(groups=st.lists(st.integers(0, 5), min_size=1, max_size=60), seed=st.integers(0, 2**32))
def test_a_row_takes_the_place_of_one_of_its_group(groups, seed):
    """Of its group, and the next one of it from the drawn moment on."""
    groups = np.array(groups)
    moments = drawn_moments(len(groups), np.random.default_rng(seed))
    chosen = strata_of(groups).at(moments)
    for row, (moment, donor) in enumerate(zip(moments.tolist(), chosen.tolist(), strict=True)):
        mine = np.flatnonzero(groups == groups[row])
        later = mine[mine >= moment]
        assert donor == (later[0] if len(later) else mine[0])


def test_moments_are_drawn_evenly_in_blocks():
    """Each row is drawn once on average; nine in ten follow the one before, in blocks of ten."""
    random = np.random.default_rng(3)
    times = np.zeros(1000)
    follows = []
    for _ in range(200):
        moments = drawn_moments(1000, random)
        np.add.at(times, moments, 1)
        follows.append((np.diff(moments) % 1000 == 1).mean())
    assert times.mean() == 200
    assert times.std() < 5 * np.sqrt(200)
    assert np.mean(follows) == pytest.approx(0.9, abs=0.01)


def test_the_same_seed_and_number_draw_the_same(calibration):
    draws = calibration.draws
    first, again, other = draws.drawn(7, 1), draws.drawn(7, 1), draws.drawn(7, 2)
    assert np.array_equal(first[0].service_ns, again[0].service_ns)
    assert not np.array_equal(first[0].service_ns, other[0].service_ns)
    assert draws.digest(7) == calibration_of(analyzer.analyze(capture_path(MCS))).draws.digest(7)
    assert draws.digest(7) != draws.digest(8)
    assert draws.seed_of(7, 1) != draws.seed_of(7, 2)


def test_what_one_unit_took_is_not_drawn_for_another():
    """A fast and a slow logical unit stay one; so do reads and writes of different kinds."""
    device = np.arange(400) % 2
    kinds = (np.arange(400) // 2) % 2
    service = 1000 * (1 + device) + 10 * kinds
    workload = made_workload(400, read_bytes=4096, service_ns=service, lun_index=device)
    drawn, _ = draws_of(workload, NO_LINKS, kinds).drawn(0, 1)
    assert np.array_equal(drawn.service_ns, service)


def test_a_pause_of_the_application_stays_a_pause():
    """One request in fifty comes a second after the one before; in each draw as many do."""
    think = np.where(np.arange(500) % 50 == 49, 1_000_000_000, 20_000 + np.arange(500))
    predecessor = np.arange(500) - 1
    workload = made_workload(500, read_bytes=4096, think_ns=think, predecessor=predecessor)
    drawn, _ = draws_of(workload, NO_LINKS, np.zeros(500, np.int64)).drawn(0, 1)
    assert np.array_equal(drawn.pacing.think_ns > 10**8, think > 10**8)
    assert not np.array_equal(drawn.pacing.think_ns, think)


def test_links_are_drawn_between_their_bounds(calibration):
    """A rate with bounds moves between them and fills them; one without stays."""
    name = calibration.recorded.names[0]
    rate = CalibratedValue(f"rate to target, {name}", 40_000_000, "bit/s", "made", low=38e6, high=41e6)
    back = CalibratedValue(f"rate from target, {name}", 40_000_000, "bit/s", "made")
    rates = np.full(len(calibration.recorded.names), 40_000_000)
    recorded = replace(
        calibration.recorded, values=(rate, back), rate_to_target_bps=rates, rate_from_target_bps=rates
    )
    draws = replace(calibration.draws, recorded=recorded)
    drawn = [draws.drawn(0, number)[1] for number in range(1, 101)]
    to = np.array([one.rate_to_target_bps[0] for one in drawn])
    assert to.min() >= 38e6
    assert to.max() <= 41e6
    assert to.max() - to.min() > 2.5e6
    assert np.median(to) == pytest.approx(40e6, rel=0.008), "as often below what is calibrated as above"
    assert all(one.rate_from_target_bps[0] == 40_000_000 for one in drawn)

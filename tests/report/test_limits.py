"""Limits and advice: which links were busy, where requests waited, and what follows in words."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.comparison.limits import STAGES, busiest, stage_means_ns
from analyzer.comparison.model_error import UNSEEN_PERCENT
from analyzer.report.advice import advice_of
from analyzer.report.sections import comparison, limits
from analyzer.report.study import Study
from analyzer.tables.folder import Outcome, Timeline
from analyzer.tables.outcome_tables import PATHS, UTILISATION
from tests.made import BEGIN_NS, make_outcome, make_timeline
from tests.report.described import with_incident
from tests.report.test_depth import RECOVERY, SECOND


def study_of(*labels: tuple[str, float], timeline: Timeline | None = None) -> Study:
    """The baseline as it was recorded, and replays that are so many times faster."""
    timeline = timeline or make_timeline()
    made = [make_outcome(timeline, label, faster=faster) for label, faster in labels]
    return Study(timeline, (make_outcome(timeline, "as-recorded"), *made))


def with_busy(outcome: Outcome, share: float) -> Outcome:
    """The outcome with links that send for so much of its duration towards the initiator."""
    table = outcome.arrow["paths"]
    span_ns = (
        share
        * 1e9
        * dict(
            zip(
                *(outcome.arrow["metrics"].column(name).to_pylist() for name in ("metric", "value")),
                strict=True,
            )
        )["duration_s"]
    )
    columns = {name: table.column(name) for name in table.column_names}
    columns["busy_from_target_ns"] = np.full(table.num_rows, round(span_ns), np.int64)
    outcome.arrow["paths"] = PATHS.build(columns)
    return outcome


def test_the_stages_of_a_life_add_up_to_the_latency():
    outcome = make_outcome(make_timeline())
    means = stage_means_ns(outcome)
    assert len(means) == len(STAGES)
    assert sum(means) == pytest.approx(outcome.values("requests", "latency_ns").mean())


def test_a_replay_that_completed_nothing_has_no_stages():
    assert stage_means_ns(make_outcome(make_timeline(tasks=0))) == ()
    assert busiest(make_outcome(make_timeline(tasks=0))) is None


@pytest.mark.parametrize(("share", "said"), [(0.3, "are not the limit"), (0.95, "are the limit")])
def test_a_busy_link_is_the_limit(share: float, said: str):
    study = study_of(("mcs:2/round-robin", 1.5))
    with_busy(study.outcomes[0], share)
    found = busiest(study.outcomes[0])
    assert (found.from_target, found.share) == (True, pytest.approx(share))
    assert said in dict(advice_of(study).reasons)["Links"]
    assert ("a link is the limit" in limits.build(study).answer) == (share > 0.8)


def test_utilisation_is_averaged_over_few_intervals():
    """1,000 spans of 1 ms, sending every other one: a level of a half, over the whole replay."""
    study = study_of()
    (outcome,) = study.outcomes
    spans = np.arange(1000)
    outcome.arrow["utilisation"] = UTILISATION.build(
        {
            "link_index": np.zeros(1000, np.int32),
            "from_target": np.zeros(1000, bool),
            "begin_ns": BEGIN_NS + spans * 1_000_000,
            "width_ns": np.full(1000, 1_000_000),
            "busy_share": (spans % 2).astype(np.float64),
        }
    )
    (series,) = limits.build(study).figures()[0].series
    assert len(series.x) <= 61
    assert series.x[-1] - series.x[0] == pytest.approx(1.0)
    assert (abs(series.y[:-1] - 50) < 5).all()


def test_what_does_best_is_advised_with_its_changes():
    advice = advice_of(study_of(("mcs:2/round-robin", 1.5), ("mpio:2/round-robin", 3.0)))
    assert advice.advice.startswith("Of what was tried, mpio:2/round-robin does best: ")
    assert "against as-recorded" in advice.advice
    assert "mpio:2/round-robin has" in dict(advice.reasons)["MC/S or MPIO"]


def test_what_cannot_be_told_apart_is_said():
    study = study_of(("mcs:2/round-robin", 1.0), ("mpio:2/round-robin", 1.001))
    advice = advice_of(study)
    assert "Nothing that was tried can be told apart from as-recorded" in advice.advice
    assert "cannot be told apart" in dict(advice.reasons)["MC/S or MPIO"]
    pairs = next(table for table in comparison.build(study).tables() if table.name == "pairs")
    assert len(pairs.rows) == 3
    assert all("cannot be told apart" in cell.text for row in pairs.rows for cell in row[2:])


def test_nothing_better_is_no_reason_to_change():
    advice = advice_of(study_of(("mcs:2/round-robin", 0.5), ("mpio:2/round-robin", 0.4)))
    assert "does better than as-recorded" in advice.advice


def test_a_stall_is_put_down_to_what_held_it():
    timeline = with_incident(make_timeline(), failed=SECOND, ended=12 * SECOND, **RECOVERY)
    reasons = dict(advice_of(study_of(("mcs:2/round-robin", 2.0), timeline=timeline)).reasons)
    assert "held by recovery timer of 5 s" in reasons["Stalls"]


def test_without_another_replay_there_is_no_advice():
    assert advice_of(study_of()) is None
    assert limits.build(Study(make_timeline())) is None


def test_an_error_of_the_model_is_the_doubt_of_every_difference():
    """A baseline 20 % off cannot tell a difference of 7 %; what predictions err besides comes on top."""
    timeline = make_timeline()
    outcomes = (make_outcome(timeline, "as-recorded", faster=1.25), make_outcome(timeline, faster=1.35))
    outcomes[0].manifest["is_baseline"] = True
    difference = Study(timeline, outcomes).comparison.difference("latency_ns_p50", 1)
    assert difference.percent == pytest.approx(-7.4, abs=0.5)
    doubt = 20 + UNSEEN_PERCENT["latency_ns_p50"]
    assert difference.high_percent - difference.percent == pytest.approx(doubt, abs=0.1)
    assert difference.holds_zero
    assert not difference.is_apart


def test_advice_of_a_model_that_errs_is_given_with_doubt():
    """A baseline 40 % off is a poor one."""
    timeline = make_timeline()
    outcomes = (make_outcome(timeline, "as-recorded", faster=1.4), make_outcome(timeline, faster=3.0))
    outcomes[0].manifest["is_baseline"] = True
    advice = advice_of(Study(timeline, outcomes))
    assert advice.advice.startswith("With doubt, since the model errs much here: of what was tried, ")
    assert "does not reproduce the recording" in advice.caveats[0]

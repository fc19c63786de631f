"""Order waits beside the initiator's own log of the command window."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.timeline.analysis import analyze
from tests.real import capture_path, truth_of

CLOSENESS_S = 0.002


@pytest.mark.parametrize("name", ["mcs-4conn-reorder-tgt", "mcs-4conn-one-stalls-tgt"])
def test_waits_end_where_the_initiator_saw_exp_cmd_sn_go_on(name: str) -> None:
    """What one late arrival released was released when ExpCmdSN was next seen to pass it.

    The initiator sees an ExpCmdSN only with a response, so of the commands released together the one whose
    number was passed first counts; none may be seen to be passed before it was released.
    """
    capture = capture_path(name)
    log = np.array([row[:3] for row in truth_of(capture)["sessions"][0]["window_log"]])
    tasks = analyze(capture).tasks
    waited = tasks[tasks.order_wait_ns > 0]
    assert len(waited) >= 18
    number = waited.cmd_sn.to_numpy().astype(np.int64)
    released_s = (waited.command_last_ns + waited.order_wait_ns).to_numpy() / 1e9
    passed = np.searchsorted(np.maximum.accumulate(log[:, 2]), number, side="right")
    late_s = log[passed, 0] - released_s
    assert late_s.min() > -CLOSENESS_S
    _, group = np.unique(np.round(released_s, 6), return_inverse=True)
    first_seen_s = np.full(group.max() + 1, np.inf)
    np.minimum.at(first_seen_s, group, late_s)
    assert np.median(first_seen_s) < CLOSENESS_S


def test_figures_of_order_are_those_of_the_tasks() -> None:
    timeline = analyze(capture_path("mcs-4conn-one-stalls-tgt"))
    (session,) = timeline.arrow["sessions"].to_pylist()
    waits = timeline.values("tasks", "order_wait_ns")
    assert session["stand_stills"] == 1
    assert session["longest_stand_still_ns"] == session["stood_still_ns"] >= waits.max()
    assert session["cmd_sn_holes"] == 0
    assert session["arrival_inversions"] > 0

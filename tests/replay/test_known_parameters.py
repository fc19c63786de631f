"""Workloads really run under several schedulers, against the engine with their known parameters.

IOPS within 5 % and path shares within 0.03, run by run. What was measured is the median of repeats; where
these lie apart by half of a bound or more, the replay is one too. A few runs are in ``traces/whatif``, all of
them beside the checkout where that folder exists.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.real import MORE_CAPTURES
from tests.replay.known import replayed, truth_of

IOPS_WITHIN, SHARE_WITHIN, REPEATS = 0.05, 0.03, 7
SHIPPED = Path(__file__).parents[2] / "traces" / "whatif"
SUFFIX = ".r1.commands.csv.gz"
ALL = MORE_CAPTURES.parent / "whatif"


def runs(folder):
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def holds(folder, name):
    truth = truth_of(folder, name)
    shares = [repeat["per_path"][0]["commands"] / repeat["commands"] for repeat in truth["repeats"]]
    is_apart = truth["spread_pct"]["iops"] >= 100 * IOPS_WITHIN / 2 or np.ptp(shares) >= SHARE_WITHIN / 2
    worlds = [replayed(folder, name, repeat) for repeat in (range(1, REPEATS + 1) if is_apart else [0])]
    iops = np.median([len(one.requests) * 1e9 / one.progress.completed_ns.max() for one in worlds])
    share = np.median([(one.progress.path == 0).mean() for one in worlds])
    assert iops == pytest.approx(truth["median"]["iops"], rel=IOPS_WITHIN)
    assert share == pytest.approx(truth["median"]["share_commands_path0"], abs=SHARE_WITHIN)


@pytest.mark.parametrize("name", runs(SHIPPED))
def test_a_shipped_run_comes_out_as_measured(name):
    holds(SHIPPED, name)


@pytest.mark.skipif(not ALL.is_dir(), reason=f"no recordings in {ALL}")
def test_every_run_comes_out_as_measured():
    names = [name for name in runs(ALL) if "fail" not in name]
    assert len(names) > 50
    for name in names:
        holds(ALL, name)


def test_held_writes_steer_least_queue_depth_as_they_really_did():
    """W5-asym-mcs2-lqd: the first choices one by one as measured (later ones differ between repeats too).

    A write on the slow link holds those behind it, and a command behind its data arrives with the end
    of that data: both decide where the next ones go.
    """
    world = replayed(SHIPPED, "W5-asym-mcs2-lqd")
    assert "".join(map(str, world.progress.path[:20])) == "01010101000100001110"

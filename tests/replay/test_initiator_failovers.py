"""Failovers that an initiator made itself, on real targets: only the work of recovery takes time.

Measured from the RST to the first and last good completion, at queue depths 1, 16 and 64 (medians, in ms).
The constants of a target and of its initiator are given: what the initiator takes for each command that it
sends again, what the target takes to answer one, and for its function. LIO ends the tasks of a LUN RESET one
after the other, and resumes reassigned ones so: a part for each task at the target. An initiator that takes
0.1 ms for a command keeps about 18 there, so that a depth of 64 costs little more than one of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from analyzer.replay.made import made_workload
from tests.replay.played import disturbed, ideal_link

DEPTHS = (1, 16, 64)


class Way(NamedTuple):
    """One row of measurements: first and last completion at each depth, and how it is replayed."""

    name: str
    words: str
    recovery: str
    measured: tuple[tuple[float, float], ...]


class Target(NamedTuple):
    """A target and its initiator: ns for each command sent again, each command served, each round trip."""

    repeat_ns: int
    service_ns: int
    one_way_ns: int
    processor_ns: int
    ways: tuple[Way, ...]


TGT = Target(
    repeat_ns=100_000,
    service_ns=1_600_000,
    one_way_ns=100_000,
    processor_ns=45_000,
    ways=(
        Way("retry only", "mpio:2", "hold=0s", ((2.5, 2.5), (2.7, 3.2), (8.3, 11.6))),
        Way(
            "LUN RESET",
            "mpio:2",
            "hold=0s,cleanup=lun-reset,cleanup_time=2ms",
            ((3.9, 3.9), (5.2, 5.8), (12.2, 16.1)),
        ),
        Way(
            "MC/S retry",
            "mcs:2",
            "connection_recovery=retry,time2wait=0s,login=2s,cleanup_time=2ms",
            ((4.8, 4.8), (5.3, 5.7), (10.4, 13.3)),
        ),
    ),
)
LIO = Target(
    repeat_ns=210_000,
    service_ns=1_800_000,
    one_way_ns=100_000,
    processor_ns=100_000,
    ways=(
        Way("retry only", "mpio:2", "hold=0s", ((1.6, 1.6), (8.2, 9.3), (10.6, 19.9))),
        Way(
            "LUN RESET",
            "mpio:2",
            "hold=0s,cleanup=lun-reset,cleanup_time=1200us,abort_time=450us",
            ((3.3, 3.3), (15.9, 19.0), (19.6, 25.3)),
        ),
        Way(
            "TASK REASSIGN",
            "mcs:2",
            "connection_recovery=reassign,time2wait=0s,login=2s,cleanup_time=8ms,reassign_time=700us,"
            "resume_time=2200us",
            ((10.2, 10.2), (29.5, 70.5), (28.5, 85.5)),
        ),
    ),
)


def replayed_ms(target, way, depth):
    """First and last completion of the commands of a connection that is reset, in ms behind the RST."""
    preset = "linux-multipath" if way.words == "mpio:2" else "istgt-mcs"
    world, run = disturbed(
        made_workload(2000, read_bytes=4096, service_ns=target.service_ns),
        f"{way.words}/failover-only",
        ["reset,link=0,at=20ms"],
        f"{preset},{way.recovery},repeat_time={target.repeat_ns}ns",
        (ideal_link(10**9, target.one_way_ns),),
        pacing=f"depth:{depth}",
        processor_ns=target.processor_ns,
    )
    found = run.disturbances[0]
    assert len(found.affected) == depth
    ends = world.progress.completed_ns[sorted(found.affected)] - found.failed_ns
    return ends.min() / 1e6, ends.max() / 1e6


@pytest.mark.parametrize(
    ("target", "way"),
    [(target, way) for target in (TGT, LIO) for way in target.ways],
    ids=lambda value: value.name if isinstance(value, Way) else "",
)
def test_it_lies_within_a_factor_of_one_and_a_half(target, way):
    for depth, measured in zip(DEPTHS, way.measured, strict=True):
        for replayed, real in zip(replayed_ms(target, way, depth), measured, strict=True):
            assert 1 / 1.5 < replayed / real < 1.5, f"{way.name} at {depth}: {replayed:.1f} for {real} ms"


@pytest.mark.parametrize("target", [TGT, LIO], ids=["tgt", "lio"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_ways_rank_as_measured(target, depth):
    place = DEPTHS.index(depth)
    replayed = {way.name: replayed_ms(target, way, depth)[1] for way in target.ways}
    measured = {way.name: way.measured[place][1] for way in target.ways}
    for one in measured:
        for other in measured:
            if measured[one] > 1.3 * measured[other]:
                assert replayed[one] > replayed[other], f"{one} and {other}"

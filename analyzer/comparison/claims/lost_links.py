"""Replays of the workload in which a link dies: what claims about failover ask where none was recorded.

Decides which fault, with which recovery, stands for MC/S and which for MPIO. To see what becomes of commands,
the portal of a link goes, which is noticed at once; to see how long it takes, the link falls silent. Judges
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from analyzer.comparison.claims.trial import MCS, MPIO, Experiment, Trial

GONE, SILENT = "portal,link=1,at=peak", "black-hole,link=1,at=peak"
MCS_LOSS = Experiment(MCS, fault=GONE, recovery="lio-mcs-erl2", neighbours=1)
"""ErrorRecoveryLevel 2: Logout for recovery, Time2Wait, TASK REASSIGN."""
MPIO_LOSS = Experiment(MPIO, fault=GONE, recovery="linux-multipath,hold=0s,cleanup=lun-reset", neighbours=1)
"""LUN RESET on the other path at once, before commands are sent again there."""
MPIO_SILENCE = Experiment(MPIO, fault=SILENT, recovery="linux-multipath,cleanup=lun-reset", neighbours=1)
"""The same by open-iscsi's timers."""
MCS_SILENCE = Experiment(MCS, fault=SILENT, recovery="lio-mcs-erl2", neighbours=1)
_CLEARING = "linux-multipath,hold=0s,cleanup=clear-task-set"
_SHARED = ("task_sets", "shared")
CLEARED_TOLD = Experiment(
    MPIO, fault=GONE, recovery=_CLEARING, neighbours=1, target=(_SHARED, ("is_abort_told", True))
)
"""CLEAR TASK SET of a task set that another initiator uses too (TST 0), at a target with TAS set."""
CLEARED_UNTOLD = Experiment(
    MPIO, fault=GONE, recovery=_CLEARING, neighbours=1, target=(_SHARED, ("is_abort_told", False))
)
WHERE = "replayed over two links like the first, with link 1 lost when most was outstanding: "


@dataclass(frozen=True, slots=True)
class Suffered:
    """What the other initiator suffered by a fault that was not its own."""

    ended: int
    sent_again: int
    longest_ns: int
    """Of its commands that completed after the fault."""
    ways: tuple[str, ...]
    """How it learned that they were ended."""


def suffered_in(incident: dict[str, Any]) -> Suffered:
    """The same of all its sessions together."""
    touched = json.loads(incident["neighbours"])
    return Suffered(
        sum(one["aborted"] for one in touched),
        sum(one["retried"] for one in touched),
        max((one["longest_ns"] or 0 for one in touched), default=0),
        tuple(sorted({one["how"] for one in touched if one["aborted"]})),
    )


def incident_of(trial: Trial, experiment: Experiment) -> dict[str, Any] | None:
    """The incident of such a replay; None where the fault held no command."""
    found = trial.outcome_of(experiment).incident
    return found if found is not None and found["outstanding"] else None

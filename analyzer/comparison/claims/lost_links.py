"""Replays of the workload in which a link dies: what claims about failover ask where none was recorded.

Decides which fault, with which recovery, stands for MC/S and which for MPIO. To see what becomes of commands,
the portal of a link goes, which is noticed at once; to see how long it takes, the link falls silent. Judges
nothing.
"""

from __future__ import annotations

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
WHERE = "replayed over two links like the first, with link 1 lost when most was outstanding: "


def incident_of(trial: Trial, experiment: Experiment) -> dict[str, Any] | None:
    """The incident of such a replay; None where the fault held no command."""
    found = trial.outcome_of(experiment).incident
    return found if found is not None and found["outstanding"] else None

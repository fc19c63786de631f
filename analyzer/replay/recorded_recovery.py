"""The timers that a recorded failover shows, for replaying another failover with them.

Decides which of the recorded incidents speaks, and which of its durations stand for which timer. A timer
fires late, so the measured duration is taken and not the setting that it points to.
"""

from __future__ import annotations

import numpy as np

from analyzer.errors import UnusableInputError
from analyzer.replay.recovery import RECORDED, Recovery
from analyzer.tables.folder import Timeline

SECOND_NS = 10**9


def with_recorded_timers(recovery: Recovery, timeline: Timeline) -> Recovery:
    """The recovery with the timers of the recording in place of the preset's, where it is ``as-recorded``.

    Detection and hold are those of the longest lost connection whose commands were held. Raises
    UnusableInputError where the recording shows no failover.
    """
    if recovery.preset != RECORDED:
        return recovery
    kinds = timeline.values("incidents", "kind").astype(str)
    holds = timeline.values("incidents", "hold_to_ns", 0) - timeline.values("incidents", "hold_from_ns", 0)
    holds = np.where((kinds == "connection-loss") & ~timeline.is_null("incidents", "hold_to_ns"), holds, -1)
    if not len(holds) or holds.max() < 0:
        raise UnusableInputError(
            "the recording shows no lost connection whose commands went on; name a preset",
            source="--recovery",
            place=RECORDED,
        )
    found = int(holds.argmax())
    update: dict[str, int | None] = {"hold_ns": int(holds[found])}
    if timeline.values("incidents", "hold_timer").astype(str)[found] == "time2wait":
        update["time2wait_ns"] = int(holds[found])
    interval = timeline.values("incidents", "noop_interval_s", np.nan)[found]
    timeout = timeline.values("incidents", "noop_timeout_s", np.nan)[found]
    if not (np.isnan(interval) or np.isnan(timeout)):
        update["noop_interval_ns"] = round(float(interval) * SECOND_NS)
        update["noop_timeout_ns"] = round(float(timeout) * SECOND_NS)
    return recovery.model_copy(update=update)

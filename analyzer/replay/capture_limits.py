"""What a recording lacks for its replay to be believed, in whole sentences, the gravest first.

Decides from the timeline alone which conclusions it cannot carry: packets missed, the end cut off, one
direction only, one of several connections of a session. Changes nothing of the replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analyzer.tables.folder import Timeline

MUCH_LOST = 0.001
MUCH_UNANSWERED = 0.02
CUT = "capture-cut"
HOLE = "cmd-sn-hole"


def nothing_to_replay(timeline: Timeline) -> str:
    """Why a timeline without commands has none, as the rest of a sentence that begins with the recording."""
    from_target = timeline.values("pdus", "from_target")
    if len(from_target) and from_target.all():
        return "holds no SCSI command, for only the direction from the target was recorded; nothing to replay"
    return "holds no SCSI command; there is nothing to replay"


def limits_of(timeline: Timeline) -> tuple[str, ...]:
    """The sentences, none for a recording that lacks nothing."""
    found = []
    from_target = timeline.values("pdus", "from_target")
    if len(from_target) and not from_target.any():
        found.append(
            "Only the direction to the target was recorded: no command has an answer, so service times, "
            "round trips and rates from the target are not known, and no figure of this replay can be "
            "believed."
        )
    codes = set(timeline.values("diagnostics", "code").tolist())
    lost = int(timeline.values("connections", "lost_bytes").sum())
    carried = int(timeline.values("pdus", "data_length").astype(np.int64).sum()) + 48 * len(from_target)
    if lost:
        share = lost / max(carried + lost, 1)
        grave = "; latencies near the holes, and the order of commands, are not to be believed"
        found.append(
            f"The recorder missed {lost} bytes ({share:.1%}): commands in them are not replayed"
            f"{grave if share > MUCH_LOST else ''}."
        )
    if HOLE in codes:
        found.append(
            "CmdSNs are missing: commands of the session were not recorded, perhaps those of another "
            "connection. The replay is of the others alone, and how long they waited for order is not known."
        )
    unanswered = int(timeline.is_null("tasks", "response_ns").sum())
    total = timeline.arrow["tasks"].num_rows
    if CUT in codes:
        found.append("The capture ends in the middle of a packet: what came after it is not in the replay.")
    if total and unanswered > MUCH_UNANSWERED * total and (from_target.any() or not len(from_target)):
        found.append(
            f"{unanswered} of {total} commands have no recorded answer: the end of the replay is assumed."
        )
    return tuple(found)

"""In which order a replay's commands reached the logical units, against the order in which they were sent.

Decides what an overtaken command is. Works on plain arrays; judges no claim.
"""

from __future__ import annotations

import numpy as np

from analyzer.comparison.claims.trial import Delivered


def overtaken(found: Delivered) -> int:
    """Commands that reached their logical unit after one which the same initiator had sent it later."""
    number = 0
    for stream in np.flatnonzero(np.bincount(found.stream)):
        mine = found.stream == stream
        sent, times = found.dispatched_ns[mine], found.delivered_ns[mine]
        earliest_from = np.append(np.minimum.accumulate(times[::-1])[::-1], np.iinfo(np.int64).max)
        # Commands sent at one moment have no order among each other.
        first_later = np.searchsorted(sent, sent, side="right")
        number += int((times > earliest_from[first_later]).sum())
    return number


def path_shares(found: Delivered) -> list[float]:
    """The share of the commands that each path carried, largest first."""
    counts = np.bincount(found.path[found.path >= 0])
    return sorted((counts / max(1, counts.sum())).tolist(), reverse=True)

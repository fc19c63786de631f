"""In which order a replay's commands reached the logical units, against the order in which they were sent.

Decides what an overtaken command is. Works on plain arrays; judges no claim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.comparison.claims.trial import Trial
from analyzer.tables.folder import Outcome

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Delivered:
    """n commands of an outcome in the order they were given to their paths, each array of shape (n,).

    ``stream`` numbers the pairs of initiator and logical unit; order matters only inside one.
    ``delivered_ns`` is when the target handed the command to the logical unit.
    """

    task: Int64s
    stream: Int64s
    dispatched_ns: Int64s
    delivered_ns: Int64s
    path: Int64s


def delivered(outcome: Outcome, trial: Trial) -> Delivered:
    """The commands of an outcome that reached their logical unit; immediate ones, without order, left out."""
    arrived = ~outcome.is_null("requests", "released_ns") & ~outcome.is_null("requests", "cmd_sn")
    arrived &= ~outcome.is_null("requests", "task_index")
    rows = np.flatnonzero(arrived)
    dispatched = outcome.values("requests", "dispatched_ns", 0)[rows]
    rows, dispatched = (column[np.argsort(dispatched, kind="stable")] for column in (rows, dispatched))
    task = outcome.values("requests", "task_index", -1)[rows].astype(np.int64)
    units = np.stack([trial.initiator[task].astype(np.uint64), outcome.values("requests", "lun")[rows]])
    stream = np.unique(units, axis=1, return_inverse=True)[1].reshape(-1)
    return Delivered(
        task,
        stream.astype(np.int64),
        dispatched,
        outcome.values("requests", "released_ns", 0)[rows],
        outcome.values("requests", "path_index", -1)[rows].astype(np.int64),
    )


def overtaken(found: Delivered) -> int:
    """Commands that reached their logical unit after one which the same initiator had sent it later."""
    number = 0
    for stream in np.unique(found.stream):
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

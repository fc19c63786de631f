"""Whether the as-recorded replay lost the balance of its paths: a misfit that is not the fault of its model.

A policy that goes by load (least queue depth, service time, a busy count) sends a command where fewest are
outstanding, and so brings back what chance moves. The as-recorded replay keeps the choices, not what they
answered to: over thousands of commands a difference of a percent adds up to most of a queue on one path. A
prediction by a policy does not suffer from it. Works on request columns alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.comparison.request_columns import RequestColumns

FEWEST_COMMANDS = 100
BY_LOAD_SHARE = 0.7
"""So many commands went where fewest were outstanding; of round-robin over unequal links half do."""
DRIFT = 0.1
"""So far has the share of a path in all that was outstanding to move."""


def lost_balance(recorded: RequestColumns, replayed: RequestColumns) -> str:
    """The sentence that says so, to add; empty where loads stayed or were not what decided.

    ``replayed`` are requests of the as-recorded replay, each for a task of ``recorded``.
    """
    moves = recorded.transferred_bytes > 0
    paths = np.unique(recorded.path[moves])
    if (
        len(paths) < 2
        or moves.sum() < FEWEST_COMMANDS
        or chosen_by_load(recorded.where(moves)) < BY_LOAD_SHARE
    ):
        return ""
    before = _shares(recorded, recorded, paths)
    after = _shares(replayed, recorded, paths)
    place = int(np.argmax(np.abs(after - before)))
    if abs(after[place] - before[place]) < DRIFT:
        return ""
    had, has = (f"{100 * share[place]:.0f}\u00a0%" for share in (before, after))
    return (
        f" Likely cause: of all that was outstanding connection {paths[place]} had {had} in the recording, "
        f"and has {has} in the replay. The recording chose paths by load, the replay as recorded repeats its "
        "choices. Predictions by a policy look at the load."
    )


def chosen_by_load(requests: RequestColumns) -> float:
    """The share of requests that went to a path with the fewest outstanding, as the recorder saw them."""
    paths, place = np.unique(requests.path, return_inverse=True)
    begin = requests.ready_ns
    end = np.where(requests.is_completed, requests.completed_ns, np.iinfo(np.int64).max)
    outstanding = np.empty((len(paths), len(begin)), np.int64)
    for row in range(len(paths)):
        mine = place == row
        begun = np.searchsorted(np.sort(begin[mine]), begin, side="left")
        outstanding[row] = begun - np.searchsorted(np.sort(end[mine]), begin, side="right")
    own = outstanding[place, np.arange(len(begin))]
    return float((own <= outstanding.min(axis=0)).mean())


def _shares(
    requests: RequestColumns, recorded: RequestColumns, paths: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """What each path has of the time that all requests were outstanding, shape (paths,).

    The path of a request is the recorded one of its task.
    """
    path_of = np.full(int(max(recorded.task_index.max(), requests.task_index.max())) + 1, -1)
    path_of[recorded.task_index] = recorded.path
    counted = requests.is_completed & (requests.task_index >= 0)
    path = path_of[requests.task_index[counted]]
    latency = requests.latency_ns[counted]
    total = np.array([latency[path == one].sum() for one in paths], np.float64)
    return total / max(float(total.sum()), 1.0)

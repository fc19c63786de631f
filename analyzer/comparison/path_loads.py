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
DRIFT, MOST_PARTS = 0.1, 10
"""So far has a path's share of what was outstanding to move, in one of so many parts of the recording."""


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
    before, after = _shares(recorded, recorded, paths), _shares(replayed, recorded, paths)
    part, place = np.unravel_index(int(np.argmax(np.abs(after - before))), before.shape)
    had, has = before[part, place], after[part, place]
    if abs(has - had) < DRIFT:
        return ""
    told = f"{100 * had:.0f}\u00a0% in the recording, and at times has {100 * has:.0f}\u00a0% in the replay"
    return (
        f" Likely cause: of what was outstanding connection {paths[place]} had {told}. The recording chose "
        "paths by load, the replay as recorded repeats its choices. Predictions by a policy look at the load."
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
    """What each path has of the time that requests were outstanding, shape (parts, paths).

    The parts are of as many tasks each, in their order; a request counts for the recorded path of its task.
    """
    tasks = int(max(recorded.task_index.max(), requests.task_index.max(initial=0))) + 1
    parts = max(1, min(MOST_PARTS, len(recorded) // FEWEST_COMMANDS))
    path_of, part_of = np.full(tasks, -1), np.zeros(tasks, np.int64)
    path_of[recorded.task_index] = recorded.path
    part_of[recorded.task_index] = np.arange(len(recorded)) * parts // len(recorded)
    counted = requests.is_completed & (requests.task_index >= 0)
    task, latency = requests.task_index[counted], requests.latency_ns[counted]
    total: npt.NDArray[np.float64] = np.zeros((parts, len(paths)))
    for row, path in enumerate(paths):
        mine = path_of[task] == path
        total[:, row] = np.bincount(part_of[task[mine]], latency[mine], parts)
    total /= np.maximum(total.sum(axis=1, keepdims=True), 1.0)
    return total

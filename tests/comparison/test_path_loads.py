"""A recording that chose paths by load, and a replay that lost their balance."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from analyzer.comparison.path_loads import chosen_by_load, lost_balance
from analyzer.comparison.request_columns import Categories, RequestColumns

COUNT, DEPTH = 600, 8
SERVICE_NS = (1_000_000, 4_000_000)


def served(paths, by_load=False):
    """Requests at a queue depth over two paths that serve one at a time, as given or where fewer wait."""
    free, waiting, taken = [0, 0], [0, 0], []
    under_way = []
    ready, done = np.zeros(COUNT, np.int64), np.zeros(COUNT, np.int64)
    now = 0
    for number in range(COUNT):
        if number >= DEPTH:
            now, path = heapq.heappop(under_way)
            waiting[path] -= 1
        path = int(waiting[1] < waiting[0]) if by_load else int(paths[number])
        free[path] = max(free[path], now) + SERVICE_NS[path]
        ready[number], done[number] = now, free[path]
        waiting[path] += 1
        taken.append(path)
        heapq.heappush(under_way, (free[path], path))
    return columns(np.array(taken, np.int32), ready, done)


def columns(path, ready, done):
    words = Categories(np.zeros(COUNT, np.int32), ("read",))
    nothing = np.zeros(COUNT, np.int64)
    return RequestColumns(
        np.arange(COUNT),
        ready,
        done,
        np.ones(COUNT, np.bool_),
        done - ready,
        nothing,
        nothing + 4096,
        words,
        words,
        path,
    )


def test_a_choice_by_load_is_told_from_round_robin_over_unequal_paths():
    assert chosen_by_load(served(None, by_load=True)) > 0.95
    assert chosen_by_load(served(np.arange(COUNT) % 2)) < 0.7


def test_a_replay_that_piles_up_on_one_path_is_told_with_its_shares():
    recorded = served(None, by_load=True)
    slower = recorded.completed_ns + np.where(recorded.path == 1, 6 * recorded.latency_ns, 0)
    replayed = columns(np.zeros(COUNT, np.int32), recorded.ready_ns, slower)
    sentence = lost_balance(recorded, replayed)
    share = recorded.latency_ns[recorded.path == 1].sum() / recorded.latency_ns.sum()
    later = (slower - recorded.ready_ns)[recorded.path == 1].sum() / (slower - recorded.ready_ns).sum()
    for one in (share, later):
        assert f"{100 * one:.0f}\u00a0%" in sentence or f"{100 * (1 - one):.0f}\u00a0%" in sentence
    assert "chose paths by load" in sentence


@pytest.mark.parametrize("kind", ["kept", "round-robin", "one path"])
def test_nothing_is_said_where_loads_stayed_or_did_not_decide(kind):
    recorded = served(np.arange(COUNT) % 2 if kind == "round-robin" else None, by_load=kind != "round-robin")
    path = np.zeros(COUNT, np.int32) if kind == "one path" else recorded.path
    recorded = columns(path, recorded.ready_ns, recorded.completed_ns)
    moved = 0 if kind == "kept" else 6
    done = recorded.completed_ns + np.where(recorded.path == 0, moved * recorded.latency_ns, 0)
    assert lost_balance(recorded, columns(path, recorded.ready_ns, done)) == ""

"""Each policy on its own: a request, the state of the paths, and the path that its rule names."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.replay.policies import POLICIES, POLICY_BY_NAME
from analyzer.replay.policies.interface import PathRequest, PathStates
from analyzer.replay.rules import compiled

REQUEST = PathRequest(0, 0, 0, 4096, 0, 2, 0)


def chooser(name, paths=3, options=None):
    """Give a function from path states to the chosen path; the policy keeps its memory in between."""
    policy = POLICY_BY_NAME[name]
    memory = np.zeros(max(1, policy.memory_words(paths)), np.int64)
    if options is None:
        options = [0.0 if option.choices else option.default for option in policy.scalar_options] or [0.0]

    def choose(*, usable=(1,) * paths, commands=(0,) * paths, data=(0,) * paths, value=(1,) * paths):
        states = PathStates(np.array(usable, np.int8), np.array(commands), np.array(data), np.array(value))
        return int(policy.choose(REQUEST, states, memory, np.array(options)))

    return choose


def test_round_robin_takes_turns_and_passes_over_a_failed_path():
    choose = chooser("round-robin")
    assert [choose() for _ in range(4)] == [0, 1, 2, 0]
    assert [choose(usable=(1, 0, 1)) for _ in range(3)] == [2, 0, 2]


def test_failover_only_stays_on_the_first_usable_path():
    choose = chooser("failover-only")
    assert [choose(), choose(), choose(usable=(0, 1, 1))] == [0, 0, 1]


def test_least_queue_depth_takes_the_fewest_commands_and_the_least_recently_used_of_equals():
    choose = chooser("least-queue-depth")
    assert choose(commands=(3, 1, 2)) == 1
    assert [choose(commands=(1, 1, 1)) for _ in range(4)] == [0, 2, 1, 0]


def test_least_queue_depth_can_prefer_the_lowest_number():
    choose = chooser("least-queue-depth", options=(1.0,))
    assert [choose() for _ in range(3)] == [0, 0, 0]
    assert choose(commands=(1, 0, 0)) == 1


def test_service_time_takes_the_fewest_bytes_whatever_the_number_of_commands():
    choose = chooser("service-time")
    assert choose(commands=(1, 9, 9), data=(65536, 8192, 9000)) == 1
    assert [choose(data=(7, 7, 7)) for _ in range(3)] == [0, 2, 1]


def test_as_recorded_wraps_over_fewer_paths():
    assert chooser("as-recorded")() == 2
    assert chooser("as-recorded", paths=2)() == 0


@pytest.mark.parametrize("name", ["round-robin", "failover-only", "least-queue-depth", "service-time"])
def test_without_a_usable_path_there_is_no_choice(name):
    assert chooser(name)(usable=(0, 0, 0)) == -1


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_compiles_for_the_signature_of_the_engine(policy):
    assert compiled(policy) is compiled(policy)

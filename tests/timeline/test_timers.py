"""Delays of recoveries as they were measured or reported in the field, and the timers they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.timeline.timers import (
    NOOP_TIMEOUTS_S,
    RECOVERY_SETTINGS_S,
    SECOND_NS,
    divide_silence,
    is_timer,
    noop_interval_s,
    recovery_setting_s,
)


@pytest.mark.parametrize(
    ("silence_s", "interval_s", "timers"),
    [
        (8.232, 1, (1, 2, 5)),  # open-iscsi 1/2 under multipathd, recorded
        (15.1, 5, (5, 5, 5)),  # open-iscsi defaults under multipathd
        (130.4, 5, (5, 5, 120)),  # the same without multipathd
        (15.1, None, (5, 5, 5)),
    ],
)
def test_known_silences_divide_into_their_settings(
    silence_s: float, interval_s: int | None, timers: tuple[int, int, int]
) -> None:
    division = divide_silence(int(silence_s * SECOND_NS), interval_s)
    assert division is not None
    assert (division.interval_s, division.timeout_s, division.recovery_s) == timers


def test_an_interval_is_the_shortest_silence_before_a_ping() -> None:
    assert noop_interval_s([5_120_000_000, 9_000_000_000]) == 5
    assert noop_interval_s([1_020_000_000, 1_030_000_000]) == 1
    assert noop_interval_s([]) is None
    assert noop_interval_s([200_000_000]) is None


@given(st.sampled_from(RECOVERY_SETTINGS_S), st.floats(0, 0.1))
def test_a_timer_may_be_late_but_never_early(setting_s: int, late: float) -> None:
    assert is_timer(int(setting_s * SECOND_NS * (1 + late)), setting_s)
    assert not is_timer(int(setting_s * SECOND_NS * 0.9), setting_s)
    assert recovery_setting_s(setting_s * SECOND_NS) is not None


@given(st.integers(0, 400 * SECOND_NS), st.none() | st.integers(1, 30))
def test_a_division_adds_up(silence_ns: int, interval_s: int | None) -> None:
    division = divide_silence(silence_ns, interval_s)
    if division is not None:
        assert division.timeout_s in NOOP_TIMEOUTS_S
        assert division.detected_after_ns <= silence_ns
        assert is_timer(silence_ns, division.interval_s + division.timeout_s + division.recovery_s)

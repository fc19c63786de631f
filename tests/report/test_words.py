"""Numbers and names as people read them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report import words


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1500, "1.5 µs"),
        (1_234_567, "1.23 ms"),
        (61e9, "61 s"),
        (None, words.MISSING),
    ],
)
def test_duration(nanoseconds: float | None, text: str):
    assert words.duration(nanoseconds).replace(words.NARROW_SPACE, " ") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(4096, "4 KiB"), (1 << 20, "1 MiB"), (1500, "1.5 kB"), (10_000_000, "10 MB"), (0, "0 B")],
)
def test_size(number: float, text: str):
    assert words.size(number).replace(words.NARROW_SPACE, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.04, "+2.0 %"), (-49.0, "\N{MINUS SIGN}49 %"), (0.0, "0 %"), (0.01, "±0 %"), (1234.5, "+1,234 %")],
)
def test_signed_percent(value: float, text: str):
    assert words.percent(value, signed=True).replace(words.NARROW_SPACE, " ") == text


def test_a_sum_of_bytes_is_decimal():
    assert words.amount(1 << 20).replace(words.NARROW_SPACE, " ") == "1.05 MB"


def test_plural():
    assert words.plural(1, "reject") == "1 reject"
    assert words.plural(0, "reject") == "no reject"
    assert words.plural(1200, "reject") == "1,200 rejects"


@given(st.text())
def test_a_visible_name_holds_no_character_that_acts(text: str):
    """Control, bidirectional and line-separating characters come out as escapes."""
    shown = words.visible(text)
    assert not any(unicodedata.category(character).startswith("C") for character in shown)
    assert not any(character in shown for character in "\n\u2028\u2029")


@given(st.text(max_size=400), st.integers(4, 300))
def test_a_shortened_name_keeps_to_its_limit(text: str, limit: int):
    assert len(words.shortened(text, limit)) <= limit


@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers(), st.lists).map(str))
def test_any_event_detail_can_be_told(detail: str):
    """A detail that is no JSON, or none of ours, is shown and never raises."""
    assert len(words.told(detail)) <= 400


def test_a_detail_is_told_as_phrases():
    detail = '{"cid": 1, "reason": "remove the connection for recovery", "waited_ns": 2000000, "tasks": [], '
    detail += '"ok": true}'
    assert "started at: 0.002000" in words.told(
        '{"started_ns": 1800000000002000000}', 1_800_000_000_000_000_000
    )
    told = words.told(detail).replace(words.NARROW_SPACE, " ")
    assert told == "cid: 1; reason: remove the connection for recovery; waited: 2 ms; ok: yes"


@given(st.integers(-(2**70), 2**70))
def test_any_moment_can_be_said(at_ns: int):
    assert words.moment(at_ns) == "unknown" or words.moment(at_ns).endswith("UTC")


@given(st.floats())
def test_any_float_has_words(value: float):
    for say in (words.significant, words.percent, words.duration, words.amount):
        assert say(value)

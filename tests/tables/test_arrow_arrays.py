"""Columns made by buffers are those that Arrow's own converter makes, and come back as they were."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.tables.arrow_arrays import dictionary, null_flags, to_arrow, to_numpy

CATEGORY = pa.dictionary(pa.int32(), pa.string())


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), st.integers(0, 5))
def test_numbers_with_nulls_come_back(values: list[int | None], skipped: int) -> None:
    array = to_arrow(values, pa.int64(), None)
    assert array.equals(pa.array(values, pa.int64()))
    array.validate(full=True)
    rest = array.slice(min(skipped, len(array)))
    assert to_numpy(rest, 7).tolist() == [7 if v is None else v for v in values[skipped:]]
    assert null_flags(rest).tolist() == [value is None for value in values[skipped:]]


@given(st.lists(st.none() | st.booleans()))
def test_bits_come_back(values: list[bool | None]) -> None:
    array = to_arrow(values, pa.bool_(), None)
    assert array.equals(pa.array(values, pa.bool_()))
    assert to_numpy(array, False).tolist() == [bool(value) for value in values]


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=8)))
def test_texts_come_back_plain_and_as_categories(values: list[str | None]) -> None:
    texts, words = to_arrow(values, pa.string(), None), to_arrow(values, CATEGORY, None)
    assert texts.to_pylist() == values
    assert words.to_pylist() == values
    texts.validate(full=True)
    words.validate(full=True)
    assert to_numpy(words, "-").tolist() == ["-" if value is None else value for value in values]


def test_what_does_not_fit_is_refused_unless_it_is_null() -> None:
    values = np.array([1, -1], np.int64)
    with pytest.raises(ValueError, match="-1"):
        to_arrow(values, pa.uint8(), None)
    assert to_arrow(values, pa.uint8(), np.array([False, True])).to_pylist() == [1, None]
    with pytest.raises(ValueError):
        to_arrow([2**40], pa.int32(), None)


def test_only_words_that_occur_stand_in_a_dictionary() -> None:
    array = dictionary(np.array([2, 0, 2]), ("a", "b", "c"))
    assert array.to_pylist() == ["c", "a", "c"]
    assert array.dictionary.to_pylist() == ["a", "c"]


def test_analyzing_a_capture_loads_neither_pandas_nor_arrows_kernels() -> None:
    """They take longer to load than a small capture to decode."""
    code = (
        "import sys, json\n"
        "from tests.real import capture_path\n"
        "from analyzer.commands.analyze import as_document\n"
        "from analyzer.timeline.analysis import analyze\n"
        "from analyzer.comparison.recording import recorded_measures\n"
        "timeline = analyze(capture_path('mcs-kill-rst-retry-tgt'))\n"
        "as_document(timeline, recorded_measures(timeline))\n"
        "print(json.dumps([name for name in ('pandas', 'pyarrow.compute') if name in sys.modules]))\n"
    )
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

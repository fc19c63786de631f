"""A user's own policy file: the documented example runs, and each mistake in one is a line that names it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from analyzer.errors import UnusableInputError
from analyzer.replay.made import made_workload
from analyzer.replay.rules import compiled
from analyzer.replay.words import scenario_of
from tests.replay.played import played

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"


def test_the_example_of_the_page_runs(tmp_path):
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    place = tmp_path / "mine.py"
    place.write_text(example)
    world = played(made_workload(90, read_bytes=512), f"mpio:2/{place}(share=3)")
    assert np.bincount(world.progress.path).tolist() == [68, 22]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def choose(:\n", "line 1"),
        ("import nothing_like_this\n", "ModuleNotFoundError"),
        ("x = 1\n", "defines neither choose"),
        ("choose = 3\n", "choose is no function"),
        ("def choose(request, paths):\n    return 0\n", "does not take"),
        ("def choose(request, paths, memory, options):\n    return 7\n", "gives 7 for 1 usable paths"),
        ("def choose(request, paths, memory, options):\n    return None\n", "gives None"),
        ("def choose(request, paths, memory, options):\n\n    return memory[99]\n", "line 3: IndexError"),
        (
            "def choose(request, paths, memory, options):\n    return paths.speed[0]\n",
            "line 2: AttributeError",
        ),
        ("POLICY = 3\n", "POLICY is no Policy"),
        ("OPTIONS = 3\ndef choose(request, paths, memory, options):\n    return 0\n", "OPTIONS is no tuple"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path, text, told):
    place = tmp_path / "wrong.py"
    place.write_text(text)
    with pytest.raises(UnusableInputError) as caught:
        scenario_of(f"mpio:2/{place}")
    assert str(caught.value).startswith(str(place))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UnusableInputError, match=r"none\.py: cannot be read"):
        scenario_of(f"mpio:2/{tmp_path}/none.py")


def test_what_cannot_be_compiled_is_told_in_one_line(tmp_path):
    place = tmp_path / "odd.py"
    place.write_text(
        "import re\ndef choose(request, paths, memory, options):\n    return len(re.sub('a', '', 'a'))\n"
    )
    with pytest.raises(UnusableInputError, match="cannot be compiled") as caught:
        compiled(scenario_of(f"mpio:2/{place}").declared_policy)
    assert "\n" not in str(caught.value)


def test_a_path_that_fails_only_in_the_run_is_told(tmp_path):
    place = tmp_path / "late.py"
    place.write_text(
        "def choose(request, paths, memory, options):\n    return 9 if request.now_ns > 90000 else 0\n"
    )
    workload = made_workload(10, read_bytes=512, issued_ns=np.arange(10) * 1_000_000)
    with pytest.raises(UnusableInputError, match="names a path that is not there"):
        played(workload, f"mpio:2/{place}")

"""The page as text: nothing foreign acts, nothing is loaded from elsewhere, all data comes through whole."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from plotly.offline import get_plotlyjs

from analyzer.errors import UnusableInputError
from analyzer.report.page import page_text, report, report_studies, sections
from analyzer.report.palette import PALETTE
from analyzer.report.plotly_script import plotly_script
from analyzer.report.render import pack, safe_json, safe_script
from analyzer.report.study import Study
from analyzer.tables.timeline_tables import CAPTURES, SESSIONS
from tests.made import make_outcome, make_timeline
from tests.report.described import with_column, with_diagnostics, with_events

HOSTILE = (
    "iqn.2026-11.x:</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\x00\x1b[31m\u202e\u2028&\"'{{7*7}}"
)


class Page(HTMLParser):
    """Elements with their attributes, and the text of each script and of the rest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)
            if tag == "script":
                self.scripts.append("")

    def handle_endtag(self, tag):
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data):
        if self._inside and self._inside[-1] == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self.words.append(data)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory) -> str:
    """A page of a timeline in which every text that a peer or a file chooses is hostile."""
    timeline = make_timeline(tasks=40, initiator_name=HOSTILE)
    timeline = with_column(timeline, SESSIONS, "target_name", ["T" * 223])
    timeline = with_column(timeline, CAPTURES, "name", [f"/captures/{HOSTILE.replace('/', '')}"])
    timeline = with_events(
        timeline,
        [
            {"kind": "login-failed", "detail": json.dumps({"name": HOSTILE})},
            {"kind": "reject", "detail": HOSTILE},
        ],
    )
    timeline = with_diagnostics(timeline, [{"detail": HOSTILE, "meaning": HOSTILE, "remedy": HOSTILE}])
    timeline.manifest["made"] = {HOSTILE: HOSTILE}
    outcome = make_outcome(timeline, f"mcs:2/{HOSTILE}")
    outcome.manifest["assumptions"] = [HOSTILE]
    outcome.manifest["calibration"] = [{"name": HOSTILE, "value": 1, "unit": HOSTILE, "rests_on": HOSTILE}]
    place = report(timeline, [outcome], tmp_path_factory.mktemp("page") / "hostile.html")
    return place.read_text(encoding="utf-8")


def test_hostile_names_never_become_elements(hostile_page: str):
    """The page has the elements of one with harmless names: four scripts, no image, no handler."""
    page = Page(hostile_page)
    assert len(page.scripts) == 4
    assert not [
        tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "embed", "link", "base")
    ]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "49" not in "".join(word for word in page.words if "7*7" in word)


def test_hostile_names_are_shown_as_text(hostile_page: str):
    """They are there to be read, with control characters visible."""
    words = "".join(Page(hostile_page).words)
    assert "<script>alert(1)</script>" in words
    assert "\\x00\\x1b[31m\\u202e\\u2028" in words
    assert "T" * 223 in words


def test_no_raw_control_character_is_in_the_page(hostile_page: str):
    assert not [character for character in hostile_page if ord(character) < 32 and character not in "\n\t"]
    assert "\u202e" not in hostile_page
    assert "\u2028" not in hostile_page


def test_nothing_is_loaded_from_elsewhere(hostile_page: str):
    """No attribute names another place, no style imports one, and the policy of the page forbids it."""
    page = Page(hostile_page)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
    assert "@import" not in hostile_page.split("</style>")[0]
    assert "url(" not in hostile_page.split("</style>")[0]
    policy = next(
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_the_data_comes_through_whole():
    """Every column in the page decodes to the section's own numbers."""
    timeline = make_timeline(tasks=64)
    study = Study(timeline, (make_outcome(timeline),))
    built = sections(study)
    text = page_text([study])
    data = json.loads(Page(text).scripts[0])
    assert json.loads(Page(text).scripts[1])["palette"] == {
        role: list(values) for role, values in PALETTE.items()
    }
    figures = [figure for section in built for figure in section.figures()]
    assert set(data["figures"]) == {figure.name for figure in figures}
    for figure in figures:
        for series, stored in zip(figure.series, data["figures"][figure.name]["series"], strict=True):
            assert np.array_equal(unpacked(stored["x"]), series.x)
            assert unpacked(stored["y"]) == pytest.approx(series.y, rel=1e-6)
            assert series.color in PALETTE
            if series.end is not None:
                assert np.array_equal(unpacked(stored["end"]), series.end)


def unpacked(packed: dict) -> np.ndarray:
    if "b" not in packed:
        return np.full(packed["n"], packed.get("c", 0.0))
    kinds = {"u1": "<u1", "i2": "<i2", "i4": "<i4", "f4": "<f4", "f8": "<f8"}
    return np.frombuffer(base64.b64decode(packed["b"]), kinds[packed["t"]])


@given(
    arrays.arrays(np.float64, st.integers(0, 30), elements=st.floats(width=64))
    | arrays.arrays(np.int64, st.integers(0, 30), elements=st.integers(-(2**53), 2**53))
)
def test_packing_loses_nothing(values: np.ndarray):
    """Any column of 53-bit numbers comes back equal, NaN included, and its JSON is valid."""
    packed = json.loads(safe_json(pack(values)))
    assert np.array_equal(unpacked(packed), values.astype(np.float64), equal_nan=True)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_is_safe_json(value):
    """Invariant: what is embedded is the same value, and holds no character that HTML acts on."""
    text = safe_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_script_text_cannot_end_its_element():
    assert "</script" not in safe_script('x = "</script><!--"')
    assert "<!--" not in safe_script('x = "</script><!--"')


@pytest.mark.parametrize("tasks", [0, 1])
def test_the_smallest_timelines_have_a_page(tasks: int, tmp_path: Path):
    text = report(make_timeline(tasks=tasks), [], tmp_path / "a" / "page.html").read_text(encoding="utf-8")
    assert 'id="verdict"' in text
    assert 'id="provenance"' in text


def test_a_page_is_small(tmp_path: Path):
    """Plotly is in it once; what is added for 2,000 commands stays under a megabyte."""
    timeline = make_timeline(tasks=2000)
    page = report(timeline, [make_outcome(timeline)], tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert text.count(plotly_script()) == 1
    assert len(text) - len(Page(text).scripts[2]) < 1_000_000


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableInputError, match="cannot be written"):
        report(make_timeline(tasks=1), [], tmp_path / "file" / "page.html")


def test_an_older_page_is_replaced_whole(tmp_path: Path):
    place = tmp_path / "page.html"
    place.write_text("old")
    assert report(make_timeline(tasks=1), [], place) == place
    assert place.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_several_studies_stand_on_one_page_with_ids_of_their_own(tmp_path: Path):
    """Each has all its sections and its own data; no id twice; every link leads to an id; Plotly once."""
    timeline = make_timeline(tasks=30)
    studies = [
        Study(timeline, (make_outcome(timeline),), "first"),
        Study(make_timeline(tasks=20, sessions=2, connections=1), given_title=HOSTILE),
        Study(make_timeline(tasks=0)),
    ]
    page = Page(report_studies(studies, tmp_path / "page.html").read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for number, study in enumerate(studies, start=1):
        assert {f"s{number}-{section.name}" for section in sections(study)} <= set(ids)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(page.scripts) == len(studies) + 3
    assert page.scripts.count(plotly_script()) == 1
    for study, script in zip(studies, page.scripts, strict=False):
        figures = {figure.name for section in sections(study) for figure in section.figures()}
        assert set(json.loads(script)["figures"]) == figures
    words = "".join(page.words)
    assert "first" in words
    assert "made.pcapng" in words


def test_one_study_alone_has_short_anchors(tmp_path: Path):
    page = Page(report(make_timeline(tasks=3), [], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "verdict" in {attributes.get("id") for _, attributes in page.elements}
    assert not [tag for tag, attributes in page.elements if attributes.get("class") == "studies"]


def test_a_page_of_no_study_is_a_mistake_of_the_caller(tmp_path: Path):
    with pytest.raises(ValueError, match="needs a study"):
        report_studies([], tmp_path / "page.html")


def test_the_script_of_the_installed_plotly_is_in_the_page_whole():
    """With its licence at its head, as MIT asks for."""
    script = zlib.decompress(base64.b64decode(plotly_script())).decode("utf-8")
    assert script == get_plotlyjs()
    assert "Licensed under the MIT license" in script[:1000]

"""Several studies on one page in a real Chromium: the switch, the address, what a hidden one costs, paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from analyzer.report.page import report_studies
from analyzer.report.study import Study
from tests.browser.visits import NEEDS_CHROMIUM, Visit
from tests.made import make_outcome, make_timeline

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    first, second = make_timeline(tasks=90), make_timeline(tasks=60, sessions=2, connections=1)
    studies = [
        Study(first, (make_outcome(first, "as-recorded"),), "MC/S"),
        Study(second, (make_outcome(second, "as-recorded"),), "MPIO"),
    ]
    return report_studies(studies, tmp_path_factory.mktemp("studies") / "page.html")


@pytest.fixture(scope="module")
def opened(browser: Browser, place: Path) -> Iterator[Visit]:
    """One page for the tests that leave it as they find it, or can be undone."""
    opened = Visit(browser, place)
    yield opened
    opened.page.close()


@pytest.fixture
def visit(opened: Visit) -> Iterator[Visit]:
    opened.again()
    yield opened
    assert opened.complaints == []


def shown(visit: Visit) -> list[str]:
    return visit.page.evaluate("[...document.querySelectorAll('.study:not([hidden])')].map((one) => one.id)")


def drawn(visit: Visit, study: str) -> int:
    return visit.page.evaluate(f"document.querySelectorAll('#{study} .main-svg').length")


def test_a_click_changes_the_study_and_a_hidden_one_costs_nothing(visit: Visit):
    """One study in sight; the other is neither unpacked nor drawn until it is asked for."""
    visit.read_through()
    assert shown(visit) == ["s1"]
    assert drawn(visit, "s1") > 0
    assert drawn(visit, "s2") == 0
    visit.page.locator("#s2-tab").click()
    assert shown(visit) == ["s2"]
    assert "study=s2" in visit.page.url
    visit.read_through()
    assert drawn(visit, "s2") > 0
    assert visit.complaints == []


def test_the_switch_works_by_keyboard(visit: Visit):
    """Tabs as a screen reader knows them: one in the order of focus, arrows move and choose, and go round."""
    page = visit.page
    page.locator("#s1-tab").focus()
    page.keyboard.press("ArrowRight")
    assert shown(visit) == ["s2"]
    assert page.evaluate("document.activeElement.id") == "s2-tab"
    page.keyboard.press("ArrowRight")
    assert shown(visit) == ["s1"]
    page.keyboard.press("End")
    assert shown(visit) == ["s2"]
    assert page.locator("[role=tab][aria-selected=true]").get_attribute("id") == "s2-tab"
    assert page.locator("[role=tab][tabindex='0']").count() == 1
    assert page.locator("#s2").get_attribute("role") == "tabpanel"
    assert page.locator("#s2").get_attribute("aria-labelledby") == "s2-tab"


def test_the_window_of_time_is_each_studys_own(visit: Visit):
    visit.show("#s1-figure-commands")
    visit.page.locator("#window [data-move=closer]").click()
    zoomed = visit.range_of("commands", "s1")
    visit.page.locator("#s2-tab").click()
    whole = visit.range_of("commands", "s2")
    assert whole[0] < 0 < whole[1]
    visit.page.locator("#s1-tab").click()
    assert visit.range_of("commands", "s1") == zoomed
    assert "view=" in visit.page.url


@pytest.mark.parametrize(
    ("mark", "study"),
    [("", "s1"), ("#study=s2", "s2"), ("#s2-latency", "s2"), ("#study=nowhere", "s1"), ("#nowhere", "s1")],
)
def test_an_address_opens_its_study(browser: Browser, place: Path, mark: str, study: str):
    visit = Visit(browser, place, mark=mark)
    assert shown(visit) == [study]
    if mark == "#s2-latency":
        visit.page.wait_for_timeout(300)
        top = visit.page.evaluate("document.getElementById('s2-latency').getBoundingClientRect().top")
        assert abs(top) < 120
    assert visit.complaints == []
    visit.page.close()


def test_an_address_opens_study_and_window(browser: Browser, place: Path):
    visit = Visit(browser, place, mark="#study=s2&view=0.002000000,0.004000000")
    assert visit.range_of("commands", "s2") == [0.002, 0.004]
    visit.page.close()


def test_on_paper_the_studies_follow_one_another(visit: Visit):
    """Before printing all are there and drawn; after it one is in sight again."""
    visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert shown(visit) == ["s1", "s2"]
    assert drawn(visit, "s2") > 0
    visit.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert shown(visit) == ["s1"]
    assert len(visit.page.pdf()) > 100_000
    assert visit.complaints == []


def test_without_script_all_studies_are_there_to_read(browser: Browser, place: Path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(place.as_uri())
    assert page.locator("#s1-verdict").is_visible()
    assert page.locator("#s2-verdict").is_visible()
    assert page.locator(".studies a").count() == 2
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_study_is_too_wide(browser: Browser, place: Path, width: int):
    visit = Visit(browser, place, width, mark="#study=s2")
    visit.read_through()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert visit.complaints == []
    visit.page.close()

"""The page in a real Chromium: from disk, loading nothing, without errors, fitting, zooming, sorting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from analyzer.report.page import report, sections
from analyzer.report.study import Study
from tests.browser.visits import NEEDS_CHROMIUM, Visit
from tests.made import BEGIN_NS, make_outcome, make_timeline
from tests.report.described import with_events
from tests.report.test_render import HOSTILE

pytestmark = NEEDS_CHROMIUM
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}


@pytest.fixture(scope="module")
def study() -> Study:
    """An MC/S session with order waits, an event and a hostile name, and two replays."""
    timeline = make_timeline(
        tasks=200, initiator_name=HOSTILE, order_wait_ns=np.where(np.arange(200) % 7 == 0, 90_000, 0)
    )
    timeline = with_events(
        timeline,
        [
            {
                "kind": "connection-lost",
                "at_ns": BEGIN_NS + 9_000_000,
                "connection_index": 1,
                "detail": HOSTILE,
            }
        ],
    )
    return Study(timeline, (make_outcome(timeline, "as-recorded"), make_outcome(timeline, faster=2.0)))


@pytest.fixture(scope="module")
def place(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(study.timeline, study.outcomes, tmp_path_factory.mktemp("browser") / "page.html")


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


@pytest.mark.parametrize(("width", "scheme", "other"), [(1280, "light", "dark"), (390, "dark", "light")])
def test_it_opens_anywhere(
    browser: Browser, place: Path, study: Study, width: int, scheme: str, other: str, screenshots: Path
):
    """No error, no warning, no request but for the file, every section and plot there, nothing too wide."""
    visit = Visit(browser, place, width, scheme)
    visit.read_through()
    page = visit.page
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    shown = page.evaluate(
        "[...document.querySelectorAll('.study:not([hidden]) section')].map((one) => one.id)"
    )
    assert shown == [section.name for section in sections(study)]
    assert page.evaluate("typeof window.alerted") == "undefined"
    for ground in (scheme, other):
        page.emulate_media(color_scheme=ground)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[ground]
        page.screenshot(path=screenshots / f"page-{width}-{ground}.png")
    assert visit.complaints == []
    page.close()


def test_every_plot_has_words_for_those_who_cannot_see_it(visit: Visit):
    labels = visit.page.evaluate(
        "[...document.querySelectorAll('[data-figure]')].map((one) => one.getAttribute('aria-label'))"
    )
    assert len(labels) >= 8
    assert all(label and label.endswith(".") for label in labels)


def test_plots_over_time_zoom_together(visit: Visit):
    """A window dragged in one plot is the window of all, is in the address, and goes on a double click."""
    page = visit.page
    whole = visit.range_of("commands")
    visit.show("#figure-commands")
    box = page.locator("[data-figure=commands] .nsewdrag").first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    page.mouse.up()
    page.wait_for_timeout(200)
    zoomed = visit.range_of("commands")
    span = whole[1] - whole[0]
    assert zoomed[0] == pytest.approx(whole[0] + 0.4 * span, abs=0.02 * span)
    assert zoomed[1] == pytest.approx(whole[0] + 0.6 * span, abs=0.02 * span)
    for figure in ("order-0", "latency-over-time", "outstanding", "throughput", "completions"):
        assert visit.range_of(figure) == zoomed
    assert page.url.split("#")[1].startswith("view=")
    assert visit.range_of("latency-distribution") != zoomed
    visit.show("#figure-outstanding")
    page.locator("#window [data-move=all]").click()
    assert visit.range_of("commands") == whole
    assert visit.complaints == []


def test_an_address_opens_its_window(browser: Browser, place: Path):
    visit = Visit(browser, place, mark="#view=0.005000000,0.010000000")
    assert visit.range_of("commands") == [0.005, 0.01]
    assert visit.range_of("throughput") == [0.005, 0.01]
    visit.page.close()


def test_the_window_moves_by_keyboard(visit: Visit):
    """The buttons of the window are reached and pressed without a pointer."""
    whole = visit.range_of("commands")
    visit.page.locator("#window [data-move=closer]").focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_timeout(100)
    closer = visit.range_of("commands")
    assert closer[1] - closer[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
    visit.page.locator("#window [data-move=later]").focus()
    visit.page.keyboard.press("Space")
    visit.page.wait_for_timeout(100)
    later = visit.range_of("commands")
    assert later[0] > closer[0]
    assert later[1] - later[0] == pytest.approx(closer[1] - closer[0], rel=0.01)


def test_a_plot_that_has_the_focus_is_moved_by_keys(visit: Visit):
    """Plus comes closer, arrows move, Home shows all; other keys stay the browser's."""
    visit.show("#figure-outstanding")
    whole = visit.range_of("outstanding")
    visit.page.locator("#figure-outstanding [data-figure]").focus()
    visit.page.keyboard.press("+")
    closer = visit.range_of("commands")
    assert closer[1] - closer[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
    visit.page.locator("#figure-outstanding [data-figure]").focus()
    visit.page.keyboard.press("ArrowRight")
    later = visit.range_of("commands")
    assert later[0] > closer[0]
    visit.page.locator("#figure-outstanding [data-figure]").focus()
    visit.page.keyboard.press("Home")
    assert visit.range_of("commands") == whole


def test_a_long_legend_leaves_the_curves_their_height(browser: Browser, tmp_path: Path):
    """Ten replays under a plot: it grows instead of flattening the curves; so it does on a phone."""
    timeline = make_timeline(tasks=60)
    labels = [f"mpio:2/a-policy-with-quite-a-long-name-{place}" for place in range(10)]
    outcomes = [make_outcome(timeline, label) for label in ("as-recorded", *labels)]
    place = report(timeline, outcomes, tmp_path / "page.html")
    for width in (1280, 390):
        visit = Visit(browser, place, width)
        visit.show("#figure-comparison-progress")
        visit.wait_until("document.querySelector('#figure-comparison-progress .main-svg') !== null")
        heights = visit.page.evaluate(
            """() => {
            const plot = document.querySelector('#figure-comparison-progress [data-figure]');
            const legend = plot.querySelector('.legend').getBoundingClientRect();
            return [plot._fullLayout._size.h, legend.height];
            }"""
        )
        assert heights[0] > 180
        assert heights[1] > 60
        assert visit.complaints == []
        visit.page.close()


def test_a_plot_is_thinned_by_what_is_in_view(browser: Browser, tmp_path: Path):
    """From afar a part of 3,200 commands is drawn and said; near, all that are in view."""
    place = report(make_timeline(tasks=3200), [], tmp_path / "page.html")
    visit = Visit(browser, place)
    visit.show("#figure-commands")
    visit.wait_until("document.querySelector('#figure-commands .drawn').textContent !== ''")
    assert "of 3,200 marks in view are drawn" in visit.page.locator("#figure-commands .drawn").inner_text()
    for _ in range(2):
        visit.page.locator("#window [data-move=closer]").click()
    visit.wait_until("document.querySelector('#figure-commands .drawn').textContent === ''")
    visit.page.close()


def test_the_theme_can_be_chosen(visit: Visit):
    """The button turns page and plots, and says what it would do next."""
    visit.show("#figure-commands")
    button = visit.page.locator("#theme")
    assert button.inner_text() == "Dark"
    button.click()
    assert button.inner_text() == "Light"
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    visit.show("#figure-commands")
    ink = visit.page.evaluate("document.querySelector('[data-figure=commands]')._fullLayout.font.color")
    assert ink == "#e8eaed"


def test_tables_sort_and_search(visit: Visit):
    page = visit.page
    column = (
        "[...document.querySelectorAll('#table-worst tbody tr')]"
        ".map((row) => Number(row.cells[2].dataset.value))"
    )
    heading = page.locator("#table-worst th").nth(2).locator("button")
    # A plot that is drawn meanwhile moves the table away from under the pointer.
    visit.read_through()
    heading.click()
    rising = page.evaluate(column)
    assert rising == sorted(rising)
    heading.click()
    assert page.evaluate(column) == sorted(rising, reverse=True)
    assert page.locator("#table-worst th").nth(2).get_attribute("aria-sort") == "descending"
    page.locator("#table-worst input[type=search]").fill("write(10)")
    visible = page.locator("#table-worst tbody tr:visible")
    assert 0 < visible.count() < len(rising)
    assert all("WRITE(10)" in text for text in visible.all_inner_texts())


def test_hostile_names_are_words_in_the_browser_too(visit: Visit):
    """Shown, hovered and sorted, they run nothing."""
    visit.read_through()
    assert "<script>alert(1)</script>" in visit.page.locator("#topology").inner_text()
    assert visit.page.locator("main img").count() == 0
    assert visit.complaints == []


def test_it_prints_with_every_plot(visit: Visit):
    """Before printing, plots that were never scrolled to are drawn, on light ground."""
    visit.show("#figure-commands")
    visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    undrawn = visit.page.evaluate(
        "[...document.querySelectorAll('[data-figure]')]"
        ".filter((one) => !one.querySelector('.main-svg')).length"
    )
    assert undrawn == 0
    assert visit.page.locator("details:not(.folded):not([open])").count() == 0
    assert len(visit.page.pdf()) > 50_000
    assert visit.complaints == []


def test_without_script_the_words_are_there(browser: Browser, place: Path):
    """Sentences and tables need no script."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(place.as_uri())
    assert "The plots need JavaScript" in page.locator("main").inner_text()
    assert page.locator("#table-worst tbody tr").count() > 10
    context.close()

"""Pages of real recordings, with replays and claims: MC/S on unlike links, and a link that dies under MPIO.

With SCREENSHOTS=FOLDER the pictures are kept, to be looked at; ``make screenshots`` takes those of the README
from here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

import analyzer
from analyzer.comparison.claims.catalogue import try_claims
from analyzer.replay.run import replay_all
from analyzer.report.page import report_studies, sections
from analyzer.report.study import Study
from tests.browser.visits import NEEDS_CHROMIUM, Visit
from tests.real import capture_path

pytestmark = NEEDS_CHROMIUM
PAGES = {
    "demo": (
        ("W6-asym-mcs2-rr",),
        (
            "as-recorded",
            "single/-",
            "mcs:2/least-queue-depth",
            "mpio:2/round-robin",
            "mpio:2/least-queue-depth",
        ),
    ),
    "failover": (
        ("fo-linkdown-st.link1", "fo-linkdown-st.link2"),
        ("as-recorded", "mpio:2/round-robin", "mcs:2/round-robin"),
    ),
}
README_PICTURES = {"demo": ("report", ""), "failover": ("incident", "#incident=0")}
"""For each page the picture that is taken of its commands, and the state of the page on it."""
LONGEST_MS = 3000
LARGEST_BYTES = 12_000_000


@pytest.fixture(scope="module", params=PAGES)
def page_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Study, Path]:
    """Name, study and place of a page."""
    captures, policies = PAGES[request.param]
    timeline = analyzer.analyze(*(capture_path(name) for name in captures))
    pacing = "depth:16" if request.param == "demo" else "closed"
    study = Study(
        timeline, tuple(replay_all(timeline, policies, pacing=pacing)), findings=try_claims(timeline)
    )
    place = tmp_path_factory.mktemp("real") / f"{request.param}.html"
    return request.param, study, report_studies([study], place)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_a_real_page_opens_soon_whole_and_quiet(
    page_of: tuple[str, Study, Path], browser: Browser, screenshots: Path, width: int, scheme: str
):
    """Every section and plot is there, nothing is asked of the network, nothing said, nothing too wide."""
    name, study, place = page_of
    assert place.stat().st_size < LARGEST_BYTES
    visit = Visit(browser, place, width, scheme)
    opened_ms = visit.opened_ms()
    print(f"{name}: {place.stat().st_size / 1e6:.1f} MB, opened in {opened_ms:.0f} ms")
    assert opened_ms < LONGEST_MS
    visit.page.screenshot(path=screenshots / f"{name}-{width}-{scheme}-top.png")
    visit.read_through()
    shown = visit.page.evaluate("[...document.querySelectorAll('section')].map((one) => one.id)")
    assert shown == [section.name for section in sections(study)]
    assert {"reservations", "failover", "claims", "limits", "comparison"} <= set(shown)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    for section in (
        "topology",
        "commands",
        "latency",
        "incidents",
        "comparison",
        "limits",
        "failover",
        "claims",
    ):
        visit.page.evaluate(f"document.getElementById('{section}').scrollIntoView({{behavior: 'instant'}})")
        visit.page.wait_for_timeout(200)
        visit.page.screenshot(path=screenshots / f"{name}-{width}-{scheme}-{section}.png")
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert visit.complaints == []
    visit.page.close()


def test_the_pictures_of_the_readme_show_commands(
    page_of: tuple[str, Study, Path], browser: Browser, screenshots: Path
):
    """The commands of a page in full width, drawn; of the failover with the lost connection chosen."""
    name, _, place = page_of
    picture, mark = README_PICTURES[name]
    visit = Visit(browser, place, mark=mark)
    visit.page.evaluate("document.getElementById('commands').scrollIntoView({ behavior: 'instant' })")
    visit.wait_until("document.querySelector('#figure-commands .main-svg') !== null")
    assert visit.page.locator("#life").is_visible() == bool(mark)
    visit.page.wait_for_timeout(300)
    visit.page.screenshot(path=screenshots / f"{picture}.png")
    visit.page.pdf(path=screenshots / f"{name}.pdf")
    assert visit.complaints == []
    visit.page.close()


def test_a_real_page_zooms_filters_and_selects(page_of: tuple[str, Study, Path], browser: Browser):
    """A window for all plots over time, those of the replays too; a filter on all sums; a life on a click."""
    _, study, place = page_of
    visit = Visit(browser, place)
    whole = visit.range_of("commands")
    visit.page.locator("#window [data-move=closer]").click()
    zoomed = visit.range_of("commands")
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
    for figure in ("throughput", "comparison-progress", "utilisation", "reservations"):
        if visit.page.locator(f"#figure-{figure}").count():
            assert visit.range_of(figure) == zoomed
    visit.page.locator("[data-filter=operation]").select_option(label="READ(10)")
    reads = int((study.requests.operation.codes == study.requests.operation.names.index("READ(10)")).sum())
    assert f"{reads:,} of {study.tasks:,} commands" in visit.page.locator(".filters output").inner_text()
    row = visit.page.locator("#table-worst tbody tr:visible").first
    task = row.get_attribute("data-task")
    row.click()
    assert visit.page.locator("#life h2").inner_text() == f"Task {task}, READ(10)"
    assert f"task={task}" in visit.page.url
    assert visit.complaints == []
    visit.page.close()

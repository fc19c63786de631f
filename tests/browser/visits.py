"""Opening a page in a real Chromium, and what it says and asks for meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
DEADLINE_S = 60.0
SLOW_MS = 1500
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """One opened page with what it said and asked for."""

    def __init__(
        self, browser: Browser, place: Path, width: int = 1280, scheme: str = "light", mark: str = ""
    ):
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(place.as_uri() + mark)

    def opened_ms(self) -> float:
        """Milliseconds until the page was loaded; the best of three where it is slow: others work here."""
        times = []
        while not times or (min(times) > SLOW_MS and len(times) < 3):
            if times:
                self.page.reload()
            times.append(self.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        return min(times)

    def again(self) -> None:
        """The page as it was when it was opened, and nothing said so far held against the next test."""
        self.page.evaluate(
            """() => {
            for (const search of document.querySelectorAll('input[type=search]')) {
                search.value = '';
                search.dispatchEvent(new Event('input'));
            }
            if (document.documentElement.dataset.theme === 'dark') document.getElementById('theme').click();
            location.hash = document.querySelector('.studies') ? 'study=s1' : 'view=';
            scrollTo({ top: 0, behavior: 'instant' });
            }"""
        )
        self.page.wait_for_timeout(30)
        self.complaints.clear()

    def read_through(self) -> None:
        """Go over the whole page, so that every plot is drawn."""
        end = time.monotonic() + DEADLINE_S
        while self.page.evaluate(
            """() => {
            const figures = [...document.querySelectorAll('.study:not([hidden]) [data-figure]')];
            const next = figures.find((one) => !one.querySelector('.main-svg'));
            if (next) next.scrollIntoView({ behavior: 'instant', block: 'center' });
            return Boolean(next);
            }"""
        ):
            assert time.monotonic() < end, "a plot is never drawn"
            self.page.wait_for_timeout(30)

    def wait_until(self, expression: str) -> None:
        """Wait until an expression is true; the page's own policy forbids Playwright to evaluate it there."""
        end = time.monotonic() + DEADLINE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(50)

    def show(self, selector: str) -> None:
        self.page.locator(selector).first.scroll_into_view_if_needed()
        self.page.wait_for_timeout(150)

    def range_of(self, figure: str, study: str = "") -> list[float]:
        """The ends of the horizontal axis of a plot, of a study where the page has several."""
        place = f"#{study}-figure-{figure}" if study else f"#figure-{figure}"
        self.show(place)
        return self.page.evaluate(
            f"document.querySelector('{place} [data-figure]')._fullLayout.xaxis.range.map(Number)"
        )

"""A page of a million commands: its size, how soon it opens, and that the slowest command is on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from analyzer.report.page import report
from tests.browser.visits import NEEDS_CHROMIUM, Visit
from tests.made import make_outcome, make_timeline

pytestmark = NEEDS_CHROMIUM
TASKS = 1_000_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    waits = np.where(np.arange(TASKS) % 11 == 0, 40_000, 0)
    timeline = make_timeline(tasks=TASKS, sessions=2, order_wait_ns=waits)
    return report(
        timeline, [make_outcome(timeline, "as-recorded")], tmp_path_factory.mktemp("scale") / "page.html"
    )


def test_a_million_commands_stay_under_12_megabytes_and_open_within_3_seconds(browser: Browser, place: Path):
    """Opened: laid out and ready to read. Plots are drawn when they come near."""
    assert place.stat().st_size < 12_000_000
    visit = Visit(browser, place)
    opened_ms = visit.opened_ms()
    print(f"{place.stat().st_size / 1e6:.1f} MB, opened in {opened_ms:.0f} ms")
    assert opened_ms < 3000
    visit.show("#figure-commands")
    visit.page.wait_for_selector("#figure-commands .main-svg")
    assert "marks in view are drawn" in visit.page.locator("#figure-commands .drawn").inner_text()
    slowest = visit.page.locator("#table-worst tbody tr").first.get_attribute("data-task")
    visit.page.locator("#table-worst tbody tr").first.click()
    assert visit.page.locator("#life h2").inner_text().startswith(f"Task {slowest},")
    assert visit.complaints == []
    visit.page.close()

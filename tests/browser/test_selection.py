"""Choosing one command, filtering, incidents and saving in a real Chromium."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from analyzer.report.page import report
from tests.browser.visits import NEEDS_CHROMIUM, Visit
from tests.made import make_timeline
from tests.report.described import with_fates, with_incident
from tests.report.test_render import HOSTILE

pytestmark = NEEDS_CHROMIUM
TASKS = 240
HELD = (60, 61, 62)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of two connections, two logical units, some waits, and an incident."""
    timeline = make_timeline(
        tasks=TASKS,
        sessions=2,
        lun=np.where(np.arange(TASKS) % 5 == 0, 1 << 48, 0).astype(np.uint64),
        order_wait_ns=np.where(np.arange(TASKS) % 7 == 0, 90_000, 0),
        initiator_name=HOSTILE,
    )
    timeline = with_incident(timeline, failed=5_000_000, ended=9_000_000, detail=HOSTILE)
    timeline = with_fates(timeline, [(0, task) for task in HELD])
    return report(timeline, [], tmp_path_factory.mktemp("selection") / "page.html")


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


def marked(visit: Visit, figure: str) -> bool:
    """Whether a figure has the mark of the chosen command."""
    visit.show(f"#figure-{figure}")
    return visit.page.evaluate(
        f"document.querySelector('#figure-{figure} [data-figure]').data"
        ".some((trace) => (trace.name || '').startsWith('task '))"
    )


def drawn_bars(visit: Visit) -> int:
    visit.show("#figure-commands")
    return visit.page.evaluate(
        "document.querySelector('#figure-commands [data-figure]').data"
        ".filter((trace) => trace.type === 'bar').reduce((sum, trace) => sum + trace.y.length, 0)"
    )


def test_a_click_on_a_bar_shows_the_whole_life_and_marks_it_everywhere(visit: Visit):
    """The command under the pointer: its life in the panel, its mark in every plot, in the address."""
    visit.show("#figure-commands")
    spot = visit.page.evaluate(
        """() => {
        const plot = document.querySelector('#figure-commands [data-figure]');
        const trace = plot.data.find((one) => one.type === 'bar' && one.name === 'reads');
        const layout = plot._fullLayout, box = plot.getBoundingClientRect();
        return { x: box.left + layout.xaxis._offset + layout.xaxis.c2p(trace.base[5] + trace.x[5] / 2),
                 y: box.top + layout.yaxis._offset + layout.yaxis.c2p(trace.y[5]),
                 task: trace.customdata[5] };
        }"""
    )
    visit.page.mouse.move(spot["x"], spot["y"])
    visit.page.wait_for_timeout(100)
    visit.page.mouse.click(spot["x"], spot["y"])
    panel = visit.page.locator("#life")
    panel.wait_for(state="visible")
    assert panel.locator("h2").inner_text() == f"Task {spot['task']}, READ(10)"
    text = panel.inner_text()
    assert "whole at the target" in text
    assert "response" in text
    assert f"task={spot['task']}" in visit.page.url
    for figure in ("commands", "latency-over-time"):
        assert marked(visit, figure)
    visit.page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert not marked(visit, "commands")
    assert "task=" not in visit.page.url


def test_a_row_of_the_worst_commands_is_chosen_by_keyboard(visit: Visit):
    row = visit.page.locator("#table-worst tr[data-task]").nth(3)
    task = row.get_attribute("data-task")
    row.focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#life h2").inner_text().startswith(f"Task {task},")
    assert "selected" in (row.get_attribute("class") or "")
    visit.page.locator("#life [data-life=zoom]").click()
    left, right = visit.range_of("commands")
    assert right - left < 0.01
    visit.page.locator("#life [data-life=close]").click()
    assert visit.page.locator("#life").is_hidden()


def test_an_address_opens_its_command_and_filter(browser: Browser, place: Path):
    visit = Visit(browser, place, mark="#task=7&session=1")
    assert visit.page.locator("#life h2").inner_text().startswith("Task 7,")
    assert visit.page.locator("[data-filter=session]").input_value() == "1"
    assert drawn_bars(visit) == TASKS // 2 + 1
    visit.page.close()


@pytest.mark.parametrize(
    ("name", "label", "left"),
    [("session", "session 0", 120), ("lun", "1", 48), ("operation", "WRITE(10)", 80)],
)
def test_a_filter_leaves_the_commands_it_names(visit: Visit, name: str, label: str, left: int):
    assert drawn_bars(visit) == TASKS
    visit.page.locator(f"[data-filter={name}]").select_option(label=label)
    assert drawn_bars(visit) == left
    assert f"{name}=" in visit.page.url
    visit.page.locator(f"[data-filter={name}]").select_option("")
    assert drawn_bars(visit) == TASKS


def curve_sum(visit: Visit, figure: str) -> float:
    """The sum over all curves of a figure, each value times the length of its interval."""
    visit.show(f"#figure-{figure}")
    return visit.page.evaluate(
        f"document.querySelector('#figure-{figure} [data-figure]').data.reduce((sum, trace) => sum + "
        "trace.y.reduce((part, y, place) => part + (place + 1 < trace.x.length ? "
        "y * (trace.x[place + 1] - trace.x[place]) : 0), 0), 0)"
    )


def test_a_filter_acts_on_sums_curves_and_tables(visit: Visit):
    """Of 240 commands 80 are writes: the rates, the heat map and the tables are those of the writes."""
    assert curve_sum(visit, "completions") == pytest.approx(240)
    visit.page.locator("[data-filter=operation]").select_option(label="WRITE(10)")
    assert curve_sum(visit, "completions") == pytest.approx(80)
    assert curve_sum(visit, "throughput") == pytest.approx(80 * 4096 / 1e6, rel=1e-4)
    assert heat_sum(visit) == 80
    rows = visit.page.locator("#table-latency-by-operation tbody tr")
    assert rows.evaluate_all("all => all.map((one) => one.classList.contains('filtered'))") == [True, False]
    assert (
        visit.page.locator("#table-worst tbody tr:visible").count()
        < visit.page.locator("#table-worst tbody tr").count()
    )
    assert "80 of 240 commands" in visit.page.locator(".filters output").inner_text()


def test_a_filtered_table_is_added_up_anew_and_comes_back(visit: Visit):
    """Under a session's filter each operation has that session's commands, its mean and its percentiles."""
    rows = visit.page.locator("#table-latency-by-operation tbody tr")
    whole = rows.all_inner_texts()
    visit.page.locator("[data-filter=session]").select_option(label="session 1")
    counts = rows.evaluate_all("all => all.map((row) => Number(row.cells[1].dataset.value))")
    assert sum(counts) == 120
    assert all("≈" in text for text in rows.all_inner_texts())
    medians = rows.evaluate_all("all => all.map((row) => Number(row.cells[5].dataset.value))")
    assert all(500_000 < median < 750_000 for median in medians)
    visit.page.locator("[data-filter=session]").select_option("")
    assert rows.all_inner_texts() == whole


def test_an_incident_is_marked_and_shown_in_the_plots(visit: Visit):
    visit.show("#figure-commands")
    shapes = visit.page.evaluate(
        "document.querySelector('#figure-commands [data-figure]')._fullLayout.shapes"
        ".map((one) => [one.x0, one.x1])"
    )
    assert shapes == [[0.005, 0.009]]
    visit.page.locator("#incidents .look").click()
    left, right = visit.range_of("commands")
    assert left == pytest.approx(0.005 - 0.0012, abs=1e-6)
    assert right == pytest.approx(0.009 + 0.0012, abs=1e-6)
    assert "alert(1)" in visit.page.locator("#incidents .story").inner_text()


def bands_of(visit: Visit, figure: str) -> list[float]:
    """The widths of the lines around the bands of a figure: 1, or 2 where chosen."""
    visit.show(f"#figure-{figure}")
    return visit.page.evaluate(
        f"document.querySelector('#figure-{figure} [data-figure]')._fullLayout.shapes"
        ".map((one) => one.line.width)"
    )


def ringed(visit: Visit) -> int:
    """How many commands the ring of the chosen incident is around, in the plot of the commands."""
    visit.show("#figure-commands")
    return visit.page.evaluate(
        "document.querySelector('#figure-commands [data-figure]').data"
        ".filter((trace) => trace.name === 'held by the incident' && trace.type === 'scatter')"
        ".reduce((sum, trace) => sum + trace.x.length, 0)"
    )


def test_an_incident_is_chosen_by_its_handle_in_any_plot(visit: Visit):
    """Its band stands out in every plot over time, what it held is ringed, its row and story are marked."""
    visit.show("#figure-latency-over-time")
    visit.page.locator("#figure-latency-over-time .annotation-text-g").first.click()
    panel = visit.page.locator("#life")
    assert panel.locator("h2").inner_text() == "Lost connection at 0.005 s"
    assert "3 commands" in panel.inner_text()
    for figure in ("commands", "latency-over-time", "outstanding"):
        assert bands_of(visit, figure) == [2]
    assert ringed(visit) == len(HELD)
    assert visit.page.locator(".story.selected").count() == 1
    assert visit.page.locator("#table-incidents tr.selected").count() == 1
    assert "incident=0" in visit.page.url
    visit.page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert bands_of(visit, "commands") == [1]
    assert ringed(visit) == 0
    assert "incident=" not in visit.page.url


def test_a_row_of_the_incidents_is_chosen_by_keyboard(visit: Visit):
    row = visit.page.locator("#table-incidents tbody tr").first
    row.focus()
    visit.page.keyboard.press("Enter")
    assert "selected" in (row.get_attribute("class") or "")
    visit.page.locator("#table-worst tbody tr").first.click()
    assert visit.page.locator(".story.selected").count() == 0
    assert "incident=" not in visit.page.url
    assert "task=" in visit.page.url


def test_an_address_opens_its_incident(browser: Browser, place: Path):
    """Together with the window and the filter: the whole state of the view."""
    visit = Visit(browser, place, mark="#view=0.002,0.012&incident=0&operation=0")
    assert visit.page.locator("#life h2").inner_text() == "Lost connection at 0.005 s"
    assert visit.range_of("commands") == [0.002, 0.012]
    assert visit.page.locator("[data-filter=operation]").input_value() == "0"
    assert bands_of(visit, "commands") == [2]
    visit.page.close()


def test_a_table_is_saved_as_csv_with_the_values_behind_the_words(visit: Visit):
    visit.page.locator("#table-worst input[type=search]").fill("write(10)")
    with visit.page.expect_download() as started:
        visit.page.locator("#table-worst .save").click()
    assert started.value.suggested_filename == "worst.csv"
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text(encoding="utf-8"))))
    assert rows
    assert {row["Operation"] for row in rows} == {"WRITE(10)"}
    assert all(float(row["Took"]) > 1000 for row in rows)


@pytest.mark.parametrize(("kind", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_a_figure_is_saved(visit: Visit, kind: str, magic: bytes):
    visit.show("#figure-commands")
    with visit.page.expect_download() as started:
        visit.page.locator("#figure-commands .save", has_text=kind.upper()).click()
    assert started.value.suggested_filename == f"commands.{kind}"
    assert Path(started.value.path()).read_bytes()[:4] == magic


def heat_sum(visit: Visit) -> int:
    visit.show("#figure-latency-heat")
    counts = visit.page.evaluate(
        "document.querySelector('#figure-latency-heat [data-figure]').data[0].text.flat()"
    )
    return sum(int(count.replace(",", "")) for count in counts if count)


def test_the_heat_map_counts_every_command(visit: Visit):
    assert heat_sum(visit) == TASKS

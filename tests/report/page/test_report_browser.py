"""The HTML page as a real browser shows and prints it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from vlmad_evaluation.bench.reading import Results

from vlmad_datasets.object_groups import read_groups
from vlmad_report.content import Entry, Page, Section, Table
from vlmad_report.page import Wishes, all_parts, make_report
from vlmad_report.rendering.html import to_html

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
WIDTHS, SCHEMES, PAGES = (1280, 360), ("light", "dark"), ("ordinary", "hostile")

EVERYWHERE = [
    pytest.mark.parametrize("name", PAGES),
    pytest.mark.parametrize("width", WIDTHS),
    pytest.mark.parametrize("scheme", SCHEMES),
]
CONTRASTS = """() => {
  const shade = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return {light: 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b), solid: a === 1};
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const own = shade(getComputedStyle(e).backgroundColor);
      if (own.solid) return own.light;
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    if (!texts.currentNode.data.trim()) continue;
    const element = texts.currentNode.parentElement;
    const [a, b] = [shade(getComputedStyle(element)[
      element instanceof SVGElement ? "fill" : "color"]).light, ground(element)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ratio, text: texts.currentNode.data.trim().slice(0, 40)});
  }
  return found;
}"""

DRAWN = """[...document.querySelectorAll('.drawing svg')]
  .filter(e => e.getBoundingClientRect().width > 0).map(e => e.getAttribute('class'))"""
LETTERS = """Math.min(...[...document.querySelectorAll('.drawing svg')]
  .filter(e => e.getBoundingClientRect().width > 0)
  .map(e => 10 * e.getBoundingClientRect().width / e.viewBox.baseVal.width))"""
"""How tall letters are at the least, in CSS pixels; 10 points are their size in a drawing."""


@contextmanager
def shown(browser: Any, path: Path, width: int = 1280, **media: str) -> Iterator[tuple[Any, list]]:
    """Show a page; yield it with all that the browser complained of or asked for."""
    tab = browser.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on("requestfailed", lambda request: heard.append(f"failed: {request.url[:80]}"))
    tab.on("request", lambda request: heard.append(f"asked for: {request.url[:80]}"))
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(reduced_motion="reduce", **media)
    tab.goto(path.as_uri())
    try:
        yield tab, heard
    finally:
        tab.close()


def everywhere(function: Any) -> Any:
    for mark in EVERYWHERE:
        function = mark(function)
    return function


@everywhere
def test_the_page_loads_nothing_and_the_browser_complains_of_nothing(
    browser: Any, folder_of_pages: Path, name: str, width: int, scheme: str
) -> None:
    path = folder_of_pages / f"{name}.html"
    with shown(browser, path, width, color_scheme=scheme) as (tab, heard):
        tab.wait_for_load_state("networkidle")
        asked = [each for each in heard if not each.startswith("asked for: data:")]
        assert asked == [f"asked for: {path.as_uri()}"]
        assert tab.evaluate("performance.getEntriesByType('resource')"
                            ".map(e => e.name).filter(n => !n.startsWith('data:'))") == []


@everywhere
def test_all_pictures_are_there_and_nothing_overflows(
    browser: Any, folder_of_pages: Path, name: str, width: int, scheme: str
) -> None:
    with shown(browser, folder_of_pages / f"{name}.html", width, color_scheme=scheme) as (tab, _):
        sizes = tab.evaluate(
            "() => Promise.all([...document.images].map("
            "i => i.decode().then(() => i.naturalWidth, () => 0)))"
        )
        assert len(sizes) == {"ordinary": 4 * 3, "hostile": 17 * 3}[name]
        assert min(sizes) > 0
        assert tab.evaluate(DRAWN) == ["wide" if width > 640 else "narrow"] * tab.locator(
            ".drawing"
        ).count()
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        off = tab.evaluate(
            "w => [...document.querySelectorAll('h1, h2, h3, p, dl, nav, .scroll, .card')]"
            ".filter(e => { const r = e.getBoundingClientRect();"
            " return r.left < 0 || r.right > w; }).length",
            width,
        )
        assert off == 0


@pytest.fixture(scope="module")
def real_report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sections of a real bench, written as the command writes them."""
    made = make_report([results], Wishes(read_groups()), all_parts())
    assert made.faults == ()
    path = tmp_path_factory.mktemp("real") / "report.html"
    path.write_text(to_html(made.page, made.rendered), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_of_a_real_bench_is_whole_in_the_browser(
    browser: Any, real_report: Path, width: int
) -> None:
    with shown(browser, real_report, width) as (tab, heard):
        tab.wait_for_load_state("networkidle")
        assert [each for each in heard if not each.startswith("asked for: data:")] == [
            f"asked for: {real_report.as_uri()}"
        ]
        sizes = tab.evaluate(
            "() => Promise.all([...document.images].map("
            "i => i.decode().then(() => i.naturalWidth, () => 0)))"
        )
        assert len(sizes) > 20
        assert min(sizes) > 0
        drawings = tab.evaluate(DRAWN)
        assert len(drawings) == tab.locator(".drawing").count() > 10
        assert set(drawings) == {"wide" if width > 640 else "narrow"}
        spill = "e => e.scrollWidth > e.clientWidth + 1"
        assert not tab.evaluate(f"[...document.querySelectorAll('.drawing')].some({spill})")
        assert tab.evaluate(LETTERS) > 0.75 * 10 * 96 / 72
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.locator("section h2").count() == len(all_parts())
        assert tab.locator("#failures .card").count() > 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_its_ground(
    browser: Any, folder_of_pages: Path, name: str, scheme: str
) -> None:
    with shown(browser, folder_of_pages / f"{name}.html", color_scheme=scheme) as (tab, _):
        contrasts = tab.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [each for each in contrasts if each["ratio"] < 4.5] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_figures_take_the_colours_of_the_ground(
    browser: Any, folder_of_pages: Path, scheme: str
) -> None:
    with shown(browser, folder_of_pages / "ordinary.html", color_scheme=scheme) as (tab, _):
        fill = "getComputedStyle(document.querySelector('.wide .fill-ink')).fill"
        ink = {"light": "rgb(27, 31, 36)", "dark": "rgb(228, 231, 235)"}[scheme]
        assert tab.evaluate(fill) == ink


def test_a_page_on_a_dark_screen_is_printed_light_and_without_links(
    browser: Any, folder_of_pages: Path
) -> None:
    path = folder_of_pages / "ordinary.html"
    with shown(browser, path, color_scheme="dark", media="print") as (tab, _):
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert tab.evaluate("document.querySelector('nav').checkVisibility()") is False
        assert tab.evaluate(DRAWN) == ["wide", "wide"]
        fill = "getComputedStyle(document.querySelector('.wide .fill-ink')).fill"
        assert tab.evaluate(fill) == "rgb(27, 31, 36)"
        whole = tab.evaluate(
            "['.drawing', '.card', 'tbody tr'].map("
            "s => getComputedStyle(document.querySelector(s)).breakInside)"
        )
        assert whole == ["avoid", "avoid", "avoid"]
        head = "getComputedStyle(document.querySelector('thead')).display"
        assert tab.evaluate(head) == "table-header-group"
        assert min(each["ratio"] for each in tab.evaluate(CONTRASTS)) >= 4.5


@pytest.fixture(scope="module")
def page_of_a_wide_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with a column for each of eight detectors."""
    detectors = tuple(f"compositional + window scales=2,{size} + none" for size in range(3, 11))
    row = (Entry("structural break"), *(Entry("0.667", "0.938 / 0.799") for _ in detectors))
    table = Table("AUROC by type.", ("type", *detectors), (row,), words=1)
    page = Page("Wide", (), (Section("types", "Types of defects", (), (table,)),))
    path = tmp_path_factory.mktemp("wide") / "wide.html"
    path.write_text(to_html(page, {}), encoding="utf-8")
    return path


def test_a_wide_table_fits_on_paper(browser: Any, page_of_a_wide_table: Path) -> None:
    between_margins = 688  # of A4, in CSS pixels
    with shown(browser, page_of_a_wide_table, between_margins, media="print") as (tab, _):
        width = "document.querySelector('table').getBoundingClientRect().width"
        assert tab.evaluate(width) <= between_margins
        assert tab.evaluate(
            "[...document.querySelectorAll('td, th')].every(e => e.scrollWidth <= e.offsetWidth)"
        )


@pytest.mark.parametrize("name", PAGES)
def test_the_page_becomes_a_pdf(browser: Any, folder_of_pages: Path, name: str) -> None:
    with shown(browser, folder_of_pages / f"{name}.html", color_scheme="dark") as (tab, _):
        pdf = tab.pdf(format="A4")
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 3


@pytest.mark.parametrize("width", WIDTHS)
def test_links_of_the_contents_land_on_their_sections(
    browser: Any, folder_of_pages: Path, width: int
) -> None:
    with shown(browser, folder_of_pages / "ordinary.html", width) as (tab, _):
        links = tab.locator("nav a")
        assert links.count() == 5
        for index in range(links.count()):
            title = links.nth(index).inner_text()
            links.nth(index).click()
            heading = tab.locator(tab.evaluate("location.hash")).locator("h2")
            assert heading.inner_text() == title
            assert 0 <= heading.bounding_box()["y"] < 800


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Any, folder_of_pages: Path
) -> None:
    with shown(browser, folder_of_pages / "ordinary.html", 360) as (tab, _):
        reached = []
        for _ in range(1 + 5 + 2):  # the skip link, the contents and two tables
            tab.keyboard.press("Tab")
            reached.append(
                tab.evaluate(
                    "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                    " return [e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
                )
            )
        assert [tag for tag, _, _ in reached] == ["A"] * 6 + ["DIV"] * 2
        assert all(style != "none" and width >= 2 for _, style, width in reached)


def test_the_first_column_stays_while_a_table_scrolls(
    browser: Any, folder_of_pages: Path
) -> None:
    with shown(browser, folder_of_pages / "ordinary.html", 360) as (tab, _):
        box = tab.locator("#categories .scroll")
        before = box.locator("tbody th").first.bounding_box()["x"]
        box.evaluate("e => { e.scrollLeft = 200; }")
        assert box.evaluate("e => e.scrollLeft") == 200
        assert box.locator("tbody th").first.bounding_box()["x"] == before


def test_a_script_that_found_its_way_into_the_page_would_not_run(
    browser: Any, folder_of_pages: Path, tmp_path: Path
) -> None:
    text = (folder_of_pages / "ordinary.html").read_text(encoding="utf-8")
    bad = "<script>document.title = 'run'</script><img src=x onerror='document.title = 1'>"
    page = tmp_path / "changed.html"
    page.write_text(text.replace("<header>", f"<header>{bad}"), encoding="utf-8")
    with shown(browser, page) as (tab, heard):
        assert tab.title() == "winclip, anomalyclip on mvtec"
        assert any("Content Security Policy" in each for each in heard)

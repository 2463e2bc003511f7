"""The page as a real browser shows and prints it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vlmad_datasets.object_groups import read_groups
from vlmad_report._report_html import to_html
from vlmad_report._report_page import make_page, section_makers
from vlmad_report._result_source import open_source

from .conftest import BenchMaker
from .test_report_html import HOSTILE, page_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
NAMES, WIDTHS, SCHEMES = ("bench", "hostile"), (1280, 390), ("light", "dark")
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
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [shade(getComputedStyle(element)[
      element instanceof SVGElement ? "fill" : "color"]).light, ground(element)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ratio, text: texts.currentNode.data.trim().slice(0, 40)});
  }
  return found;
}"""


@pytest.fixture(scope="module")
def pages(bench: BenchMaker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of a bench, and one of names that break whatever does not expect them."""
    folder = tmp_path_factory.mktemp("pages")
    source = open_source(bench.folder)
    page, faults = make_page(source, "", section_makers(source, read_groups(), 4))
    assert faults == []
    found = {"bench": page, "hostile": page_of(*HOSTILE)}
    for name, each in found.items():
        (folder / f"{name}.html").write_bytes(to_html(each))
    return {name: folder / f"{name}.html" for name in found}


@contextmanager
def shown(browser: Any, path: Path, width: int = 1280, **media: str) -> Iterator[Any]:
    """Show a page; the browser may complain of nothing and ask for nothing."""
    tab = browser.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url[:80]))
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(reduced_motion="reduce", **media)
    tab.goto(path.as_uri())
    tab.wait_for_load_state("networkidle")
    try:
        assert [each for each in heard if not each.startswith("data:")] == [path.as_uri()]
        yield tab
    finally:
        tab.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page_and_all_pictures_are_there(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    with shown(browser, pages[name], width) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        edges = "[e.getBoundingClientRect()].some(r => r.left < 0 || r.right > innerWidth)"
        off = f"e => {edges}"
        boxes = "h1, h2, h3, h4, p, dl, nav, .scroll, .plot, .panel, .card"
        assert not tab.evaluate(f"[...document.querySelectorAll('{boxes}')].some({off})")
        widths = tab.evaluate(
            "() => Promise.all([...document.images].map("
            "i => i.decode().then(() => i.naturalWidth, () => 0)))"
        )
        assert len(widths) > 5
        assert min(widths) > 0
        assert tab.locator(".panel svg, .plot").count() > 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_its_ground(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    with shown(browser, pages[name], color_scheme=scheme) as tab:
        contrasts = tab.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [each for each in contrasts if each["ratio"] < 4.5] == []


def test_a_page_on_a_dark_screen_is_printed_light_and_whole(
    browser: Any, pages: dict[str, Path]
) -> None:
    between_margins = 688  # of A4, in CSS pixels
    with shown(browser, pages["bench"], between_margins, color_scheme="dark", media="print") as tab:
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)"
        assert tab.evaluate("document.querySelector('nav').checkVisibility()") is False
        widths = "[...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().width)"
        assert max(tab.evaluate(widths)) <= between_margins
        assert min(each["ratio"] for each in tab.evaluate(CONTRASTS)) >= 4.5
        assert tab.pdf(format="A4").startswith(b"%PDF-")


def test_links_of_the_contents_land_on_their_sections(browser: Any, pages: dict[str, Path]) -> None:
    with shown(browser, pages["bench"], 390) as tab:
        links = tab.locator("nav a")
        assert links.count() == 12
        for index in range(links.count()):
            title = links.nth(index).inner_text()
            links.nth(index).click()
            heading = tab.locator(tab.evaluate("location.hash")).locator("h2")
            assert heading.inner_text() == title
            assert 0 <= heading.bounding_box()["y"] < 800


def test_the_first_column_stays_while_a_table_scrolls_by_the_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    with shown(browser, pages["bench"], 390) as tab:
        box = tab.locator("#categories .scroll").first
        before = box.locator("tbody th").first.bounding_box()["x"]
        box.focus()
        box.evaluate("e => { e.scrollLeft = 100; }")
        assert box.evaluate("e => [document.activeElement === e, e.scrollLeft]") == [True, 100]
        assert box.locator("tbody th").first.bounding_box()["x"] == before


def test_a_script_that_found_its_way_into_the_page_would_not_run(
    browser: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    bad = "<header><script>document.title = 'run'</script>"
    text = pages["bench"].read_text(encoding="utf-8").replace("<header>", bad)
    (tmp_path / "changed.html").write_text(text, encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "changed.html").as_uri())
    assert tab.title() == "sharp, blunt on parts"
    tab.close()

"""The page as HTML: whole, escaped, and described for who cannot see it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vlmad_evaluation.result_tables import ResultTable, TableEntry
from vlmad_report._curve_section import draw_curves, line_style, panel_svg
from vlmad_report._defects import contrast, lab, ring
from vlmad_report._report_blocks import (
    BarChart,
    BarPlot,
    CardGallery,
    ChartValue,
    ImageCard,
    PanelFigure,
    ReportPage,
    ReportSection,
    SvgPanel,
)
from vlmad_report._report_html import picture_of, to_html

HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }} {% raw %} &amp; $h$ \\",
    "two\nlines\r\nand\ta tab",
    "bytes \udcff\udc00 of no text",
    "nul \x00 bell \x07 escape \x1b[31m",
    "\u202egnp.exe",
    "مسمار معدني 12",
    "金属螺母と欠陥",
    "W" * 300,
    "-",
    "",
)


def page_of(*names: str) -> ReportPage:
    """Return a page that shows names in all places where there may be any."""
    bars = [ChartValue(0, 0.9, 0.8, 0.95), ChartValue(1, None)]
    svg = panel_svg("p", lambda axes: draw_curves(axes, [(line_style(0), EDGE)], ("x", "y"), 1))
    picture = picture_of(Image.new("RGB", (8, 8)), names[0], names[0])
    rows = [[TableEntry(n, n, True, n, n), TableEntry("0.9", n)] for n in names]
    blocks = [
        ResultTable(names[0], [names[0], "number"], rows),
        BarChart(names[0], names, [BarPlot(n, [(n, bars)]) for n in names]),
        PanelFigure(names[0], [SvgPanel(names[0], svg, names[2])], [("line s0", n) for n in names]),
        CardGallery(names[0], [ImageCard(n, [picture], [n]) for n in names], names),
    ]
    section = ReportSection("Names", names, blocks)
    return ReportPage(names[0], [(n, n) for n in names], [section], names)


EDGE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


class Reader(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def hostile() -> Reader:
    reader = Reader()
    reader.feed(to_html(page_of(*HOSTILE)).decode("utf-8"))
    return reader


def test_no_name_becomes_a_tag_or_an_attribute(hostile: Reader) -> None:
    tags = {tag for tag, _ in hostile.tags}
    assert "script" not in tags
    assert not [name for _, attributes in hostile.tags for name in attributes if name[:2] == "on"]
    assert HOSTILE[0] in hostile.text
    assert HOSTILE[3] in hostile.text


def test_nothing_is_loaded_from_elsewhere(hostile: Reader) -> None:
    places = [
        value
        for _, attributes in hostile.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert places
    assert all(place and place.startswith(("data:", "#")) for place in places)
    policy = next(a["content"] for t, a in hostile.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_characters_that_do_not_show_are_escapes(hostile: Reader) -> None:
    text = "".join(hostile.text)
    assert "two lines and a tab" in text
    assert "nul \\x00 bell" in text
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e\udc00-\udfff]", text)


def test_pictures_tables_and_headings_are_described(hostile: Reader) -> None:
    assert all("alt" in attributes for tag, attributes in hostile.tags if tag == "img")
    assert all(a.get("aria-label") is not None for _, a in hostile.tags if a.get("role") == "img")
    assert {a.get("scope") for tag, a in hostile.tags if tag == "th"} == {"row", "col"}
    levels = [int(tag[1]) for tag, _ in hostile.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_names_of_elements_are_unique(hostile: Reader) -> None:
    page = ReportPage(
        "t",
        [],
        [
            ReportSection(f"Part {number}", [], [PanelFigure("c", [SvgPanel("t", svg, "a")], [])])
            for number, svg in enumerate(panel_svg(name, lambda axes: None) for name in "ab")
        ],
        [],
    )
    names = re.findall(r'\bid="([^"]*)"', to_html(page).decode())
    assert len(names) == len(set(names))


def test_an_empty_page_is_a_page() -> None:
    assert b"<main" in to_html(ReportPage("Nothing", [], [], []))


def test_a_panel_has_the_colours_of_the_style_sheet_and_words_as_text() -> None:
    svg = panel_svg("p", lambda axes: draw_curves(axes, [(line_style(1), EDGE)], ("rate", "y"), 1))
    assert svg.startswith("<svg")
    assert "<style" not in svg
    assert "var(--muted)" in svg
    assert re.search(r"<text[^>]*>rate</text>", svg)


def test_the_users_settings_of_matplotlib_change_nothing() -> None:
    import matplotlib

    plain = panel_svg("p", lambda axes: axes.plot([0, 1]))
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        assert panel_svg("p", lambda axes: axes.plot([0, 1])) == plain


def test_colours_are_as_far_apart_as_they_look() -> None:
    pixels = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86]]
    np.testing.assert_allclose(lab(pixels), expected, atol=0.02)


def test_contrast_is_the_difference_to_what_is_around_whatever_the_rest_shows() -> None:
    image = np.full((40, 40, 3), 80, np.uint8)
    image[:, 30:] = 255  # far away
    mask = np.zeros((40, 40), bool)
    mask[10:15, 5:10] = True
    assert contrast(image, mask) == 0
    image[mask] = 250
    image[12, 7] = 0  # noise, which a median leaves alone
    near = lab(np.array([[250] * 3, [80] * 3], np.uint8))
    assert contrast(image, mask) == pytest.approx(float(np.linalg.norm(near[0] - near[1])))


@pytest.mark.parametrize("box", [(0, 5, 0, 5), (10, 30, 10, 30), (0, 40, 0, 39), (3, 4, 0, 40)])
def test_a_ring_is_as_many_pixels_as_the_defect_the_nearest_ones(
    box: tuple[int, int, int, int],
) -> None:
    from scipy import ndimage

    mask = np.zeros((40, 40), bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    around = ring(mask)
    distances = ndimage.distance_transform_edt(~mask)
    assert not (around & mask).any()
    assert around.sum() >= min(mask.sum(), (~mask).sum())
    inner = around & (distances < distances[around].max())
    assert inner.sum() < mask.sum()
    assert distances[around].max() <= distances[~around & ~mask].min(initial=np.inf)

"""The HTML page: one file, whatever the names in it are; drawings are the same every time."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing
from matplotlib.path import Path as MatplotlibPath
from matplotlib.transforms import Affine2D
from PIL import Image

from vlmad.errors import printable
from vlmad_report.content import Entry, Figure, Page, Picture, Section, Table
from vlmad_report.rendering.colours import CYCLE, DARK, LIGHT, names, rules
from vlmad_report.rendering.drawing import NARROW, WIDE, drawn, render_figure
from vlmad_report.rendering.encoded import JPEG, PNG, render, render_picture
from vlmad_report.rendering.html import to_html
from vlmad_report.rendering.vector import _data

pytestmark = pytest.mark.xdist_group("browser")  # they share the pages
ADDRESSES = ("src", "href", "srcset", "action", "data", "poster", "formaction", "background")


class Elements(HTMLParser):
    """All elements with their attributes, and the texts in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip() and self.found:
            self.texts.append((self.found[-1][0], data))

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]

    def values(self, *names: str) -> list[str]:
        return [
            str(value) for _, attributes in self.found for name, value in attributes.items()
            if name in names
        ]


@pytest.fixture(scope="module")
def text(ordinary_page: Page, ordinary) -> str:
    return to_html(ordinary_page, ordinary)


@pytest.fixture(scope="module")
def hostile_text(hostile_page: Page, hostile) -> str:
    return to_html(hostile_page, hostile)


def test_no_address_leaves_the_file(text: str, hostile_text: str) -> None:
    for page in (text, hostile_text):
        elements = Elements(page)
        ids = set(elements.values("id"))
        addresses = elements.values(*ADDRESSES)
        assert len(addresses) > 10
        for address in addresses:
            assert address.startswith("data:") or address.removeprefix("#") in ids
        [sheet] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        assert "url(" not in sheet
        assert "@import" not in sheet


def test_there_are_no_scripts_and_no_styles_but_the_one_that_the_policy_names(
    text: str, hostile_text: str
) -> None:
    for page in (text, hostile_text):
        elements = Elements(page)
        assert elements.of("script", "iframe", "object", "embed", "base", "form") == []
        names = {name for _, attributes in elements.found for name in attributes}
        assert not [name for name in names if name.startswith("on") or name == "style"]
        [sheet] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
        [policy] = [m["content"] for m in elements.of("meta") if "http-equiv" in m]
        assert policy is not None
        assert policy.startswith("default-src 'none'; img-src data:; ")
        assert f"style-src 'sha256-{digest}'" in policy


def named(name: str) -> Page:
    """A page on which everything that is a name is this one."""
    table = Table(name, (name, name), ((Entry(name), Entry(name, name, True, name)),))
    sections = (Section("one", name, (name,), (table,)),)
    return Page(name, ((name, name),), sections, (name,))


@given(st.text(st.characters(), min_size=1, max_size=40))
def test_no_name_changes_the_elements_of_the_page(name: str) -> None:
    plain, other = Elements(to_html(named("x"), {})), Elements(to_html(named(name), {}))
    assert [tag for tag, _ in other.found] == [tag for tag, _ in plain.found]
    shown = [text for tag, text in other.texts if tag in ("title", "dt", "span")]
    assert shown[0] == printable(name) or not printable(name).strip()


def test_every_name_is_shown_in_full(hostile_page: Page, hostile_text: str) -> None:
    texts = {text for _, text in Elements(hostile_text).texts}
    for name in hostile_page.sections[0].paragraphs:
        assert not printable(name).strip() or printable(name) in texts


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bytes \udcff", "bytes \\udcff"),
        ("nul \x00 escape \x1b[31m", "nul \\x00 escape \\x1b[31m"),
        ("two\r\nlines\tand a tab", "two lines and a tab"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("مسمار 金属 👩\u200d🔧 a\u00a0b", "مسمار 金属 👩\u200d🔧 a\u00a0b"),
    ],
)
def test_what_does_not_show_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters()))
def test_printable_texts_are_of_one_line_and_can_be_written(name: str) -> None:
    text = printable(name)
    text.encode("utf-8")
    assert len(text.splitlines()) <= 1
    assert printable(text) == text


def test_headings_are_in_order_and_anchors_unique(text: str, hostile_text: str) -> None:
    for page in (text, hostile_text):
        elements = Elements(page)
        levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        ids = elements.values("id")
        assert len(ids) == len(set(ids))
        assert set(elements.values("aria-labelledby")) <= set(ids)


def test_the_page_tells_a_screen_reader_what_is_what(text: str) -> None:
    elements = Elements(text)
    assert elements.of("html") == [{"lang": "en"}]
    assert {head["scope"] for head in elements.of("th")} == {"row", "col"}
    assert len(elements.of("caption")) == len(elements.of("table")) == 2
    assert all(image["alt"] for image in elements.of("img"))
    drawings = [each for each in elements.of("div") if each.get("role") == "img"]
    assert [each["aria-label"] for each in drawings] == [
        "Bars of two detectors.", "Five rising curves.",
    ]  # fmt: skip
    assert {each["aria-hidden"] for each in elements.of("svg")} == {"true"}
    assert len(elements.of("main")) == len(elements.of("nav")) == 1
    assert text.count(" (best)</span>") == text.count("<strong>") == 3 + 5 * 6


def test_contents_list_every_section(ordinary_page: Page, text: str) -> None:
    links = [link["href"] for link in Elements(text).of("a")]
    assert links == ["#_content", *(f"#{section.name}" for section in ordinary_page.sections)]


def test_a_page_without_sections_is_a_page() -> None:
    elements = Elements(to_html(Page("nothing", ()), {}))
    assert elements.of("nav") == []
    assert elements.of("dl") == []
    assert len(elements.of("main")) == 1


@pytest.mark.slow
def test_the_same_page_gives_the_same_bytes(
    ordinary_page: Page, ordinary, text: str
) -> None:
    again = {n: e for section in ordinary_page.sections for n, e in render(section).items()}
    assert again == ordinary
    assert to_html(ordinary_page, again) == text


def figure(draw) -> Figure:
    return Figure("one", "a caption", "a description", draw)


def test_a_figure_is_drawn_for_wide_and_narrow_pages(ordinary) -> None:
    bars = ordinary["averages"]
    assert bars.plain.media == PNG
    for svg, kind, inches in zip(bars.vectors, ("wide", "narrow"), (WIDE, NARROW), strict=True):
        assert f'class="{kind}"' in svg
        assert f'width="{inches * 96:.0f}"' in svg


def test_drawings_name_colours_that_the_sheet_has_for_both_grounds(ordinary, hostile) -> None:
    sheet = rules()
    for made in (*ordinary.values(), *hostile.values()):
        for svg in made.vectors:
            used = {name for text in re.findall(r'class="([^"]*)"', svg) for name in text.split()}
            assert used - {"wide", "narrow"}
            assert all(f".{name} {{" in sheet for name in used - {"wide", "narrow"})
    for scheme in (LIGHT, DARK):
        assert f"--figure-ink: {scheme.ink};" in sheet
    assert len(names()) == 4 + len(CYCLE)


def test_words_of_a_drawing_are_words_and_what_is_shared_is_its_own(ordinary, hostile) -> None:
    assert ">transistor</text>" in ordinary["averages"].vectors[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</text>" in hostile["hostile"].vectors[1]
    for name, made in (*ordinary.items(), *hostile.items()):
        for svg in made.vectors:
            ids = re.findall(r' id="([^"]*)"', svg)
            assert all(each.startswith(f"{name}.") for each in ids)
            used = re.findall(r'(?:href="#|url\(#)([^")]*)', svg)
            assert set(used) == set(ids)
            assert "<script" not in svg
            assert "style=" not in svg


def test_the_colours_of_lines_stand_out_on_both_grounds() -> None:
    for colour in CYCLE:
        for scheme in (LIGHT, DARK):
            assert contrast(colour, scheme.ground) >= 3
    for scheme in (LIGHT, DARK):
        assert contrast(scheme.muted, scheme.ground) >= 4.5


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
             for v in matplotlib.colors.to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_ticks_of_a_logarithmic_axis_are_numbers(ordinary_page: Page) -> None:
    roc = ordinary_page.sections[2].blocks[0]
    with drawn(roc, WIDE) as drawing:
        drawing.draw_without_rendering()
        ticks = [label.get_text() for label in drawing.axes[0].get_xticklabels()]
    assert {"0.001", "0.01", "0.1", "1"} <= set(ticks)


@pytest.mark.slow
def test_the_users_own_style_neither_counts_nor_changes() -> None:
    plain = render_figure(figure(line))
    with matplotlib.rc_context({"axes.facecolor": "pink", "font.size": 30}):
        assert render_figure(figure(line)) == plain
        assert matplotlib.rcParams["font.size"] == 30


def line() -> Drawing:
    drawing = Drawing()
    drawing.subplots().plot([1, 2, 3])
    return drawing


@pytest.mark.slow
def test_letters_that_no_font_has_are_left_to_the_browser() -> None:
    def draw() -> Drawing:
        drawing = line()
        drawing.axes[0].set_title("\U00012345 cuneiform")
        return drawing

    assert all(">\U00012345 cuneiform</text>" in svg for svg in render_figure(figure(draw)).vectors)


def test_lines_of_a_drawing_are_where_matplotlib_has_them() -> None:
    def draw() -> Drawing:
        drawing = Drawing(figsize=(1, 1))
        axes = drawing.subplots()
        drawing.set_layout_engine("none")
        axes.set_position((0, 0, 1, 1))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_axis_off()
        axes.plot([0.25, 0.5, 0.5, 2], [0.25, 0.5, 0.75, 0.75], color="#123456")
        axes.plot([0.5, 0.5], [0.5, 0.5], "s", markersize=2, color="#123456")
        return drawing

    wide, narrow = render_figure(figure(draw)).vectors
    assert 'd="M18 54l18-18v-18h37"' in wide  # cut off a point beyond the axes
    assert wide.count("<use ") == 2
    assert '<use href="#one.w.0" x="36" y="36"/>' in wide
    assert narrow == wide.replace("one.w.", "one.n.").replace('class="wide"', 'class="narrow"')


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_a_path_ends_where_it_should_however_many_steps_it_has(places) -> None:
    data = _data(MatplotlibPath(places).iter_segments(Affine2D().scale(100)))
    pen = [0.0, 0.0]
    for letter, numbers in re.findall(r"([Mlhv])([^Mlhv]*)", data):
        step = [float(each) for each in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", numbers)]
        if letter == "M":
            pen = step
        elif letter == "l":
            pen = [pen[0] + step[0], pen[1] + step[1]]
        else:
            pen["hv".index(letter)] += step[0]
    assert pen == pytest.approx([100 * each for each in places[-1]], abs=0.051)


@pytest.mark.slow
def test_a_figure_of_very_many_points_is_a_png() -> None:
    def draw() -> Drawing:
        drawing = Drawing()
        drawing.subplots().scatter(range(20_000), range(20_000))
        return drawing

    made = render_figure(figure(draw))
    assert made.vectors == ()
    assert made.plain.media == PNG
    text = to_html(Page("one", (), (Section("s", "S", (), (figure(draw),)),)), {"one": made})
    [image] = Elements(text).of("img")
    assert (image["src"], image["alt"]) == (made.plain.uri, "a description")


def test_a_figure_with_an_image_in_it_is_a_png() -> None:
    def draw() -> Drawing:
        drawing = Drawing()
        drawing.subplots().imshow([[0, 1]])
        return drawing

    assert render_figure(figure(draw)).vectors == ()


def test_drawings_of_pyplot_are_let_go_of() -> None:
    from matplotlib import pyplot

    def draw() -> Drawing:
        return pyplot.figure()

    render_figure(figure(draw))
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA", "CMYK"])
def test_pictures_of_every_mode_are_encoded(mode: str) -> None:
    made = render_picture(Picture("a", "b", Image.new(mode, (8, 4))))
    assert (made.width, made.height) == (8, 4)
    assert made.plain.media in (PNG, JPEG)
    assert made.vectors == ()


def test_a_picture_does_not_tell_where_it_was_taken() -> None:
    image = Image.effect_noise((64, 64), 40).convert("RGB")
    image.info |= {"exif": b"Exif\x00\x00secret", "comment": b"secret", "icc_profile": b"secret"}
    assert b"secret" not in render_picture(Picture("a", "b", image)).plain.content


def test_a_photograph_is_a_jpeg_and_a_mask_a_png() -> None:
    noise = Image.effect_noise((64, 64), 40).convert("RGB")
    assert render_picture(Picture("a", "b", noise)).plain.media == JPEG
    flat = Image.new("1", (64, 64))
    assert render_picture(replace(Picture("a", "b", noise), image=flat)).plain.media == PNG

"""The page in Markdown: read by a parser of Markdown, it says what the page says."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from vlmad.errors import printable
from vlmad_report.content import Entry, Page, Section, Table
from vlmad_report.rendering.markdown import escaped, files, to_markdown

pytestmark = pytest.mark.xdist_group("browser")  # they share the pages
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def plain(token: Token) -> str:
    """The text of a token, its emphasis taken away."""
    return "".join(child.content for child in token.children or ())


def cells(text: str) -> list[str]:
    tokens = PARSER.parse(text)
    pairs = itertools.pairwise(tokens)
    return [plain(after) for before, after in pairs if before.type in ("th_open", "td_open")]


@pytest.fixture(scope="module")
def text(ordinary_page: Page, ordinary) -> str:
    return to_markdown(ordinary_page, ordinary)


@given(st.text(st.characters(), max_size=30))
def test_any_text_is_shown_as_it_is(name: str) -> None:
    tokens = PARSER.parse(escaped(name))
    shown = printable(name).strip()
    if not shown:
        assert tokens == []
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children or ()} <= {"text", "text_special"}
    assert plain(tokens[1]) == shown


@given(st.lists(st.text(st.characters(), min_size=1, max_size=20), min_size=4, max_size=4))
def test_a_table_has_the_cells_of_the_page(names: list[str]) -> None:
    one, two, three, four = names
    table = Table("", (one, two), ((Entry(three), Entry(four)),))
    text = to_markdown(Page("title", (), (Section("a", "A", (), (table,)),)), {})
    assert cells(text) == [printable(name).strip() for name in names]


def test_best_values_are_bold_and_notes_and_marks_stand_beside(text: str) -> None:
    assert "| anomalyclip | 0.915 \\[0.899, 0.931\\] | **0.911**\\* \\[0.903, 0.918\\] |" in text
    assert "| --- | ---: | ---: | ---: |" in text
    assert "| --- | --- | ---: |" in text


def test_the_page_begins_with_what_must_be_known(ordinary_page: Page, text: str) -> None:
    lines = text.split("\n\n")
    assert lines[0] == "# winclip, anomalyclip on mvtec"
    assert lines[1].startswith("> **Note:** vlmad-runs/2026-05-01-bench is not finished")
    assert lines[2].startswith("- **Data set:** /data/mvtec, read as mvtec\n- **Test images:**")


def test_every_picture_of_the_page_is_a_file_beside_it(text: str, ordinary) -> None:
    beside = files(ordinary)
    images = [
        str(child.attrs["src"])
        for token in PARSER.parse(text)
        for child in token.children or ()
        if child.type == "image"
    ]
    assert sorted(images) == sorted(beside)
    assert "figures/averages.png" in beside
    assert "figures/failures_1_1_1.jpg" in beside
    for content in beside.values():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert image.format in ("PNG", "JPEG")


def test_a_figure_is_a_png_on_white(ordinary) -> None:
    with Image.open(io.BytesIO(files(ordinary)["figures/averages.png"])) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert image.width == 1472
        assert "Software" not in image.info


def test_hostile_names_make_no_markup(hostile_page: Page, hostile) -> None:
    text = to_markdown(hostile_page, hostile)
    tokens = PARSER.parse(text)
    assert not [t for t in tokens if t.type.startswith(("html", "fence", "code", "hr"))]
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {
        "text", "text_special", "image", "em_open", "em_close", "strong_open", "strong_close"
    }
    headings = [t for t in tokens if t.type == "heading_open"]
    sections = hostile_page.sections
    assert len(headings) == 1 + len(sections) + len(sections[0].blocks[2].cards)

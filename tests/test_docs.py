"""The documentation says what is there."""

from __future__ import annotations

import doctest
import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest

from vlmad import load_detector
from vlmad_run.choosing import DEFAULT_WITH_REFERENCES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import pictures  # noqa: E402  (the scripts are no package)
import protocols  # noqa: E402
import readme  # noqa: E402
import results  # noqa: E402
import schemas  # noqa: E402
from pointers import corrected, pages  # noqa: E402

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts[1:])
    for top in ("core", "plugins")
    for path in (ROOT / top).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)
FULL_NAME = re.compile(r"`(vlmad\w*(?:\.\w+)+)(?<!\.py)(?<!vlmad\.kinds)`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pointers_name_the_line_where_the_code_defines_a_name(page: Path) -> None:
    assert corrected(page) == page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_site_lists_every_page() -> None:
    listed = re.findall(r"([\w-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted({p.name for p in pages()} - {"README.md"} | {"index.md"})


def test_what_is_named_in_full_is_there() -> None:
    """But for the pages that tell of what was."""
    today = [page for page in pages() if page.name not in ("CHANGELOG.md", "log.md")]
    sources = [path for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py")]
    for path in (*today, *sources):
        for name in FULL_NAME.findall(path.read_text("utf-8")):
            resolve_name(name)  # raises if there is nothing


def test_the_reference_says_what_the_docstrings_say() -> None:
    """Written by ``python docs/protocols.py``."""
    assert protocols.page() == protocols.PAGE.read_text(encoding="utf-8")


def test_the_front_page_shows_the_averages_of_the_results_page() -> None:
    assert readme.averages() in readme.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["recipes", "parts", "windows"])
def test_tables_of_the_results_page_are_replaced_and_nothing_else(name: str) -> None:
    page = results.PAGE.read_text(encoding="utf-8")
    other = results.replaced(page, name, results.tables("# Title\n\n| a |\n\n## b\n\n| c |\n"))
    assert "\n\n| a |\n\n### b\n\n| c |\n\n<!-- end of" in other
    words = results.replaced(page, name, "").splitlines()
    assert results.replaced(other, name, "").splitlines() == words
    assert len(words) < len(page.splitlines())


@pytest.mark.slow
def test_the_front_page_shows_what_its_command_prints(tmp_path: Path) -> None:
    page = readme.PAGE.read_text(encoding="utf-8")
    printed = readme.output(tmp_path / "run").splitlines()
    start = page.index(f"$ {readme.COMMAND}")
    shown = page[start : page.index("```", start)].splitlines()[1:]
    assert shown[0] == printed[0]

    def scores(lines: list[str]) -> dict[str, float]:
        return {line.split()[1]: float(line.split()[0]) for line in lines[1:]}

    assert scores(shown) == pytest.approx(scores(printed), abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "is_found"),
    [*((image, True) for image in pictures.FOUND), *((image, False) for image in pictures.MISSED)],
)
def test_pictures_show_what_the_default_finds_and_what_not(image: str, is_found: bool) -> None:
    product = ROOT / pictures.SAMPLES / image.split("/")[0]
    detector = load_detector(DEFAULT_WITH_REFERENCES).fit(sorted(product.glob("train/good/*")))
    good = [result.score for result in detector.predict(sorted(product.glob("test/good/*")))]
    [result] = detector.predict(ROOT / pictures.SAMPLES / image)
    assert (result.score > max(good)) == is_found


def test_the_front_page_is_short() -> None:
    assert len(readme.PAGE.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", schemas.DOCUMENTS)
def test_the_schema_of_each_document_is_the_one_in_force(name: str) -> None:
    """Written by ``python docs/schemas.py``."""
    published = (schemas.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert published == schemas.schema_of(schemas.DOCUMENTS[name])


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n == "vlmad.__init__" else []) for n in MODULES],
)
def test_examples_in_docstrings_print_what_they_show(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert doctest.testmod(import_module(name.removesuffix(".__init__"))).failed == 0

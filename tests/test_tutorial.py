"""The page for authors shows what stands in the files of the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "third_party"
PAGE = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```\w+\n# (\S+\.(?:py|toml))\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("path", "content"), SHOWN, ids=[path for path, _ in SHOWN])
def test_what_the_page_shows_of_a_file_stands_in_it(path: str, content: str) -> None:
    assert f"\n{content}" in (EXAMPLE / path).read_text(encoding="utf-8")


def test_the_page_shows_part_hook_entry_point_and_test() -> None:
    shown = [path for path, _ in SHOWN]
    package = "vlmad_top_share"
    expected = [f"{package}/scorer.py", f"{package}/__init__.py", "pyproject.toml"]
    assert shown == [*expected, "tests/test_top_share.py"]


def test_the_page_begins_with_the_kinds_that_the_example_has() -> None:
    [words] = re.findall(r"vlmad new-plugin vlmad-top-share (.*)", PAGE)
    hooks = (EXAMPLE / "vlmad_top_share" / "__init__.py").read_text(encoding="utf-8")
    registered = re.findall(r"def register_(\w+)s\(", hooks)
    assert words.split() == [w for kind in registered for w in ("--part", kind)]

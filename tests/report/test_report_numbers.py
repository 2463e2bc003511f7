"""The figures on a page are those of bench.json, and every average has its interval."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from vlmad_evaluation.bench.reading import Results

from vlmad_report.content import Page, Section, Table
from vlmad_report.rendering.html import to_html
from vlmad_report.sections.categories import categories
from vlmad_report.sections.entries import FULL
from vlmad_report.sections.summary import summary


class Tables(HTMLParser):
    """The tables of a page: by caption, rows of texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self._caption, self._into = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "caption":
            self._caption, self._into = "", "caption"
        elif tag == "tr":
            self.found.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            self.found[self._caption][-1].append("")
            self._into = "cell"

    def handle_endtag(self, tag: str) -> None:
        self._into = "" if tag in ("caption", "td", "th") else self._into

    def handle_data(self, data: str) -> None:
        if self._into == "caption":
            self._caption += data
        elif self._into == "cell":
            self.found[self._caption][-1][-1] += data


@pytest.fixture(scope="module")
def shown(results: Results) -> dict[str, list[list[str]]]:
    """The tables of the summary and of the categories, as the page has them."""
    made = (summary([results]), categories([results]))
    bare = [
        Section(s.name, s.title, s.paragraphs, tuple(b for b in s.blocks if isinstance(b, Table)))
        for s in made
    ]
    return Tables(to_html(Page("numbers", (), tuple(bare)), {})).found


def texts(
    shown: dict[str, list[list[str]]], caption: str, names: list[str], metric: str
) -> str:
    """Return what stands in a row of a table under a metric."""
    [(head, *rows)] = [table for title, table in shown.items() if title.startswith(caption)]
    [row] = [row for row in rows if [" ".join(t.split()) for t in row[: len(names)]] == names]
    return row[[" ".join(title.split()) for title in head].index(FULL[metric])]


def check(text: str, metric: dict[str, Any]) -> None:
    if metric["value"] is None:
        assert text.strip().startswith("\N{EN DASH}")
        assert metric["reason"] in text
        return
    assert text.split()[0].removesuffix("(best)") == f"{metric['value']:.3f}"
    if metric["low"] is not None and metric["low"] < metric["high"]:
        low, high = map(float, re.findall(r"\[([\d.]+), ([\d.]+)\]", text)[0])
        assert (low, high) == (round(metric["low"], 3), round(metric["high"], 3))


@pytest.mark.parametrize("metric", list(FULL))
def test_every_average_and_category_on_the_page_is_that_of_bench_json(
    shown: dict[str, list[list[str]]], benched: tuple[Path, Path], metric: str
) -> None:
    document = json.loads((benched[0] / "bench.json").read_text())
    task = "Image metrics" if metric.startswith("image") else "Pixel metrics"
    for entry in document["averages"]:
        text = texts(shown, f"{task}, zero-shot, macro", [entry["detector"]], metric)
        check(text, entry["metrics"][metric])
    for entry in document["categories"]:
        names = [entry["category"], entry["detector"]]
        check(texts(shown, f"{task}, zero-shot.", names, metric), entry["metrics"][metric])

"""Pages of all kinds of blocks, with ordinary and with hostile names; a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing
from PIL import Image

from vlmad_report.content import (
    Card,
    Entry,
    Figure,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
)
from vlmad_report.rendering.encoded import Rendered, render
from vlmad_report.rendering.html import to_html

HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "a|b `c` *d* _e_ [f](http://example.com) ~g~ $h$ \\ &amp; {{ 7 * 7 }} {% raw %}",
    "# 1. not a heading",
    "two\nlines\r\nand\ta tab",
    "bytes \udcff\udc00 of no text",
    "nul \x00 bell \x07 escape \x1b[31m",
    "مسمار معدني 12",
    "\u202egnp.exe",
    "金属螺母と欠陥",
    "emoji 👩\u200d🔧",
    "long_" * 60,
    "W" * 300,
    "$\\undefined{$",
    "-",
    "",
)
CATEGORIES = ("bottle", "cable", "capsule", "carpet", "metal_nut", "transistor", "zipper")


def bars() -> Drawing:
    """Bars of two detectors for each category."""
    drawing = Drawing()
    axes = drawing.subplots()
    places = np.arange(len(CATEGORIES))
    axes.bar(places - 0.2, np.linspace(0.71, 0.99, len(CATEGORIES)), 0.38, label="winclip")
    axes.bar(places + 0.2, np.linspace(0.93, 0.78, len(CATEGORIES)), 0.38, label="anomalyclip")
    axes.set_xticks(places, CATEGORIES)
    axes.set_ylim(0.5, 1)
    axes.set_ylabel("image AUROC")
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return drawing


def curves() -> Drawing:
    """Curves of five detectors over a logarithmic axis."""
    drawing = Drawing()
    axes = drawing.subplots()
    x = np.logspace(-3, 0, 60)
    for power in range(1, 6):
        axes.plot(x, x ** (0.08 * power), label=f"detector {power}")
    axes.set_xscale("log")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend()
    return drawing


def hostile_bars() -> Drawing:
    """Bars with names that nobody can have meant well."""
    drawing = Drawing()
    axes = drawing.subplots()
    axes.barh(range(len(HOSTILE)), range(len(HOSTILE)))
    axes.set_yticks(range(len(HOSTILE)), [name[:40] for name in HOSTILE])
    axes.set_title(HOSTILE[10])
    return drawing


def photograph(seed: int, mode: str = "RGB") -> Image.Image:
    """A picture with a defect-like spot."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :160] / 160
    ground = 110 + 60 * np.sin(9 * x + seed) * np.cos(7 * y)
    spot = 90 * np.exp(-((x - rng.uniform(0.3, 0.7)) ** 2 + (y - 0.5) ** 2) / 0.01)
    pixels = np.stack([ground + spot, ground, ground - spot / 2], axis=2)
    if mode == "1":
        return Image.fromarray(spot > 45)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)


def card(title: str, sentence: str, seed: int) -> Card:
    """An image, its mask and its map."""
    pictures = tuple(
        Picture(caption, f"{caption} of {title}", photograph(seed, mode))
        for caption, mode in (("image", "RGB"), ("mask", "1"), ("map", "RGBA"))
    )
    return Card(title, pictures, (sentence,))


def metrics_table() -> Table:
    """Figures with intervals, the best marked."""
    columns = ("Category", "Detector", "Image AUROC", "Image AP", "Pixel AUROC", "AUPRO", "F1-max")
    rows = []
    for index, category in enumerate(CATEGORIES):
        for detector in ("winclip", "anomalyclip"):
            better = (index + len(detector)) % 2 == 0
            value = 0.83 + index / 60 + better / 25
            interval = f"[{value - 0.041:.3f}, {value + 0.032:.3f}]"
            figures = [
                Entry(f"{value + j / 200:.3f}", interval, better, "*" if better and j == 2 else "")
                for j in range(5)
            ]
            rows.append((Entry(category), Entry(detector), *figures))
    return Table(
        "Metrics of each category with the 95% interval over images. The best of each column and "
        "category is bold; * differs significantly from the first detector (max-T).",
        columns,
        tuple(rows),
        words=2,
    )


@pytest.fixture(scope="session")
def ordinary_page() -> Page:
    """A page as an ordinary bench gives it."""
    sentence = (
        "Scored 0.412, above the threshold of 0.371 by 0.041; the highest values of the map lie "
        "at the upper rim, where the glare is."
    )
    cards = tuple(card(f"{name}/good/{i:03d}.png", sentence, i) for i, name in
                  enumerate(CATEGORIES[:4]))
    sections = (
        Section(
            "summary",
            "Summary",
            (
                "Both detectors were run without references on seven categories. Each figure is a "
                "macro average over categories; in brackets stands the 95% interval over images.",
            ),
            (
                Table(
                    "Averages over seven categories.",
                    ("Detector", "Image AUROC", "Pixel AUROC", "AUPRO"),
                    (
                        (Entry("winclip"), Entry("0.918", "[0.901, 0.934]", True),
                         Entry("0.851", "[0.842, 0.860]"), Entry("0.646", "[0.627, 0.664]")),
                        (Entry("anomalyclip"), Entry("0.915", "[0.899, 0.931]"),
                         Entry("0.911", "[0.903, 0.918]", True, "*"),
                         Entry("0.814", "[0.801, 0.827]", True, "*")),
                    ),
                ),
                Figure("averages", "Image AUROC of each category.", "Bars of two detectors.", bars),
            ),
        ),
        Section("categories", "Categories", ("What each category gives.",), (metrics_table(),)),
        Section(
            "curves",
            "Curves",
            ("Drawn over a logarithmic axis, because few false positives are what counts.",),
            (Figure("roc", "ROC curves of five detectors.", "Five rising curves.", curves),),
        ),
        Section(
            "failures",
            "Failures",
            ("The worst false alarms, the farthest above the threshold first.",),
            (Gallery("False alarms: normal images with the highest scores.", cards),),
        ),
        Section("windows", "Window sizes", ("No grid over window sizes is among the results.",)),
    )
    facts = (
        ("Data set", "/data/mvtec, read as mvtec"),
        ("Test images", "467 normal and 1258 anomalous in 7 categories"),
        ("Detectors", "winclip; anomalyclip"),
        ("Backbone", "ViT-B-16-plus-240/laion400m_e31 on cpu in float32"),
        ("References", "none: zero-shot"),
        ("Pixel metrics", "at mask resolution"),
        ("Intervals", "95%, 1000 replicates, over images"),
        ("Measured with", "vlmad 0.1.0"),
    )
    notice = "vlmad-runs/2026-05-01-bench is not finished: what follows is of the 14 cells so far."
    return Page("winclip, anomalyclip on mvtec", facts, sections, (notice,))


@pytest.fixture(scope="session")
def hostile_page() -> Page:
    """A page of names that break whatever does not expect them."""
    rows = tuple((Entry(n), Entry("0.9", n, True, n), Entry(n)) for n in HOSTILE)
    sections = (
        Section(
            "names",
            HOSTILE[0],
            HOSTILE,
            (
                Table(HOSTILE[1], HOSTILE[:3], rows),
                Figure("hostile", HOSTILE[3], HOSTILE[2], hostile_bars),
                Gallery(HOSTILE[12], tuple(card(n, n, i) for i, n in enumerate(HOSTILE))),
            ),
        ),
        *(Section(f"part-{i}", name or "-") for i, name in enumerate(HOSTILE)),
    )
    return Page(HOSTILE[1], tuple(zip(HOSTILE, HOSTILE, strict=True)), sections, HOSTILE)


def rendered(page: Page) -> dict[str, Rendered]:
    """Draw everything on a page."""
    return {name: each for section in page.sections for name, each in render(section).items()}


@pytest.fixture(scope="session")
def ordinary(ordinary_page: Page) -> dict[str, Rendered]:
    """The pictures of the ordinary page."""
    return rendered(ordinary_page)


@pytest.fixture(scope="session")
def hostile(hostile_page: Page) -> dict[str, Rendered]:
    """The pictures of the hostile page."""
    return rendered(hostile_page)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # it cannot be had as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window, with an empty profile."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = "no Chromium: `make browser` installs it or says what to install"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    profile = tmp_path_factory.mktemp("profile")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=found, headless=True, args=FLAGS
        )
        yield context
        context.close()


@pytest.fixture(scope="session")
def folder_of_pages(
    ordinary_page: Page,
    hostile_page: Page,
    ordinary: dict[str, Rendered],
    hostile: dict[str, Rendered],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with ordinary.html and hostile.html."""
    folder = tmp_path_factory.mktemp("pages")
    for name, page, made in (
        ("ordinary", ordinary_page, ordinary),
        ("hostile", hostile_page, hostile),
    ):
        (folder / f"{name}.html").write_text(to_html(page, made), encoding="utf-8")
    return folder

"""Put what benches and grids gave into docs/results.md, in the place of what was there.

    python docs/results.py recipes=DIR alone=DIR references=DIR,DIR families=DIR guards=FILE …

Of each section the folder that `vlmad bench` or `vlmad grid` wrote, of `references` several, of
`guards` what examples/speed/guards.py kept;
results.md has the commands. A section that is not named stays as it is, and so do the words around
the tables. Of `parts` and `windows` the averages are shown alone, of `alone` and `references` those
over named categories, of `learned` those over all, and the differences of `PAIRS`, of `installed`
every one; `families` is the folder of examples/good_images_alone.py, and its table comes into
which-detector.md as well.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad_evaluation.averaging import average, compare_averages, of_categories, over_seeds
from vlmad_evaluation.result_folders import read_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation.averaging import Averaged, ByPlace
    from vlmad_evaluation.result_folders import CellResult

PAGE = Path(__file__).with_name("results.md")
GUIDE = PAGE.with_name("which-detector.md")
"""Has the table of `families` as well."""
APART = ("alien", "screw_block")
"""Categories on which nothing was chosen; the second has boxes for masks, the first none."""
FAMILIES = ("cookie", "hazelnut_toy", "magnetic_tile", "mvtec_grid")
"""Categories on which those that learn from good images are averaged: they take long."""
LEARNED = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro_30": "AUPRO to .30",
}
WINDOWS = ("winclip", "hybrid-drawn-dense", "hybrid-drawn-window")
PATCHES = ("patches-compositional", "patches-drawn-dense", "patches-drawn-window")
PAIRS = (
    *((each, WINDOWS[0]) for each in WINDOWS[1:]),
    *((each, PATCHES[0]) for each in PATCHES[1:]),
    ("hybrid-drawn-window", "patches-drawn-dense"),
    ("hybrid-drawn-window", "hybrid-drawn-dense"),
    ("patches-drawn-window", "patches-drawn-dense"),
)
"""Learned against compositional; inside windows against through patches, each in its place; and
learned inside windows against through patches and carried, in windows and in patches."""


def tables(text: str, only: str = "") -> str:
    r"""Return a page that vlmad wrote without its title, its headings a level lower.

    >>> tables("# Title\n\nAverages\n\n## cookie\n\n## Combinations", only="Combinations")
    'Averages\n\n### Combinations'
    """
    before, *sections = re.split(r"(?m)^(?=## )", text.partition("\n\n")[2])
    wanted = [f"#{each}" for each in sections if each.startswith(f"## {only}")]
    return (before + "".join(wanted)).strip()


def references_page(folders: Sequence[Path]) -> str:
    """Return what benches with references gave: averages, and image AUROC of each category."""
    by_place = over_seeds((each for folder in folders for each in _stored(folder)), 0.95)
    detectors = list(dict.fromkeys(detector for detector, _, _ in by_place))
    categories = sorted({str(category) for _, category, _ in by_place})
    chosen = [category for category in categories if category not in APART]
    shots = sorted({count for _, _, count in by_place})
    columns: list[tuple[str, list[str], str]] = [
        (f"image AUROC, {len(chosen)} categories", chosen, "image_auroc"),
        (f"image AUROC, all {len(categories)}", categories, "image_auroc"),
        (f"pixel AUROC, {len(chosen)} categories", chosen, "pixel_auroc"),
        *((f"image AUROC, {category}", [category], "image_auroc") for category in APART),
    ]

    def cells(detector: str, count: int) -> list[str]:
        return [_average(by_place, detector, count, own, name) for _, own, name in columns]

    places = list(_places(by_place, detectors, shots))
    rows = [(detector, _shots(count), *cells(detector, count)) for detector, count in places]
    table = _table(("detector", "references", *(title for title, *_ in columns)), rows)
    return f"{table}\n\n{categories_page(folders)}"


def categories_page(folders: Iterable[Path], name: str = "image_auroc") -> str:
    """Return a metric of each category."""
    by_place = over_seeds((each for folder in folders for each in _stored(folder)), 0.95)
    measured = {(detector, count): None for detector, _, count in by_place}
    categories = sorted({str(category) for _, category, _ in by_place})
    page = []
    for shots in sorted({count for _, count in measured}):
        own = [detector for detector, count in measured if count == shots]
        of_each = [
            (c, *(_plain(by_place.get((d, c, shots), {}).get(name)) for d in own))
            for c in categories
        ]
        title = LEARNED[name][0].upper() + LEARNED[name][1:]
        page += [f"### {title} of each category, {_shots(shots)}"]
        page += [_table(("category", *own), of_each)]
    return "\n\n".join(page)


def learned_page(folder: Path) -> str:
    """Return what a bench of learned prompts gave: averages, differences, each category."""
    by_place = over_seeds(_stored(folder), 0.95)
    categories, detectors = sorted({str(each) for _, each, _ in by_place}), (*WINDOWS, *PATCHES)
    averages = [(d, *(_average(by_place, d, 0, categories, n) for n in LEARNED)) for d in detectors]
    page = [_table(("detector", *LEARNED.values()), averages)]
    differences = [
        (f"{one} \N{MINUS SIGN} {other}", *(_difference(by_place, one, other, n) for n in LEARNED))
        for one, other in PAIRS
    ]
    page += [_table(("difference", *LEARNED.values()), differences)]
    for name, shown in (("image_auroc", WINDOWS), ("pixel_auroc", detectors)):
        rows = [(c, *(_plain(by_place[d, c, 0].get(name)) for d in shown)) for c in categories]
        page += [f"### Of each category, {LEARNED[name]}", _table(("category", *shown), rows)]
    return "\n\n".join(page)


def families_table(folder: Path) -> str:
    """Return averages and costs of detectors that learn from good images, beside others."""
    by_place = over_seeds(_stored(folder), 0.95)
    places = dict.fromkeys((shots, detector) for detector, _, shots in by_place)
    costs = json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    rows = [
        (
            detector,
            _shots(shots),
            *(_average(by_place, detector, shots, [each], "image_auroc") for each in FAMILIES),
            *(_of_all(by_place, detector, shots, name) for name in ("image_auroc", "pixel_auroc")),
            *_costs(folder, detector, costs[detector]),
        )
        for shots, detector in sorted(places, key=lambda place: place[0])
    ]
    titles = ["detector", "references", *(f"image AUROC, {each}" for each in FAMILIES)]
    titles += ["image AUROC", "pixel AUROC", "seconds to fit", "milliseconds an image", "megabytes"]
    return _table(titles, rows)


def _of_all(by_place: ByPlace, detector: str, shots: int, name: str) -> str:
    """Return the average over `FAMILIES`, or a dash where not all are measured."""
    found = _average(by_place, detector, shots, FAMILIES, name)
    return "\N{EN DASH}" if "(over" in found else found


def _costs(folder: Path, detector: str, measured: Mapping[str, float]) -> tuple[str, str, str]:
    """Return seconds to fit, on average over what was learned, milliseconds and megabytes."""
    stored = (each.cell for each in _stored(folder) if each.cell.detector == detector)
    learned = [cell.learning_seconds for cell in stored if cell.learning_seconds is not None]
    fitting = sum(learned) / len(learned) if learned else measured["fit_seconds"]
    seconds = f"{fitting:.0f}" if fitting >= 10 else f"{fitting:.1f}"
    megabytes = f"{measured['megabytes']:.1f}" if measured["megabytes"] else "\N{EN DASH}"
    return (
        seconds if fitting else "\N{EN DASH}",
        f"{1000 * measured['image_seconds']:.0f}",
        megabytes,
    )


def _difference(by_place: ByPlace, one: str, other: str, name: str) -> str:
    categories = sorted({str(category) for _, category, _ in by_place})
    own, others = (of_categories(by_place, each, 0, categories, name) for each in (one, other))
    found, _ = compare_averages(own, others, 0.95)
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _stored(folder: Path) -> Iterator[CellResult]:
    found = (read_result(file.parent) for file in sorted(folder.glob("**/cells/**/metrics.json")))
    return (each for each in found if each is not None)


def _places(
    by_place: ByPlace, detectors: Sequence[str], shots: Sequence[int]
) -> Iterator[tuple[str, int]]:
    measured = {(detector, count) for detector, _, count in by_place}
    return ((d, count) for count in shots for d in detectors if (d, count) in measured)


def _average(
    by_place: ByPlace, detector: str, count: int, categories: Sequence[str], name: str
) -> str:
    found = average(of_categories(by_place, detector, count, categories, name), 0.95).metric
    if found.value is None:
        return "\N{EN DASH}"
    interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.low != found.high else ""
    few = len(found.categories) < len(categories)
    return f"{found.value:.3f}{interval}" + (f" (over {len(found.categories)})" if few else "")


def _plain(found: Averaged | None) -> str:
    if found is None:
        return "\N{EN DASH}"
    value, spread = found.metric.value, found.metric.deviation_over_seeds
    around = "" if spread is None else f" ± {spread:.3f}"
    return "\N{EN DASH}" if value is None else f"{value:.3f}{around}"


def _shots(count: int) -> str:
    return f"{count}-shot" if count else "zero-shot"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (titles, ["---"] * len(titles), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def guards_page(file: Path) -> str:
    """Return how this tree's speed and memory are beside an earlier one's."""
    titles = ("measure", "then", "now", "now / then", "least", "largest")
    rows = [
        (name, *(f"{n:,.0f}" if n >= 100 else f"{n:.3g}" for n in (old, new)), *shares)
        for name, (least, largest, median, old, new) in json.loads(file.read_text("utf-8")).items()
        for shares in [[f"{share:.2f}" for share in (median, least, largest)]]
    ]
    return _table(titles, rows)


def _grid_or_bench(folder: Path, only: str = "") -> str:
    [file] = (folder / name for name in ("bench.md", "grid.md") if (folder / name).is_file())
    return tables(file.read_text(encoding="utf-8"), only)


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another text between the marks of a name."""
    place = re.compile(rf"(?s)(<!-- {name}: .*?-->\n\n).*?(\n\n<!-- end of {name} -->)")
    return place.sub(lambda marks: marks[1] + text + marks[2], page)


def main(sections: Iterable[str]) -> None:
    """Write the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, _, folder in (section.partition("=") for section in sections):
        if name in ("alone", "references"):
            text = references_page([Path(each) for each in folder.split(",")])
        elif name == "families":
            table = families_table(Path(folder))
            guide = replaced(GUIDE.read_text(encoding="utf-8"), name, table)
            GUIDE.write_text(guide, encoding="utf-8")
            pages = (categories_page([Path(folder)], each) for each in [*LEARNED][:2])
            text = "\n\n".join((table, *pages))
        elif name == "installed":
            text = categories_page([Path(folder)])
        elif name == "guards":
            text = guards_page(Path(folder))
        elif name == "learned":
            text = learned_page(Path(folder))
        else:
            text = _grid_or_bench(Path(folder), "Combinations" if name != "recipes" else "")
        page = replaced(page, name, text)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

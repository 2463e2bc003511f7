"""What each window size does alone: detectors that differ in one single size and nothing else."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import UNDEFINED, shots_name

from vlmad.errors import printable
from vlmad_report.content import Entry, Figure, Section, Table
from vlmad_report.figures.lines import MOST_LINES, draw_lines
from vlmad_report.sections.entries import FULL, entry, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_report.content import Block
    from vlmad_report.sources.pool import Pool

AVERAGE = "average"
ABSENT = (
    "No detectors differ in one window size alone. This makes them: vlmad grid DATA --detector "
    'winclip --set "extractor.scales=1|2|3|4|5|6|7" --shots 0,1'
)
Sizes = dict[int, str]
"""From window size to the detector that has this size alone."""


def windows(results: Sequence[Results]) -> Section:
    """Show image and pixel AUROC over window sizes, in tables and as a line per category.

    Raises:
        InputError: a folder is damaged.
    """
    pool = pooled(results)
    found = families(pool)
    if not found:
        return Section("windows", "Window sizes", (ABSENT,))
    blocks: list[Block] = []
    for number, (label, sizes) in enumerate(found):
        for shots in _measured(pool, sizes):
            metrics = ("image_auroc", "pixel_auroc") if shots else ("pixel_auroc",)
            title = f", {shots_name(shots)}{label and f'; {label}'}"
            blocks += (_table(pool, sizes, shots, metric, title) for metric in metrics)
            blocks += _figure(pool, sizes, shots, metrics, (f"windows-{number}-{shots}", title))
    return Section("windows", "Window sizes", tuple(_paragraphs(pool, found)), tuple(blocks))


def _paragraphs(pool: Pool, found: Sequence[tuple[str, Sizes]]) -> Iterator[str]:
    yield (
        "Each detector looks through windows of one size, in patches; nothing else differs. "
        "Without references windows make the map alone, with references the score as well."
    )
    few = any(shots for _, sizes in found for shots in _measured(pool, sizes))
    if not few:
        yield "No few-shot figures: give references as well, such as --shots 0,1."


def families(pool: Pool) -> list[tuple[str, Sizes]]:
    """Return detectors that differ in their single window size alone, and what tells them apart."""
    found: dict[str, Sizes] = {}
    for detector in pool.document["detectors"]:
        substance = pool.substance(detector)
        extractor = dict(substance["options"].get("extractor", {}))
        size = _single(extractor.pop("scales", None))
        if size is not None:
            options = {**substance["options"], "extractor": extractor}
            rest = json.dumps({**substance, "options": options}, sort_keys=True)
            found.setdefault(rest, {}).setdefault(size, detector)
    several = {rest: dict(sorted(sizes.items())) for rest, sizes in found.items() if len(sizes) > 1}
    labels = _labels([_flat(json.loads(rest)) for rest in several])
    return list(zip(labels, several.values(), strict=True))


def _single(scales: Any) -> int | None:
    if isinstance(scales, list) and len(scales) == 1:
        (scales,) = scales
    is_size = isinstance(scales, int) and not isinstance(scales, bool) and scales > 0
    return scales if is_size else None


def _flat(value: Any, place: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {place: str(value)}
    pairs = [_flat(each, f"{place}.{key}" if place else key) for key, each in value.items()]
    return {name: text for pair in pairs for name, text in pair.items()}


def _labels(families: Sequence[Mapping[str, str]]) -> list[str]:
    """Say of each what tells it from the others; nothing if there is one."""
    names = dict.fromkeys(name for family in families for name in family)
    differing = [name for name in names if len({each.get(name) for each in families}) > 1]
    return [
        ", ".join(
            f"{name.removeprefix('options.').removeprefix('parts.')}={family[name]}"
            for name in differing
            if name in family
        )
        for family in families
    ]


def _measured(pool: Pool, sizes: Sizes) -> list[int]:
    return [shots for shots in pool.shots if set(sizes.values()) & set(pool.metrics(shots))]


def _table(pool: Pool, sizes: Sizes, shots: int, metric: str, title: str) -> Table:
    rows = []
    for category in [*pool.document["dataset"]["categories"], None]:
        found = pool.metrics(shots, category)
        entries = (_entry(found.get(detector), metric) for detector in sizes.values())
        rows.append((named(AVERAGE if category is None else category), *entries))
    columns = ("category", *(f"size {size}" for size in sizes))
    return Table(f"{FULL[metric]} by window size{printable(title)}.", columns, tuple(rows))


def _entry(metrics: Mapping[str, Any] | None, metric: str) -> Entry:
    return Entry(UNDEFINED, "not measured") if metrics is None else entry(metrics[metric])


def _figure(
    pool: Pool, sizes: Sizes, shots: int, metrics: Sequence[str], names: tuple[str, str]
) -> Iterator[Figure]:
    categories = list(pool.document["dataset"]["categories"])
    less = ""
    if len(categories) > MOST_LINES:
        less = f" Of {len(categories)} categories only the average is drawn."
        categories = []
    panels = {}
    for metric in metrics:
        lines = {c or AVERAGE: _line(pool, sizes, shots, c, metric) for c in [None, *categories]}
        if any(value is not None for line in lines.values() for value in line):
            panels[FULL[metric]] = lines
    if panels:
        name, title = names
        what = f"{' and '.join(panels)} over window sizes{printable(title)}."
        order = [AVERAGE, *categories]
        axis = "window size, patches"
        draw = partial(draw_lines, panels, list(map(str, sizes)), axis, AVERAGE, order)
        yield Figure(name, what + less, f"Lines: {what}", draw)


def _line(
    pool: Pool, sizes: Sizes, shots: int, category: str | None, metric: str
) -> list[float | None]:
    found = pool.metrics(shots, category)
    return [found[d][metric]["value"] if d in found else None for d in sizes.values()]

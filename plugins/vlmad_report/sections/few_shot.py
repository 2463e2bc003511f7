"""What references add: zero-shot beside few-shot, per category, of images and of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.averages import over_categories, over_seeds
from vlmad_evaluation.bench.tables import UNDEFINED, shots_name

from vlmad.errors import InputError, printable
from vlmad_evaluation.comparison import Comparison, compare_replicates
from vlmad_report.content import Entry, Figure, Section, Table
from vlmad_report.figures.lines import MOST_LINES, draw_lines
from vlmad_report.sections.choosing import drawn, said
from vlmad_report.sections.entries import FULL, difference, entry, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.averages import OverCategories, OverSeeds
    from vlmad_evaluation.bench.reading import Results

    from vlmad_report.content import Block
    from vlmad_report.sources.pool import Pool

SHOWN = ("image_auroc", "pixel_auroc", "pixel_aupro_30")
AVERAGE = "average"
ABSENT = (
    "No detector was measured with references and without. One that makes use of references is, "
    "by this: vlmad bench DATA --detector winclip --shots 0,1,2,4"
)


def few_shot(results: Sequence[Results]) -> Section:
    """Compare zero-shot with few-shot, with intervals of the differences, and over shots.

    Differences are those of the paired bootstrap: draw i takes the same images with and without
    references.

    Raises:
        InputError: a folder is damaged, or the files of a cell are gone.
    """
    pool = pooled(results)
    able = _able(pool)
    if not able:
        return Section("few-shot", "Zero-shot and few-shot", (ABSENT,))
    confidence = pool.document["settings"]["confidence"]
    gains = {name: Gains.of(pool, name) for name in able}
    paragraphs = (
        "After ± is the standard deviation over seeds. Beside a difference to zero-shot stands "
        f"its {confidence:.0%} interval over images (paired bootstrap, percentiles), not "
        "corrected for the number of differences.",
    )
    blocks: list[Block] = [_table(pool, able, gains, metric) for metric in SHOWN]
    blocks += _figures(pool, able)
    return Section("few-shot", "Zero-shot and few-shot", paragraphs, tuple(blocks))


def _able(pool: Pool) -> list[str]:
    """Return the detectors that were measured with references and without."""
    few = {name for shots in pool.shots if shots for name in pool.metrics(shots)}
    return [name for name in pool.metrics(0) if name in few]


@dataclass(frozen=True, slots=True)
class Gains:
    """The differences of a detector to itself without references."""

    categories: Mapping[tuple[str, int], Mapping[str, OverSeeds]]
    averages: Mapping[int, Mapping[str, OverCategories]]
    confidence: float

    @classmethod
    def of(cls, pool: Pool, detector: str) -> Gains:
        """Read the stored cells of a detector."""
        confidence = pool.document["settings"]["confidence"]
        by_key = over_seeds(pool.stored(lambda name: name == detector), confidence)
        averages = over_categories(by_key, confidence)
        return cls(
            {(category, shots): found for (_, category, shots), found in by_key.items()},
            {shots: found for (_, shots), found in averages.items()},
            confidence,
        )

    def difference(self, category: str | None, shots: int, metric: str) -> Comparison:
        """Return few-shot minus zero-shot on a category, or on average."""
        pair: list[Any]
        if category is None:
            pair = [self.averages.get(number, {}).get(metric) for number in (shots, 0)]
            if None not in pair and pair[0].counted != pair[1].counted:
                return _unknown("not the same categories could be measured")
        else:
            pair = [self.categories.get((category, n), {}).get(metric) for n in (shots, 0)]
        if None in pair or None in (replicates := [each.replicates for each in pair]):
            return _unknown("the metric is undefined")
        try:
            return compare_replicates(replicates[0], replicates[1], self.confidence)
        except InputError:
            return _unknown("not the same images could be scored")


def _unknown(reason: str) -> Comparison:
    return Comparison(None, None, None, None, "paired bootstrap", reason)


def _table(
    pool: Pool, able: Sequence[str], gains: Mapping[str, Gains], metric: str
) -> Table:
    few = [shots for shots in pool.shots if shots]
    rows = []
    for detector in able:
        for category in [*pool.document["dataset"]["categories"], None]:
            row = [named(AVERAGE if category is None else category), named(detector)]
            row += [_entry(pool, shots, category, detector, metric) for shots in (0, *few)]
            row += [difference(gains[detector].difference(category, s, metric)) for s in few]
            rows.append(tuple(row))
    columns = ("category", "detector", shots_name(0), *map(shots_name, few))
    columns += tuple(f"{shots_name(shots)}, difference" for shots in few)
    return Table(f"{FULL[metric]} with and without references.", columns, tuple(rows), words=2)


def _entry(pool: Pool, shots: int, category: str | None, detector: str, metric: str) -> Entry:
    """Return a figure with its deviation over seeds; intervals stand in the other tables."""
    found = pool.metrics(shots, category).get(detector)
    if found is None:
        return Entry(UNDEFINED, "not measured")
    shown = found[metric]
    return entry(shown if shown["value"] is None else {**shown, "low": None, "reason": ""})


def _figures(pool: Pool, able: Sequence[str]) -> Iterator[Figure]:
    settings = [str(shots) for shots in pool.shots]
    chosen = drawn(pool, 0, SHOWN[0], among=able)
    order = [AVERAGE, *pool.document["dataset"]["categories"]]
    for number, detector in enumerate(chosen):
        panels, categories = _panels(pool, detector)
        if panels:
            caption = f"{printable(detector)} over the number of references."
            yield Figure(
                f"few-shot-{number}",
                caption + categories + said(chosen, len(able)),
                f"Lines of {', '.join(panels)} over the number of references.",
                partial(draw_lines, panels, settings, "references", AVERAGE, order),
            )


def _panels(pool: Pool, detector: str) -> tuple[dict[str, dict[str, list[float | None]]], str]:
    """Return the lines of each metric, and a sentence if some categories have none."""
    names = list(pool.document["dataset"]["categories"])
    shown = names if len(names) <= MOST_LINES else []
    panels = {}
    for metric in SHOWN:
        lines = {AVERAGE: _line(pool, detector, None, metric)}
        lines |= {name: _line(pool, detector, name, metric) for name in shown}
        if any(value is not None for line in lines.values() for value in line):
            panels[FULL[metric]] = lines
    return panels, "" if shown else f" Of {len(names)} categories only the average is drawn."


def _line(pool: Pool, detector: str, category: str | None, metric: str) -> list[float | None]:
    found = (pool.metrics(shots, category).get(detector) for shots in pool.shots)
    return [None if each is None else each[metric]["value"] for each in found]

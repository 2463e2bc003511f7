"""Published figures beside one's own, where they are about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.results import NAMES
from vlmad_evaluation.bench.tables import TITLES, shots_name

from vlmad.errors import printable
from vlmad_report.content import Entry, Section, Table
from vlmad_report.sections.entries import FULL, NONE, entry, fixed, named
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_report.sources.pool import Pool

AVERAGE = "average"
ABSENT = (
    "No published figures stand beside these: they are shown only for a data set in its public "
    "layout with exactly the public numbers of test images, such as MVTec AD or VisA, and for a "
    "recipe as it was registered. With MVTec AD this makes them: "
    "vlmad bench mvtec/ --detector winclip,anomalyclip"
)


def published(results: Sequence[Results]) -> Section:
    """Show published figures beside measured ones; averages as stated and as recomputed.

    Raises:
        InputError: a folder is damaged.
    """
    pool = pooled(results)
    entries = pool.document["published"]
    if not entries:
        return Section("published", "Published figures", (ABSENT,))
    return Section(
        "published",
        "Published figures",
        tuple(_paragraphs(entries)),
        tuple(_table(pool, each) for each in entries),
    )


def _paragraphs(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "Averages are shown as the source states them, and as they follow from its own rows where "
        "these differ. An empty place was not published."
    )
    lines: dict[str, None] = {}
    for each in entries:
        notes = "".join(f"; {note}" for note in each["notes"])
        lines[f"{each['label']}, {shots_name(each['shots'])}: {each['source']}{notes}."] = None
    yield from map(printable, lines)


def _table(pool: Pool, published: Mapping[str, Any]) -> Table:
    names = _names(published)
    who = f"{published['label']}, {shots_name(published['shots'])}"
    rows: list[tuple[Entry, ...]] = []
    for category in pool.document["dataset"]["categories"]:
        figures = published["categories"].get(category)
        if figures is not None:
            rows.append((named(category), Entry("published"), *_figures(figures, names)))
            rows += _measured(pool, published, names, category)
    if published["averages"]:
        rows += _averages(published, names)
        rows += _measured(pool, published, names, None)
    columns = ("category", "figures", *(FULL.get(name, f"pixel {TITLES[name]}") for name in names))
    caption = printable(f"{who}: published, and measured with {published['detector']}.")
    return Table(caption, columns, tuple(rows), words=2)


def _names(published: Mapping[str, Any]) -> list[str]:
    """Return the metrics of which something is published."""
    rows = (*published["categories"].values(), published["averages"])
    return [name for name in NAMES if name in TITLES and any(name in row for row in rows)]


def _figures(figures: Mapping[str, float | None], names: Sequence[str]) -> Iterator[Entry]:
    for name in names:
        figure = figures.get(name)
        yield NONE if figure is None else fixed(figure)


def _measured(
    pool: Pool, published: Mapping[str, Any], names: Sequence[str], category: str | None
) -> Iterator[tuple[Entry, ...]]:
    found = pool.metrics(published["shots"], category).get(published["detector"])
    if found is not None:
        who = named(AVERAGE if category is None else category)
        yield who, Entry("measured"), *(entry(found[name]) for name in names)


def _averages(
    published: Mapping[str, Any], names: Sequence[str]
) -> Iterator[tuple[Entry, ...]]:
    """Yield what is stated, and what follows from the published rows where it differs."""
    by_kind = {
        kind: {name: each[kind] for name, each in published["averages"].items()}
        for kind in ("stated", "recomputed")
    }
    stated = tuple(_figures(by_kind["stated"], names))
    recomputed = tuple(_figures(by_kind["recomputed"], names))
    yield named(AVERAGE), Entry("published, stated"), *stated
    if recomputed != stated:
        yield named(AVERAGE), Entry("published, recomputed"), *recomputed

"""A bench or a grid as a page of Markdown: `bench.md`, `grid.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation._condition_tables import conditions_markdown
from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation._result_tables import (
    SIGNIFICANT,
    Footnotes,
    all_rows,
    count,
    explained,
    grouped,
)
from vlmad_evaluation.notation import (
    TITLES,
    UNDEFINED,
    escaped,
    markdown_table,
    shots_name,
    what_is_missing,
)
from vlmad_evaluation.result_documents import GridDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad_evaluation._result_tables import FigureRow, MarkedFigure
    from vlmad_evaluation.result_documents import BenchDocument, PairEntry

TASKS = {
    "classification": ("image_auroc", "image_ap", "image_f1_max"),
    "segmentation": (
        "pixel_auroc",
        "pixel_aupro_30",
        "pixel_aupro_200_thresholds",
        "pixel_ap",
        "pixel_f1_max",
    ),
    "saturated overlap": (
        "pixel_au_spro_05",
        "pixel_au_spro_05_logical",
        "pixel_au_spro_05_structural",
    ),
}
CHANCE = (
    "The more combinations are tried, the more the best of them owes to chance: confirm it on "
    "images that were not in here."
)


def to_markdown(document: BenchDocument) -> str:
    """Return the whole document in Markdown."""
    names = ", ".join(document.detectors)
    if isinstance(document, GridDocument):
        names = count(len(document.detectors), "combination")
    categories = count(len(document.dataset.categories), "category", "categories")
    sections = [f"# {escaped(f'{names} on {categories}')}"]
    if not document.finished:
        sections.append("**Unfinished**: the same command goes on.")
    sections += [*explained(document, escaped), *_tables(document)]
    sections += [*conditions_markdown(document), *_detectors(document)]
    sections += [*_data_set(document), *_comparisons(document), *_lists(document)]
    return "\n\n".join(sections) + "\n"


def _tables(document: BenchDocument) -> Iterator[str]:
    if isinstance(document, GridDocument):
        yield CHANCE
        names = document.measured(COMPARED)
        yield _table(document, all_rows(document, document.settings.shots, names), names)
        return
    for shots in document.settings.shots:
        for task, wanted in TASKS.items():
            names = document.measured(wanted)
            rows = all_rows(document, [shots], names)
            if rows and names:
                yield f"## {task.capitalize()}, {shots_name(shots)}"
                yield _table(document, rows, names)


def _table(document: BenchDocument, rows: Iterable[FigureRow], names: Sequence[str]) -> str:
    axes = document.axes if isinstance(document, GridDocument) else []
    lines, notes = [], Footnotes()
    for row in rows:
        words = [escaped(row.category), shots_name(row.shots), escaped(row.label)]
        if row.published:
            words[-1] = f"*{words[-1]}*"
        elif isinstance(document, GridDocument) and axes:
            varied = document.grid.combinations[row.label]
            words[2:] = [escaped(varied.get(axis, "")) for axis in axes]
        words += [""] * (2 + max(1, len(axes)) - len(words))
        lines.append([*words, *(_figure(figure, notes) for figure in row.figures)])
    header = ["category", "references", *(axes or ["detector"]), *(TITLES[name] for name in names)]
    below = "  \n".join(map(escaped, notes.lines()))
    return f"{markdown_table(header, lines)}\n\n{below}".rstrip()


def _figure(figure: MarkedFigure, notes: Footnotes) -> str:
    number = f"**{figure.number}**" if figure.best else figure.number
    return f"{number}{figure.mark} {figure.rest}".rstrip() + notes.number(figure.remark)


def _detectors(document: BenchDocument) -> Iterator[str]:
    kinds = ("prompts", "extractor", "attention", "scorer")
    yield "## Detectors"
    yield markdown_table(
        ["detector", "backbone", *kinds],
        [
            list(map(escaped, (name, each.backbone, *(each.parts[kind] for kind in kinds))))
            for name, each in document.detectors.items()
        ],
    )


def _data_set(document: BenchDocument) -> Iterator[str]:
    yield f"## Data set, read as {escaped(document.dataset.reader)}"
    yield markdown_table(
        ["category", "class name", "train", "test, normal", "test, anomalous", "masks"],
        [
            [escaped(name), escaped(f.class_name)]
            + [str(count) for count in (f.train, f.normal, f.anomalous, f.masks)]
            for name, f in document.dataset.categories.items()
        ],
    )


def _comparisons(document: BenchDocument) -> Iterator[str]:
    whole = len(document.dataset.categories)
    rows = [
        _comparison(entry, whole)
        for entry in document.comparisons
        if entry.category is None or (entry.p_value_max_t or 1) < SIGNIFICANT
    ]
    if not rows:
        return
    yield f"## Against {escaped(document.comparisons[0].against)}, on the same images"
    yield markdown_table(
        ["metric", "references", "category", "detector", "difference", "p", "p, max-T", "test"],
        rows,
    )
    yield (
        "Differences are those detectors' minus the first's, on average over the categories "
        "where both are defined. p is corrected by max-T over all "
        "pairs of one metric, categories and averages apart. DeLong's test needs ten images of "
        "each class; elsewhere the paired bootstrap is used. Single categories are listed where "
        f"the corrected p is below {SIGNIFICANT}; the JSON file has all."
    )


def _comparison(entry: PairEntry, whole: int) -> list[str]:
    difference, over = f"{UNDEFINED}, {entry.reason}", len(entry.categories)
    if entry.difference is not None:
        difference = f"{entry.difference:+.3f}"
    if entry.low is not None:
        difference += f" [{entry.low:+.3f}, {entry.high:+.3f}]"
    p_values = (entry.p_value, entry.p_value_max_t)
    return [
        TITLES[entry.metric],
        shots_name(entry.shots),
        f"**average** of {over} of {whole}" if entry.category is None else escaped(entry.category),
        escaped(entry.detector),
        difference,
        *(UNDEFINED if p_value is None else f"{p_value:.2g}" for p_value in p_values),
        entry.method,
    ]


def _lists(document: BenchDocument) -> Iterator[str]:
    notes = [(name, note) for name, each in document.detectors.items() for note in each.notes]
    lists = {
        "Notes": _remarks(notes),
        "Sources of published figures": [
            f"{each.label}, {shots_name(each.shots)}: {'; '.join([each.source, *each.notes])}"
            for each in document.published
        ],
        "What is missing": what_is_missing(document),
    }
    if isinstance(document, GridDocument):
        lists["Combinations that cannot be"] = _remarks(document.grid.illegal.items())
        same = (f"{name} is {other}" for name, other in document.grid.same.items())
        lists["Combinations that are another one"] = same
    for title, lines in lists.items():
        known = "\n".join(f"- {escaped(line)}" for line in dict.fromkeys(lines))
        if known:
            yield f"## {title}\n\n{known}"


def _remarks(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{names}: {remark}" for remark, names in grouped(pairs).items()]

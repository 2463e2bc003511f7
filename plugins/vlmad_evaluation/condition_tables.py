"""How detectors hold under conditions: the tables and sentences of a bench's document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.conditions import ALARMS, ALLOWED, CLEAN, HELD
from vlmad_evaluation.notation import TITLES, UNDEFINED, figure, shots_name
from vlmad_evaluation.result_tables import AVERAGE, ResultTable, TableEntry, entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation.result_documents import BenchDocument, ConditionEntry

    ByCondition = Mapping[str, Sequence[ConditionEntry]]
    """Entries by severity, of `clean` and of each condition."""

RATES = (ALARMS, "misses")
SHOWN = ("image_auroc", *RATES)
HELD_TITLES = {**TITLES, ALARMS: "false alarms", "misses": "misses"}
RULE = (
    f"False alarms and misses are at the lowest threshold that makes at most {ALLOWED:.0%} of the "
    "clean normal test images false alarms; it is chosen on those images themselves, and kept "
    "under all conditions."
)
WORSE = (
    "worse than on clean images, by an interval of the change that excludes 0 (paired bootstrap "
    "over images, not corrected for the number of changes)"
)


def shots_of(document: BenchDocument) -> list[int]:
    """Return the numbers of references that something was scored with under conditions."""
    return sorted({entry.shots for entry in document.conditions})


def strongest(
    document: BenchDocument, shots: int, categories: Sequence[str | None] = (None,)
) -> ResultTable:
    """Return what is left at the strongest severity of each condition."""
    names, several, rows = [CLEAN, *document.settings.conditions], len(categories) > 1, []
    for category in categories:
        for detector, found in by_condition(document, shots, category).items():
            last = [found[name][-1] if name in found else None for name in names]
            where = [category or AVERAGE] if several else []
            for metric in SHOWN:
                words = entries(*where, detector, HELD_TITLES[metric])
                rows.append([*words, *(_held_entry(entry, metric) for entry in last)])
    columns = [*(["category"] if several else []), "detector", shots_name(shots)]
    caption = f"At the strongest severities, {shots_name(shots)}; * {WORSE}. {RULE}"
    return ResultTable(caption, [*columns, *names], rows, words=len(columns))


def severities(document: BenchDocument, shots: int) -> ResultTable:
    """Return the averages at every severity."""
    rows = []
    for entry in document.conditions:
        if (entry.shots, entry.category) == (shots, None):
            words = entries(entry.name, amount_text(document, entry), entry.detector)
            rank = "" if entry.rank is None else str(entry.rank)
            figures = (_held_entry(entry, name) for name in HELD)
            rows.append([*words, *figures, TableEntry(rank)])
    columns = ["condition", "by", "detector", *(HELD_TITLES[name] for name in HELD), "rank"]
    caption = (
        f"Averages over categories at every severity, {shots_name(shots)}, with the change against "
        "clean images and its interval; of false alarms and misses in percentage points. "
        f"* {WORSE}. {RULE} The rank is that by image AUROC. conditions.csv has each category."
    )
    return ResultTable(caption, columns, rows, words=3)


def _held_entry(entry: ConditionEntry | None, name: str) -> TableEntry:
    """Return a figure with its change against clean images."""
    if entry is None:
        return TableEntry(UNDEFINED, remark="not measured")
    remark = entry.metrics[name].reason if entry.metrics[name].value is None else ""
    mark = "*" * is_worse(entry, name)
    return TableEntry(held_text(entry, name), change_text(entry, name), mark=mark, remark=remark)


def by_condition(
    document: BenchDocument, shots: int, category: str | None = None
) -> dict[str, ByCondition]:
    """Return what came of each detector on a category, or on average."""
    found: dict[str, dict[str, list[ConditionEntry]]] = {}
    for entry in document.conditions:
        if (entry.shots, entry.category) == (shots, category):
            found.setdefault(entry.detector, {}).setdefault(entry.name, []).append(entry)
    return dict(found)


def amount_text(document: BenchDocument, entry: ConditionEntry) -> str:
    """Return by how much images are changed, with the unit."""
    if entry.change is None:
        return ""
    unit = document.settings.conditions[entry.change.condition].unit
    return f"{entry.change.amount:g} {unit}"


def held_text(entry: ConditionEntry, name: str) -> str:
    """Return a figure; shares of images as percentages."""
    value = entry.metrics[name].value
    return figure(value) if value is None or name not in RATES else f"{value:.0%}"


def change_text(entry: ConditionEntry, name: str) -> str:
    """Return a figure's change with its interval, of rates in percentage points, or nothing."""
    found = entry.changes.get(name)
    if found is None or found.difference is None:
        return ""
    pattern, times = ("{:+z.0f}", 100) if name in RATES else ("{:+z.3f}", 1)
    text = pattern.format(times * found.difference)
    if found.low is not None and found.high is not None:
        low, high = (pattern.format(times * end) for end in (found.low, found.high))
        text += f" [{low}, {high}]"
    few, whole = len(found.categories), len(entry.metrics[name].categories)
    return text if few >= whole else f"{text} over {few} of {whole} categories"


def is_worse(entry: ConditionEntry, name: str) -> bool:
    """Return whether the interval of a change lies on the wrong side of 0."""
    found = entry.changes.get(name)
    if found is None or found.low is None or found.high is None:
        return False
    return found.low > 0 if name in RATES else found.high < 0


def glance(document: BenchDocument, shots: int) -> Iterator[str]:
    """Yield, in sentences, what hurts whom most on average, and who leads under what."""
    found = by_condition(document, shots)
    for detector, conditions in found.items():
        strongest = [entries[-1] for name, entries in conditions.items() if name != CLEAN]
        hurts = [
            words
            for name, way, verb in (("image_auroc", 1, "falls"), (ALARMS, -1, "rise"))
            if (words := _worst(document, conditions, strongest, name, way, verb))
        ]
        yield f"{detector}, {shots_name(shots)}: {'; '.join(hurts) or 'nothing hurts'}."
    if len(found) > 1:
        yield from _leaders(found.values(), shots)


def _worst(
    document: BenchDocument,
    conditions: ByCondition,
    strongest: Iterable[ConditionEntry],
    name: str,
    way: int,
    verb: str,
) -> str:
    changes = {way * (entry.changes[name].difference or 0): entry for entry in strongest}
    lowest = min(changes, default=0)
    if lowest >= 0 or CLEAN not in conditions:
        return ""
    before, worst = conditions[CLEAN][0], changes[lowest]
    under = f"{worst.name} ({amount_text(document, worst)})"
    figures = f"from {held_text(before, name)} to {held_text(worst, name)}"
    return f"{HELD_TITLES[name]} {verb} most under {under}, {figures}"


def _leaders(found: Iterable[ByCondition], shots: int) -> Iterator[str]:
    """Say who has the best image AUROC on clean images, and under what others have."""
    leading: dict[str, list[str]] = {}
    for entry in (entry for each in found for steps in each.values() for entry in steps):
        if entry.rank == 1:
            what = entry.name if entry.change is None else f"{entry.name} {entry.change.severity}"
            leading.setdefault(what, []).append(entry.detector)
    first = leading.pop(CLEAN, None)
    if first is None:
        return
    others: dict[str, list[str]] = {}
    for what, names in leading.items():
        if names != first:
            others.setdefault(" and ".join(names), []).append(what)
    words = [f"{names} under {', '.join(what)}" for names, what in others.items()]
    best = [" and ".join(first), *(words or ["under every condition as well"])]
    yield f"Best image AUROC on clean images, {shots_name(shots)}: {'; '.join(best)}."

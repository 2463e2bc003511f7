"""The section on groups of objects: textures, rigid and flexible ones, or others."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from vlmad_evaluation.averaging import over_categories, over_seeds
from vlmad_evaluation.notation import TITLES, shots_name
from vlmad_report._report_blocks import ReportSection, ReportTable, TableEntry
from vlmad_report._report_text import entries, metric_charts, metric_entry
from vlmad_report._summary import left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_datasets.object_groups import Groups
    from vlmad_evaluation.averaging import Averaged
    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro_30")
HOW = (
    "a TOML file says which category belongs to which group: [groups], then a line such as "
    'texture = ["carpet", "wood"] for each group'
)
AVERAGED = (
    "Averages over the categories of a group, each counting the same, with the interval over "
    "images; then the standard deviation over these categories, and their number."
)


def object_groups(source: ResultSource, groups: Groups) -> ReportSection:
    """Show averages over the categories of each group, with their number and deviation.

    Raises:
        InputError: the files of a cell are gone.
    """
    members = _members(source, groups)
    if not members:
        return ReportSection("Object groups", [f"None of the categories is in a group: {HOW}."])
    paragraphs = [AVERAGED, *(f"{group}: {', '.join(each)}." for group, each in members.items())]
    others = [c for c in source.categories if not any(c in each for each in members.values())]
    if others:
        paragraphs.append(f"In no group, and not shown here: {', '.join(others)}; {HOW}.")
    confidence = source.document.settings.confidence
    cells = over_seeds(source.stored(), confidence)
    averages = {
        group: over_categories({k: v for k, v in cells.items() if k[1] in each}, confidence)
        for group, each in members.items()
    }
    blocks: list[Block] = []
    for shots in source.shots:
        blocks += _of_shots(source, shots, members, averages)
    return ReportSection("Object groups", paragraphs, blocks)


def plain(name: str) -> str:
    """Return a category's name as it is compared: lower case, one underscore between words.

    >>> plain("Metal-nut ")
    'metal_nut'
    """
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _members(source: ResultSource, groups: Groups) -> dict[str, list[str]]:
    """Return the measured categories of each group; `metal nut` is taken for `metal_nut`."""
    known = {plain(category): group for category, group in groups.objects.items()}
    found: dict[str, list[str]] = {group: [] for group in groups.objects.values()}
    for category in source.categories:
        if plain(category) in known:
            found[known[plain(category)]].append(category)
    return {group: each for group, each in found.items() if each}


def _of_shots(
    source: ResultSource,
    shots: int,
    members: Mapping[str, Sequence[str]],
    averages: Mapping[str, Mapping[tuple[str, int], Mapping[str, Averaged]]],
) -> list[Block]:
    names = list(source.metrics(shots))
    rows = [
        [
            *entries(group, name),
            *(_entry(source, own[name, shots][metric], metric, name, shots) for metric in SHOWN),
        ]
        for group, own in averages.items()
        for name in names
        if (name, shots) in own
    ]
    columns = ["group", "detector", *(TITLES[metric] for metric in SHOWN)]
    table = ReportTable(f"Averages over groups, {shots_name(shots)}.", columns, rows, words=2)
    chosen = source.best(names, len(members))
    bars = {
        group: [
            (index, {metric: each.metric for metric, each in own[name, shots].items()})
            for index, name in enumerate(chosen)
            if (name, shots) in own
        ]
        for group, own in averages.items()
    }
    caption = f"Groups, {shots_name(shots)}, with intervals over images.{left_out(chosen, names)}"
    return [table, *metric_charts(caption, chosen, bars)]


def _entry(
    source: ResultSource, average: Averaged, metric: str, detector: str, shots: int
) -> TableEntry:
    entry = metric_entry(average.metric)
    if not average.counted:
        return entry
    values = [source.metrics(shots, c)[detector][metric].value or 0.0 for c in average.counted]
    deviation = f"± {statistics.stdev(values):.3f} " if len(values) > 1 else ""
    undefined = f", {len(average.left_out)} undefined" if average.left_out else ""
    note = f"{entry.note} {deviation}({len(values)}){undefined}"
    return TableEntry(entry.text, note.strip())

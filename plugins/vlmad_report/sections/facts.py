"""What is said at the top of a report: its title, what was measured on what, what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vlmad.errors import VlmadError, printable
from vlmad_report.sources.moved import MovedResults
from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

LISTED = 8
"""Detectors that are named at the top of a page."""
NAMED = 3
"""As many detectors stand in a title; more are counted."""


def title(results: Sequence[Results]) -> str:
    """Return the title of a report.

    Raises:
        InputError: a folder is damaged.
    """
    document = pooled(results).document
    detectors = document["detectors"]
    who = f"{len(detectors)} detectors" if len(detectors) > NAMED else ", ".join(detectors)
    roots = dict.fromkeys(str(each.document["dataset"]["root"]) for each in results)
    sets = ", ".join(os.path.basename(os.path.abspath(root)) or root for root in roots)
    return printable(f"{who} on {sets}")


def facts(results: Sequence[Results]) -> tuple[tuple[str, str], ...]:
    """Return what was measured on what, with what: pairs of name and value.

    Raises:
        InputError: a folder is damaged.
    """
    document = pooled(results).document
    dataset, settings = document["dataset"], document["settings"]
    of_sets = dataset["categories"].values()
    normal, anomalous = (sum(c[key] for c in of_sets) for key in ("normal", "anomalous"))
    names = ", ".join(dataset["categories"])
    found = [
        ("Data set", f"{dataset['root']}, read as {dataset['reader']}"),
        *(("Images from", str(e.root)) for e in results if isinstance(e, MovedResults)),
        ("Categories", f"{len(dataset['categories'])}: {names}"),
        ("Test images", f"{normal} normal, {anomalous} anomalous"),
        ("Detectors", _detectors(list(document["detectors"]))),
        ("Backbone", "; ".join(_backbones(document))),
        ("References", _references(settings)),
        ("Pixel metrics", f"at {settings['resolution']} resolution"),
        ("Intervals", f"{settings['confidence']:.0%}, {settings['replicates']} replicates"),
        ("Results in", ", ".join(str(each.folder) for each in results)),
        ("Measured with", f"vlmad {document['vlmad']}"),
    ]
    return tuple((name, printable(value)) for name, value in found)


def _detectors(names: list[str]) -> str:
    """Return how many there are and, of a few, which; the summary has a table of all."""
    return f"{len(names)}: {', '.join(names)}" if len(names) <= LISTED else str(len(names))


def _backbones(document: Mapping[str, Any]) -> Iterator[str]:
    described = (
        f"{each['backbone']}, licence {each['licence'] or 'unknown'}, "
        f"weights {(each['weights_sha256'] or 'unknown')[:12]}, {each['precision']}"
        for each in document["detectors"].values()
    )
    yield from dict.fromkeys(described)


def _references(settings: Mapping[str, Any]) -> str:
    shots = ", ".join(map(str, settings["shots"]))
    drawn = f" ({settings['seeds']} seeds)" if any(settings["shots"]) else ""
    return f"{shots}{drawn}"


def notices(results: Sequence[Results]) -> tuple[str, ...]:
    """Return what must be known first: what is not finished, and what failed.

    Raises:
        InputError: a folder is damaged.
    """
    pooled(results)  # which checks them
    return tuple(notice for each in results for notice in _notices(each))


def _notices(results: Results) -> Iterator[str]:
    document = results.document
    if not document["finished"]:
        yield (
            f"{results.folder} is not finished: what follows is of the "
            f"{_count(len(document['cells']), 'cell', 'cells')} done so far."
        )
    yield from results.lost if isinstance(results, MovedResults) else _elsewhere(results)
    yield from _cut(results)
    failed = sum(cell["failed"] for cell in document["cells"])
    if failed:
        yield (
            f"{_count(failed, 'image', 'images')} of {results.folder} could not be scored "
            "and count nowhere."
        )


def _elsewhere(results: Results) -> Iterator[str]:
    missing = [sample.image for sample in results.samples if not sample.image.is_file()]
    if missing:
        yield (
            f"{_count(len(missing), 'image', 'images')} of {results.folder} of "
            f"{len(results.samples)} are not where they were measured, the first is {missing[0]}. "
            "What is seen in them is not in this report: photographs, contrast and size of "
            "defects, curves of pixels. If the data set has moved, name it with --data."
        )


def _cut(results: Results) -> Iterator[str]:
    """Say which cells have fewer scores on disk than were measured."""
    cut = []
    for cell in results.document["cells"]:
        measured = cell.get("normal", 0) + cell.get("anomalous", 0)
        try:
            read = sum(1 for _ in results.scored(cell))
        except VlmadError:
            read = 0
        if read < measured:
            cut.append(f"{cell['run']} (scores of {read} of {measured} images)")
    if cut:
        more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
        yield (
            f"Scores that were measured are not in {results.folder} any more: {cut[0]}{more}. "
            "Tables of metrics have them; curves, classes of defects and failures do not. The "
            "command that made the folder scores them again."
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

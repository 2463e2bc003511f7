"""What is said at the top of a report: its title, what was measured on what, what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad_evaluation.bench.reading import Results

NAMED = 6
"""As many names stand in a title; the others are counted."""


def title(results: Sequence[Results]) -> str:
    """Return a title of detectors and data sets.

    Raises:
        InputError: a document says nothing of its detectors or data set.
    """
    detectors = _each(name for each in results for name in each.document["detectors"])
    try:
        sets = _each(_set_name(each) for each in results)
    except (KeyError, TypeError) as error:
        raise _damaged(results) from error
    return f"{_listed(detectors)} on {_listed(sets)}"


def facts(results: Sequence[Results]) -> tuple[tuple[str, str], ...]:
    """Return what was measured on what, with what, as pairs of name and value.

    Raises:
        InputError: a document lacks what it always has.
    """
    try:
        found = [pair for each in results for pair in _facts(each)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(results) from error
    names = _each(name for name, _ in found)
    return tuple(
        (name, "; ".join(_each(value for other, value in found if other == name)))
        for name in names
    )


def notices(results: Sequence[Results]) -> tuple[str, ...]:
    """Return what must be known first: what is not finished, and what failed."""
    try:
        return tuple(notice for each in results for notice in _notices(each))
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(results) from error


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    document = results.document
    dataset, settings = document["dataset"], document["settings"]
    categories = dataset["categories"].values()
    normal, anomalous = (sum(each[k] for each in categories) for k in ("normal", "anomalous"))
    yield "Data set", f"{dataset['root']}, read as {dataset['reader']}"
    yield (
        "Test images",
        f"{normal} normal and {anomalous} anomalous in "
        f"{_count(len(dataset['categories']), 'category', 'categories')}",
    )
    for name, detector in document["detectors"].items():
        yield "Detectors", _detector(name, detector)
        yield "Backbone", _backbone(detector)
    yield "References", _references(settings)
    yield "Pixel metrics", f"at {settings['resolution']} resolution"
    confidence = f"{settings['confidence']:.0%}"
    yield "Intervals", f"{confidence}, {settings['replicates']} replicates, over images"
    yield "Results in", str(results.folder)
    yield "Measured with", f"vlmad {document['vlmad']}"


def _detector(name: str, detector: Any) -> str:
    recipe = detector["recipe"]
    return name if recipe == name else f"{name} (recipe {recipe})"


def _backbone(detector: Any) -> str:
    return f"{detector['backbone']} on {detector['device']} in {detector['precision']}"


def _references(settings: Any) -> str:
    shots = [f"{count}-shot" if count else "zero-shot" for count in settings["shots"]]
    if not any(settings["shots"]):
        return "none: zero-shot"
    return f"{', '.join(shots)}; {_count(settings['seeds'], 'draw', 'draws')} of each number"


def _notices(results: Results) -> Iterator[str]:
    document = results.document
    if not document.get("finished", True):
        yield (
            f"{results.folder} is not finished: what follows is of the "
            f"{_count(len(document['cells']), 'cell', 'cells')} done so far."
        )
    failed = sum(cell["failed"] for cell in document["cells"])
    if failed:
        yield (
            f"{_count(failed, 'image', 'images')} of {results.folder} could not be scored "
            "and count nowhere."
        )


def _set_name(results: Results) -> str:
    root = str(results.document["dataset"]["root"])
    return os.path.basename(os.path.abspath(root)) or root


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _damaged(results: Sequence[Results]) -> InputError:
    folders = ", ".join(str(each.folder) for each in results)
    return InputError(f"cannot read the results in {folders}: they are damaged; measure anew")

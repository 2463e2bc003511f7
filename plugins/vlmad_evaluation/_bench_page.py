"""The document of a bench as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation._bench_remarks import remarks
from vlmad_evaluation.notation import (
    TASKS,
    TITLES,
    UNDEFINED,
    category_rows,
    escaped,
    shots_name,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def to_markdown(document: Mapping[str, Any]) -> str:
    """Return the whole document in Markdown."""
    sections = [f"# {_title(document)}", *_introduction(document)]
    number = 0
    for shots in document["settings"]["shots"]:
        for task, names in TASKS.items():
            rows = list(category_rows(document, shots, names))
            if rows:
                number += 1
                sections.append(f"## Table {number}: {task}, {shots_name(shots)}")
                header = ["category", "detector", *(TITLES[name] for name in names)]
                sections.append(table(header, rows))
    sections += remarks(document)
    return "\n\n".join(sections) + "\n"


def _title(document: Mapping[str, Any]) -> str:
    names = ", ".join(document["detectors"])
    return escaped(f"{names} on {len(document['dataset']['categories'])} categories")


def _introduction(document: Mapping[str, Any]) -> Iterator[str]:
    settings, dataset = document["settings"], document["dataset"]
    if not document["finished"]:
        yield "**Unfinished**: the same command goes on."
    yield (
        f"Data set read as `{dataset['reader']}`. Pixel metrics at {settings['resolution']} "
        f"resolution. In brackets the {settings['confidence']:.0%} interval over images "
        f"(BCa, {settings['replicates']} replicates); after ± the standard deviation over "
        "seeds, where references were drawn. "
        f"{UNDEFINED} is undefined. Averages are macro averages over categories."
    )
    yield table(
        ["category", "class name", "train", "test, normal", "test, anomalous", "masks"],
        [
            [escaped(name), escaped(facts["class_name"])]
            + [str(facts[key]) for key in ("train", "normal", "anomalous", "masks")]
            for name, facts in dataset["categories"].items()
        ],
    )

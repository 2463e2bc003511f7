"""A file of learned tensors, described for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table

from vlmad import load_detector
from vlmad.console import console
from vlmad.errors import IncompatiblePartsError
from vlmad_anomalyclip._nearest_words import (
    LearnedDescription,
    context_vectors,
    nearest_words,
)
from vlmad_anomalyclip.learned_prompts import PART, as_prompts
from vlmad_documents.learned_file import read_learned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmad import Backbone
    from vlmad_anomalyclip._nearest_words import Distance, NearestWords
    from vlmad_documents.learned_file import LearnedFile

EMBEDDED = "tiny"
"""The backbone that can be looked at though only a file names it: nothing of it is fetched."""


def describe_learned(
    file: Path, backbone: str | None, weights: str | None, distance: Distance, count: int
) -> LearnedDescription:
    """Read a file and compare its context with the words of a backbone.

    Raises:
        WeightsError: the file cannot be used.
        IncompatiblePartsError: it does not fit the backbone.
    """
    tensors, learned = read_learned(file)
    if (learned.kind, learned.part) == PART:
        as_prompts(file, tensors, learned)
    vectors, nearest, other = context_vectors(tensors), None, None
    model = backbone or (EMBEDDED if learned.backbone.name == EMBEDDED else None)
    if model is not None:
        found = _backbone(model, weights)
        if reason := learned.backbone.refuses(found.spec):
            raise IncompatiblePartsError(f"{file} does not fit '{found.spec.name}': {reason}")
        other = learned.backbone.refuses_weights(found)
        nearest = nearest_words(vectors, found, distance, count) if vectors else None
    return LearnedDescription(
        file=str(file),
        learned=learned,
        shapes={name: list(tensor.shape) for name, tensor in tensors.items()},
        other_weights=other,
        nearest=nearest,
    )


def _backbone(name: str, weights: str | None) -> Backbone:
    options = {} if weights is None else {"weights": weights}
    detector = load_detector("winclip", backbone=name, options={"backbone": options})
    return detector.backbone  # type: ignore[no-any-return]


def print_description(described: LearnedDescription) -> None:
    """Print a description for people to read."""
    out = console()
    table = Table("what", "value", box=None)
    for row in _rows(described.learned):
        table.add_row(*row)
    for name, shape in described.shapes.items():
        table.add_row(f"tensor {name}", " x ".join(map(str, shape)))
    out.print(table)
    if described.other_weights:
        out.print(f"these words are not those that it was learned with: {described.other_weights}")
    if described.nearest:
        _print_words(described.nearest)
    elif any(name.startswith("context") for name in described.shapes):
        out.print("for the nearest words, name the backbone: --backbone NAME:ARGUMENT")


def _rows(learned: LearnedFile) -> Iterator[tuple[str, str]]:
    on = learned.backbone
    yield "learned for", f"{learned.kind} '{learned.part}'"
    yield "learned on", on.name
    yield "of weights", on.weights_sha256 or "unknown"
    for what in ("text_width", "vision_width", "embedding_dim"):
        yield what.replace("_", " "), str(getattr(on, what) or "unknown")
    yield "class token", learned.class_token or "plays no part"
    yield "layers", ", ".join(map(str, learned.layers)) or "unknown"
    yield "licence", learned.licence
    for what, table in (
        ("", learned.facts),
        ("learned from ", learned.data),
        ("", learned.options),
        ("", learned.versions),
    ):
        for name, value in table.items():
            yield what + name, value if isinstance(value, str) else json.dumps(value)
    yield "digest", learned.tensors_sha256 or "none: what was changed cannot be seen"


def _print_words(nearest: NearestWords) -> None:
    out = console()
    table = Table("vector", f"nearest words of {nearest.backbone} ({nearest.distance})", box=None)
    for name, vectors in nearest.words.items():
        for number, near in enumerate(vectors, 1):
            said = ", ".join(f"{each.word} {each.distance:.3g}" for each in near)
            table.add_row(f"{name} {number}", said)
    out.print(table)
    out.print(
        f"A word's nearest other word is typically {nearest.usual:.3g} away. Nearest words often "
        "mean nothing: a learned vector need not lie near any."
    )

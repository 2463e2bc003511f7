"""Published figures, shown beside one's own where recipe and data set are the published ones.

A name alone proves nothing: anyone may call a category "bottle". So a category is taken for a
public one only if the reader is that of the public layout and the numbers of normal and anomalous
test images are exactly the public ones; and a recipe only if it is run as it was registered. The
backbone may differ, which is noted.
"""

from __future__ import annotations

import math
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from vlmad.options import options_of
from vlmad_documents.documents import Document
from vlmad_evaluation.result_documents import PublishedAverage, PublishedEntry

if TYPE_CHECKING:
    from vlmad.assembly import Assembly

FILE = Path(__file__).with_name("published.toml")
Counts = dict[str, tuple[int, int]]
"""From category to how many normal and anomalous test images it has."""


class PublicSet(Document):
    """How a public data set is recognised."""

    reader: str
    images: dict[str, list[int]]
    """For each category its normal and anomalous test images."""


class PublishedMethod(Document):
    """What one source says of one method on one data set."""

    label: str
    recipes: list[str]
    dataset: str
    shots: int
    backbone: str
    source: str
    averages: dict[str, float]
    """As the source states them."""
    categories: dict[str, dict[str, float]] = Field(default_factory=dict)
    note: str = ""

    def both_averages(self, categories: int) -> dict[str, PublishedAverage]:
        """Return the stated averages beside those that follow from the source's own rows.

        The latter only where a row of each of the set's categories has a figure.
        """
        rows = self.categories.values()
        names = dict.fromkeys([*self.averages, *(name for row in rows for name in row)])
        in_rows = {name: [row[name] for row in rows if name in row] for name in names}
        return {
            name: PublishedAverage(
                stated=self.averages.get(name),
                recomputed=math.fsum(figures) / categories if len(figures) == categories else None,
            )
            for name, figures in in_rows.items()
        }


class PublishedFile(Document):
    """`published.toml`."""

    datasets: dict[str, PublicSet]
    entries: list[PublishedMethod]


@cache
def read_published() -> PublishedFile:
    """Return the public data sets by name, and all published figures."""
    return PublishedFile.model_validate(tomllib.loads(FILE.read_text(encoding="utf-8")))


def public_set(reader: str, counts: Counts) -> str | None:
    """Return which public data set this is, or a part of.

    None if the reader is another, or if no category, or a category of other images, is among them.
    """
    for name, known in read_published().datasets.items():
        own = {category: list(count) for category, count in counts.items()}
        if own and known.reader == reader and own.items() <= known.images.items():
            return name
    return None


def is_as_registered(assembly: Assembly) -> bool:
    """Tell whether a detector is its recipe, whatever its backbone and whatever its files.

    Learned prompts come in a file: which one is noted.
    """
    for kind, chosen in assembly.parts.items():
        registration, recipe = chosen.registration, assembly.recipe
        if kind == "backbone":
            continue
        if recipe.part(kind) not in registration.names:
            return False
        expected = {o.name: o.default for o in options_of(registration.resolve()).values()}
        expected |= recipe.options_for(kind, *registration.names)
        if any(
            not isinstance(value, Path) and value != expected[name]
            for name, value in chosen.options.items()
        ):
            return False
    return True


def published_beside(
    detector: str, assembly: Assembly, reader: str, counts: Counts, shots: int
) -> list[PublishedEntry]:
    """Return what is published of a recipe on exactly these images."""
    name = public_set(reader, counts)
    if name is None or not is_as_registered(assembly):
        return []
    return [
        _beside(detector, method, list(counts), assembly)
        for method in read_published().entries
        if (method.dataset, method.shots) == (name, shots)
        and assembly.recipe.name in method.recipes
    ]


def _beside(
    detector: str, method: PublishedMethod, categories: list[str], assembly: Assembly
) -> PublishedEntry:
    backbone = assembly.parts["backbone"].part.spec.name
    whole = len(categories) == len(read_published().datasets[method.dataset].images)
    notes = [method.note] if method.note else []
    notes += [
        f"measured here with the {kind} of {value.name}"
        for kind, chosen in assembly.parts.items()
        for value in chosen.options.values()
        if isinstance(value, Path) and kind != "backbone"
    ]
    if method.backbone not in backbone:
        notes.append(f"published with {method.backbone}, measured here with {backbone}")
    if not whole:
        notes.append("averages are left out: not all categories were measured")
    return PublishedEntry(
        detector=detector,
        shots=method.shots,
        label=method.label,
        source=method.source,
        notes=notes,
        categories={c: method.categories[c] for c in categories if c in method.categories},
        averages=method.both_averages(len(categories)) if whole else {},
    )

"""Published figures, shown beside one's own where recipe and data set are the published ones.

A name alone proves nothing: anyone may call a category "bottle". So a category is taken for a
public one only if the reader is that of the public layout and the numbers of normal and anomalous
test images are exactly the public ones; and a recipe only if it is run as it was registered. The
backbone may differ, which is said.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.assembly import Assembly

FILE = Path(__file__).with_name("published.toml")
Counts = dict[str, tuple[int, int]]
"""From category to how many normal and anomalous test images it has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one source says of one method on one data set."""

    label: str
    recipes: tuple[str, ...]
    dataset: str
    shots: int
    backbone: str
    source: str
    averages: Mapping[str, float]
    """As the source states them."""
    categories: Mapping[str, Mapping[str, float]]
    note: str = ""

    def recomputed(self) -> dict[str, float]:
        """Return the averages that follow from the source's own rows."""
        names = dict.fromkeys(name for row in self.categories.values() for name in row)
        return {
            name: math.fsum(row[name] for row in self.categories.values()) / len(self.categories)
            for name in names
        }


@dataclass(frozen=True, slots=True)
class PublicSet:
    """How a public data set is recognised."""

    reader: str
    images: Counts


@cache
def read_published() -> tuple[dict[str, PublicSet], tuple[Entry, ...]]:
    """Return the public data sets by name, and all published figures."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    sets = {
        name: PublicSet(each["reader"], {c: (n[0], n[1]) for c, n in each["images"].items()})
        for name, each in table["datasets"].items()
    }
    entries = tuple(
        Entry(**{"categories": {}, **each, "recipes": tuple(each["recipes"])})
        for each in table["entries"]
    )
    return sets, entries


def public_set(reader: str, counts: Counts) -> tuple[str, tuple[str, ...], bool] | None:
    """Return which public data set this is, which of its categories, and whether all are there.

    None if the reader is another, or if no category, or a category of other images, is among them.
    """
    for name, known in read_published()[0].items():
        if known.reader != reader or not counts or set(counts) - set(known.images):
            continue
        if all(known.images[category] == count for category, count in counts.items()):
            return name, tuple(counts), set(counts) == set(known.images)
    return None


def is_as_registered(assembly: Assembly) -> bool:
    """Tell whether a detector is its recipe, whatever its backbone."""
    recipe = assembly.recipe
    for kind, chosen in assembly.parts.items():
        if kind == "backbone":
            continue
        own = recipe.options_for(kind, chosen.registration.name)
        if chosen.registration.name != recipe.parts[kind] or not _as_given(chosen, own):
            return False
    return True


def _as_given(chosen: Any, own: Mapping[str, Any]) -> bool:
    """Tell whether a part's options are the recipe's or its defaults; files may be any.

    Learned prompts come in a file: which one is said in a note.
    """
    from vlmad.options import options_of

    defaults = {o.name: o.default for o in options_of(chosen.registration.resolve()).values()}
    expected = {**defaults, **own}
    return all(
        isinstance(value, Path) or value == expected[name] for name, value in chosen.options.items()
    )


def published_beside(
    assembly: Assembly, reader: str, counts: Counts, shots: int
) -> list[dict[str, Any]]:
    """Return what is published of this recipe on exactly these images, as plain values.

    Args:
        assembly: the detector's.
        reader: of the data set.
        counts: of all its measured categories.
        shots: references.
    """
    found = public_set(reader, counts)
    if found is None or not is_as_registered(assembly):
        return []
    name, categories, whole = found
    return [
        _beside(entry, categories, whole, assembly)
        for entry in read_published()[1]
        if entry.dataset == name and entry.shots == shots and assembly.recipe.name in entry.recipes
    ]


def _beside(
    entry: Entry, categories: tuple[str, ...], whole: bool, assembly: Assembly
) -> dict[str, Any]:
    backbone = assembly.parts["backbone"].part.spec.name
    same = entry.backbone in backbone
    notes = [entry.note] if entry.note else []
    notes += [
        f"measured here with the {kind} of {value.name}"
        for kind, chosen in assembly.parts.items()
        for value in chosen.options.values()
        if isinstance(value, Path) and kind != "backbone"
    ]
    if not same:
        notes.append(f"published with {entry.backbone}, measured here with {backbone}")
    if not whole:
        notes.append("averages are left out: not all categories were measured")
    recomputed = entry.recomputed()
    averages = {
        name: {"stated": entry.averages.get(name), "recomputed": recomputed.get(name)}
        for name in dict.fromkeys([*entry.averages, *recomputed])
    }
    return {
        "label": entry.label,
        "source": entry.source,
        "backbone": entry.backbone,
        "same_backbone": same,
        "notes": notes,
        "categories": {c: dict(entry.categories[c]) for c in categories if c in entry.categories},
        "averages": averages if whole else {},
    }

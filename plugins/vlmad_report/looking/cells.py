"""Which cells of benches are looked at: a line of the report for each detector."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import shots_name

from vlmad_report.sources.pool import pooled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad_evaluation.bench.measuring import Scored
    from vlmad_evaluation.bench.reading import Results

    from vlmad_evaluation.resolution import Resolution


@dataclass(frozen=True, slots=True)
class Place:
    """A cell that is looked at, and where it is."""

    results: Results
    cell: Mapping[str, Any]
    """As it stands in its document."""
    category: str
    """As the report calls it."""

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.results.run(self.cell)

    @property
    def resolution(self) -> Resolution:
        """The size at which the bench compared maps and masks."""
        text = str(self.results.document["settings"]["resolution"])
        size = re.fullmatch(r"(\d+) x (\d+)", text)
        return (int(size[1]), int(size[2])) if size else None

    def scored(self) -> tuple[Scored, ...]:
        """Return the images that were scored, with what is true of them."""
        return tuple(self.results.scored(self.cell))


@dataclass(frozen=True, slots=True)
class Line:
    """A detector at one number of references."""

    name: str
    """As the report calls it."""
    shots: int
    places: tuple[Place, ...]
    """One for each category: the cell of the first seed."""
    number: int = 0
    """Its place among all detectors of the report, by which it is coloured."""

    def __str__(self) -> str:
        return f"{self.name}, {shots_name(self.shots)}"


def lines_of(results: Sequence[Results]) -> tuple[Line, ...]:
    """Return a line for each detector: zero-shot, or else at its lowest number of references.

    Raises:
        InputError: a folder is damaged, or two do not fit one report.
    """
    if not results:
        return ()
    pool = pooled(results)
    found: dict[str, list[Place]] = {name: [] for name in pool.document["detectors"]}
    for source, cell, named in pool.cells():
        found[named["detector"]].append(Place(source.results, cell, named["category"]))
    return tuple(
        _line(name, places, number)
        for number, (name, places) in enumerate(found.items())
        if places
    )


def _line(name: str, places: Iterable[Place], number: int) -> Line:
    fewest = min(place.cell["shots"] for place in places)
    first: dict[str, Place] = {}
    for place in sorted(places, key=lambda place: place.cell["seed"] or 0):
        if place.cell["shots"] == fewest:
            first.setdefault(place.category, place)
    order = dict.fromkeys(place.category for place in places)
    return Line(name, fewest, tuple(first[c] for c in order if c in first), number)


def said_of(lines: Sequence[Line]) -> str:
    """Say which cells are looked at."""
    kinds: dict[int, list[str]] = {}
    for line in lines:
        kinds.setdefault(line.shots, []).append(line.name)
    if len(kinds) == 1:
        [shots] = kinds
        return f"All detectors {shots_name(shots)}{_seed(shots)}."
    parts = [
        f"{shots_name(shots)}{_seed(shots)}: {', '.join(names)}" for shots, names in kinds.items()
    ]
    return f"Detectors at the fewest references that were measured ({'; '.join(parts)})."


def _seed(shots: int) -> str:
    return " (the first seed)" if shots else ""

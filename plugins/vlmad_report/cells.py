"""Which cells of benches are looked at: a line of the report for each detector."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import shots_name
from vlmad_report.naming import detector_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results
    from vlmad_evaluation.resolution import Resolution


@dataclass(frozen=True, slots=True)
class Line:
    """A detector of one of the results, at one number of references."""

    name: str
    """As the report calls it."""
    results: Results
    shots: int
    cells: tuple[Mapping[str, Any], ...]
    """One for each category: that of the first seed."""

    @property
    def resolution(self) -> Resolution:
        """The size at which the bench compared maps and masks."""
        text = str(self.results.document.get("settings", {}).get("resolution", ""))
        size = re.fullmatch(r"(\d+) x (\d+)", text)
        return (int(size[1]), int(size[2])) if size else None

    def __str__(self) -> str:
        return f"{self.name}, {shots_name(self.shots)}"


def lines_of(results: Sequence[Results]) -> tuple[Line, ...]:
    """Return a line for each detector: zero-shot, or else at its lowest number of references."""
    return tuple(
        line
        for each, names in zip(results, detector_names(results), strict=True)
        for line in _lines(each, names)
    )


def _lines(results: Results, names: Mapping[str, str]) -> Iterator[Line]:
    for detector, name in names.items():
        cells = results.cells(detector=detector)
        if not cells:
            continue
        shots = min(cell["shots"] for cell in cells)
        first: dict[str, Mapping[str, Any]] = {}
        for cell in sorted(cells, key=lambda cell: cell["seed"] or 0):
            if cell["shots"] == shots:
                first.setdefault(cell["category"], cell)
        order = dict.fromkeys(cell["category"] for cell in cells)
        yield Line(name, results, shots, tuple(first[c] for c in order if c in first))


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

"""Several folders of results as one document.

A detector is the same in two folders if its parts, options, files and weights are; a category, if
its class name and its test images, labels and masks are. What has one name and is not the same is
named with its folder. Averages, intervals and comparisons of several folders are computed anew,
from the stored cells, as a bench computes them; those of a single folder are its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad_report.sources.joining import joined
from vlmad_report.sources.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results
    from vlmad_evaluation.bench.results import CellResult

    from vlmad_report.sources.source import Source

Names = dict[tuple[int, str], str]
"""From the number of a folder and a name in it to the name in the report."""
ALIKE = ("resolution", "replicates", "confidence")


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All that was measured."""

    document: Mapping[str, Any]
    """As docs/bench.md describes it, with the names of the report."""
    sources: tuple[Source, ...]
    detectors: Names
    categories: Names

    @property
    def baseline(self) -> str:
        """The detector that the others are compared with."""
        named = self.document.get("baseline")
        return str(next(iter(self.document["detectors"])) if named is None else named)

    @property
    def shots(self) -> list[int]:
        """The numbers of references with which something was measured."""
        return sorted({entry["shots"] for entry in self.document["averages"]})

    def metrics(self, shots: int, category: str | None = None) -> dict[str, Mapping[str, Any]]:
        """Return, for each detector that was measured, its metrics on a category or on average."""
        part = "averages" if category is None else "categories"
        found = {
            entry["detector"]: entry["metrics"]
            for entry in self.document[part]
            if entry["shots"] == shots and entry.get("category") == category
        }
        return {name: found[name] for name in self.document["detectors"] if name in found}

    def substance(self, detector: str) -> dict[str, Any]:
        """Return a detector's parts, options, weights and precision."""
        shown = self.detectors.items()
        number, name = next(place for place, each in shown if each == detector)
        return self.sources[number].substance(name)

    def original(self, category: str) -> str:
        """Return a category's name in its data set."""
        return next(name for (_, name), shown in self.categories.items() if shown == category)

    def stored(self, wanted: Callable[[str], bool] = lambda detector: True) -> list[CellResult]:
        """Return what the cells of some detectors were computed from.

        Raises:
            InputError: a cell's files are not there, or damaged.
        """
        found = []
        for source, cell, named in self.cells():
            if wanted(named["detector"]):
                result = source.stored(cell)
                facts = {name: named[name] for name in ("detector", "category")}
                found.append(replace(result, facts={**result.facts, **facts}))
        return found

    def cells(self) -> Iterator[tuple[Source, Mapping[str, Any], Mapping[str, Any]]]:
        """Yield each cell once: its source, as it is there, and with the names of the report."""
        seen = set()
        for number, source in enumerate(self.sources):
            for cell in source.document["cells"]:
                named = {
                    **cell,
                    "detector": self.detectors[number, cell["detector"]],
                    "category": self.categories[number, cell["category"]],
                }
                key = tuple(named[name] for name in ("detector", "category", "shots", "seed"))
                if key not in seen:
                    yield source, cell, named
                seen.add(key)


def pooled(results: Sequence[Results]) -> Pool:
    """Put folders together; the same folders again give the same object.

    Raises:
        InputError: a folder is damaged, or two were measured in ways that do not fit one table.
    """
    return _pooled(tuple(results))


@lru_cache(maxsize=1)
def _pooled(results: tuple[Results, ...]) -> Pool:
    once = {each.folder.resolve(): each for each in results}
    sources = tuple(open_source(each) for each in once.values())
    if not sources:
        raise InputError("no results: name the folder of a bench or a grid")
    _check_alike(sources)
    detectors = _names(sources, lambda s: s.document["detectors"], lambda s, n: s.identity(n))
    categories = _names(
        sources, lambda s: s.document["dataset"]["categories"], lambda s, n: s.truth(n)
    )
    first = Pool(sources[0].document, sources, detectors, categories)
    return first if len(sources) == 1 else replace(first, document=joined(first))


def _check_alike(sources: Sequence[Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        for name in ALIKE:
            pair = [source.document["settings"][name] for source in (first, other)]
            if pair[0] != pair[1]:
                raise InputError(
                    f"{first.results.folder} was measured with {name} {pair[0]}, "
                    f"{other.results.folder} with {pair[1]}: make a report of each"
                )


def _names(
    sources: Sequence[Source],
    names_of: Callable[[Source], Iterable[str]],
    identity: Callable[[Source, str], object],
) -> Names:
    """Name everything so that one name means one thing."""
    owners: dict[str, list[int]] = {}
    for number, source in enumerate(sources):
        for name in names_of(source):
            owners.setdefault(name, []).append(number)
    found: Names = {}
    for name, numbers in owners.items():
        first = identity(sources[numbers[0]], name) if len(numbers) > 1 else None
        same = all(identity(sources[number], name) == first for number in numbers[1:])
        for number in numbers:
            found[number, name] = name if same else f"{name} ({_label(sources, number)})"
    return found


def _label(sources: Sequence[Source], number: int) -> str:
    folders = [source.results.folder.resolve() for source in sources]
    ends = [folder.name for folder in folders]
    unique = ends.count(ends[number]) == 1
    return ends[number] if unique else str(sources[number].results.folder)

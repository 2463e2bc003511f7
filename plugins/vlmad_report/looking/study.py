"""Benches, looked at once for all analyses of images.

What is known of a defect comes from its image and mask alone, whatever a detector says; so the
classes are made first, and then each cell is looked at once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmad_report.looking.cells import lines_of
from vlmad_report.looking.classes import Classes, thirds
from vlmad_report.looking.defects import Defect, defect_of
from vlmad_report.looking.looks import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad import Sample
    from vlmad_report.looking.cells import Line
    from vlmad_report.looking.looks import Class, Look

CONTRASTS = ("low", "medium", "high")
SIZES = Classes(("small", "medium", "large"), (0.01, 0.05))
"""By the share of the image that is defective."""
CONTRAST, SIZE, DEFECT = "contrast", "size", "defect"


@dataclass(frozen=True, slots=True)
class Study:
    """What benches show of their images."""

    lines: tuple[Line, ...]
    looks: tuple[tuple[Look, ...], ...]
    """Of each line, in the order of its cells."""
    defects: Mapping[Sample, Defect | str]
    """Of each anomalous image, or why nothing is known."""
    contrasts: Classes | None
    """None if there is no defect with a mask."""
    sizes: Classes = SIZES
    limits_given: bool = False
    """Whether the limits of the contrasts do not come from the defects themselves."""

    def classes(self, kind: str) -> Classes | None:
        """Return the classes of contrast or size."""
        return self.contrasts if kind == CONTRAST else self.sizes

    def known(self) -> Iterator[tuple[Sample, Defect]]:
        """Yield the anomalous images whose contrast and size are known."""
        for sample, defect in self.defects.items():
            if isinstance(defect, Defect):
                yield sample, defect

    def class_of(self, kind: str, defect: Defect) -> str:
        """Return to which class of contrast or size a defect belongs."""
        classes = self.classes(kind)
        assert classes is not None
        return classes.name_of(defect.contrast if kind == CONTRAST else defect.share)

    def classes_of(self, sample: Sample) -> Iterator[Class]:
        """Yield all classes to which an anomalous image belongs."""
        yield DEFECT, sample.defect
        defect = self.defects.get(sample)
        if isinstance(defect, Defect):
            for kind in (CONTRAST, SIZE):
                yield kind, self.class_of(kind, defect)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, each once, and where."""
        places: dict[str, list[str]] = {}
        for line, looks in zip(self.lines, self.looks, strict=True):
            for each in looks:
                for problem in each.problems:
                    places.setdefault(problem, []).append(f"{line.name}, {each.category}")
        return tuple(
            f"{problem} ({where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''})"
            for problem, where in places.items()
        )


class Looking:
    """Makes the study of some results once, for all sections that are made of them."""

    def __init__(self) -> None:
        self._results: tuple[Results, ...] = ()
        self._study: Study | None = None

    def __call__(self, results: Sequence[Results]) -> Study:
        """Return the study, the one at hand if these are the same results."""
        same = len(results) == len(self._results)
        same = same and all(a is b for a, b in zip(results, self._results, strict=False))
        if self._study is None or not same:
            self._results, self._study = tuple(results), study(results)
        return self._study


def study(
    results: Sequence[Results],
    contrast_limits: tuple[float, float] | None = None,
    sizes: Classes = SIZES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Look at all images and maps of benches.

    Args:
        results: of benches or grids.
        contrast_limits: between low, medium and high, in CIELAB units; by default such that each
            holds a third of the defects.
        sizes: classes of the share of the image.
        progress: told how many images and cells are done.
    """
    lines = lines_of(results)
    samples = list(dict.fromkeys(s for each in results for s in each.samples if s.anomalous))
    total = len(samples) + sum(len(line.places) for line in lines)
    defects: dict[Sample, Defect | str] = {}
    for done, sample in enumerate(samples, start=1):
        defects[sample] = defect_of(sample)
        progress(done, total)
    contrasts = [d.contrast for d in defects.values() if isinstance(d, Defect)]
    classes = Classes(CONTRASTS, contrast_limits) if contrast_limits else None
    if classes is None and contrasts:
        classes = thirds(CONTRASTS, contrasts)
    given = contrast_limits is not None
    empty = Study(lines, (), defects, classes, sizes, given)
    looks: list[tuple[Look, ...]] = []
    for line in lines:
        looks.append(tuple(look(place, empty.classes_of) for place in line.places))
        progress(len(samples) + sum(map(len, looks)), total)
    return replace(empty, looks=tuple(looks))

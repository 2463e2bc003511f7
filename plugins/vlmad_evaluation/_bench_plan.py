"""What a bench measures: its detectors, and a cell for each category and draw of references."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from vlmad.detector import Detector
from vlmad.errors import InputError
from vlmad.files import digest
from vlmad_evaluation._saturated_overlap import find_config
from vlmad_evaluation.conditions import changes_of
from vlmad_evaluation.judged_parts import check_parts
from vlmad_evaluation.result_documents import SkippedEntry
from vlmad_run.learning_in_fit import LearnsAcross
from vlmad_run.part_options import recipe_name
from vlmad_run.references import draw_references

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from vlmad import Sample
    from vlmad.assembly import Assembly
    from vlmad.fitting import Chosen
    from vlmad_evaluation.conditions import Change
    from vlmad_evaluation.result_documents import BenchSettings
    from vlmad_run.choosing import Choice
    from vlmad_run.opening import OpenDataset


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One detector on one category with the references of one seed."""

    detector: str
    category: str
    class_name: str
    shots: int
    seed: int | None
    """None without references: there is nothing to draw."""
    samples: tuple[Sample, ...]
    references: tuple[Path, ...] = ()
    change: Change | None = None
    """What is done to the images before they are scored."""
    frame: Path | None = None
    """The reference to which all images are brought, if one is."""
    others: Mapping[str, tuple[Path, ...]] | None = None
    """Good images of all other categories, where the scorer learns across them."""

    def skip(self, reason: str) -> SkippedEntry:
        """Say that a part failed, so that there is no result."""
        if self.change is not None:
            reason = f"under {self.change.condition} {self.change.severity}: {reason}"
        return SkippedEntry(
            detector=self.detector,
            category=self.category,
            shots=self.shots,
            reason=reason,
            fault=True,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All cells, those of a category together, so that they share its features."""

    cells: tuple[Cell, ...]
    skipped: tuple[SkippedEntry, ...]

    @property
    def images(self) -> int:
        """How many times an image is scored."""
        return sum(len(cell.samples) for cell in self.cells)


def load_detectors(
    choice: Choice, names: Sequence[str] | None, references: bool | None
) -> dict[str, Detector]:
    """Assemble every detector; named parts and options hold for all of them.

    Args:
        choice: parts and options.
        names: recipes.
        references: whether every cell has references, or none has, which matters where nothing is
            named; None if only some have.
    """
    recipes: list[str | None] = [n for text in names or () for n in text.split(",") if n]
    detectors: dict[str, Detector] = {}
    backbones: list[Chosen] = []
    for recipe in recipes or [None]:
        detector = replace(choice, detector=recipe).load(references)
        name = recipe_name(detector.assembly)
        if name in detectors:
            raise InputError(f"detector '{name}' is named twice")
        shared = share_backbone(detector.assembly, backbones)
        detectors[name] = Detector(shared, str(detector.resizing), detector.reading)
    return detectors


def share_backbone(assembly: Assembly, backbones: list[Chosen]) -> Assembly:
    """Return an assembly with an equal backbone that is there already, so that it loads once."""
    own = assembly.parts["backbone"]
    for other in backbones:
        if (other.registration, other.options) == (own.registration, own.options):
            return replace(assembly, parts={**assembly.parts, "backbone": other})
    backbones.append(own)
    return assembly


def make_plan(
    dataset: OpenDataset,
    categories: Sequence[str],
    detectors: Mapping[str, Detector],
    settings: BenchSettings,
) -> Plan:
    """Lay out all cells: what a detector cannot do, or a category has no images for, is skipped."""
    skipped = [
        SkippedEntry(detector=name, category=None, shots=shots, reason=reason, fault=False)
        for name, detector in detectors.items()
        for shots in settings.shots
        if (reason := _why_not(detector, shots))
    ]
    not_able = {(each.detector, each.shots) for each in skipped}
    cells: list[Cell] = []
    for category in categories:
        drawn = _draws(dataset, category, settings, skipped)
        samples = measured_samples(dataset, [category], settings)
        check_parts(samples, settings)
        class_name = dataset.class_name(category)
        others = {n: _good(dataset, n) for n in dataset.categories if n != category}
        own = [
            Cell(
                name,
                category,
                class_name,
                shots,
                seed,
                without(samples, references),
                references,
                frame=references[0] if settings.align and references else None,
                others=others if isinstance(detectors[name].scorer, LearnsAcross) else None,
            )
            for name in detectors
            for shots, seed, references in drawn
            if (name, shots) not in not_able
        ]
        changes = changes_of(settings.conditions)
        cells += own + [replace(cell, change=change) for change in changes for cell in own]
    if not cells:
        raise InputError(f"nothing to measure: {skipped[0].reason}")
    return Plan(tuple(cells), tuple(skipped))


def measured_samples(
    dataset: OpenDataset, categories: Sequence[str], settings: BenchSettings
) -> tuple[Sample, ...]:
    """Return the test images of a bench, with the good train images if these join them."""
    spare = dataset.select(categories, "train") if settings.spare_good else ()
    return (*dataset.select(categories, "test"), *(s for s in spare if not s.anomalous))


def without(samples: Sequence[Sample], references: Collection[Path]) -> tuple[Sample, ...]:
    """Return the samples that are no train image of these."""
    return tuple(s for s in samples if s.split == "test" or s.image not in references)


def _why_not(detector: Detector, shots: int) -> str:
    scorer, references = detector.assembly.parts["scorer"], detector.scorer.references
    if shots and references == "none":
        return f"{scorer} makes no use of references"
    return "" if shots or references != "required" else f"{scorer} needs references"


def _draws(
    dataset: OpenDataset, category: str, settings: BenchSettings, skipped: list[SkippedEntry]
) -> list[tuple[int, int | None, tuple[Path, ...]]]:
    """Return shots, seed and references of all cells of a category, the same for all detectors."""
    train = _good(dataset, category)
    where = f"the train split of {category}"
    drawn: list[tuple[int, int | None, tuple[Path, ...]]] = []
    for shots in settings.shots:
        try:
            drawn += [
                (shots, seed, tuple(draw_references(train, shots, seed, where)))
                for seed in range(settings.seeds if shots else 0)
            ] or [(0, None, ())]
        except InputError as error:
            skipped.append(
                SkippedEntry(
                    detector=None, category=category, shots=shots, reason=str(error), fault=False
                )
            )
    return drawn


def _good(dataset: OpenDataset, category: str) -> tuple[Path, ...]:
    return tuple(s.image for s in dataset.select([category], "train") if not s.anomalous)


def content_digests(
    dataset: OpenDataset, categories: Sequence[str], progress: Progress
) -> dict[str, str]:
    """Return for each category a SHA-256 over images, masks, labels and splits."""
    samples = dataset.select(categories)
    hashes = {category: hashlib.sha256() for category in categories}
    once = cache(digest)  # one label file may be the mask of many images
    for sample in progress.track(samples, description="hashing"):
        line = "\t".join((sample.split, sample.label, sample.defect, *_contents(sample, once)))
        hashes[sample.category].update(line.encode("utf-8", "surrogatepass") + b"\n")
    configs = {sample.category: path for sample in samples if (path := find_config(sample))}
    for category, path in configs.items():
        hashes[category].update(digest(path).encode())
    return {category: total.hexdigest() for category, total in hashes.items()}


def _contents(sample: Sample, digest: Callable[[Path], str]) -> Iterator[str]:
    yield digest(sample.image)
    if sample.mask is None:
        yield "no mask"
    elif sample.mask.is_dir():
        yield from (digest(each) for each in sorted(sample.mask.iterdir()) if each.is_file())
    else:
        yield digest(sample.mask)

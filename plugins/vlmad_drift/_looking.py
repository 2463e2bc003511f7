"""From what was asked to a report: which images, what is usual of them, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_drift.drift_documents import DriftPoint, DriftReport
from vlmad_drift.drift_images import (
    DriftImage,
    check_same,
    in_order,
    is_run,
    of_files,
    of_ledgers,
    of_runs,
    scored,
)
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.drift_words import sentence
from vlmad_drift.quantities import QUANTITIES
from vlmad_drift.usual_images import Usual, references_of
from vlmad_formats.reading import Reading
from vlmad_line.ledger import is_database
from vlmad_run.choosing import Choice
from vlmad_run.finding import find_images
from vlmad_run.progress import bars
from vlmad_run.references import References, assemble_runnable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console

    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import Manifest


SEVERAL = (
    "the images were judged by several thresholds, perhaps of several detectors: scores of another "
    "detector mean something else"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was asked; see `vlmad_drift.cli`."""

    paths: Sequence[str]
    model: Path | None
    usual: Sequence[str]
    product: str | None
    alpha: float
    defects: float
    by_name: bool
    scores_only: bool
    seed: int


@dataclass(slots=True)
class _Known:
    """What is known so far: what scores, what is usual, and what is to be told."""

    manifest: Manifest | None = None
    detector: Runnable | None = None
    rises: bool = False
    """Whether the usual images are references, each scored by the others."""
    scoring: bool = False
    """Whether images have scores, or get them."""
    remarks: list[str] = field(default_factory=list)


def look(asked: Asked, errors: Console) -> DriftReport:
    """Watch images in their order, and report.

    Raises:
        InputError: a number or a path cannot be used, or scores are of different detectors.
    """
    if not 0 < asked.alpha < 1 or not 0 <= asked.defects < 1:
        raise InputError("--alpha takes a number between 0 and 1, --defects one from 0 to below 1")
    known = _Known()
    if asked.model is not None:
        known.detector = assemble_runnable(Choice(), References(model=asked.model))
        known.manifest = known.detector.describe()
    images = in_order(_images(asked, known, asked.paths), asked.by_name)
    with bars(errors) as progress:
        found = _usual(asked, known)
        complete = _complete(found, asked, known)
        usual = [*progress.track(complete, len(found), description="usual images")]
        seen = {image.sha256 for image in usual if image.sha256}
        rest = [image for image in images if image.sha256 is None or image.sha256 not in seen]
        new = progress.track(_complete(rest, asked, known), len(rest), description="looking")
        return _watched(asked, known, usual, new)


def _images(asked: Asked, known: _Known, paths: Sequence[str]) -> list[DriftImage]:
    """Return the images of runs, ledgers, or folders and files."""
    runs, ledgers = [is_run(path) for path in paths], [is_database(Path(path)) for path in paths]
    if any(each not in (0, len(paths)) for each in (sum(runs), sum(ledgers))):
        raise InputError("name runs, ledgers or photographs, one kind at once")
    if all(ledgers):
        images = of_ledgers(map(Path, paths))
        if len({image.threshold for image in images}) > 1:
            known.remarks.append(SEVERAL)
    elif all(runs):
        manifest, images = of_runs(paths)
        if known.manifest is not None:
            check_same(known.manifest, manifest, " ".join(paths))
        known.manifest = known.manifest or manifest
    else:
        reading = known.manifest and Reading.parse(known.manifest.identity.reading)
        images = of_files(find_images(paths), reading or Reading())
    known.scoring |= known.manifest is not None or any(each.score is not None for each in images)
    return _of_product(images, asked.product)


def _of_product(images: list[DriftImage], product: str | None) -> list[DriftImage]:
    names = sorted({image.product for image in images} - {""})
    if product is None:
        if len(names) > 1:
            raise InputError(f"there are {', '.join(names)}: choose one with --product NAME")
        return images
    found = [image for image in images if image.product == product]
    if not found:
        raise InputError(f"no image is of '{product}'; there are {', '.join(names) or 'none'}")
    return found


def _usual(asked: Asked, known: _Known) -> list[DriftImage]:
    """Return the usual images that are named, or else the references of a fitted detector."""
    if asked.usual:
        return _images(asked, known, asked.usual)
    known.rises = True
    return references_of(known.manifest) if known.manifest else []


def _complete(images: list[DriftImage], asked: Asked, known: _Known) -> Iterator[DriftImage]:
    """Yield images with what is still to be found out of them."""
    lacking = all(image.score is None and not image.failure for image in images)
    found = scored(images, known.detector) if lacking and known.detector else iter(images)
    for image in found:
        yield image if asked.scores_only or image.failure else image.measured()


def _watched(
    asked: Asked, known: _Known, usual: list[DriftImage], new: Iterable[DriftImage]
) -> DriftReport:
    quantities = [
        n for n in QUANTITIES if (known.scoring if n == "score" else not asked.scores_only)
    ]
    if not quantities:
        raise InputError("--scores-only of photographs needs --model FILE, which scores them")
    passed = _references(known)
    counting = usual if known.rises else [each for each in usual if each.sha256 not in passed]
    beside = Usual.of(counting, quantities, known.rises)
    known.remarks += beside.remarks
    watch = DriftWatch(
        beside.values, quantities, alpha=asked.alpha, defects=asked.defects, seed=asked.seed,
        rises=beside.rises,
    )  # fmt: skip
    failures = [image.failure for image in usual if image.failure]
    points, unseen = list[DriftPoint](), 0
    for image in new:
        failures += [image.failure] if image.failure else []
        if not image.values or image.sha256 in passed:
            continue
        unseen += not image.statistics
        watch.see(str(image.path), image.at, image.values)
        points.append(_point(watch))
    if unseen and not asked.scores_only:
        known.remarks.append(f"of {unseen} images the files are not to be had: only their scores")
    return DriftReport(
        drift=bool(watch.alarms), words=sentence(watch), alpha=asked.alpha, defects=asked.defects,
        needed=watch.needed, usual={name: len(beside.values.get(name, ())) for name in quantities},
        images=watch.images, alarms=watch.alarms, shifts=watch.shifts(), remarks=known.remarks,
        failures=failures, points=points,
    )  # fmt: skip


def _references(known: _Known) -> set[str]:
    return {each.sha256 for each in known.manifest.references} if known.manifest else set()


def _point(watch: DriftWatch) -> DriftPoint:
    last = watch.recent[-1]
    return DriftPoint(
        image=last.image, at=last.at, values=last.values, p_values=watch.p_values,
        evidence=watch.evidence,
    )  # fmt: skip

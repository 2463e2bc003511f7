"""What is usual: the good images that those to come are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad_drift.drift_images import DriftImage
from vlmad_drift.drift_watch import DriftWatch
from vlmad_drift.quantities import QUANTITIES
from vlmad_formats.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from vlmad_run.manifest import Manifest

LEAST_USUAL = 10
"""Fewer usual values tell too little of how much good parts differ."""
LEFT_OUT = (
    "of the scores only a rise counts: the usual ones are of references, each judged by the "
    "others, and tend to be higher than those of new images; --usual takes good images of their own"
)


@dataclass(frozen=True, slots=True)
class Usual:
    """Usual values by quantity, those that are enough."""

    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rises: tuple[str, ...] = ()
    """Of which quantities they tend to be higher than those of new images."""
    remarks: tuple[str, ...] = ()
    """What cannot be told for want of more."""

    @classmethod
    def of(
        cls, images: Iterable[DriftImage], quantities: Collection[str], rises: bool = False
    ) -> Usual:
        """Take what is known of images; `rises` says that their scores tend to be higher."""
        known = list(images)
        found = {
            name: [each.values[name] for each in known if name in each.values]
            for name in quantities
        }
        few = {name: len(own) for name, own in found.items() if len(own) < LEAST_USUAL}
        enough = {name: own for name, own in found.items() if name not in few}
        told = [LEFT_OUT] if rises and "score" in enough else []
        told += [_too_few(few)] if few else []
        return cls(enough, ("score",) if rises and "score" in enough else (), tuple(told))


def _too_few(few: Mapping[str, int]) -> str:
    most, names = max(few.values()), ", ".join(few)
    if most == 0:
        had = f"there is nothing usual to compare with (of {names})"
    else:
        had = f"{most} usual images tell too little, {LEAST_USUAL} are wanted (of {names})"
    return f"{had}: only changes among the images that come are found"


def references_of(manifest: Manifest) -> list[DriftImage]:
    """Return the references of a fitted detector as usual images, not yet measured.

    Their scores are those by the others. There are none where those are not known, or are of a
    single reference's crops and light.
    """
    good = manifest.good
    if good is None or good.how != "left out":
        return []
    reading = Reading.parse(manifest.identity.reading)
    files = [
        DriftImage(Path(manifest.folder, each.path), 0.0, each.sha256, reading=reading)
        for each in manifest.references
    ]
    if len(files) != len(good.scores):
        return files
    pairs = zip(files, good.scores, strict=True)
    return [replace(file, score=score) for file, score in pairs]


def watch_for(
    manifest: Manifest, quantities: Collection[str] = tuple(QUANTITIES)
) -> tuple[DriftWatch, tuple[str, ...]]:
    """Return what watches the images of a fitted detector, and what is to be known of it.

    Reads its references, where they are still there, unless scores alone are watched.
    """
    images = references_of(manifest)
    if set(quantities) != {"score"}:
        images = [each.measured() for each in images]
    usual = Usual.of(images, quantities, rises=True)
    return DriftWatch(usual.values, quantities, rises=usual.rises), usual.remarks

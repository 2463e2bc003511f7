"""The products of a line: each a detector that is ready, and from which score on it says NG."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from vlmad.errors import InputError
from vlmad.images import Source
from vlmad_run.leaving_out import automatic_threshold, p_value, threshold_of
from vlmad_run.picked_product import ProductResult
from vlmad_run.products import ProductLine
from vlmad_run.references import Assembled, assemble_runnable
from vlmad_run.thresholds import read_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.types import Result
    from vlmad_formats.reading import Reading
    from vlmad_run.choosing import Choice
    from vlmad_run.identity import Identity
    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import GoodScores, Manifest
    from vlmad_run.references import References
    from vlmad_run.thresholds import Threshold

GREY = Image.new("RGB", (64, 64), (128, 128, 128))
"""An image to try a detector on, so that the first of a part is as quick as all others."""


@dataclass(frozen=True, slots=True)
class LineProduct:
    """What judges the images of a product, or of several that it tells apart itself."""

    name: str
    detector: Runnable
    manifest: Manifest
    """What the detector is, and the threshold that was given."""
    threshold: Threshold | None
    """The one that was given, or that of the references; of several products only a given one."""
    notes: Sequence[str] = field(default=())
    """What was chosen for the user, to be printed."""

    @property
    def identity(self) -> Identity:
        """What its scores and verdicts depend on."""
        return self.manifest.identity

    @property
    def digest(self) -> str:
        """A short name for its identity; another detector or threshold has another."""
        return hashlib.sha256(self.identity.to_json()).hexdigest()[:16]

    @property
    def scoring(self) -> str:
        """A short name for what its scores depend on; another threshold has the same."""
        own = self.identity.model_copy(update={"threshold": None})
        return hashlib.sha256(own.to_json()).hexdigest()[:16]

    @property
    def judges(self) -> bool:
        """Whether there is a threshold for whatever it is shown."""
        by_itself = isinstance(self.detector, ProductLine) and self.detector.judges
        return self.threshold is not None or by_itself

    @property
    def thresholds_differ(self) -> bool:
        """Whether each of several products in its file is judged by a threshold of its own."""
        return self.threshold is None and isinstance(self.detector, ProductLine)

    @property
    def reading(self) -> Reading | None:
        """How it reads images, where their files leave that open."""
        found: object = self.detector
        if isinstance(found, ProductLine):
            found = next(iter(found.products.values())).assembled
        found = found.detector if isinstance(found, Assembled) else found
        return getattr(found, "reading", None)  # an engine of another kind has none

    def manifest_of(self, picked: str) -> Manifest:
        """Return what the detector is of one of several products, or of the only one."""
        found: object = self.detector
        if isinstance(found, ProductLine) and picked in found.products:
            return found.only(picked).describe()
        return self.manifest

    @property
    def good_scores(self) -> list[float]:
        """What good references score, where it is known; of several products those of all."""
        found: object = self.detector
        several = found.products.values() if isinstance(found, ProductLine) else ()
        known = [each.assembled.good for each in several] or [self.manifest.good]
        return [score for good in known if good for score in good.scores]

    def limit(self, result: Result) -> Threshold | None:
        """Return the threshold for an image: that of the product which it shows."""
        good = self._good(result)
        if self.threshold is None and good and isinstance(self.detector, ProductLine):
            return automatic_threshold(good)
        return self.threshold

    def p_value(self, result: Result, score: float) -> float | None:
        """Return the share of good references that score at least as much, where it is known."""
        good = self._good(result)
        return p_value(score, good.scores) if good else None

    def _good(self, result: Result) -> GoodScores | None:
        if isinstance(result, ProductResult):
            return result.picked.good if result.picked else None
        return self.manifest.good


def open_product(
    choice: Choice, references: References, threshold: str | None = None, name: str = ""
) -> LineProduct:
    """Load a detector for a line, and try it on a grey image.

    Args:
        choice: its parts, or what of them goes with a model file.
        references: the model file, or what the parts are fitted on.
        threshold: a number or a file; by default that of the fitted file's references.
        name: what the line calls it; by default the model file's name, or what the images show.

    Raises:
        VlmadError: it cannot be loaded, scores images only together with others, or the threshold
            is of another detector.
    """
    detector = assemble_runnable(choice, references)
    if detector.together:
        needs = "choose one that judges an image by itself, or by references"
        raise InputError(f"this detector compares the images of a set with each other; {needs}")
    chosen = None if threshold is None else read_threshold(threshold)
    manifest = detector.describe(threshold=chosen.value if chosen else None)
    known = chosen.check(manifest.identity) if chosen else []
    if chosen is None:
        chosen = threshold_of(detector)
    if chosen is not None:
        identity = manifest.identity.model_copy(update={"threshold": chosen.value})
        manifest = manifest.model_copy(update={"identity": identity})
    deque(detector.stream([Source("a grey image", GREY)], 1), maxlen=0)  # type: ignore[list-item]
    named = name or (references.model.stem if references.model else detector.class_name)
    return LineProduct(named, detector, manifest, chosen, tuple([*detector.notes, *known]))

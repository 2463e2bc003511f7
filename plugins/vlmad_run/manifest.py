"""What a run is, and what is needed to repeat it.

The identity is what the scores depend on: parts with their options and versions, weights,
preprocessing, class name, references and threshold. Two commands of one identity are the same
run, however they are worded; where a file is an option, its content counts and not its name.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue
from pydantic_core import to_jsonable_python

from vlmad.files import digest
from vlmad.types import Level
from vlmad_documents.documents import Document, FileName
from vlmad_formats.reading import Reading
from vlmad_run.differences import differences
from vlmad_run.memory_documents import ProductIdentity, ReferenceView, RegionMask
from vlmad_run.part_options import NOT_SUBSTANCE, content_of, file_digests, options_in_full
from vlmad_run.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad.assembly import Chosen
    from vlmad.detector import Detector

MANIFEST = "manifest.json"
LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")


class PartIdentity(Document):
    """A part, where it is from, and its options; for files their hashes stand."""

    name: str = Field(min_length=1)
    distribution: str = Field(min_length=1)
    version: str
    options: dict[str, JsonValue]


class Identity(Document):
    """What the scores and verdicts of a detector depend on."""

    parts: dict[str, PartIdentity]
    weights_sha256: str
    precision: str
    preprocessing: dict[str, JsonValue]
    resize: str
    reading: str = "auto"
    """How files are read that leave it open (`vlmad_formats.reading.Reading`)."""
    align: str | None = None
    """What images are brought to, and how (`vlmad.resizing.Fixture.digest`)."""
    class_name: str
    sentences_sha256: str | None
    """Of the sentences in use; None where images change them or there are none."""
    references_sha256: list[str]
    inside_sha256: str | None = None
    """Of the region of interest; None where whole images count."""
    products: dict[str, ProductIdentity] = Field(default_factory=dict)
    """Of a detector of several, by name."""
    misses_sha256: list[str] = Field(default_factory=list)
    """Of anomalous images that it has learned from."""
    threshold: float | None

    def differences(self, now: Identity, threshold: bool = True) -> list[str]:
        """Return in what another one differs, as ``place (this, now that)``."""
        was = self if threshold else self.model_copy(update={"threshold": now.threshold})
        return differences(was.model_dump(), now.model_dump())


class Reference(Document):
    """An image that a detector was fitted on."""

    path: FileName
    sha256: str


class GoodScores(Document):
    """Scores of good images that were not remembered when they were judged."""

    scores: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(min_length=1)
    how: Literal["left out", "changed"]
    """`left out`: each reference by the others; `changed`: crops and light of a single one."""


class RunResult(Document):
    """What came of a run so far."""

    finished: bool
    images: int = 0
    done: int = 0
    failed: int = 0
    anomalous: int = 0
    unknown: int = 0
    """Of none of the products, where there are several."""
    seconds: float = 0.0


class Manifest(Document):
    """What a run or a fitted detector is, and what is needed to repeat it."""

    format: Literal["vlmad run 2"] = "vlmad run 2"
    vlmad: str
    """The version that wrote it."""
    created: str
    recipe: str
    identity: Identity
    options: dict[str, dict[str, JsonValue]]
    """All options of all parts, by kind, files under their whole names."""
    files: dict[str, str]
    """The SHA-256 of each file that is an option, by ``kind.option``."""
    backbone: str
    licence: str
    device: str
    references: list[Reference]
    views: list[ReferenceView] = Field(default_factory=list)
    """How each of them is remembered besides as it is."""
    region: RegionMask | None = None
    """What counts of each image, if not all does and it is not in `model`."""
    misses: list[Reference] = Field(default_factory=list)
    """Anomalous images that it has learned from."""
    folder: FileName
    """Where the command was given: relative names start from there."""
    libraries: dict[str, str | None]
    python: str
    platform: str
    command: list[FileName] = Field(default_factory=list)
    images_sha256: str | None = None
    """Of the whole names of all images of the command."""
    model: FileName | None = None
    """The file that the detector was read from, if it was not chosen by parts."""
    model_sha256: str | None = None
    seed: int = 0
    """By which the references were drawn."""
    good: GoodScores | None = None
    """Of the references of a fitted detector: what thresholds and p-values are made of."""
    left_out: list[Reference] = Field(default_factory=list)
    """References that it was not fitted on, because they may show a defect."""
    passed_over: list[PassedOver] = Field(default_factory=list)
    """What was passed over where its images, or those of a fitted detector, were looked for."""
    result: RunResult | None = None


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a run folder, or None if there is none.

    Raises:
        InputError: it cannot be read, is damaged, or is of another version or thing.
    """
    path = folder / MANIFEST
    return Manifest.read(path) if path.exists() else None


def reading_of(folder: Path) -> Reading:
    """Return how the images of a run folder were read; by default where nothing says so.

    Raises:
        InputError: its manifest is damaged.
    """
    manifest = read_manifest(folder)
    return Reading() if manifest is None else Reading.parse(manifest.identity.reading)


def identity(
    detector: Detector,
    class_name: str,
    references: Sequence[Reference] = (),
    threshold: float | None = None,
    misses: Sequence[Reference] = (),
) -> Identity:
    """Return what the scores and verdicts of a detector depend on (loads the weights).

    Raises:
        WeightsError: the weights cannot be loaded.
        InputError: a file that is an option cannot be read.
    """
    backbone = detector.backbone
    return Identity(
        parts={kind: _part(chosen) for kind, chosen in detector.assembly.parts.items()},
        weights_sha256=_weights_digest(detector),
        precision=getattr(backbone, "precision", "float32"),
        preprocessing=to_jsonable_python(backbone.spec.preprocessing),
        resize=str(detector.resizing),
        reading=str(detector.reading or Reading()),
        align=None if detector.fixture is None else detector.fixture.digest,
        class_name=class_name.replace("_", " "),  # as prompts read it
        sentences_sha256=_sentences_digest(detector, class_name),
        references_sha256=[reference.sha256 for reference in references],
        inside_sha256=getattr(detector.inside, "sha256", None),
        misses_sha256=[miss.sha256 for miss in misses],
        threshold=threshold,
    )


def _weights_digest(detector: Detector) -> str:
    """Return that of the backbone, and of what levels that are asked for have beside it."""
    own, levels = detector.backbone.weights_hash, detector.backbone.spec.levels
    asked = [levels[r.name] for r in detector.requests() if isinstance(r, Level)]
    others = sorted({level.identity for level in asked} - {""})
    together = " ".join([own, *others])
    return hashlib.sha256(together.encode()).hexdigest() if others else str(own)


def describe_run(
    detector: Detector,
    class_name: str,
    references: Sequence[Reference] = (),
    threshold: float | None = None,
    *,
    misses: Sequence[Reference] = (),
    images: Iterable[Path] | None = None,
    model: Path | None = None,
    seed: int = 0,
) -> Manifest:
    """Describe a detector, what it is or will be fitted on, and its surroundings.

    Loads the weights; raises what `identity` does.
    """
    options = options_in_full(detector)
    return Manifest(
        vlmad=version("vlmad"),
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        recipe=detector.assembly.recipe.name,
        identity=identity(detector, class_name, references, threshold, misses),
        options=options,
        files=file_digests(options),
        backbone=detector.backbone.spec.name,
        licence=detector.backbone.spec.licence,
        device=str(getattr(detector.backbone, "device", "unknown")),
        references=list(references),
        misses=list(misses),
        views=[ReferenceView(degrees=v.degrees, mirrored=v.mirrored) for v in detector.views],
        region=_region_mask(detector.inside),
        folder=os.getcwd(),
        libraries={name: version(name) for name in LIBRARIES},
        python=platform.python_version(),
        platform=platform.platform(),
        command=sys.argv[1:],
        images_sha256=None if images is None else digest_of_names(images),
        model=None if model is None else os.path.abspath(model),
        model_sha256=None if model is None else digest(model),
        seed=seed,
    )


def _region_mask(inside: object) -> RegionMask | None:
    file = getattr(inside, "file", None)
    if file is None:
        return None
    marks = bool(getattr(inside, "ignored", False))
    return RegionMask(path=os.path.abspath(file), sha256=digest(file), ignored=marks)


def digest_of_names(images: Iterable[Path]) -> str:
    """Return the SHA-256 of the whole names of images."""
    text = "\0".join(os.path.abspath(image) for image in images)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _sentences_digest(detector: Detector, class_name: str) -> str | None:
    changing = detector.prompts is not None and detector.prompts.looks_at_image
    text = None if changing else detector.text(class_name, None)
    if text is None:
        return None
    return hashlib.sha256("\n".join(text.sentences).encode("utf-8", "surrogatepass")).hexdigest()


def _part(chosen: Chosen) -> PartIdentity:
    registration = chosen.registration
    left_out = NOT_SUBSTANCE.get(registration.kind, ())
    options = {name: value for name, value in chosen.options.items() if name not in left_out}
    return PartIdentity(
        name=registration.name,
        distribution=registration.distribution,
        version=registration.version,
        options={name: content_of(value) for name, value in options.items()},
    )

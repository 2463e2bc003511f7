"""What a run is (its identity, see `vlmad_run.identity`), and what is needed to repeat it."""

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

from vlmad.files import digest
from vlmad_documents.documents import Document, FileName
from vlmad_formats.reading import Reading
from vlmad_run.identity import Identity, identity
from vlmad_run.memory_documents import Reference, ReferenceView, RegionMask
from vlmad_run.part_options import file_digests, options_in_full, recipe_name
from vlmad_run.passed_over import PassedOver
from vlmad_run.shards import Shard
from vlmad_run.walking import whole_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad.detector import Detector

MANIFEST = "manifest.json"
LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")


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
    shard: Shard | None = None
    """Which images of a longer list it is a run of, if it is one of several."""
    overlays: Literal["all", "anomalous", "none"] | None = None
    """Of a shard: which pictures are drawn when all are merged."""
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
        recipe=recipe_name(detector.assembly),
        identity=identity(detector, class_name, references, threshold, misses),
        options=options,
        files=file_digests(options),
        backbone=detector.backbone.spec.name,
        licence=detector.backbone.spec.licence,
        device=str(getattr(detector.backbone, "device", "cpu")),
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


def described_anew(
    before: Manifest, identity: Identity, images: Iterable[Path] | None, model: Path, sha256: str
) -> Manifest:
    """Describe here and now what an engine opened that was described when it was made.

    Args:
        before: that description.
        identity: what scores depend on now.
        images: of the command.
        model: the file, and its digest.
        sha256: see `model`.
    """
    here = {"folder": os.getcwd(), "vlmad": version("vlmad"), "command": sys.argv[1:]}
    references = [
        each.model_copy(update={"path": str(Path(before.folder, each.path))})
        for each in before.references
    ]
    return before.model_copy(
        update={
            **here,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "identity": identity,
            "device": "cpu",
            "references": references,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "images_sha256": None if images is None else digest_of_names(images),
            "model": os.path.abspath(model),
            "model_sha256": sha256,
            "result": None,
        }
    )


def _region_mask(inside: object) -> RegionMask | None:
    file = getattr(inside, "file", None)
    if file is None:
        return None
    marks = bool(getattr(inside, "ignored", False))
    return RegionMask(path=os.path.abspath(file), sha256=digest(file), ignored=marks)


def digest_of_names(images: Iterable[str | Path]) -> str:
    """Return the SHA-256 of the whole names of images."""
    text = "\0".join(whole_name(image) for image in images)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

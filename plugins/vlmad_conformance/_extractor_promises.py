"""What an extractor promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vlmad.parts import ATTENTION, CELLS, CLASS_TOKEN, PATCHES, REGIONS
from vlmad.regions import coverage, patch_cells
from vlmad.types import ClassToken, Features, ImageBatch, Patches, Regions
from vlmad_conformance import _promises_alike as alike
from vlmad_conformance._small_backbone import OnlyOffers, SmallBackbone
from vlmad_conformance._vision_promises import Doubled
from vlmad_conformance.examples import UsualAttention, example_images
from vlmad_conformance.facts import counted, differ, given, require, require_tensor
from vlmad_conformance.promises import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmad.types import BackboneSpec, Request, VisualFeatures
    from vlmad_conformance.promises import Subject

SINGLE = "it lists 'patch features' in gives, but its regions are larger"


@dataclass(frozen=True)
class Extraction(alike.Trial):
    """An extractor on a backbone that offers nothing but what it needs; images have numbers."""

    called = "the extractor"
    backbone: OnlyOffers
    attention: Any
    class_token: Any

    def requests(self) -> list[Request]:
        """Return what it asks for."""
        return list(self.part.requests(self.backbone.spec, self.attention, self.class_token))

    def batch(self) -> ImageBatch:
        """Return the images themselves."""
        sources = example_images(1 + max(self.images)).sources
        return ImageBatch(tuple(sources[number] for number in self.images))

    @cached_property
    def visual(self) -> VisualFeatures:
        """The answers."""
        return self.backbone.encode(self.batch(), self.requests(), self.attention)

    def answer(self) -> Features:
        return self.part(self.visual)  # type: ignore[no-any-return]

    def beside(self) -> tuple[Any, ...]:
        return (self.visual,)

    def others(self) -> Iterator[Extraction]:
        other = replace(self, images=torch.tensor([3, 4]))
        yield other
        if isinstance(self.backbone.backbone, SmallBackbone):
            yield replace(other, backbone=OnlyOffers(SmallBackbone((2, 7)), self.backbone.words))

    def __str__(self) -> str:
        images, (rows, columns) = counted(len(self.images), "image"), self.backbone.spec.grid
        ways = f"class token {self.class_token}, attention {self.attention.path}"
        return f"{images} of {rows} x {columns} patches, {ways}"


def _extractions(count: int) -> Callable[[Subject], Iterator[Extraction]]:
    """Return trials on a square and a wide backbone, with either class token and either path."""

    def trials_of(subject: Subject) -> Iterator[Extraction]:
        known = [SmallBackbone((4, 4)), SmallBackbone((3, 5))]
        for backbone in [subject.backbone] if subject.backbone else known:
            make = partial(subject.made_for, backbone)
            part, beside = make(), UsualAttention("beside", 1)
            for way in (UsualAttention(), beside) if PATCHES in part.gives else (UsualAttention(),):
                words = part.needs | ({ATTENTION} if way is beside else set())
                for token in ("normed", "raw"):
                    offers = OnlyOffers(backbone, words)
                    yield Extraction(make, part, torch.arange(count), offers, way, token)

    return trials_of


@each(_extractions(1))
def asks(trial: Extraction) -> None:
    """It asks for the same again, for nothing twice, and for nothing but what it needs."""
    asked, again = trial.requests(), trial.requests()
    require(asked == again, "it asks for something else when asked again")
    require(len(set(asked)) == len(asked), "it asks for the same thing twice")
    trial.backbone.encode(trial.batch(), asked, trial.attention)


@each(_extractions(1))
def arranges(trial: Extraction) -> None:
    """Its regions are finite, lie on the grid, and cover it; it gives what it lists in `gives`."""
    for each_trial in (trial, replace(trial, images=torch.arange(3))):
        with given(str(each_trial)):
            _check(each_trial.answer(), each_trial)


def _check(features: Features, trial: Extraction) -> None:
    count, spec = len(trial.images), trial.backbone.spec
    require(isinstance(features, Features), "it must return vlmad.Features")
    require(features.grid == spec.grid, "its features have another grid than the backbone")
    size = spec.preprocessing.size
    require(features.image_size == size, "its features have another image size than the backbone")
    names = [regions.name for regions in features.regions]
    require(len(set(names)) == len(names), f"two of its regions have the same name: {names}")
    require_tensor(features.image, (count, features.image.shape[-1]), "image")
    for regions in features.regions:
        _check_regions(regions, count, regions.grid or spec.grid)
    _check_gives(features, trial.part.gives, spec)


def _check_regions(regions: Regions, images: int, grid: tuple[int, int]) -> None:
    count, width = regions.embeddings.shape[-2:]
    require_tensor(regions.embeddings, (images, count, width), regions.name)
    cells = regions.cells
    require(tuple(cells.shape) == (count, 4), f"{regions.name}: cells must be (r, 4)")
    whole = not (cells.is_floating_point() or cells.is_complex() or cells.dtype == torch.bool)
    require(whole, f"{regions.name}: cells are {cells.dtype}, not integers")
    top_left, bottom_right = cells.split(2, dim=1)
    inside = (top_left >= 0).all() and (bottom_right <= torch.tensor(grid)).all()
    require(bool(inside and (top_left < bottom_right).all()), f"{regions.name} leaves the grid")
    covered = bool((coverage(cells, grid).sum(0) > 0).all())
    require(covered, f"{regions.name} leaves cells of the grid uncovered")


def _check_gives(features: Features, gives: frozenset[str], spec: BackboneSpec) -> None:
    if CLASS_TOKEN in gives:
        require_tensor(features.image, (len(features), spec.embedding_dim), "image")
    said = REGIONS in gives or not features.aligned
    require(said, "it gives regions in the space of the text, but does not list 'regions' in gives")
    for word in {REGIONS, PATCHES} & gives:
        require(bool(features.aligned), f"it lists '{word}' in gives, but has none aligned")
    for regions in features.aligned:
        aligned = regions.embeddings.shape[-1] == spec.embedding_dim
        require(aligned, f"{regions.name} is not in the space of the text")
        sides = regions.cells[:, 2:] - regions.cells[:, :2]
        require(PATCHES not in gives or bool((sides == 1).all()), SINGLE)
    if CELLS in gives:
        grids = [regions.grid for regions in features.regions if not regions.aligned]
        require(bool(grids) and None not in grids, "it lists 'cells of levels', but gives no grid")
        for regions in features.regions:
            whole = regions.grid is not None and torch.equal(
                regions.cells.cpu(), patch_cells(regions.grid)
            )
            require(whole, f"it lists 'cells of levels', but {regions.name} is no whole level")


@each(_extractions(2))
def gives_the_class_token(trial: Extraction) -> None:
    """What it lists as class token is the backbone's own, normed or raw as prompts want it."""
    if CLASS_TOKEN not in trial.part.gives:
        return
    token = ClassToken(trial.class_token == "normed")
    own = trial.backbone.encode(trial.batch(), [token], trial.attention)[token]
    same = bool((F.cosine_similarity(trial.answer().image, own) > 0.999).all())
    wanted = f"the class token that is asked for, the {trial.class_token} one"
    require(same, f"it lists 'class token' in gives, but its image is not {wanted}")


@each(_extractions(1))
def reads_the_second_path(trial: Extraction) -> None:
    """What it lists as patch features is read from the second path where attention writes one."""
    if PATCHES not in trial.part.gives or trial.attention.path != "beside":
        return
    depth = trial.backbone.spec.depth  # a second path that begins at the first block
    usual, twice = (replace(trial, attention=a("beside", depth)) for a in (UsualAttention, Doubled))
    ways = [r for r in usual.requests() if isinstance(r, Patches) and r.path == "beside"]
    pairs = zip(usual.answer().aligned, twice.answer().aligned, strict=True)
    changed = any(differ(one, two) for one, two in pairs)
    read = bool(ways) and (changed or all(r.layer == 0 for r in ways))
    require(read, "it lists 'patch features' in gives, but ignores the second path")


@each(_extractions(1))
def uses_the_image(trial: Extraction) -> None:
    """Another image has other features."""
    other = replace(trial, images=torch.tensor([1]))
    require(differ(other.answer(), trial.answer()), "another image has the same features")


PROMISES = (
    (asks, arranges, each(_extractions(1))(alike.is_quick)),
    (
        gives_the_class_token,
        reads_the_second_path,
        uses_the_image,
        each(_extractions(2))(alike.repeats),
        each(_extractions(2))(alike.takes_each_image_alone),
        each(_extractions(2))(alike.keeps_no_state),
    ),
)

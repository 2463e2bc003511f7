"""What an extractor promises."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F

from vlmad.parts import ATTENTION, CELLS, CLASS_TOKEN, PATCHES, REGIONS
from vlmad.regions import coverage, patch_cells
from vlmad.types import ClassToken, Features, Patches, Regions
from vlmad_conformance._small_backbone import OnlyOffers, SmallBackbone
from vlmad_conformance.examples import UsualAttention, example_images
from vlmad_conformance.facts import (
    differ,
    given,
    require,
    require_close,
    require_pure,
    require_quick,
    require_tensor,
    require_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.types import BackboneSpec, ImageBatch, VisualFeatures
    from vlmad_conformance.promises import Subject


class Extraction(NamedTuple):
    """An extractor on a backbone that offers nothing but what it needs."""

    extractor: Any
    backbone: Any
    attention: Any
    class_token: Any

    def encode(self, batch: ImageBatch) -> VisualFeatures:
        """Ask for what it wants."""
        spec = self.backbone.spec
        requests = list(self.extractor.requests(spec, self.attention, self.class_token))
        return self.backbone.encode(batch, requests, self.attention)  # type: ignore[no-any-return]

    def shown(self, batch: ImageBatch) -> str:
        """Return in words what it is tried with."""
        rows, columns = self.backbone.spec.grid
        images = "1 image" if len(batch) == 1 else f"{len(batch)} images"
        token, path = self.class_token, self.attention.path
        return f"{images} of {rows} x {columns} patches, class token {token}, attention {path}"


def _extractions(subject: Subject) -> Iterator[Extraction]:
    """Yield it on a square and a wide backbone, with either class token and either path."""
    known = [SmallBackbone((4, 4)), SmallBackbone((3, 5))]
    for backbone in [subject.backbone] if subject.backbone else known:
        extractor = subject.made_for(backbone)
        paths = ["stream", "beside"] if PATCHES in extractor.gives else ["stream"]
        for path in paths:
            attention = UsualAttention(path, 1 if path == "beside" else 0)  # type: ignore[arg-type]
            words = extractor.needs | ({ATTENTION} if path == "beside" else set())
            for token in ("normed", "raw"):
                yield Extraction(extractor, OnlyOffers(backbone, words), attention, token)


def asks(subject: Subject) -> None:
    """It asks for the same again, for nothing twice, and for nothing but what it needs."""
    for each in _extractions(subject):
        batch = example_images(1)
        with torch.inference_mode(), given(each.shown(batch)):
            spec = each.backbone.spec
            asked = [
                list(each.extractor.requests(spec, each.attention, each.class_token))
                for _ in range(2)
            ]
            require(asked[0] == asked[1], "it asks for something else when asked again")
            require(len(set(asked[0])) == len(asked[0]), "it asks for the same thing twice")
            each.encode(batch)


def arranges(subject: Subject) -> None:
    """Its regions are finite, lie on the grid, and cover it; it gives what it lists in `gives`."""
    for each in _extractions(subject):
        for count in (1, 3):
            batch = example_images(count)
            with torch.inference_mode(), given(each.shown(batch)):
                visual = each.encode(batch)
                features = each.extractor(visual)
                _check_features(features, count, each.backbone.spec)
                _check_gives(features, each.extractor.gives, each.backbone.spec)


def _check_features(features: Features, count: int, spec: BackboneSpec) -> None:
    require(isinstance(features, Features), "it must return vlmad.Features")
    require(features.grid == spec.grid, "its features have another grid than the backbone")
    size = spec.preprocessing.size
    require(features.image_size == size, "its features have another image size than the backbone")
    names = [regions.name for regions in features.regions]
    require(len(set(names)) == len(names), f"two of its regions have the same name: {names}")
    require_tensor(features.image, (count, features.image.shape[-1]), "image")
    require_type(features.image, torch.float32, "image")
    for regions in features.regions:
        _check_regions(regions, count, regions.grid or spec.grid)


def _check_regions(regions: Regions, images: int, grid: tuple[int, int]) -> None:
    count, width = regions.embeddings.shape[-2:]
    require_tensor(regions.embeddings, (images, count, width), regions.name)
    require_type(regions.embeddings, torch.float32, regions.name)
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
    if REGIONS in gives:
        require(bool(features.aligned), "it lists 'regions' in gives, but has none aligned")
    for regions in features.aligned:
        width = regions.embeddings.shape[-1]
        require(width == spec.embedding_dim, f"{regions.name} is not in the space of the text")
        if PATCHES in gives:
            sides = regions.cells[:, 2:] - regions.cells[:, :2]
            single = bool((sides == 1).all())
            require(single, "it lists 'patch features' in gives, but its regions are larger")
    if PATCHES in gives:
        require(bool(features.aligned), "it lists 'patch features' in gives, but has none aligned")
    if CELLS in gives:
        grids = [regions.grid for regions in features.regions if not regions.aligned]
        require(bool(grids) and None not in grids, "it lists 'cells of levels', but gives no grid")
        for regions in features.regions:
            whole = regions.grid is not None and torch.equal(
                regions.cells.cpu(), patch_cells(regions.grid)
            )
            require(whole, f"it lists 'cells of levels', but {regions.name} is no whole level")


def gives_the_class_token(subject: Subject) -> None:
    """What it lists as class token is the backbone's own, normed or raw as prompts want it."""
    for each in _extractions(subject):
        if CLASS_TOKEN not in each.extractor.gives:
            return
        batch = example_images(2)
        with torch.inference_mode(), given(each.shown(batch)):
            token = ClassToken(each.class_token == "normed")
            own = each.backbone.backbone.encode(batch, [token], each.attention)[token]
            image = each.extractor(each.encode(batch)).image
            alike = bool((F.cosine_similarity(image, own) > 0.999).all())
            wanted = f"the class token that is asked for, the {each.class_token} one"
            require(alike, f"it lists 'class token' in gives, but its image is not {wanted}")


def reads_the_second_path(subject: Subject) -> None:
    """What it lists as patch features is read from the second path where attention writes one."""
    for each in _extractions(subject):
        if PATCHES not in each.extractor.gives or each.attention.path != "beside":
            continue
        batch = example_images(1)
        with torch.inference_mode(), given(each.shown(batch)):
            depth = each.backbone.spec.depth  # a second path that begins at the first block
            usual, other = UsualAttention("beside", depth), _Twice("beside", depth)
            seen = [each._replace(attention=a).encode(batch) for a in (usual, other)]
            ways = [r for r in seen[0].tensors if isinstance(r, Patches) and r.path == "beside"]
            pairs = zip(*(each.extractor(visual).aligned for visual in seen), strict=True)
            changed = any(differ(one, two) for one, two in pairs)
            read = bool(ways) and (changed or all(r.layer == 0 for r in ways))
            require(read, "it lists 'patch features' in gives, but ignores the second path")


class _Twice(UsualAttention):
    """An attention that answers otherwise than the model's own."""

    def mix(self, q: Any, k: Any, v: Any) -> Any:
        return 2 * super().mix(q, k, v)


def repeats(subject: Subject) -> None:
    """Asked again it gives the same bits, soon, and it leaves what it is given as it is."""
    for each in _extractions(subject):
        batch = example_images(2)
        with torch.inference_mode(), given(each.shown(batch)):
            visual = each.encode(batch)
            require_pure(partial(each.extractor, visual), visual, name="the extractor")
            require_quick(partial(each.extractor, visual), "the extractor")


def arranges_each_image_alone(subject: Subject) -> None:
    """The features of an image depend on no other."""
    for each in _extractions(subject):
        batch = example_images(2)
        with torch.inference_mode(), given(each.shown(batch)):
            together = each.extractor(each.encode(batch))
            for row, alone in enumerate(batch.split(1)):
                own = each.extractor(each.encode(alone))
                known = together[[row]].tensors
                require_close(own.tensors, known, "other images change the features")


def keeps_no_state(subject: Subject) -> None:
    """What it has arranged before, on whatever grid, changes nothing."""
    cases = list(_extractions(subject))
    first, others = cases[0], cases[1:]
    batch = example_images(1)
    with torch.inference_mode(), given(f"{first.shown(batch)}, others, and the first again"):
        before = first.extractor(first.encode(batch)).tensors
        for other in others:
            fresh = other._replace(extractor=subject.made_for(other.backbone))
            used = other._replace(extractor=first.extractor)
            known, anew = (each.extractor(each.encode(batch)).tensors for each in (used, fresh))
            require_close(known, anew, "what it arranged before changes the features")
        again = first.extractor(first.encode(batch)).tensors
        require_close(again, before, "what it arranged before changes the features")

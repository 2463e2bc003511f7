"""Several products in one fitted detector: which of them an image shows, or that it is of none.

An image is of the product whose references it resembles most, by the cosine of its features as a
whole. It is of none where it is `FARTHER` times as far from them as any of them is from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vlmad.detector import Detector
from vlmad.errors import InputError, did_you_mean
from vlmad.types import Prediction, Result
from vlmad_run.memory_documents import ProductIdentity
from vlmad_run.picked_product import Picked, ProductResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.types import Features, ImageBatch
    from vlmad_run.identity import Identity
    from vlmad_run.manifest import Manifest
    from vlmad_run.references import Assembled
    from vlmad_run.region_of_interest import RegionOfInterest

FARTHER = 3.0
"""So many times the largest distance from a reference to the nearest other is too far."""
HALFWAY = 0.5
"""Of a product with one reference: the share of the distance to the nearest other product's."""


@dataclass(frozen=True)
class Product:
    """One of several products: its detector, and what its references look like as a whole."""

    assembled: Assembled
    looks: Float[Tensor, "n d"]
    """Of unit length, one for each reference."""

    @cached_property
    def spread(self) -> float | None:
        """The largest distance from a reference to the nearest other; None of a single one."""
        distances = 1 - self.looks @ self.looks.T
        distances.fill_diagonal_(torch.inf)
        largest = float(distances.amin(1).max())
        return largest if 0 < largest < torch.inf else None


def looks_of(features: Sequence[Features]) -> Float[Tensor, "n d"]:
    """Return what each image looks like as a whole, of unit length; its pieces are averaged."""
    return F.normalize(torch.stack([each.image.mean(0) for each in features]).float(), dim=-1)


class ProductLine:
    """A detector of several products, which picks one for each image; see `Runnable`.

    Args:
        products: by their names, all of the same parts on one backbone.
        model: the file that they were read from.
    """

    together = False

    def __init__(self, products: Mapping[str, Product], model: Path | None = None) -> None:
        self.products, self.model = products, model
        self._limits = {name: self._limit(name) for name in products}

    @property
    def class_name(self) -> str:
        """The names of all products."""
        return ", ".join(self.products)

    @property
    def notes(self) -> Sequence[str]:
        """What was chosen for the user."""
        notes = (note for each in self.products.values() for note in each.assembled.notes)
        return list(dict.fromkeys(notes))

    @property
    def judges(self) -> bool:
        """Whether each product knows what good images score, so that a threshold follows."""
        return all(each.assembled.good for each in self.products.values())

    def only(self, name: str) -> Assembled:
        """Return the detector of one product.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.products:
            hint = did_you_mean(name, self.products)
            raise InputError(f"{self.model} holds no product '{name}'; {hint}")
        return self.products[name].assembled

    def region_of(self, product: str) -> RegionOfInterest | None:
        """Return what counts of the images of a product; None is all of them."""
        found = self.products.get(product)
        return found.assembled.region if found else None

    def describe(
        self, images: Iterable[Path] | None = None, threshold: float | None = None
    ) -> Manifest:
        """Describe all products as one; see `Assembled.describe`."""
        each = {n: p.assembled.describe(images, threshold) for n, p in self.products.items()}
        first = next(iter(each.values()))
        references = [reference for manifest in each.values() for reference in manifest.references]
        identity = first.identity.model_copy(
            update={
                "class_name": self.class_name,
                "sentences_sha256": None,
                "references_sha256": [reference.sha256 for reference in references],
                "inside_sha256": None,
                "products": {n: _of_product(m.identity) for n, m in each.items()},
            }
        )
        whole = {"identity": identity, "references": references, "good": None}
        return first.model_copy(update=whole)

    def stream(self, images: Sequence[Path], batch_size: int) -> Iterator[Result]:
        """Yield a result for each image, with the product that it shows."""
        detector = _PickingDetector(self)
        name = next(iter(self.products))
        for result in detector.stream(images, name, batch_size):
            known = {field.name: getattr(result, field.name) for field in fields(Result)}
            yield ProductResult(**known, picked=detector.picked.pop(result.name, None))

    def pick(self, looks: Float[Tensor, " d"]) -> Picked:
        """Return which product an image shows that looks so as a whole."""
        near = {n: float((1 - each.looks @ looks).min()) for n, each in self.products.items()}
        first, *others = sorted(near, key=lambda name: near[name])
        margin = 1 - near[first] / max(near[others[0]], 1e-12) if others else None
        good = self.products[first].assembled.good
        return Picked(first, margin, near[first] <= self._limits[first], good)

    def _limit(self, name: str) -> float:
        """Return from which distance on an image is not of a product that is the nearest."""
        product = self.products[name]
        if product.spread is not None:
            return FARTHER * product.spread
        others = [each.looks for other, each in self.products.items() if other != name]
        if not others:
            return torch.inf
        return HALFWAY * float((1 - product.looks @ torch.cat(others).T).min())


def _of_product(identity: Identity) -> ProductIdentity:
    fields_of = {name: getattr(identity, name) for name in ProductIdentity.model_fields}
    return ProductIdentity(**fields_of)


class _PickingDetector(Detector):
    """A detector that judges each image by the product that it picks for it."""

    def __init__(self, line: ProductLine) -> None:
        self.line, self.picked = line, dict[str, Picked]()
        first = next(iter(line.products.values())).assembled.detector
        vars(self).update({**vars(first), "inside": None})

    @torch.inference_mode()
    def __call__(
        self, batch: ImageBatch, class_name: str = "object", batch_size: int | None = None
    ) -> Prediction:
        """Score each image, or all pieces of it, as one of the product that it shows."""
        features = self.features(batch, batch_size)
        rows_of: dict[str, list[int]] = {}
        for row, source in enumerate(batch.sources):
            rows_of.setdefault(source.name, []).append(row)
        score = features.image.new_zeros(len(features), dtype=torch.float32)
        heat = score.new_zeros(len(features), *features.image_size)
        for name, rows in rows_of.items():
            picked = self.line.pick(looks_of([features.take(rows)])[0])
            self.picked[name] = picked
            judged = self._judge(features.take(rows), batch, rows, picked.product)
            score[rows], heat[rows] = judged.score, judged.map
        return Prediction(score, heat)

    def _judge(
        self, features: Features, batch: ImageBatch, rows: Sequence[int], product: str
    ) -> Prediction:
        assembled = self.line.products[product].assembled
        detector = assembled.detector
        if detector.inside is not None:
            sources = tuple(batch.sources[row] for row in rows)
            inside = detector.inside(replace(batch, sources=sources), features.image_size)
            features = replace(features, inside=inside.to(features.image.device))
        return detector.score(features, assembled.class_name)

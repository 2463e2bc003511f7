"""What is made small: the named losses of `vlmad train`, each as terms that are added up.

AnomalyCLIP's and APRIL-GAN's losses are the published ones (`vlmad_train.losses`). `windows` is
vlmad's own: the cross-entropy of each window's class token against both sides, where a window's
label is the share of its pixels that are defective.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

from vlmad.errors import IncompatiblePartsError, InputError, did_you_mean
from vlmad.parts import PATCHES, TEXT
from vlmad.regions import coverage
from vlmad.text import pool_sides
from vlmad_aprilgan.layer_maps import layer_maps
from vlmad_train.losses import dice_loss, focal_loss, image_loss, side_logits, side_maps
from vlmad_train.spot_the_difference import SPD, attract_and_repel

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.types import Features, Prediction, TextEmbeddings
    from vlmad_train._learner import Learner


@dataclass(frozen=True, slots=True)
class Weights:
    """How the terms of a loss are weighted, and what shapes them."""

    temperature: float = 0.07
    map_weight: float = 4.0
    window_weight: float = 0.1
    window_threshold: float | None = None
    """From which share of defective pixels on a window is defective; None takes the share."""
    focal_gamma: float = 2.0
    repel_weight: float = 0.1


@dataclass(frozen=True, slots=True)
class Considered:
    """Images as the parts see them, and what is known of them."""

    features: Features
    text: TextEmbeddings | None
    predict: Callable[[], Prediction]
    labels: Float[Tensor, " b"]
    """1 for anomalous."""
    masks: Bool[Tensor, "b h w"]
    known: Bool[Tensor, " b"]
    """Whose masks say where."""

    @property
    def sides(self) -> Float[Tensor, "*b 2 d"]:
        """The embeddings of the normal and the anomalous side."""
        if self.text is None:
            raise IncompatiblePartsError("this loss compares with text; choose --loss score")
        return pool_sides(self.text)

    def with_masks(self) -> tuple[Features, Float[Tensor, "*k 2 d"], Bool[Tensor, "k h w"]]:
        """Return features, sides and masks of the images whose masks are known."""
        rows, sides = self.known.nonzero()[:, 0].tolist(), self.sides
        sides = sides[rows] if sides.ndim == 3 else sides
        return self.features.take(rows), sides, self.masks[rows]


Terms: TypeAlias = "dict[str, Tensor]"
"""Weighted terms by name: the loss is their sum."""
Objective: TypeAlias = Callable[[Considered, Weights], Terms]


def image_terms(judged: Considered, weights: Weights) -> Terms:
    """Return the cross-entropy of the class tokens alone (CoOp)."""
    image, temperature = judged.features.image, weights.temperature
    return {"image": image_loss(image, judged.sides, judged.labels, temperature)}


def map_terms(judged: Considered, weights: Weights) -> Terms:
    """Return the image's term and, for each layer, focal and dice of both maps (AnomalyCLIP)."""
    return image_terms(judged, weights) | layer_terms(judged, weights)


def layer_terms(judged: Considered, weights: Weights) -> Terms:
    """Return focal and dice of both maps, summed over layers and weighted."""
    if not judged.known.any():
        return {}
    features, sides, masks = judged.with_masks()
    focal, dice = [], []
    for layer in features.aligned:
        maps = side_maps(
            layer.embeddings, sides, features.grid, features.image_size, weights.temperature
        )
        focal.append(focal_loss(maps, masks, weights.focal_gamma))
        dice.append(dice_loss(maps[:, 1], masks) + dice_loss(maps[:, 0], ~masks))
    weight = weights.map_weight
    return {"focal": weight * torch.stack(focal).sum(), "dice": weight * torch.stack(dice).sum()}


def projected_terms(judged: Considered, weights: Weights) -> Terms:
    """Return focal and dice of the anomalous map, summed over layers (APRIL-GAN)."""
    if not judged.known.any():
        return {"focal": judged.sides.sum() * 0}
    features, sides, masks = judged.with_masks()
    focal, dice = [], []
    for layer in features.aligned:
        maps = layer_maps(
            layer.embeddings, sides, features.grid, features.image_size, weights.temperature
        )
        focal.append(focal_loss(maps, masks, weights.focal_gamma))
        dice.append(dice_loss(maps[:, 1], masks))
    return {"focal": torch.stack(focal).sum(), "dice": torch.stack(dice).sum()}


def window_terms(judged: Considered, weights: Weights) -> Terms:
    """Return the image's term and the mean cross-entropy of windows, the mean over scales."""
    terms = image_terms(judged, weights)
    if not judged.known.any():
        return terms
    features, sides, masks = judged.with_masks()
    losses = []
    for regions in features.aligned:
        shares = defective_shares(masks, regions.cells, features.grid)
        losses.append(window_loss(regions.embeddings, sides, shares, weights))
    return terms | {"window": weights.window_weight * torch.stack(losses).mean()}


def window_loss(
    windows: Float[Tensor, "b r d"],
    sides: Float[Tensor, "*b 2 d"],
    shares: Float[Tensor, "b r"],
    weights: Weights,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of windows, whose labels are shares of defective pixels."""
    limit = weights.window_threshold
    target = shares if limit is None else (shares > limit).to(shares)
    logs = side_logits(windows, sides, weights.temperature).log_softmax(-1)
    return -((1 - target) * logs[..., 0] + target * logs[..., 1]).mean()


def defective_shares(
    masks: Bool[Tensor, "b h w"], cells: Int[Tensor, "r 4"], grid: tuple[int, int]
) -> Float[Tensor, "b r"]:
    """Return which share of each region's pixels is defective."""
    by_cell = F.adaptive_avg_pool2d(masks[:, None].float(), grid).flatten(1)
    cover = coverage(cells, grid)
    shares: Tensor = by_cell @ cover.T / cover.sum(1)
    return shares


def difference_terms(judged: Considered, weights: Weights) -> Terms:
    """Return how pairs of a good image and the same with a defect are told apart (after SPD).

    See `vlmad_train.spot_the_difference`; the mean over levels.
    """
    features, grid = judged.features, judged.features.grid
    good, bad = ((judged.labels == label).nonzero()[:, 0].tolist() for label in (0, 1))
    if not good or len(good) != len(bad):
        raise InputError("this loss compares pairs: add --synthesise smoothblend")
    shares = [
        defective_shares(judged.masks[bad], r.cells, r.grid or grid) for r in features.regions
    ]
    terms = [
        attract_and_repel(r.embeddings[good], r.embeddings[bad], share, r.grid or grid)
        for r, share in zip(features.regions, shares, strict=True)
    ]
    attract, repel = torch.stack([torch.stack(each) for each in terms]).mean(0)
    return {"attract": attract, "repel": weights.repel_weight * repel}


def score_terms(judged: Considered, weights: Weights) -> Terms:
    """Return the binary cross-entropy of scores, and focal and dice of maps, both from 0 to 1.

    Raises:
        InputError: a score or a pixel is no probability.
    """
    found = judged.predict()
    for values in (found.score, found.map):
        if values.min() < 0 or values.max() > 1:
            raise InputError(
                "scores that are learned directly must be probabilities, from 0 to 1; choose "
                "another scorer, or one that judges by text"
            )
    terms = {"image": F.binary_cross_entropy(found.score, judged.labels)}
    if judged.known.any():
        heat, masks = found.map[judged.known], judged.masks[judged.known]
        sides = torch.stack([1 - heat, heat], dim=1)
        terms["focal"] = weights.map_weight * focal_loss(sides, masks, weights.focal_gamma)
        terms["dice"] = weights.map_weight * dice_loss(heat, masks)
    return terms


LOSSES: Mapping[str, Objective] = {
    "anomalyclip": map_terms,
    "april-gan": projected_terms,
    "image": image_terms,
    "score": score_terms,
    SPD: difference_terms,
    "windows": window_terms,
}
"""By the names that ``--loss`` takes."""


def find_loss(name: str | None, learner: Learner) -> str:
    """Return the name of a loss: the one asked for, a learning part's own, or that of the regions.

    A part that learns may have an attribute `loss` with the name of the one it was published
    with.

    Raises:
        InputError: there is none of that name.
        IncompatiblePartsError: it is of scores, and they need references.
    """
    found = _loss_of(name, learner)
    if found != SPD:
        learner.check_judges()
    return found


def _loss_of(name: str | None, learner: Learner) -> str:
    if name is not None:
        if name not in LOSSES:
            raise InputError(f"--loss: no loss '{name}'; {did_you_mean(name, LOSSES)}")
        return name
    parts = learner.detector.assembly.parts
    own = [str(getattr(parts[kind].part, "loss", "")) for kind in learner.kinds]
    return next((loss for loss in own if loss in LOSSES), _by_regions(learner.detector))


def _by_regions(detector: Detector) -> str:
    if detector.prompts is None or TEXT not in detector.scorer.needs:
        return "score"
    return "anomalyclip" if PATCHES in detector.assembly.parts["extractor"].gives else "windows"

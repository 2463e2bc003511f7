"""A part of a detector learns from reviewed images, on answers of the backbone that are kept."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Interval

from vlmad.errors import IncompatiblePartsError, InputError, blaming
from vlmad.loading import load
from vlmad.text import pool_sides
from vlmad.types import ImageBatch, VisualFeatures
from vlmad_documents.learned_file import UNKNOWN, Learns, read_learned_document
from vlmad_train.losses import side_logits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.types import Features, TextEmbeddings
    from vlmad_review._hard_examples import HardExamples

BETAS = (0.5, 0.999)
TOP = 0.01
"""The share of patches that stand for an image where a part learns of patches."""


@dataclass(frozen=True, slots=True)
class Practice:
    """How a part learns from reviewed images; what `--set learn.OPTION=VALUE` takes."""

    epochs: Annotated[int, Interval(ge=1, le=1000)] = 15
    """Each draws as many images as were reviewed."""
    rate: Annotated[float, Interval(gt=0, le=1)] = 1e-3
    """Adam's learning rate."""
    batch: Annotated[int, Interval(ge=1, le=256)] = 8
    emphasis: Annotated[float, Interval(ge=1, le=1000)] = 4.0
    """How many times as often mistakes and their nearest opposites are drawn as others."""
    opposites: Annotated[int, Interval(ge=1, le=50)] = 3
    """Images of the other class that look most like a mistake."""
    contrast: Annotated[float, Interval(ge=0, le=1000)] = 0.0
    """Weight of the term by which a mistake and one of its opposites are told apart."""
    seed: Annotated[int, Interval(ge=0, le=2**32)] = 0


class Pupil:
    """What learns of a detector, and the images that it learns from, encoded once.

    Args:
        detector: the run's, with its memory.
        class_name: what the images show.
        images: files.

    Raises:
        IncompatiblePartsError: nothing of the detector learns.
    """

    def __init__(self, detector: Detector, class_name: str, images: Sequence[Path]) -> None:
        self.detector, self.class_name = detector, class_name
        self.kind, self.part = _learning(detector)
        self.name = detector.assembly.parts[self.kind].registration.name
        self.tensors: Mapping[str, Tensor] = self.part.learnable(detector.backbone.spec, 0)
        self._start = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        options, spec = detector.assembly.parts[self.kind].options, detector.backbone.spec
        file = options.get("file") or spec.learned_prompts.get(options.get("bundled", ""))
        self.licence = read_learned_document(file).licence if file else UNKNOWN
        """Of what it began from."""
        self.visual = [_encode(detector, image) for image in images]

    def restart(self) -> None:
        """Forget what was learned."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.requires_grad_(False).copy_(self._start[name])

    @torch.no_grad()
    def scores(self, images: Sequence[int]) -> Float[np.ndarray, " n"]:
        """Score images by the detector as it is now; of tiles the highest counts."""
        found = []
        for image in images:
            features, text = self._read([image])
            with blaming(f"{self.detector.assembly.parts['scorer'].registration} failed"):
                prediction = self.detector.scorer(features, text, self.detector.memory)
            found.append(prediction.score.max().item())
        return np.array(found)

    def logits(self, images: Sequence[int]) -> Float[Tensor, " n"]:
        """Return by how much each image looks anomalous, the highest of its tiles.

        By the class token; where an extractor learns, also by the mean of the highest hundredth
        of its patches, for a verdict does not say where the defect is.
        """
        features, text = self._read(images)
        assert text is not None
        sides = pool_sides(text, "unit-mean")
        whole = side_logits(features.image, sides).diff(dim=-1)[:, 0]
        if self.kind == "extractor":
            patches = torch.cat([each.embeddings for each in features.aligned], dim=1)
            each = side_logits(patches, sides).diff(dim=-1)[..., 0]
            highest = each.topk(max(1, int(TOP * each.shape[1])), dim=1).values.mean(1)
            whole = (whole + highest) / 2
        rows = [len(next(iter(self.visual[image].tensors.values()))) for image in images]
        return torch.stack([tiles.max() for tiles in whole.split(rows)])

    def _read(self, images: Sequence[int]) -> tuple[Features, TextEmbeddings | None]:
        some = [self.visual[image] for image in images]
        joined = {
            request: torch.cat([each.tensors[request] for each in some])
            for request in some[0].tensors
        }
        detector, one = self.detector, some[0]
        features = detector.extractor(VisualFeatures(joined, one.grid, one.image_size))
        prompts = detector.prompts
        name = self.class_name.replace("_", " ")
        text = None if prompts is None else prompts(detector.backbone, name, features)
        return features, text

    def learn(
        self,
        images: Sequence[int],
        anomalous: Bool[np.ndarray, " n"],
        hard: HardExamples,
        practice: Practice,
    ) -> list[float]:
        """Learn from some images, from where the part began; return the mean loss of each epoch.

        Args:
            images: which ones.
            anomalous: whether each of all images shows a defect.
            hard: mistakes and their opposites, of which none outside of `images` is used.
            practice: how.

        Raises:
            InputError: the loss is no finite number.
        """
        self.restart()
        known, draw = hard.among(images), random.Random(practice.seed)
        generator = torch.Generator().manual_seed(practice.seed)
        weights = known.weights(images, practice.emphasis)
        tensors = [tensor.requires_grad_(True) for tensor in self.tensors.values()]
        optimiser = torch.optim.Adam(tensors, lr=practice.rate, betas=BETAS)
        curve = []
        for _ in range(practice.epochs):
            losses = []
            for _ in range(ceil(len(images) / practice.batch)):
                drawn = torch.multinomial(weights, practice.batch, True, generator=generator)
                batch = [images[n] for n in drawn.tolist()]
                loss = self._loss(batch, anomalous, known, practice.contrast, draw)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            curve.append(sum(losses) / len(losses))
        for tensor in tensors:
            tensor.requires_grad_(False)
        return curve

    def _loss(
        self,
        batch: Sequence[int],
        anomalous: Bool[np.ndarray, " n"],
        hard: HardExamples,
        contrast: float,
        draw: random.Random,
    ) -> Tensor:
        """Return the cross-entropy of a batch, and the contrast of its mistakes."""
        mistakes = [n for n in batch if contrast and hard.opposites.get(n)]
        partners = [draw.choice(hard.opposites[n]) for n in mistakes]
        with torch.enable_grad():
            logits = self.logits([*batch, *mistakes, *partners])
            own, one, other = logits.split([len(batch), len(mistakes), len(partners)])
            loss = F.binary_cross_entropy_with_logits(own, _truth(anomalous, batch).to(own))
            if mistakes:
                loss = loss + contrast * contrast_loss(one, other, _truth(anomalous, mistakes))
        if not torch.isfinite(loss):
            raise InputError("learning came to no finite number; lower --set learn.rate")
        return loss


def contrast_loss(
    mistakes: Float[Tensor, " n"], opposites: Float[Tensor, " n"], anomalous: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Return the mean of log(1 + exp(-d)), d being by how much the anomalous one of two is higher.

    Args:
        mistakes: logits of images that the run was wrong about.
        opposites: of an image of the other class for each.
        anomalous: 1 where the mistake is the anomalous one of the two, otherwise 0.
    """
    signs = 2 * anomalous.to(mistakes) - 1
    return F.softplus(-signs * (mistakes - opposites)).mean()


def _truth(anomalous: Bool[np.ndarray, " n"], images: Sequence[int]) -> Float[Tensor, " b"]:
    return torch.tensor([float(anomalous[image]) for image in images])


def _learning(detector: Detector) -> tuple[str, Any]:
    """Return what learns: the extractor, since it comes first, or else the prompts."""
    if detector.prompts is None:
        raise IncompatiblePartsError("without text nothing is learned from verdicts on images")
    if detector.inside is not None:
        raise IncompatiblePartsError("nothing is learned where only a region of images counts")
    for kind in ("extractor", "prompts"):
        part = _as_shipped(detector, kind)
        if isinstance(part, Learns):
            if kind == "extractor" and detector.memory is not None:
                raise IncompatiblePartsError(
                    "an extractor that learns changes what its references look like: "
                    "run without references, and review that"
                )
            return kind, part
    names = ", ".join(str(chosen) for chosen in detector.assembly.parts.values())
    raise IncompatiblePartsError(
        f"nothing of this detector learns ({names}); run with --prompt coop:FILE or learned"
    )


def _as_shipped(detector: Detector, kind: str) -> Any:
    """Return a part; prompts that the backbone ships by their name, or they would be drawn anew."""
    chosen, shipped = detector.assembly.parts[kind], detector.backbone.spec.learned_prompts
    options = dict(chosen.options)
    named = any(options.get(name) for name in ("file", "bundled", "anew"))
    if kind != "prompts" or "bundled" not in options or not shipped or named:
        return chosen.part
    with blaming(f"{chosen.registration} cannot be built"):
        options["bundled"] = next(iter(shipped))
        detector.prompts = chosen.registration.resolve()(**options)
    return detector.prompts


@torch.no_grad()
def _encode(detector: Detector, image: Path) -> VisualFeatures:
    """Encode an image, all pieces of it, so that gradients can pass behind it."""
    [pieces] = load(detector.sources([image]), detector.resizing, detector.preprocessings(), 1)
    if pieces[0].failure:
        raise InputError(pieces[0].failure)
    batch = ImageBatch(tuple(pieces), detector.resizing.of_each)
    with blaming(f"{detector.assembly.parts['backbone'].registration} failed"):
        visual: VisualFeatures = detector.backbone.encode(
            batch, detector.requests(), detector.attention
        )
    return visual

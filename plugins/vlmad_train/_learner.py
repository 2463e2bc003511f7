"""A detector some of whose parts learn, run part by part as `Detector.__call__` runs it.

What lies before the first part that learns gives the same answers for ever: `frozen` computes
them, and `features` goes on from there with gradients.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

from vlmad.errors import IncompatiblePartsError, blaming
from vlmad.parts import TEXT, HasDevice
from vlmad.types import TextEmbeddings, VisualFeatures
from vlmad_documents.learned_file import Learns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.types import Features, ImageBatch, Prediction

Stage: TypeAlias = Literal["images", "answers", "features"]
"""What stays the same from epoch to epoch: images alone, answers of the backbone, or features."""
ORDER = ("attention", "extractor", "prompts", "scorer")
"""The kinds of parts that may learn, in the order in which images meet them."""
MAIN = ("prompts", "extractor", "scorer", "attention")
"""Whose file is the one that the user names, if several learn."""


class Learner:
    """The parts of a detector, and the tensors that are learned.

    Args:
        detector: its parts that satisfy `vlmad_documents.learned_file.Learns` are started here.
        seed: what they draw their tensors by, if they have no file.
        kinds: which of them are to learn; by default all that can.

    Raises:
        IncompatiblePartsError: none can, or one of `kinds` cannot.
    """

    def __init__(self, detector: Detector, seed: int, kinds: Sequence[str] = ()) -> None:
        self.detector, self.spec = detector, detector.backbone.spec
        self.kinds = _learning(detector, kinds)
        self.stage: Stage = {"attention": "images", "extractor": "answers"}.get(
            self.kinds[0], "features"
        )  # type: ignore[assignment]
        parts = detector.assembly.parts
        self.tensors: dict[str, Tensor] = {}
        """By kind and name, as in ``prompts.context.normal``."""
        for kind in self.kinds:
            with blaming(f"{parts[kind].registration} failed"):
                own = parts[kind].part.learnable(self.spec, seed)
            self.tensors |= {f"{kind}.{name}": tensor for name, tensor in own.items()}
        backbone = detector.backbone
        self.device = backbone.device if isinstance(backbone, HasDevice) else torch.device("cpu")
        self._requests = detector.requests()
        self._like: Features | None = None
        self._texts: dict[str, TextEmbeddings] = {}
        self._only_name: str | None = None

    @property
    def judges(self) -> bool:
        """Whether it can score at all: it has no references."""
        return bool(self.detector.scorer.references != "required")

    def check_judges(self) -> None:
        """Refuse a scorer that needs references.

        Raises:
            IncompatiblePartsError: it does.
        """
        if not self.judges:
            raise IncompatiblePartsError(
                f"{self.detector.assembly.parts['scorer']} needs references, and parts are learned "
                "without; choose a scorer that judges by text, such as --scorer dense"
            )

    @property
    def main(self) -> str:
        """The kind of the part whose file is the result; others are written beside it."""
        return next(kind for kind in MAIN if kind in self.kinds)

    def start(self, names: Sequence[str]) -> None:
        """Let gradients flow, and find out whether texts depend on the class name at all."""
        for tensor in self.tensors.values():
            tensor.requires_grad_(True)
        prompts, distinct = self.detector.prompts, [*dict.fromkeys(names)]
        self._only_name = distinct[0] if len(distinct) == 1 else None
        if prompts is not None and not prompts.looks_at_image and len(distinct) > 1:
            first, second = (self._text_of(name, None).embeddings for name in distinct[:2])
            same = first.shape == second.shape and torch.equal(first, second)
            self._only_name = distinct[0] if same else None

    def values(self, kind: str) -> dict[str, Tensor]:
        """Return the tensors of a part by the names that it gave them, as they are now."""
        own = {name: t for name, t in self.tensors.items() if name.startswith(f"{kind}.")}
        return {n.removeprefix(f"{kind}."): t.detach().cpu().clone() for n, t in own.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take other values for all tensors."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(tensors[name])

    @torch.no_grad()
    def frozen(self, batch: ImageBatch) -> list[Tensor]:
        """Return what stays the same of images, each tensor with a row for every image."""
        visual = self._encode(batch)
        if self.stage == "answers":
            return [visual[request] for request in self._requests]
        features = self._arrange(visual)
        self._like = self._kept(features)[:0]
        return self._kept(features).tensors

    def features(self, frozen: Sequence[Tensor] | ImageBatch) -> Features:
        """Return features, with gradients to what learns before them.

        Args:
            frozen: what `frozen` gave, or images where attention learns.
        """
        if not isinstance(frozen, list | tuple):
            return self._arrange(self._encode(frozen))  # type: ignore[arg-type]
        here = [tensor.to(self.device) for tensor in frozen]
        if self.stage == "answers":
            answers = dict(zip(self._requests, here, strict=True))
            size = self.spec.preprocessing.size
            return self._arrange(VisualFeatures(answers, self.spec.grid, size))
        assert self._like is not None
        return self._like.with_tensors(here)

    def text(self, names: Sequence[str], features: Features) -> TextEmbeddings | None:
        """Return the texts of images of these classes, one set for each if they differ."""
        if self.detector.prompts is None:
            return None
        names = [self._only_name] if self._only_name else names
        looks = self.detector.prompts.looks_at_image
        texts = {}
        for name in dict.fromkeys(names):
            rows = [row for row, each in enumerate(names) if each == name]
            if looks:
                own = self._text_of(name, features if self._only_name else features.take(rows))
            elif "prompts" in self.kinds and torch.is_grad_enabled():
                own = self._text_of(name, None)
            else:
                own = self._remembered(name)
            texts[name] = own
        return next(iter(texts.values())) if len(texts) == 1 else _joined(texts, names, looks)

    def forget(self) -> None:
        """Forget the texts, because what they are made of has changed."""
        if "prompts" in self.kinds:
            self._texts.clear()

    def predict(self, features: Features, text: TextEmbeddings | None) -> Prediction:
        """Score features without references."""
        scorer = self.detector.assembly.parts["scorer"]
        with blaming(f"{scorer.registration} failed"):
            return scorer.part(features, text, None)  # type: ignore[no-any-return]

    def _encode(self, batch: ImageBatch) -> VisualFeatures:
        parts = self.detector.assembly.parts
        with blaming(f"{parts['backbone'].registration} failed"):
            return parts["backbone"].part.encode(  # type: ignore[no-any-return]
                batch, self._requests, parts["attention"].part
            )

    def _arrange(self, visual: VisualFeatures) -> Features:
        extractor = self.detector.assembly.parts["extractor"]
        with blaming(f"{extractor.registration} failed"):
            return extractor.part(visual)  # type: ignore[no-any-return]

    def _kept(self, features: Features) -> Features:
        """Leave out what only references are compared by, if text alone judges."""
        by_text = TEXT in self.detector.scorer.needs and "scorer" not in self.kinds
        return replace(features, regions=features.aligned) if by_text else features

    def _remembered(self, name: str) -> TextEmbeddings:
        if name not in self._texts:
            # with gradients, because what is encoded without them may be kept on disk
            with torch.enable_grad():
                text = self._text_of(name, None)
            embeddings, norms = text.embeddings.detach(), text.norms.detach()
            self._texts[name] = replace(text, embeddings=embeddings, norms=norms)
        return self._texts[name]

    def _text_of(self, name: str, features: Features | None) -> TextEmbeddings:
        prompts = self.detector.assembly.parts["prompts"]
        with blaming(f"{prompts.registration} failed"):
            return prompts.part(self.detector.backbone, name, features)  # type: ignore[no-any-return]


def _learning(detector: Detector, kinds: Sequence[str]) -> list[str]:
    parts = detector.assembly.parts
    able = [kind for kind in ORDER if kind in parts and isinstance(parts[kind].part, Learns)]
    chosen = [kind for kind in able if not kinds or kind in kinds]
    unable = sorted(set(kinds) - set(able))
    if unable or not chosen:
        those = unable or [*parts]
        named = ", ".join(str(parts[kind]) if kind in parts else kind for kind in those)
        raise IncompatiblePartsError(
            f"nothing can be learned of {named}; choose a part that learns, "
            "such as --prompt learned"
        )
    return chosen


def _joined(
    texts: Mapping[str, TextEmbeddings], names: Sequence[str], per_image: bool
) -> TextEmbeddings:
    """Return one set of texts for each image, of those of its class."""
    taken = dict.fromkeys(texts, 0)
    embeddings, norms = [], []
    for name in names:
        own, row = texts[name], taken[name]
        taken[name] += 1
        embeddings.append(own.embeddings[row] if per_image else own.embeddings)
        norms.append(own.norms[row] if per_image else own.norms)
    first = next(iter(texts.values()))
    return replace(first, embeddings=torch.stack(embeddings), norms=torch.stack(norms))

"""A method: five parts that fit each other, run in one short function.

Whatever scores an image calls `Method.__call__`, for one image in a server as for a grid. Nothing
of the process is touched while it runs, and several threads may use one method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from vlmad._handovers import Giver, given_attention, given_backbone, is_finite
from vlmad.errors import InputError, WeightsError
from vlmad.fitting import only_named
from vlmad.images import Source
from vlmad.parts import JudgesWeights, ScoresSets
from vlmad.regions import inside_regions
from vlmad.types import Features, ImageBatch, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from jaxtyping import Bool
    from torch import Tensor

    from vlmad.assembly import Assembly
    from vlmad.types import Preprocessing, Request, TextEmbeddings

    Inside: TypeAlias = Callable[[ImageBatch, tuple[int, int]], Bool[Tensor, "b h w"]]


class Method:
    """What scores batches of images.

    Args:
        assembly: the parts, from `vlmad.assembly.assemble`.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        parts = {kind: chosen.part for kind, chosen in assembly.parts.items()}
        self.backbone, self.prompts = parts["backbone"], parts.get("prompts")
        self.extractor, self.scorer = parts["extractor"], parts["scorer"]
        self.attention = given_attention(self._giver("attention"))
        self.memory: Mapping[str, Tensor] | None = None
        """What the scorer remembers of references."""
        self.inside: Inside | None = None
        """What says which pixels of images count, where not all do."""
        self._text: dict[str, TextEmbeddings | None] = {}

    @torch.inference_mode()
    def __call__(
        self, batch: ImageBatch, class_name: str = "object", batch_size: int | None = None
    ) -> Prediction:
        """Score a batch; this is the whole of the method, and what runs.

        Args:
            batch: images; of a scorer whose scope is the set, all of them.
            class_name: what they show, for prompts that name it.
            batch_size: how many are encoded together; all by default.

        Raises:
            InputError: an image cannot be read, or references are needed and were not given.
            PluginError: a part fails or breaks its contract; the message names it.
        """
        return self.score(self.features(batch, batch_size), class_name)

    @torch.inference_mode()
    def features(self, batch: ImageBatch, batch_size: int | None = None) -> Features:
        """Encode a batch, so many images at a time, and arrange what the scorer gets."""
        requests = self.requests()
        made = [self._features_of(some, requests) for some in batch.split(batch_size)]
        features, inside = Features.concatenate(made), None
        views = tuple(s.original.view for s in batch.sources if isinstance(s, Source))
        if self.inside is not None:
            inside = self.inside(batch, features.image_size).to(features.image.device)
        return replace(features, inside=inside, views=views)

    def _features_of(self, batch: ImageBatch, requests: Sequence[Request]) -> Features:
        spec, count = self.backbone.spec, len(batch)
        with self._blaming("backbone") as backbone:
            visual = self.backbone.encode(batch, requests, self.attention)
            backbone.answers(visual, requests, spec, count)
        with self._blaming("extractor") as extractor:
            features = self.extractor(visual)
            extractor.features(features, visual, spec.embedding_dim, count)
        answers = [visual[request] for request in requests]
        known = {id(tensor) for tensor in answers}
        if not is_finite([*answers, *(t for t in features.tensors if id(t) not in known)]):
            names = {source.name for source in batch.sources}
            of = f"{names.pop() if len(names) == 1 else 'one of several images'}: "
            watched = given_attention(self._giver("attention"), of)
            with backbone.blamed():
                self.backbone.encode(batch, requests, watched)
            backbone.require_finite(answers, "answers", of)
            extractor.require_finite(features.tensors, "features", of)
        return features  # type: ignore[no-any-return]

    @torch.inference_mode()
    def score(
        self,
        features: Features,
        class_name: str = "object",
        memory: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        """Score features, by the detector's own memory unless another is given."""
        memory = self.memory if memory is None else memory
        self._check_memory(memory)
        text = self.text(class_name, features)
        with self._blaming("scorer") as scorer:
            given = only_named(features, self.scorer.needs)
            return scorer.prediction(self.scorer(given, text, memory), features)

    @torch.inference_mode()
    def score_set(
        self, images: Sequence[Features], class_name: str = "object"
    ) -> Iterator[Prediction]:
        """Yield the prediction of each image of a set, by the detector's own memory."""
        if self._looks_at_image or not isinstance(self.scorer, ScoresSets):
            whole, end = self.score(Features.concatenate(images), class_name), 0
            for features in images:
                start, end = end, end + len(features)
                yield whole[start:end]
            return
        self._check_memory(self.memory)
        text = self.text(class_name)
        with self._blaming("scorer") as scorer:
            predictions = self.scorer.score_set(images, text, self.memory)
            for features, prediction in zip(images, predictions, strict=True):
                yield scorer.prediction(prediction, features)

    @torch.inference_mode(False)
    @torch.no_grad()
    def text(
        self, class_name: str = "object", features: Features | None = None
    ) -> TextEmbeddings | None:
        """Return the text embeddings, encoded once per class name unless images matter.

        None where the scorer makes no use of text.
        """
        class_name = class_name.replace("_", " ")
        if self.prompts is None:
            return None
        if class_name in self._text:
            return self._text[class_name]
        seen = features if self._looks_at_image else None
        with self._blaming("prompts") as prompts:
            backbone = given_backbone(self.backbone, self._giver("backbone"), prompts)
            text = self.prompts(backbone, class_name, seen)
            prompts.text(text, self.backbone.spec.embedding_dim, len(seen) if seen else 1)
        if not self._looks_at_image:
            self._text[class_name] = text
        return text  # type: ignore[no-any-return]

    def requests(self) -> list[Request]:
        """Return what is asked of each image."""
        spec = self.backbone.spec
        with self._blaming("prompts" if self.prompts else "extractor"):
            class_token = self.prompts.class_token(spec) if self.prompts else "normed"
        with self._blaming("extractor") as extractor:
            return extractor.asks(self.extractor.requests(spec, self.attention, class_token), spec)

    def preprocessings(self) -> list[Preprocessing]:
        """Return how the pixels of each image are wanted, once for each pass over it."""
        spec = self.backbone.spec
        return list(dict.fromkeys(map(spec.preprocessing_of, self.requests())))

    @torch.inference_mode()
    def memory_of(self, references: Sequence[Features]) -> Mapping[str, Tensor]:
        """Return what the scorer remembers of encoded normal images; fits nothing.

        Raises:
            InputError: no region of them lies inside of what counts.
        """
        features = Features.concatenate(references)
        for regions in features.regions:
            inside = inside_regions(features, regions)
            if inside is not None and not inside.any():
                raise InputError(f"what counts of the references is less than a {regions.name}")
        with self._blaming("scorer") as scorer:
            return scorer.memory(self.scorer.fit(only_named(features, self.scorer.needs)))

    def check_ready(self, class_name: str = "object") -> None:
        """Refuse what would keep every image from being scored.

        Raises:
            InputError: references are needed and were not given, or the class name cannot be
                encoded.
            WeightsError: a part was learned on other weights.
        """
        self._check_memory(self.memory)
        for kind, chosen in self.assembly.parts.items():
            with self._blaming(kind):
                judging = isinstance(chosen.part, JudgesWeights)
                if judging and (reason := chosen.part.refuses_weights(self.backbone)):
                    raise WeightsError(f"{chosen} does not fit the backbone: {reason}")
        if not self._looks_at_image:
            self.text(class_name)

    def _check_memory(self, memory: Mapping[str, Tensor] | None) -> None:
        if memory is None and self.scorer.references == "required":
            raise InputError(
                f"{self.assembly.parts['scorer']} needs normal images: call fit "
                "(on the command line: --references DIR)"
            )

    @property
    def _looks_at_image(self) -> bool:
        return self.prompts is not None and bool(self.prompts.looks_at_image)

    def _giver(self, kind: str) -> Giver:
        if kind == "scorer":
            return Giver(self.assembly.parts[kind])
        precision = str(getattr(self.backbone, "precision", "float32"))
        return Giver(
            self.assembly.parts[kind], (torch.float32, getattr(torch, precision, torch.float32))
        )

    def _blaming(self, kind: str) -> AbstractContextManager[Giver]:
        """Turn whatever a part raises into an error that names the part and its plugin."""
        return self._giver(kind).blamed()

"""A detector: five parts, run in one short function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from vlmad.caches.text import keep_text
from vlmad.caches.visual import keep_features
from vlmad.checking import (
    check_answers,
    check_features,
    checked,
    checked_text,
    copy_of,
    part_at_fault,
    remembered,
    unchanged,
)
from vlmad.containment import contained
from vlmad.errors import IncompatiblePartsError, InputError, PluginError, reason_of
from vlmad.images import Source, as_source
from vlmad.loading import chunks
from vlmad.registry import BUILT_IN
from vlmad.resizing import parse_resizing
from vlmad.streaming import Result, Stream, encode_together, stream_together
from vlmad.types import Features, ImageBatch, Prediction, Request, TextEmbeddings

if TYPE_CHECKING:
    from torch import Tensor

    from vlmad.assembly import Assembly
    from vlmad.attribution import Attribution

BATCH_SIZE = 8

Keep: TypeAlias = Literal["nothing", "text", "all"]
"""What is kept on disk: text embeddings by default, or the features of images too."""


class Detector:
    """Five parts that fit each other.

    Args:
        assembly: the parts, from `vlmad.assembly.assemble`.
        resize: how images become the model's square: `squash`, `pad`, or `tiles:N` for squares
            cut from the image, N along its shorter side.
        keep: what is kept on disk for the next time; `vlmad cache` shows where.
    """

    def __init__(self, assembly: Assembly, resize: str = "squash", keep: Keep = "text") -> None:
        self.assembly = assembly
        self.resizing = parse_resizing(resize)
        parts = {kind: chosen.part for kind, chosen in assembly.parts.items()}
        self.backbone, self.prompts = parts["backbone"], parts["prompts"]
        self.extractor, self.attention = parts["extractor"], parts["attention"]
        self.scorer = parts["scorer"]
        self.memory: Mapping[str, Tensor] | None = None
        self.references: tuple[Source, ...] = ()
        self._text: dict[str, TextEmbeddings | None] = {}
        self.text_backbone: Any
        """The backbone, or what keeps or shares its answers to texts."""
        self.vision: Any
        """The backbone, or what keeps or shares its answers to images."""
        kept = keep != "nothing" and not self.prompts.looks_at_image  # or no text comes twice
        self.text_backbone = keep_text(assembly.parts["backbone"]) if kept else self.backbone
        self.vision = keep_features(assembly) if keep == "all" else self.backbone

    @torch.inference_mode()
    def __call__(self, batch: ImageBatch, class_name: str = "object") -> Prediction:
        """Score a batch; this is the whole of the method.

        Raises:
            InputError: an image cannot be read, or references are needed and were not given.
        """
        features = self.features(batch)
        return self.score(features, class_name)

    @torch.inference_mode()
    def features(self, batch: ImageBatch) -> Features:
        """Encode a batch and arrange what the scorer will see."""
        requests = self.requests()
        with self._blaming("backbone"):
            visual = self.vision.encode(batch, requests, self.attention)
            check_answers(visual, requests, len(batch))
        with self._blaming("extractor"):
            features: Features = self.extractor(visual)
            check_features(features, len(batch))
        return features

    def requests(self) -> list[Request]:
        """Return what is asked of each image."""
        spec = self.backbone.spec
        with self._blaming("extractor"):
            class_token = self.prompts.class_token(spec)
            return list(self.extractor.requests(spec, self.attention, class_token))

    def encode(self, pieces: Sequence[Source], batch_size: int = BATCH_SIZE) -> Features:
        """Return the features of any number of images, a batch at a time."""
        some = chunks(pieces, batch_size)
        each = self.resizing.of_each
        return Features.concatenate([self.features(ImageBatch(tuple(b), each)) for b in some])

    @torch.inference_mode()
    def score(self, features: Features, class_name: str = "object") -> Prediction:
        """Score features that `features` returned, of one batch or of several together."""
        self.check_fitted()
        return self.score_by(features, self.text(class_name, features), self.memory)

    @torch.inference_mode()
    def score_by(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score features by a text and a memory that need not be its own (see `memory_of`)."""
        seen = self._lent("scorer", features)
        with self._blaming("scorer"), unchanged(text, "text"), unchanged(memory, "memory"):
            return checked(self.scorer(seen, text, memory), features)

    @torch.inference_mode()
    def attribute(self, features: Features, class_name: str = "object") -> Attribution | None:
        """Return what the scorer says its scores are made of, or None if it does not say."""
        if not hasattr(self.scorer, "attribute"):
            return None
        text, memory = self.text(class_name, features), self.memory
        seen = self._lent("scorer", features)
        with self._blaming("scorer"), unchanged(text, "text"), unchanged(memory, "memory"):
            attribution: Attribution = self.scorer.attribute(seen, text, memory)
        return attribution

    @torch.inference_mode()
    def text(self, class_name: str, features: Features | None) -> TextEmbeddings | None:
        """Return the text embeddings, encoded once per class name unless images matter."""
        class_name = class_name.replace("_", " ")
        if class_name in self._text:
            return self._text[class_name]
        seen = None if features is None else self._lent("prompts", features)
        with self._blaming("prompts"):
            text = checked_text(self.prompts(self.text_backbone, class_name, seen))
        if not self.prompts.looks_at_image:
            self._text[class_name] = text
        return text

    def predict(
        self, images: Any, class_name: str = "object", batch_size: int = BATCH_SIZE
    ) -> list[Result]:
        """Score images and return one result for each, in order.

        Args:
            images: an image or a sequence of them: paths, PIL images, uint8 arrays (h, w, 3)
                or tensors (3, h, w) of normalised pixels.
            class_name: what the images show, for prompts that name it.
            batch_size: images that are encoded together; it does not change the result.

        Raises:
            InputError: an item is no image at all; unreadable files become results.
        """
        sources = [as_source(item, i) for i, item in enumerate(_as_list(images))]
        return list(self.stream(sources, class_name, batch_size))

    def stream(
        self, sources: Iterable[Source], class_name: str = "object", batch_size: int = BATCH_SIZE
    ) -> Iterator[Result]:
        """Return an iterator over a result for each source, in order.

        It holds a few batches at a time. A scorer whose scope is the set needs the features of
        all images first.

        Raises:
            InputError: references are needed and were not given.
        """
        stream = Stream(self, class_name, batch_size)
        return (result for _, result in stream_together([stream], sources))

    def fit(self, references: Any, batch_size: int = BATCH_SIZE) -> Detector:
        """Remember normal images, for scorers that compare with them; returns itself.

        Args:
            references: images as `predict` takes them.
            batch_size: images that are encoded together.

        Raises:
            IncompatiblePartsError: the scorer makes no use of references.
            InputError: there are none, or one cannot be read.
        """
        sources = [as_source(item, i) for i, item in enumerate(_as_list(references))]
        return self.remember(self.encode_references(sources, batch_size), sources)

    def remember(self, encoded: Sequence[Features], references: Sequence[Source]) -> Detector:
        """Remember normal images that `encode_references` encoded; returns itself."""
        self.memory = self.memory_of(encoded)
        self.references = tuple(references)
        return self

    def leave_one_out(
        self,
        references: Any,
        class_name: str = "object",
        batch_size: int = BATCH_SIZE,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[float]:
        """Return the score of each reference under a memory of the others; fits nothing.

        Args:
            references: at least two images, as `predict` takes them.
            class_name: what the images show.
            batch_size: images that are encoded together.
            progress: told after each how many are done, and of how many.

        Raises:
            IncompatiblePartsError: the scorer makes no use of references.
            InputError: there are fewer than two, or one cannot be read.
        """
        encoded = self.encode_references(references, batch_size)
        if len(encoded) < 2:
            raise InputError("leaving one reference out takes at least two")
        kept, scores = self.memory, []
        try:
            for index, features in enumerate(encoded):
                self.memory = self.memory_of(encoded[:index] + encoded[index + 1 :])
                scores.append(float(self.score(features, class_name).score.max()))
                progress(len(scores), len(encoded))
        finally:
            self.memory = kept
        return scores

    def encode_references(
        self, references: Any, batch_size: int = BATCH_SIZE
    ) -> list[Features]:
        """Return the features of each reference, for `remember`.

        Raises:
            IncompatiblePartsError: the scorer makes no use of references.
            InputError: there are none, or one cannot be read.
        """
        if self.scorer.references == "none":
            raise IncompatiblePartsError(
                f"{self.assembly.parts['scorer']} makes no use of references; "
                "choose a scorer that does, such as 'harmonic'"
            )
        sources = [as_source(item, i) for i, item in enumerate(_as_list(references))]
        if not sources:
            raise InputError("no references were given")
        return [own[self] for own in encode_together([self], sources, batch_size)]

    def memory_of(self, references: Sequence[Features]) -> Mapping[str, Tensor]:
        """Return what the scorer remembers of encoded normal images; fits nothing."""
        together = self._lent("scorer", Features.concatenate(references))
        with torch.inference_mode(), self._blaming("scorer"):
            return remembered(self.scorer.fit(together))

    def check_fitted(self) -> None:
        """Refuse to score without references where they are needed.

        Raises:
            InputError: they are, and there are none.
        """
        if self.memory is None and self.scorer.references == "required":
            raise InputError(
                f"{self.assembly.parts['scorer']} needs normal images: call fit "
                "(on the command line: --references DIR)"
            )

    def _lent(self, kind: str, features: Features) -> Features:
        """Return features for a part to do with as it likes: others may use them too."""
        built_in = self.assembly.parts[kind].registration.distribution == BUILT_IN
        return features if built_in else copy_of(features)

    @contextmanager
    def _blaming(self, kind: str) -> Iterator[None]:
        """Turn whatever a part raises into an error that names the part and its plugin."""
        chosen = self.assembly.parts[kind]
        try:
            with contained(f"{chosen.registration} failed"):
                yield
        except PluginError as error:
            other = part_at_fault(error.__cause__, chosen, self.assembly.parts.values())
            if error.__cause__ is None or other is chosen:
                raise
            reason = reason_of(error.__cause__)
            raise PluginError(f"{other.registration} failed: {reason}") from error.__cause__


def _as_list(images: Any) -> list[Any]:
    single = isinstance(images, str | Path | Source) or not isinstance(images, Iterable)
    is_array = hasattr(images, "ndim") and images.ndim == 3 and images.shape[-1] in (3, 4)
    return [images] if single or is_array or hasattr(images, "getbands") else list(images)


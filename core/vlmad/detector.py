"""A detector: five parts, run in one short function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlmad.assembly import Assembly, assemble
from vlmad.errors import IncompatiblePartsError, InputError, PluginError, VlmadError
from vlmad.images import Source, as_source
from vlmad.recipes import DEFAULT, Recipe, find_recipe, read_recipe
from vlmad.registry import Registry
from vlmad.types import Features, ImageBatch, Prediction, Resize, TextEmbeddings

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What a detector says of one image; higher is more anomalous.

    `map` has the size and orientation of the original. If the image could not be read or
    scored, `error` says why, `score` is NaN and `map` is None.
    """

    name: str
    score: float
    map: Float[np.ndarray, "H W"] | None
    error: str | None = None


class Detector:
    """Five parts that fit each other.

    Args:
        assembly: the parts, from `vlmad.assembly.assemble`.
        resize: how images become the model's square.
    """

    def __init__(self, assembly: Assembly, resize: Resize = "squash") -> None:
        self.assembly = assembly
        self.resize: Resize = resize
        parts = {kind: chosen.part for kind, chosen in assembly.parts.items()}
        self.backbone, self.prompts = parts["backbone"], parts["prompts"]
        self.extractor, self.attention = parts["extractor"], parts["attention"]
        self.scorer = parts["scorer"]
        self.memory: Mapping[str, Tensor] | None = None
        self._text: dict[str, TextEmbeddings | None] = {}

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
        spec = self.backbone.spec
        with self._blaming("extractor"):
            requests = self.extractor.requests(spec, self.attention, self.prompts.class_token(spec))
        with self._blaming("backbone"):
            visual = self.backbone.encode(batch, requests, self.attention)
        with self._blaming("extractor"):
            features: Features = self.extractor(visual)
        return features

    @torch.inference_mode()
    def score(self, features: Features, class_name: str = "object") -> Prediction:
        """Score features that `features` returned, of one batch or of several together."""
        if self.memory is None and self.scorer.references == "required":
            raise InputError(
                f"{self.assembly.parts['scorer']} needs normal images: call fit "
                "(on the command line: --references DIR)"
            )
        text = self.text(class_name, features)
        with self._blaming("scorer"):
            prediction: Prediction = self.scorer(features, text, self.memory)
            _check_shapes(prediction, features)
        return prediction

    @torch.inference_mode()
    def text(self, class_name: str, features: Features | None) -> TextEmbeddings | None:
        """Return the text embeddings, encoded once per class name unless images matter."""
        class_name = class_name.replace("_", " ")
        if class_name in self._text:
            return self._text[class_name]
        with self._blaming("prompts"):
            text: TextEmbeddings | None = self.prompts(self.backbone, class_name, features)
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
        """Yield a result for each source, in order, holding one batch at a time.

        A scorer whose scope is the set needs the features of all images first.
        """
        batches = self._encode(sources, batch_size)
        if self.scorer.scope == "set":
            yield from self._score_together(list(batches), class_name)
            return
        for sources_read, batch, features in batches:
            prediction = self.score(features, class_name) if features else None
            yield from _results(sources_read, batch, prediction, 0)

    def fit(self, references: Any, batch_size: int = BATCH_SIZE) -> Detector:
        """Remember normal images, for scorers that compare with them; returns itself.

        Args:
            references: images as `predict` takes them.
            batch_size: images that are encoded together.

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
        encoded = []
        for start in range(0, len(sources), batch_size):
            batch = ImageBatch(tuple(sources[start : start + batch_size]), self.resize)
            encoded.append(self.features(batch))
        with torch.inference_mode(), self._blaming("scorer"):
            self.memory = self.scorer.fit(Features.concatenate(encoded))
        return self

    @contextmanager
    def _blaming(self, kind: str) -> Iterator[None]:
        """Turn whatever a part raises into an error that names the part and its plugin."""
        try:
            yield
        except VlmadError:
            raise
        except Exception as error:
            chosen = self.assembly.parts[kind]
            reason = " ".join(str(error).split())[:300]
            raise PluginError(
                f"{chosen} of {chosen.registration.origin} failed: {type(error).__name__}: {reason}"
            ) from error

    def _encode(
        self, sources: Iterable[Source], batch_size: int
    ) -> Iterator[tuple[list[Source | Result], ImageBatch | None, Features | None]]:
        """Yield batches of sources with their features; unreadable ones as results."""
        for chunk in _chunks(sources, batch_size):
            batch = ImageBatch(tuple(chunk), self.resize)
            try:
                yield list(chunk), batch, self.features(batch)
            except InputError:
                read = [_readable(source) for source in chunk]
                good = tuple(item for item in read if isinstance(item, Source))
                batch = ImageBatch(good, self.resize)
                yield read, batch, self.features(batch) if good else None

    def _score_together(
        self,
        batches: Sequence[tuple[list[Source | Result], ImageBatch | None, Features | None]],
        class_name: str,
    ) -> Iterator[Result]:
        encoded = [features for _, _, features in batches if features]
        if encoded:
            prediction = self.score(Features.concatenate(encoded), class_name)
        start = 0
        for read, batch, features in batches:
            yield from _results(read, batch, prediction if features else None, start)
            start += len(features) if features else 0


def load_detector(
    detector: str | None = None,
    *,
    backbone: str | None = None,
    prompts: str | None = None,
    extractor: str | None = None,
    attention: str | None = None,
    scorer: str | None = None,
    recipe: str | Path | Recipe | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    weights: str | Path | None = None,
    resize: Resize = "squash",
    registry: Registry | None = None,
) -> Detector:
    """Assemble a detector from a recipe and the parts that are to differ from it.

    Args:
        detector: a recipe's name, `vlmad plugins` lists them.
        backbone: a part, as ``name`` or ``name:argument``, instead of the recipe's.
        prompts: likewise.
        extractor: likewise.
        attention: likewise.
        scorer: likewise.
        recipe: a recipe object, or the path of a recipe file, which may build on `detector`.
        options: options by kind, such as ``{"scorer": {"temperature": 0.01}}``.
        weights: a checkpoint file; short for the backbone's option `weights`.
        resize: `squash` images to the model's square, or `pad` them to keep their format.
        registry: which plugins to use; all installed ones by default.

    Raises:
        VlmadError: a name, option, recipe or combination that cannot be.
    """
    registry = registry or Registry.discover()
    settings = {kind: dict(values) for kind, values in (options or {}).items()}
    if weights is not None:
        settings.setdefault("backbone", {})["weights"] = weights
    if isinstance(recipe, Recipe):
        chosen = recipe.over(find_recipe(registry, detector or DEFAULT))
    elif recipe is not None:
        chosen = read_recipe(registry, Path(recipe), detector)
    else:
        chosen = find_recipe(registry, detector or DEFAULT)
    named = {"backbone": backbone, "prompts": prompts, "extractor": extractor}
    named |= {"attention": attention, "scorer": scorer}
    return Detector(assemble(registry, chosen, named, settings), resize)


def _as_list(images: Any) -> list[Any]:
    single = isinstance(images, str | Path | Source) or not isinstance(images, Iterable)
    is_array = hasattr(images, "ndim") and images.ndim == 3 and images.shape[-1] in (3, 4)
    return [images] if single or is_array or hasattr(images, "getbands") else list(images)


def _chunks(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    chunk: list[Source] = []
    for source in sources:
        chunk.append(source)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _check_shapes(prediction: Prediction, features: Features) -> None:
    shapes = tuple(prediction.score.shape), tuple(prediction.map.shape)
    expected = (len(features),), (len(features), *features.image_size)
    if shapes != expected:
        raise ValueError(f"score and map have shapes {shapes}, not {expected}")


def _readable(source: Source) -> Source | Result:
    if source.prepared is not None:
        return source
    try:
        source.open()
    except VlmadError as error:
        return Result(source.name, float("nan"), None, str(error))
    return source


def _results(
    read: Sequence[Source | Result],
    batch: ImageBatch | None,
    prediction: Prediction | None,
    start: int,
) -> Iterator[Result]:
    """Turn row `start` and those after it into results, in the order of `read`."""
    index = 0
    for item in read:
        if isinstance(item, Result):
            yield item
        elif batch is not None and prediction is not None:
            score, heat = prediction.score[start + index], prediction.map[start + index]
            if torch.isfinite(score) and torch.isfinite(heat).all():
                yield Result(item.name, float(score), batch.restore(index, heat))
            else:
                reason = f"{item.name}: its score or map is not a finite number"
                yield Result(item.name, float("nan"), None, reason)
            index += 1

"""A detector: five parts, run in one short function.

Everything that scores an image calls `Detector.__call__`: `predict` and `stream` here, the command
line, benches and grids. Nothing of the process is touched while it runs, and several threads may
use one detector.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from vlmad._handovers import Giver, given_attention, given_backbone, is_finite
from vlmad.errors import IncompatiblePartsError, InputError, WeightsError
from vlmad.handing import only_named
from vlmad.image_set import ImageSet
from vlmad.images import Source, as_source, restore_whole
from vlmad.loading import batches, load
from vlmad.parts import HasViews, HonoursInside, JudgesWeights, ScoresSets
from vlmad.regions import inside_regions
from vlmad.resizing import parse_resizing
from vlmad.types import Features, ImageBatch, Prediction, Result
from vlmad.watching import track

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from jaxtyping import Bool
    from torch import Tensor

    from vlmad.assembly import Assembly
    from vlmad.loading import Pieces
    from vlmad.resizing import Fixture
    from vlmad.types import Preprocessing, Request, TextEmbeddings, View

    Inside: TypeAlias = Callable[[ImageBatch, tuple[int, int]], Bool[Tensor, "b h w"]]

BATCH_SIZE = 8


class Detector:
    """Five parts that fit each other.

    Args:
        assembly: the parts, from `vlmad.assembly.assemble`.
        resize: how images become the model's square: `squash`, `pad`, `tiles:N` for squares cut
            from the image, N along its shorter side, or `auto` for those of long formats.
        reading: what formats are told of how to read a file, where it leaves that open.
    """

    def __init__(self, assembly: Assembly, resize: str = "squash", reading: Any = None) -> None:
        self.assembly, self.resizing = assembly, parse_resizing(resize)
        self.reading = reading
        parts = {kind: chosen.part for kind, chosen in assembly.parts.items()}
        self.backbone, self.prompts = parts["backbone"], parts.get("prompts")
        self.extractor, self.scorer = parts["extractor"], parts["scorer"]
        self.attention = given_attention(self._giver("attention"))
        self.memory: Mapping[str, Tensor] | None = None
        self.references: tuple[Source, ...] = ()
        self.fixture: Fixture | None = None
        """What brings images to one place, references too; set it before they are fitted."""
        self.views: tuple[View, ...] = ()
        """How each of them is remembered besides as it is."""
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
        return list(self.stream(as_list(images), class_name, batch_size))

    def stream(
        self, images: Iterable[Any], class_name: str = "object", batch_size: int = BATCH_SIZE
    ) -> Iterator[Result]:
        """Yield a result for each image, in order, holding a few batches at a time.

        Results of a scorer whose scope is the set follow when all images are encoded.

        Raises:
            InputError: references are needed and were not given.
        """
        self.check_ready(class_name)
        sources: Iterable[Source] = self.sources(images)
        together: ImageSet | None = None
        if self.scorer.scope == "set":
            together, sources = self.image_set(class_name, batch_size), [*sources]
            sources = track(sources, "reading", len(sources))
        loaded = load(sources, self.resizing, self.preprocessings(), batch_size)
        for batch in batches(loaded, batch_size):
            if together is not None:
                together.add(batch)
            else:
                yield from self.results(batch, class_name, batch_size)
            for pieces in batch:
                for piece in pieces:
                    piece.release()
        if together is not None:
            yield from together.results()

    def results(
        self,
        images: Sequence[Pieces],
        class_name: str = "object",
        batch_size: int | None = None,
    ) -> list[Result]:
        """Score images together, each as its pieces (`vlmad.loading.load`).

        One that cannot be read costs itself only; `batch_size` pieces are encoded together, by
        default all.
        """
        started = time.perf_counter()
        readable = [pieces for pieces in images if pieces[0].failure is None]
        prediction, fault = None, None
        try:
            if readable:
                prediction = self(self._batch(readable), class_name, batch_size)
        except InputError as error:  # such as of a file that went away after it was read
            if len(images) > 1:  # each by itself shows whose fault it is
                return [self.results([each], class_name, batch_size)[0] for each in images]
            fault = str(error)
        each = (time.perf_counter() - started) / max(1, sum(map(len, readable)))
        found, end = [], 0
        for pieces in images:
            start, end = end, end + (0 if pieces[0].failure else len(pieces))
            own = prediction[start:end] if prediction and end > start else None
            result = self.result(pieces, own, each, pieces is images[-1])
            found.append(replace(result, error=fault) if fault else result)
        return found

    def image_set(self, class_name: str = "object", batch_size: int | None = None) -> ImageSet:
        """Return what images are added to that are scored together, as `results` scores batches."""

        def encode(images: Iterable[Pieces]) -> Features:
            made = self.features(self._batch(images), batch_size)
            return made if self._looks_at_image else only_named(made, self.scorer.needs)

        return ImageSet(encode, partial(self.score_set, class_name=class_name), self.result)

    def fit(self, references: Any, batch_size: int = BATCH_SIZE) -> Detector:
        """Remember normal images, as `predict` takes them (`encode_references`); return itself."""
        given = [*self.sources(as_list(references))]
        sources = self.views_of(given)
        self.memory = self.memory_of(self.encode_references(sources, batch_size))
        self.views = tuple(each.view for each in sources[1 : len(sources) // len(given)])
        self.references = tuple(sources)
        return self

    def sources(self, images: Iterable[Any]) -> Iterator[Source]:
        """Yield each image as a source, read and placed as this detector wants it.

        Raises:
            InputError: an item is no image at all.
        """
        for index, image in enumerate(images):
            source = as_source(image, index, self.reading)
            known = self.fixture in (None, source.fixture)
            yield source if known else source.placed(self.fixture)

    def views_of(self, references: Sequence[Source], count: int | None = None) -> list[Source]:
        """Return what is remembered of references: each as it is, and as the scorer turns it.

        Of each there are as many, in the order of the references; `count` is how many references
        the memory is of, by default all of these.
        """
        views: Sequence[View] = ()
        if isinstance(self.scorer, HasViews):
            with self._blaming("scorer"):
                views = tuple(self.scorer.views(len(references) if count is None else count))
        return [each.seen(view) for each in references for view in (each.view, *views)]

    def encode_references(self, references: Any, batch_size: int = BATCH_SIZE) -> list[Features]:
        """Return the features of each reference, or view of one, for `memory_of`.

        Raises:
            IncompatiblePartsError: the scorer makes no use of references.
            InputError: there are none, or one cannot be read.
        """
        if self.scorer.references == "none":
            raise IncompatiblePartsError(
                f"{self.assembly.parts['scorer']} makes no use of references; "
                "choose a scorer that does, such as 'gaussian'"
            )
        encoded = list(self.encode(references, batch_size))
        if not encoded:
            raise InputError("no references were given")
        return encoded

    def encode(self, images: Any, batch_size: int = BATCH_SIZE) -> Iterator[Features]:
        """Yield the features of each image, all pieces of it, by itself.

        Raises:
            InputError: one cannot be read.
        """
        sources = self.sources(as_list(images))
        for pieces in load(sources, self.resizing, self.preprocessings(), batch_size):
            if pieces[0].failure:
                raise InputError(pieces[0].failure)
            yield self.features(self._batch([pieces]), batch_size)
            for piece in pieces:
                piece.release()

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

    def look_inside(self, inside: Inside) -> Detector:
        """Neither remember nor score what lies outside of some pixels; return itself.

        Args:
            inside: returns which pixels of each image count, at the model's size.

        Raises:
            IncompatiblePartsError: the scorer looks at whole images.
        """
        if not (isinstance(self.scorer, HonoursInside) and self.scorer.honours_inside):
            raise IncompatiblePartsError(
                f"{self.assembly.parts['scorer']} looks at whole images; choose a scorer that can "
                "leave out what lies outside of a region, such as 'nearest'"
            )
        self.inside = inside
        return self

    def on(self, backbone: Any) -> Detector:
        """Return the same detector on another backbone object, such as one that remembers."""
        other = copy.copy(self)
        other.backbone = backbone
        return other

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

    def _batch(self, images: Iterable[Pieces]) -> ImageBatch:
        pieces = tuple(piece for image in images for piece in image)
        return ImageBatch(pieces, self.resizing.of_each)

    def result(
        self, pieces: Pieces, prediction: Prediction | None, seconds: float, ends: bool = True
    ) -> Result:
        """Make the result of an image from the prediction of its pieces, at `seconds` for each."""
        file, failure, score, heat = pieces[0].original, pieces[0].failure, float("nan"), None
        if prediction is not None:
            scores, maps = prediction.score, prediction.map
            if torch.isfinite(scores).all() and torch.isfinite(maps).all():
                score = float(scores.max())
                heat = restore_whole(pieces, maps, self.resizing.of_each)
            else:
                scorer = self._giver("scorer")
                who = f"{scorer.chosen.registration} returned a score or map"
                failure = f"{file.name}: {who} that is not a finite number{scorer.hint}"
        took = 0.0 if prediction is None else seconds * len(pieces)
        return Result(
            file.name, score, heat, failure, took, file.sha256, file.status, ends, file.notes
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


def as_list(images: Any) -> list[Any]:
    """Return an image, or each of several, in a list."""
    single = isinstance(images, str | Path | Source) or not isinstance(images, Iterable)
    is_array = hasattr(images, "ndim") and images.ndim == 3 and images.shape[-1] in (3, 4)
    return [images] if single or is_array or hasattr(images, "getbands") else list(images)

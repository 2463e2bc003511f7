"""A detector: a method that reads images, and remembers some of them as references."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import IncompatiblePartsError, InputError
from vlmad.fitting import only_named
from vlmad.image_set import ImageSet
from vlmad.images import Source, as_source, restore_whole
from vlmad.loading import batches, load
from vlmad.method import Method
from vlmad.parts import HasViews, HonoursInside
from vlmad.resizing import parse_resizing
from vlmad.types import ImageBatch, Result
from vlmad.watching import track

if TYPE_CHECKING:
    from vlmad.assembly import Assembly
    from vlmad.loading import Pieces
    from vlmad.method import Inside
    from vlmad.resizing import Fixture
    from vlmad.types import Features, Prediction, View

BATCH_SIZE = 8


class Detector(Method):
    """Five parts that fit each other, for images of any form.

    Args:
        assembly: the parts, from `vlmad.assembly.assemble`.
        resize: how images become the model's square: `squash`, `pad`, `tiles:N` for squares cut
            from the image, N along its shorter side, or `auto` for those of long formats.
        reading: what formats are told of how to read a file, where it leaves that open.
    """

    def __init__(self, assembly: Assembly, resize: str = "squash", reading: Any = None) -> None:
        super().__init__(assembly)
        self.resizing, self.reading = parse_resizing(resize), reading
        self.references: tuple[Source, ...] = ()
        self.fixture: Fixture | None = None
        """What brings images to one place, references too; set it before they are fitted."""
        self.views: tuple[View, ...] = ()
        """How each of them is remembered besides as it is."""

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
        loaded = load(sources, self.resizing, self.preprocessings(), batch_size)
        for [pieces] in batches(loaded, 1):
            if pieces[0].failure:
                raise InputError(pieces[0].failure)
            yield self.features(self._batch([pieces]), batch_size)

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

    def _batch(self, images: Iterable[Pieces]) -> ImageBatch:
        pieces = tuple(piece for image in images for piece in image)
        return ImageBatch(pieces, self.resizing.of_each)


def as_list(images: Any) -> list[Any]:
    """Return an image, or each of several, in a list."""
    single = isinstance(images, str | Path | Source) or not isinstance(images, Iterable)
    is_array = hasattr(images, "ndim") and images.ndim == 3 and images.shape[-1] in (3, 4)
    return [images] if single or is_array or hasattr(images, "getbands") else list(images)

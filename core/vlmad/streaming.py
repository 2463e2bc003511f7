"""Any number of images through one detector, or several side by side, a few at a time.

Files that cannot be read cost themselves only: they become results that say why. Detectors that
run side by side see the same images at the same time, so that what they ask of a backbone can be
answered once for all (`vlmad_evaluation.sharing`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from vlmad.errors import InputError, PluginError
from vlmad.holding import Held, hold_once
from vlmad.loading import load
from vlmad.resizing import join_maps
from vlmad.types import ImageBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    import numpy as np
    from jaxtyping import Float

    from vlmad.detector import Detector
    from vlmad.images import FileStatus, Source
    from vlmad.types import Features, Prediction

Pieces: TypeAlias = "Sequence[Source]"
"""An image as the model sees it: itself, or the tiles that were cut from it."""


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
    seconds: float = 0.0
    """Its share of the time that the model took for its batch."""
    sha256: str | None = None
    """Of the file's bytes, if it is a file that could be read."""
    status: FileStatus | None = None
    """Of the file before it was read, if it was one."""
    ends_batch: bool = True
    """Whether it is the last of those that were scored together."""


class Stream:
    """A detector that takes the images that pass by.

    Args:
        detector: fitted, if it needs references.
        class_name: what the images show.
        batch_size: images that are encoded together.
        wanted: the names of the images that it takes; all by default.

    Raises:
        InputError: it needs references and has none.
    """

    def __init__(
        self,
        detector: Detector,
        class_name: str,
        batch_size: int,
        wanted: Container[str] | None = None,
    ) -> None:
        self.detector, self.class_name, self.batch_size = detector, class_name, batch_size
        self._wanted = wanted
        self._held: list[Pieces] = []
        self.features = Held()
        """Of the images that wait for the others, if the scorer's scope is the set."""
        detector.check_fitted()
        if not detector.prompts.looks_at_image:
            detector.text(class_name, None)  # what is wrong with the words is no image's fault

    def take(self, images: Sequence[Pieces]) -> Iterator[Result]:
        """Yield a result for each image; if the scorer's scope is the set, none before `end`."""
        if self._wanted is not None:
            images = [image for image in images if image[0].name in self._wanted]
        if self.detector.scorer.scope == "set":
            self._hold(images)
            return
        try:
            yield from self._score_together(images)
        except InputError:  # a file that went away after it was read
            for image in images:
                yield from self._score_alone(image)

    def end(self) -> Iterator[Result]:
        """Yield the results of all images that were held for a scorer of sets."""
        if self._held:
            started = time.perf_counter()
            yield from self._results(self._held, self.features.take(), started)

    def _score_together(self, images: Sequence[Pieces]) -> Iterator[Result]:
        started = time.perf_counter()
        yield from self._results(images, self._encode(images), started)

    def _score_alone(self, image: Pieces) -> Iterator[Result]:
        try:
            yield from self._score_together([image])
        except InputError as own:
            yield _failed(image[0], str(own))

    def _hold(self, images: Sequence[Pieces]) -> None:
        try:
            encoded = [self._encode(images)]
        except InputError:
            encoded = [self._encode_or_fail(image) for image in images]
        self._held += images
        for features in encoded:
            if features is not None:
                self.features.add(features)

    def _encode_or_fail(self, image: Pieces) -> Features | None:
        try:
            return self._encode([image])
        except InputError as error:
            image[0].failure = str(error)
            return None

    def _encode(self, images: Sequence[Pieces]) -> Features | None:
        """Return the features of all pieces that could be read."""
        pieces = [piece for image in images for piece in image if piece.failure is None]
        return self.detector.encode(pieces, self.batch_size) if pieces else None

    def _results(
        self, images: Sequence[Pieces], features: Features | None, started: float
    ) -> Iterator[Result]:
        """Score images, each in one or several pieces, together."""
        prediction = None
        if features is not None:
            prediction = self.detector.score(features, self.class_name)
        each = (time.perf_counter() - started) / max(1, len(features or ()))
        start = 0
        for image in images:
            if prediction is None or image[0].failure is not None:
                yield _failed(image[0], str(image[0].failure))
            else:
                yield self._result(image, prediction, start, each * len(image))
                start += len(image)

    def _result(self, image: Pieces, prediction: Prediction, start: int, seconds: float) -> Result:
        """Make one result of the pieces of an image, rows `start` and those after it."""
        rows = slice(start, start + len(image))
        scores, heats = prediction.score[rows], prediction.map[rows]
        if not (torch.isfinite(scores).all() and torch.isfinite(heats).all()):
            return _failed(image[0], f"{image[0].name}: its score or map is not a finite number")
        batch = ImageBatch(tuple(image), self.detector.resizing.of_each)
        maps = [batch.restore(index, heat) for index, heat in enumerate(heats)]
        whole, joined = image[0], maps[0]
        if whole.whole is not None:
            places = [piece.whole[1] for piece in image if piece.whole]
            whole = whole.whole[0]
            joined = join_maps(whole.size, places, maps)
        score = float(scores.max())
        return Result(whole.name, score, joined, None, seconds, whole.sha256, whole.status)


def stream_together(
    streams: Sequence[Stream],
    sources: Iterable[Source],
    left_behind: Callable[[Stream, PluginError], None] | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Stream, Result]]:
    """Yield what each stream says of the sources; for each stream in the order of the sources.

    A few batches are held at a time, unless a scorer needs the features of all images first.

    Args:
        streams: of one batch size, and of detectors that resize images alike for backbones
            that preprocess them alike.
        sources: the images.
        left_behind: told which stream goes no further because a part of it failed; without
            it, that ends all.
        after_batch: called when all have taken a batch.
    """
    going = list(streams)

    def step(images: Sequence[Pieces] | None) -> Iterator[tuple[Stream, Result]]:
        for stream in list(going):
            try:
                results = stream.end() if images is None else stream.take(images)
                for result in _with_end(results):
                    yield stream, result
            except PluginError as error:
                if left_behind is None:
                    raise
                going.remove(stream)
                left_behind(stream, error)

    first = streams[0]
    for images in _groups(_load(first.detector, sources, first.batch_size), first.batch_size):
        yield from step(images)
        hold_once(stream.features for stream in going)
        _release(piece for image in images for piece in image)
        after_batch()
    yield from step(None)


def encode_together(
    detectors: Sequence[Detector],
    sources: Iterable[Source],
    batch_size: int,
    left_behind: Callable[[Detector, PluginError], None] | None = None,
    after_image: Callable[[], None] = lambda: None,
) -> Iterator[dict[Detector, Features]]:
    """Yield for each image the features that each detector makes of it.

    Args:
        detectors: they resize images alike for backbones that preprocess them alike.
        sources: the images.
        batch_size: pieces of an image that are encoded together.
        left_behind: told which detector goes no further because a part of it failed; without
            it, that ends all.
        after_image: called when all have encoded an image.

    Raises:
        InputError: an image cannot be read.
    """
    going = list(detectors)
    for pieces in _load(detectors[0], sources, batch_size):
        if pieces[0].failure:
            raise InputError(pieces[0].failure)
        encoded = {}
        for detector in list(going):
            try:
                encoded[detector] = detector.encode(pieces, batch_size)
            except PluginError as error:
                if left_behind is None:
                    raise
                going.remove(detector)
                left_behind(detector, error)
        yield encoded
        _release(pieces)
        after_image()


def _load(detector: Detector, sources: Iterable[Source], batch_size: int) -> Iterator[Pieces]:
    return load(sources, detector.resizing, detector.backbone.spec.preprocessing, batch_size)


def _release(pieces: Iterable[Source]) -> None:
    for piece in pieces:
        piece.release()


def _with_end(results: Iterable[Result]) -> Iterator[Result]:
    """Mark the last of the results that were scored together."""
    before: Result | None = None
    for result in results:
        if before is not None:
            yield replace(before, ends_batch=False)
        before = result
    if before is not None:
        yield before


def _groups(images: Iterable[Pieces], pieces: int) -> Iterator[list[Pieces]]:
    """Yield images until they have together at least so many pieces."""
    group: list[Pieces] = []
    for image in images:
        group.append(image)
        if sum(map(len, group)) >= pieces:
            yield group
            group = []
    if group:
        yield group


def _failed(source: Source, reason: str) -> Result:
    return Result(source.name, float("nan"), None, reason, 0.0, source.sha256, source.status)

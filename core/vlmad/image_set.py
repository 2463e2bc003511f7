"""Images that are scored together: encoded one after another, with their features on disk."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.temporary import StoredFeatures
from vlmad.watching import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmad.loading import Pieces
    from vlmad.types import Features, Prediction, Result


class ImageSet:
    """All images that a scorer of sets is to compare with each other (`Detector.image_set`).

    Args:
        encode: returns the features of all pieces of images that can be read.
        score: yields the prediction of each image from the features of all.
        result: as `Detector.result`.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Pieces]], Features],
        score: Callable[[Sequence[Features]], Iterator[Prediction]],
        result: Callable[[Pieces, Prediction | None, float], Result],
    ) -> None:
        self._encode, self._score, self._result = encode, score, result
        self._images: list[tuple[Pieces, str | None]] = []
        self._features = StoredFeatures()
        self._seconds = 0.0

    def add(self, images: Sequence[Pieces]) -> None:
        """Encode images, each as its pieces, whose pixels are not needed any more then."""
        started, end, fault = time.perf_counter(), 0, None
        readable = [pieces for pieces in images if pieces[0].failure is None]
        try:
            features = self._encode(readable) if readable else None
        except InputError as error:
            if len(images) > 1:  # each by itself shows whose fault it is
                for each in images:
                    self.add([each])
                return
            features, fault = None, str(error)
        self._images += [(pieces, fault or pieces[0].failure) for pieces in images]
        if features is not None:
            for pieces in readable:
                start, end = end, end + len(pieces)
                self._features.append(features[start:end])
        self._seconds += time.perf_counter() - started

    def results(self) -> Iterator[Result]:
        """Yield the result of each image, in order."""
        started = time.perf_counter()
        predictions = self._score(self._features) if self._features else iter(())
        first = next(predictions, None)  # which is there when all were compared
        predictions = itertools.chain(filter(None, [first]), predictions)
        self._seconds += time.perf_counter() - started
        rows = sum(len(pieces) for pieces, failure in self._images if failure is None)
        each = self._seconds / max(1, rows)
        for pieces, failure in track(self._images, "writing", len(self._images)):
            prediction = next(predictions) if failure is None else None
            result = self._result(pieces, prediction, each)
            yield replace(result, error=failure) if failure else result

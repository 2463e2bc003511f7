"""A detector in a file of ONNX or OpenVINO, for ``--model``: it runs without torch."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad.errors import InputError, WeightsError, first_line
from vlmad.files import digest
from vlmad.images import as_source
from vlmad.loading import ahead
from vlmad.resizing import join_maps, parse_resizing
from vlmad.types import Result
from vlmad_export.exported import DOCUMENT, ExportedDetector
from vlmad_export.sessions import open_session
from vlmad_formats.ranges import find_range
from vlmad_formats.reading import Reading
from vlmad_run.thresholds import GIVEN, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float, UInt8

    from vlmad.images import Source
    from vlmad.resizing import Box
    from vlmad_export.sessions import Session
    from vlmad_run.manifest import GoodScores, Manifest


def open_onnx(path: Path, options: Mapping[str, Mapping[str, Any]]) -> OnnxDetector:
    """Open a file of ``vlmad export``; see `vlmad_run.kinds.Engine`.

    Raises:
        InputError: options are given, or there is no runtime.
        WeightsError: the file is damaged or of something else.
    """
    if options:
        raise InputError(f"{path} is one graph, of which no options can be set")
    return OnnxDetector(path)


class OnnxDetector:
    """A graph, and what brings images to it and its maps back; see `vlmad_run.kinds.Runnable`.

    Args:
        path: a file of ``vlmad export``.
        session: what runs it; by default the first runtime that is installed.
    """

    together = False

    def __init__(self, path: Path, session: Session | None = None) -> None:
        self.path = path
        self.session = session or open_session(path)
        self.document = read_document(path, self.session.metadata)
        identity = self.document.manifest.identity
        self.class_name, self.resizing = identity.class_name, parse_resizing(identity.resize)
        self.reading = Reading.parse(identity.reading)
        self.notes: list[str] = []

    @property
    def good(self) -> GoodScores | None:
        """What references score, of which thresholds are made."""
        return self.document.manifest.good

    @property
    def threshold(self) -> Threshold | None:
        """The one that it was exported with; it was checked then."""
        found = self.document
        if found.threshold is None:
            return None
        rule, evidence = found.threshold_rule or GIVEN, found.threshold_evidence
        return Threshold(value=found.threshold, rule=rule, evidence=evidence)

    def describe(
        self, images: Iterable[Path] | None = None, threshold: float | None = None
    ) -> Manifest:
        """Describe it: the detector that it was made of, in another precision and file."""
        from vlmad_run.manifest import described_anew

        whole = [] if images is None else list(images)
        if self.reading.range == "auto" and whole:
            found, notes = find_range(whole, self.reading)
            self.reading = replace(self.reading, range=found)
            self.notes += notes
        document, file = self.document, digest(self.path)
        identity = document.manifest.identity.model_copy(
            update={
                "weights_sha256": file,
                "precision": f"{document.precision} in a graph",
                "reading": str(self.reading),
                "threshold": threshold,
            }
        )
        known = None if images is None else whole
        return described_anew(document.manifest, identity, known, self.path, file)

    def stream(self, images: Iterable[Any], batch_size: int = 1) -> Iterator[Result]:
        """Yield a result for each image, in order; each is scored by itself."""
        sources = (as_source(image, n, self.reading) for n, image in enumerate(images))
        for source, pieces in ahead(sources, self._pieces):
            yield self._result(source, pieces)

    def _pieces(self, source: Source) -> tuple[Source, list[tuple[Box | None, Any]]]:
        """Return an image, whole or cut into tiles; nothing where it cannot be read."""
        try:
            image = source.open()
        except InputError as error:
            source.failure = str(error)
            return source, []
        places = self.resizing.places(image.size)
        cut: list[Box | None] = [*places] or [None]
        return source, [(box, np.asarray(image.crop(box) if box else image)) for box in cut]

    def _result(self, source: Source, pieces: Sequence[tuple[Box | None, Any]]) -> Result:
        score, heat, failure, started = math.nan, None, source.failure, time.perf_counter()
        if failure is None:
            try:
                found = [self._scored(pixels) for _, pixels in pieces]
            except InputError as error:
                failure = f"{source.name}: {error}"
            else:
                score = max(scored for scored, _ in found)
                sized = zip(pieces, found, strict=True)
                maps = [restored(own, pixels.shape[:2]) for (_, pixels), (_, own) in sized]
                places = [box for box, _ in pieces if box]
                heat = join_maps(source.size, places, maps) if places else maps[0]
        taken = time.perf_counter() - started if failure is None else 0.0
        return Result(
            source.name, score, heat, failure, taken, source.sha256, source.status, True,
            source.notes,
        )  # fmt: skip

    def _scored(self, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[float, Float[np.ndarray, "y x"]]:
        """Return the score and map of an image.

        Raises:
            InputError: the graph fails at it, or gives something else.
        """
        try:
            scores, maps = self.session(pixels[None])
        except Exception as error:  # runtimes raise errors of their own kinds, and RuntimeError
            raise InputError(f"the graph failed: {first_line(error)}") from error
        given = [(each.dtype.name, each.shape) for each in (scores, maps)]
        if given != [("float32", (1,)), ("float32", (1, *self.document.map_size))]:
            raise InputError("the graph gave no score and map of the size that it states")
        if not (np.isfinite(scores).all() and np.isfinite(maps).all()):
            raise InputError("the graph gave a score or map that is no finite number")
        return float(scores[0]), maps[0]


def read_document(path: Path, metadata: Mapping[str, str]) -> ExportedDetector:
    """Return what the metadata of a graph say.

    Raises:
        WeightsError: it is no export of this vlmad.
    """
    try:
        return ExportedDetector.parse(metadata[DOCUMENT], f"{path}: what it says of itself")
    except KeyError:
        raise WeightsError(f"{path} is no detector; vlmad export makes some") from None
    except InputError as error:
        raise WeightsError(str(error)) from error


def restored(heat: Float[np.ndarray, "y x"], size: Sequence[int]) -> Float[np.ndarray, "h w"]:
    """Bring a map to the size (height, width) of an image, bilinearly as `restore_map` does."""
    for axis, wanted in enumerate(size):
        low, high, share = _between(heat.shape[axis], wanted)
        share = share[:, None] if axis == 0 else share
        lower, upper = heat.take(low, axis), heat.take(high, axis)
        heat = lower + share * (upper - lower)
    return heat


def _between(cells: int, wanted: int) -> tuple[Any, Any, Float[np.ndarray, " n"]]:
    """Return between which cells each pixel lies, and how near to the latter."""
    places = (np.arange(wanted, dtype=np.float64) + 0.5) * cells / wanted - 0.5
    places = places.clip(0, cells - 1)
    low = places.astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (places - low).astype(np.float32)

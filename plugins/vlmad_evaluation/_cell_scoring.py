"""Scoring the cells of a category together, so that each image is encoded once for all."""

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, PluginError
from vlmad.files import digest
from vlmad.images import Source
from vlmad.loading import batches, load
from vlmad.types import ImageBatch
from vlmad_evaluation.conditions import ChangedSource
from vlmad_evaluation.labelled_maps import resize_map
from vlmad_evaluation.result_folders import Scored
from vlmad_evaluation.sharing import share
from vlmad_run.aligning import align_to_first
from vlmad_run.closer_looks import look_closer
from vlmad_run.learning_in_fit import learning_in
from vlmad_run.manifest import describe_run
from vlmad_run.memory_documents import Reference
from vlmad_run.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vlmad.detector import Detector
    from vlmad.image_set import ImageSet
    from vlmad.loading import Pieces
    from vlmad.types import Features, Result, View
    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell
    from vlmad_evaluation.conditions import Change
    from vlmad_evaluation.labelled_maps import Resolution
    from vlmad_evaluation.result_documents import BenchSettings, SkippedEntry
    from vlmad_run.manifest import Manifest

    Look = tuple[str, View]
    Encoded = dict[tuple[str, Look], Features]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Detectors, by name, that share backbones and can take the same loaded images."""

    detectors: Mapping[str, Detector]

    def load(
        self, images: Iterable[Path], batch_size: int, change: Change | None = None
    ) -> Iterator[Pieces]:
        """Decode images in the background, under their whole names, and change them."""
        first = next(iter(self.detectors.values()))
        return self.load_sources((_source(i, change, first) for i in images), batch_size)

    def load_sources(self, sources: Iterable[Source], batch_size: int) -> Iterator[Pieces]:
        """Decode images in the background, as all detectors want their pixels."""
        detectors = self.detectors.values()
        wanted = dict.fromkeys(itertools.chain(*(each.preprocessings() for each in detectors)))
        return load(sources, next(iter(detectors)).resizing, wanted, batch_size)

    def aligned_to(self, reference: Path) -> SideBySide:
        """Return the same detectors, with all images brought to a reference."""
        detectors = {name: each.on(each.backbone) for name, each in self.detectors.items()}
        for each in detectors.values():
            align_to_first(each, [reference])
        return SideBySide(detectors)

    def forget(self, images: Iterable[Pieces]) -> None:
        """Let go of images that all have seen, and of what is known of them."""
        for backbone in {detector.backbone for detector in self.detectors.values()}:
            backbone.forget()
        for pieces in images:
            for piece in pieces:
                piece.release()


def side_by_side(detectors: Mapping[str, Detector], keep: bool = True) -> list[SideBySide]:
    """Part detectors into as few groups as possible that can take the same loaded images."""
    alike: dict[Any, dict[str, Detector]] = {}
    for name, detector in share(detectors, keep).items():
        key = detector.backbone.spec.preprocessing, str(detector.resizing), detector.reading
        alike.setdefault(key, {})[name] = detector
    return [SideBySide(group) for group in alike.values()]


def passes_of(detectors: Mapping[str, Detector]) -> int:
    """Return how many passes all detectors together need over each image."""
    groups = side_by_side(detectors, keep=False)
    backbones = {each.backbone for group in groups for each in group.detectors.values()}
    return sum(len(backbone.passes) for backbone in backbones)


def score_cells(
    cells: Sequence[Cell],
    group: SideBySide,
    folder: BenchFolder,
    settings: BenchSettings,
    advance: Callable[[int], None],
) -> dict[Cell, OpenCell | SkippedEntry]:
    """Score the images of cells as `vlmad run` does, without pictures, each image once for all.

    All cells are of one change, or of none, and of one frame, or none. Maps are stored at the
    resolution of the settings.
    """
    batch_size = settings.batch_size
    if cells and cells[0].frame is not None:
        group = group.aligned_to(cells[0].frame)
    failed: dict[Cell, SkippedEntry] = {}
    encoded = _encode_references(cells, group, batch_size, failed)
    opened: dict[Cell, OpenCell] = {}
    with ExitStack() as stack:
        for cell in cells:
            if cell not in failed:
                try:
                    with learning_in(folder.learned(cell), others=cell.others):
                        fitted = _fitted(cell, group, encoded)
                    own = OpenCell(cell, fitted, settings.size)
                except PluginError as error:
                    failed[cell] = cell.skip(str(error))
                    continue
                own.open(folder.cell(cell), stack)
                opened[cell] = own
        _score([*opened.values()], group, batch_size, failed, advance)
    return opened | failed


class OpenCell:
    """A cell that is being scored, or was."""

    def __init__(self, cell: Cell, detector: Detector, size: Resolution = None) -> None:
        self.cell, self.detector, self.size = cell, detector, size
        self.of_set = detector.scorer.scope == "set"
        self._set: ImageSet | None = None
        references = [Reference(path=str(path), sha256=digest(path)) for path in cell.references]
        self.images = [sample.image for sample in cell.samples]
        detector.check_ready(cell.class_name)
        self.manifest = describe_run(
            detector, cell.class_name, references, images=self.images, seed=cell.seed or 0
        )
        if cell.change is not None:
            self.manifest = _under(self.manifest, cell.change)

    def open(self, path: Path, stack: ExitStack) -> None:
        """Take the folder, until `stack` is left; then it is complete."""
        self.run, self._own = RunFolder(path, self.manifest), stack.enter_context(ExitStack())
        self._own.enter_context(self.run)
        missing = self.run.missing(self.images, together=self.of_set)
        self.missing = {os.path.abspath(image): str(image) for image in missing}
        """What its folder calls each image that is still to be scored, by the whole name."""

    def score(self, images: Iterable[Pieces], batch_size: int) -> Iterator[None]:
        """Score those of the images that are missing and write each, or else keep them for all."""
        wanted = [pieces for pieces in images if pieces[0].original.name in self.missing]
        if wanted and self.of_set:
            self._set = self._set or self.detector.image_set(self.cell.class_name, batch_size)
            self._set.add(wanted)
        elif wanted:
            yield from self._write(self.detector.results(wanted, self.cell.class_name, batch_size))

    def score_set(self) -> Iterator[None]:
        """Score the images that were kept for all, and write each."""
        if self._set is not None:
            yield from self._write(self._set.results())

    def _write(self, results: Iterable[Result]) -> Iterator[None]:
        for result in results:
            heat = result.map
            if heat is not None and self.size is not None:
                heat = resize_map(heat, self.size)
            self.run.write(replace(result, name=self.missing[result.name], map=heat))
            yield

    def give_up(self, error: PluginError) -> None:
        """Leave the folder as that of a run that was stopped."""
        self._own.__exit__(type(error), error, error.__traceback__)

    def scored(self) -> list[Scored]:
        """Return the images that could be scored, in the order of the data set."""
        rows = ((sample, self.run.row(sample.image)) for sample in self.cell.samples)
        folder, change = self.run.path, self.cell.change
        return [Scored(s, row, folder, change, self.size) for s, row in rows if row is not None]


def _score(
    opened: Sequence[OpenCell],
    group: SideBySide,
    batch_size: int,
    failed: dict[Cell, SkippedEntry],
    advance: Callable[[int], None],
) -> None:
    """Score images batch by batch; scorers of sets compare all of them in the end."""

    def take(own: OpenCell, written: Iterable[None]) -> None:
        if own.cell not in failed:
            try:
                for _ in written:
                    advance(1)
            except PluginError as error:
                failed[own.cell] = own.cell.skip(str(error))
                own.give_up(error)

    advance(sum(len(own.images) - len(own.missing) for own in opened))
    change = opened[0].cell.change if opened else None
    for images in batches(group.load(_missing(opened), batch_size, change), batch_size):
        for own in opened:
            take(own, own.score(images, batch_size))
        group.forget(images)
    for own in opened:
        take(own, own.score_set())


def _source(image: Path, change: Change | None, detector: Detector) -> Source:
    name, reading = os.path.abspath(image), detector.reading
    if change is None:
        return Source(name, image, reading=reading).placed(detector.fixture)
    return ChangedSource(name, image, change, reading).placed(detector.fixture)


def _under(manifest: Manifest, change: Change) -> Manifest:
    """Say that images are changed before all else: nothing unchanged may go on in the folder."""
    own = manifest.identity
    preprocessing = {**own.preprocessing, "change": change.model_dump()}
    changed = own.model_copy(update={"preprocessing": preprocessing})
    return manifest.model_copy(update={"identity": changed})


def _missing(opened: Iterable[OpenCell]) -> list[Path]:
    """Return all images that a cell lacks, in the order of the cell that lacks most.

    So a bench that was stopped, which left some cells further than others, goes on with the same
    batches.
    """
    names: dict[str, str] = {}
    for own in sorted(opened, key=lambda own: len(own.missing), reverse=True):
        for whole, name in own.missing.items():
            names.setdefault(whole, name)
    return [Path(name) for name in names.values()]


def _encode_references(
    cells: Sequence[Cell], group: SideBySide, batch_size: int, failed: dict[Cell, SkippedEntry]
) -> Encoded:
    """Return the features of each view of a reference by each detector, from one pass for all."""
    asking: dict[Look, tuple[Source, list[Cell]]] = {}
    for cell in cells:
        for source in _references(cell, group.detectors[cell.detector]):
            asking.setdefault((source.name, source.view), (source, []))[1].append(cell)
    sources = [source for source, _ in asking.values()]
    encoded: Encoded = {}
    loaded = group.load_sources(sources, batch_size)
    for (look, (_, own)), pieces in zip(asking.items(), loaded, strict=True):
        if pieces[0].failure is not None:
            raise InputError(pieces[0].failure)
        for cell in own:
            detector, key = group.detectors[cell.detector], (cell.detector, look)
            if key not in encoded and cell not in failed:
                batch = ImageBatch(tuple(pieces), detector.resizing.of_each)
                try:
                    encoded[key] = detector.features(batch, batch_size)
                except PluginError as error:
                    failed[cell] = cell.skip(str(error))
        group.forget([pieces])
    return encoded


def _references(cell: Cell, detector: Detector) -> list[Source]:
    """Return the views of a cell's references."""
    sources = [_source(path, None, detector) for path in cell.references]
    return detector.views_of(sources)


def _fitted(cell: Cell, group: SideBySide, encoded: Encoded) -> Detector:
    """Return a detector of the cell's own, with a memory of its references."""
    detector = group.detectors[cell.detector]
    own = detector.on(detector.backbone)
    if cell.references:
        own.references = tuple(_references(cell, own))
        looks = [(cell.detector, (each.name, each.view)) for each in own.references]
        own.memory = own.memory_of([encoded[look] for look in looks])
        own, _ = look_closer(own)
    return own

"""The run's detector and the reviewed images, each encoded once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from vlmad.console import messages
from vlmad.errors import InputError, blaming, printable
from vlmad.files import digest
from vlmad.fitting import only_named
from vlmad.images import decode
from vlmad.types import View
from vlmad_run.identity import identity
from vlmad_run.kinds import LearnsMisses
from vlmad_run.references import Assembled
from vlmad_run.repeating import repeat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jaxtyping import Bool, Float, Shaped
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad.types import Features
    from vlmad_formats.reading import Reading
    from vlmad_groups.part_rows import PartRow
    from vlmad_review._verdicts import PersonalVerdict
    from vlmad_run.memory_documents import Reference
    from vlmad_run.stored_run import StoredRun

Each = TypeVar("Each")


@dataclass(frozen=True)
class ReviewMaterial:
    """All that a review reads, and no more is encoded."""

    run: StoredRun
    assembled: Assembled
    """The run's detector, with its references."""
    images: Sequence[PersonalVerdict]
    features: Sequence[Features]
    """One for each image."""
    references: Mapping[Path, Features] = field(default_factory=dict)
    """Those of the run, as they are; none where its memory cannot be made anew."""
    misses: Sequence[Features] = ()
    """What the run's memory has learned from, likewise."""
    no_references: str = ""
    """Why its memory cannot be made anew with further images, if so."""
    no_misses: str = ""
    """Why nothing can be learned from misses, if so."""
    gone: Sequence[str] = ()
    """Which reviewed images are missing or have changed since the run."""
    left_out: Sequence[str] = ()
    """Which are references already, or there twice."""
    notes: Sequence[str] = ()
    wrong_lines: Sequence[str] = ()
    """Of the table of verdicts, and why each could not be used."""
    parts: Sequence[Sequence[int]] = ()
    """Which images are the views of each part; none where the run judged images."""

    def of_parts(self, values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " m"]:
        """Return the highest value of each part's views; those of images where there are none."""
        if not self.parts:
            return values
        return np.array([values[list(views)].max() for views in self.parts])

    def of_views(self, values: Shaped[np.ndarray, " m"]) -> Shaped[np.ndarray, " n"]:
        """Return for each image the value of its part."""
        if not self.parts:
            return values
        whole = np.empty(len(self.images), dtype=values.dtype)
        for views, value in zip(self.parts, values, strict=True):
            whole[list(views)] = value
        return whole

    @cached_property
    def truth(self) -> Bool[np.ndarray, " m"]:
        """Which parts are anomalous: a view of them shows a defect."""
        return self.of_parts(self.anomalous)

    @cached_property
    def anomalous(self) -> Bool[np.ndarray, " n"]:
        """Which images show a defect."""
        return np.array([image.anomalous for image in self.images])

    @cached_property
    def called(self) -> Bool[np.ndarray, " n"] | None:
        """Which images the run called anomalous; None without a threshold."""
        limit = self.run.threshold
        if limit is None:
            return None
        return np.array([limit.verdict(each.row.score or 0) == "anomalous" for each in self.images])

    @cached_property
    def unreviewed(self) -> int:
        """How many images the run scored that might have been reviewed too."""
        scored = {row.sha256 for row in self.run.rows() if row.status == "done"}
        references = {each.sha256 for each in self.assembled.references}
        return max(0, len(scored - references) - len(self.images))

    def memory_with(
        self, new: Iterable[int] | None = None, missed: Iterable[int] = ()
    ) -> Mapping[str, Tensor] | None:
        """Return a memory that has also learned from some reviewed images.

        Args:
            new: which are references, as `Detector.fit` makes it of them and those of the run;
                None leaves the run's.
            missed: which are to score higher.
        """
        detector, learned = self.assembled.detector, [self.features[index] for index in missed]
        if new is None:
            memory = detector.memory
        else:
            looks = [self._encoded(each) for each in self._looks_with(new)]
            memory = detector.memory_of(looks) if looks else None
            learned = [*self.misses, *learned]
        for each in learned:
            memory = memory and _with_miss(detector, memory, each)
        return memory

    def views_with(self, new: Sequence[int]) -> tuple[View, ...]:
        """Return how references and reviewed images beside them are turned."""
        looks, count = self._looks_with(new), len(self.references) + len(new)
        return tuple(each.view for each in looks[1 : len(looks) // count]) if looks else ()

    def _looks_with(self, new: Iterable[int]) -> Sequence[Source]:
        detector = self.assembled.detector
        sources = detector.sources([*self.references, *(self.images[index].path for index in new)])
        return detector.views_of([*sources])

    @cached_property
    def _looks(self) -> dict[tuple[Path | None, View], Features]:
        """All that is encoded, by file and view."""
        own = zip((each.path for each in self.images), self.features, strict=True)
        return {(path, View()): found for path, found in [*own, *self.references.items()]}

    def _encoded(self, source: Source) -> Features:
        """Return the features of a file in some view; turned ones are encoded when needed."""
        look = source.path, source.view
        if look not in self._looks:
            [self._looks[look]] = self.assembled.detector.encode([source])
        return self._looks[look]

    def score(
        self, images: Iterable[int], memory: Mapping[str, Tensor] | None = None
    ) -> Float[np.ndarray, " q"]:
        """Score some images, by the run's memory or another; of tiles the highest counts."""
        name, score = self.assembled.class_name, self.assembled.detector.score
        found = [score(self.features[i], name, memory).score.max().item() for i in images]
        return np.array(found, dtype=np.float64)


def gather(
    run: StoredRun,
    verdicts: Sequence[PersonalVerdict],
    options: Mapping[str, Mapping[str, Any]],
    wrong_lines: Sequence[str] = (),
) -> ReviewMaterial:
    """Build the run's detector and encode the reviewed images and its references.

    Args:
        run: the run.
        verdicts: on its images.
        options: of parts, where they differ from those of the run, such as where weights are.
        wrong_lines: why further verdicts could not be used.

    Raises:
        InputError: the detector is not that of the run any more, no image is left, or the
            scorer judges sets of images.
        VlmadError: a part or its weights are not to be had.
    """
    repeated = repeat(run, options, fit=False)
    if not isinstance(repeated, Assembled) or repeated.together:
        raise InputError(
            f"the scores of {run.folder} are not those of single images and normal references, "
            "so that no image can be left out: review a run of another scorer"
        )
    gone = {each.path: _why_gone(each.path, each.row.sha256) for each in verdicts}
    there = [each for each in verdicts if not gone[each.path]]
    remembers = [*repeated.references, *repeated.misses]
    left_out = find_doubles(there, remembers, repeated.detector.reading)
    images = [each for each in there if each.path not in left_out]
    images, parts, not_whole = whole_parts(images, run.parts())
    notes = _differences(run, repeated)
    notes += [f"{len(parts)} parts are judged by the worst of their views"] if parts else []
    lists = [*filter(None, gone.values())], [*left_out.values(), *not_whole], notes
    if not images:
        raise InputError(f"none of the reviewed images is of use: {[*lists[0], *lists[1]][0]}")
    no_references = _why_no_references(repeated)
    known = [] if no_references else [Path(each.path) for each in repeated.references]
    missed = [] if no_references else [Path(each.path) for each in repeated.misses]
    encoded = iter(_encode(repeated, [*(each.path for each in images), *known, *missed]))
    own = list(islice(encoded, len(images)))
    remembered = dict(zip(known, encoded, strict=False))
    material = ReviewMaterial(
        run, repeated, images, own, remembered, list(encoded), no_references,
        _why_no_misses(repeated), *lists, wrong_lines=wrong_lines,
        parts=parts,
    )  # fmt: skip
    if repeated.detector.memory is None:
        repeated.detector.memory = material.memory_with(())
    return material


def whole_parts(
    images: Sequence[PersonalVerdict], parts: Sequence[PartRow]
) -> tuple[list[PersonalVerdict], list[list[int]], list[str]]:
    """Return the images whose part has a verdict on each view, the parts, and why others have none.

    Where a run judged no parts all images are of use.
    """
    if not parts:
        return list(images), [], []
    by_name = {each.row.image: each for each in images}
    kept: list[PersonalVerdict] = []
    found: list[list[int]] = []
    left_out = []
    for part in parts:
        views, names = [by_name[v] for v in part.views if v in by_name], set(part.views)
        if views and (part.status != "whole" or len(views) < len(names)):
            lacks = part.reason or f"{len(views)} of {len(names)} views have a verdict"
            left_out.append(f"part {part.part}: {lacks}")
        elif views:
            found.append([*range(len(kept), len(kept) + len(views))])
            kept += views
    return kept, found, left_out


def _with_miss(
    detector: Detector, memory: Mapping[str, Tensor], miss: Features
) -> Mapping[str, Tensor]:
    """Return a memory that has learned from one more image."""
    scorer = detector.assembly.parts["scorer"]
    with torch.inference_mode(), blaming(f"{scorer.registration} failed"):
        given = only_named(miss, detector.scorer.needs)
        learned: Mapping[str, Tensor] = detector.scorer.learn_miss(memory, given)
    return learned


def _differences(run: StoredRun, repeated: Assembled) -> list[str]:
    """Refuse a detector whose scores mean something else than those of the run.

    Another version of the same code only makes a note.
    """
    known = repeated.references, None, repeated.misses
    now = identity(repeated.detector, repeated.class_name, *known)
    was = run.manifest.identity
    grave = was.differences(now, threshold=False)
    if grave:
        raise InputError(
            f"the detector is not that of {run.folder} any more: {'; '.join(grave[:3])}; "
            "run the images again and review that run"
        )
    return [printable(f"differs from the run: {each}") for each in was.remarks(now)]


def find_doubles(
    verdicts: Iterable[PersonalVerdict],
    references: Sequence[Reference],
    reading: Reading | None = None,
) -> dict[Path, str]:
    """Return which images are references or there twice, and that in words.

    A picture that was saved again is the same one: in a memory it would judge itself.

    Raises:
        InputError: one content is called both normal and anomalous.
    """
    files = [(Path(each.path), each.sha256) for each in references]
    fitted_on = {sha256 for _, sha256 in files}
    there = [path for path, sha256 in files if not _why_gone(path, sha256)]
    fitted_on |= {_pixel_digest(path, reading) for path in there}
    doubles, firsts = dict[Path, str](), dict[str, "PersonalVerdict"]()
    for each in verdicts:
        pixels = _pixel_digest(each.path, reading)
        first = firsts.setdefault(pixels, each)
        if first.verdict != each.verdict:
            raise InputError(
                f"{first.row.image} is {first.verdict} by line {first.line}, and the same image "
                f"as {each.row.image} is {each.verdict} by line {each.line}: keep one"
            )
        if fitted_on & {each.row.sha256, pixels}:
            doubles[each.path] = f"{each.path} is in the memory of the run already"
        elif first is not each:
            doubles[each.path] = f"{each.path} is the same image as {first.row.image}"
    return doubles


def _pixel_digest(path: Path, reading: Reading | None) -> str:
    image = decode(path, reading=reading)
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def _why_gone(path: Path, sha256: str | None) -> str:
    """Return what has become of a file, or nothing if it is the same."""
    try:
        return "" if digest(path) == sha256 else f"{path} has changed since the run"
    except InputError as error:
        return str(error)


def _why_no_misses(assembled: Assembled) -> str:
    scorer = assembled.detector.scorer
    learns = isinstance(scorer, LearnsMisses) and scorer.learns_misses
    part = assembled.detector.assembly.parts["scorer"]
    return "" if learns else f"{part} learns from no misses, as 'gaussian' does with --references"


def _why_no_references(assembled: Assembled) -> str:
    """Return why no memory can be made of the references and further images, if so."""
    if assembled.detector.scorer.references == "none":
        part = assembled.detector.assembly.parts["scorer"]
        return (
            f"{part} makes no use of references; run with --references PATH, or --detector winclip"
        )
    known = [*assembled.references, *assembled.misses]
    gone = [why for each in known if (why := _why_gone(Path(each.path), each.sha256))]
    if not gone:
        return ""
    return printable(
        f"{len(gone)} of the {len(known)} images that it was fitted on are not there as they "
        f"were, and a memory is made of all: {gone[0]}"
    )


def _encode(assembled: Assembled, paths: Sequence[Path]) -> list[Features]:
    return list(tracked(assembled.detector.encode(paths), "encoding", len(paths)))


def tracked(items: Iterable[Each], what: str, total: int) -> Iterable[Each]:
    """Yield items and show a person how many are done."""
    from rich.progress import track

    on, off = messages(), not messages().is_terminal
    return track(items, what, total, console=on, transient=True, disable=off)

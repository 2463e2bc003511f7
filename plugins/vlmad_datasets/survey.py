"""Looking at every file of a data set before anything runs on it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.datasets import Problem, Severity
from vlmad.errors import InputError, first_line
from vlmad.files import digest
from vlmad.images import read_image
from vlmad_datasets._plausibility import doubts
from vlmad_datasets.masks import fitted_mask
from vlmad_formats.ranges import find_range
from vlmad_formats.reading import Reading
from vlmad_formats.stored_values import read_facts
from vlmad_run.finding import left_out_of
from vlmad_run.passed_over import WORDS, count_by_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from vlmad.datasets import Sample
    from vlmad_formats.stored_values import ImageFacts
    from vlmad_run.finding import FoundImages
    from vlmad_run.opening import OpenDataset
    from vlmad_run.passed_over import PassedOver

RANKS: dict[Severity, int] = {"fatal": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class SurveyedSample:
    """A sample, and what its files hold."""

    sample: Sample
    size: tuple[int, int]
    """Width and height of the upright image."""
    defective: int | None = None
    """How many pixels the mask marks; None without a mask."""
    content: str | None = None
    """A hash of the decoded pixels, where these were looked at."""
    reading: Reading | None = None
    """How the image is read, as the others of its data set."""

    @property
    def pixels(self) -> int:
        """How many pixels the image has."""
        return self.size[0] * self.size[1]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in the files of a data set, the gravest problems first."""

    measured: tuple[SurveyedSample, ...]
    problems: tuple[Problem, ...]
    passed_over: tuple[PassedOver, ...] = ()
    """What lies in its folder and is neither photograph nor mask of it."""

    def of(self, severity: Severity) -> tuple[Problem, ...]:
        """Return the problems of one severity."""
        return tuple(problem for problem in self.problems if problem.severity == severity)

    def refuse(self) -> None:
        """Do nothing if the data set can be evaluated.

        Raises:
            InputError: it cannot; the first fatal problem is named, and how many there are.
        """
        fatal = self.of("fatal")
        if fatal:
            others = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
            raise InputError(f"{fatal[0]}{others}; 'vlmad data' lists all problems")


def survey(
    dataset: OpenDataset,
    categories: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    decoding: bool = False,
) -> Survey:
    """Read the header of every image and every mask, and list what is wrong, by file.

    Args:
        dataset: an opened data set.
        categories: the ones to look at, by default all.
        decoding: whether all images are decoded, too, which finds damage in their middle, and
            the same pixels in different files.
        progress: called with how many samples of how many are done.

    Raises:
        InputError: a category does not exist.
    """
    samples = dataset.select(categories)
    problems = list(dataset.problems)
    measured = []
    reading = None
    if decoding:
        white, notes = find_range([sample.image for sample in samples])
        reading = Reading(white)
        problems += [Problem(dataset.root, note, "note") for note in notes]
    for index, sample in enumerate(samples, start=1):
        found = _measure(sample, problems, reading)
        measured += [found] if found else []
        if progress is not None:
            progress(index, len(samples))
    problems += _categories(dataset.root, samples)
    problems += _empty_masks(dataset.root, measured)
    problems += _duplicates(measured)
    left = left_out_of(dataset)
    problems += _strange(dataset, left)
    problems.sort(key=lambda problem: RANKS[problem.severity])
    return Survey(tuple(measured), tuple(dict.fromkeys(problems)), tuple(left.passed_over))


def _strange(dataset: OpenDataset, found: FoundImages) -> Iterator[Problem]:
    """Yield notes of images that are no part of a data set, which its reader does not speak of."""
    spoken_of = {problem.path for problem in dataset.problems} - {dataset.root}
    left = [
        (path, reason)
        for path, reason in found.left
        if reason in ("unlabelled", "format") and not spoken_of.intersection([path, *path.parents])
    ]
    for each in count_by_reason(left):
        what = f"no part of the data set: {each.count} {WORDS[each.reason]} ({each.first})"
        yield Problem(dataset.root, what, "note")


def _measure(
    sample: Sample, problems: list[Problem], reading: Reading | None
) -> SurveyedSample | None:
    """Return what a sample's files state, and what its image holds if it is to be read."""
    try:
        facts, content = _look_at(sample.image, reading)
    except InputError as error:
        problems.append(_fatal(sample.image, error))
        return None
    problems += [Problem(sample.image, note) for note in facts.notes]
    if sample.anomalous and sample.split == "train":
        problems.append(Problem(sample.image, "an anomalous image in the train split"))
    marked = None if sample.mask is None else _measure_mask(sample, sample.mask, facts, problems)
    return SurveyedSample(sample, facts.size, marked, content, reading)


def _measure_mask(
    sample: Sample, mask: Path, facts: ImageFacts, problems: list[Problem]
) -> int | None:
    try:
        found = fitted_mask(mask, sample.image, facts)
        problems += doubts(sample, mask, found)
    except InputError as error:
        problems.append(_fatal(mask, error))
        return None
    return int(found.marked.sum())


def _look_at(path: Path, reading: Reading | None) -> tuple[ImageFacts, str | None]:
    """Return what a file states, and a hash of its pixels if they are to be read."""
    if reading is None:
        return read_facts(path), None
    image, facts = read_image(path, reading=reading)
    return facts, hashlib.sha256(b"%d %d " % image.size + image.tobytes()).hexdigest()


def _fatal(path: Path, error: InputError) -> Problem:
    return Problem(path, first_line(error).removeprefix(f"{path}: "), "fatal")


def _categories(root: Path, samples: Sequence[Sample]) -> Iterator[Problem]:
    """Yield what each category lacks: images of a split or side, or masks."""
    by_category: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_category[sample.category].append(sample)
    for category, members in by_category.items():
        anomalous = [s for s in members if s.split == "test" and s.anomalous]
        bare = [sample for sample in anomalous if sample.mask is None]
        for what, severity in _lacking(members, len(anomalous), len(bare)):
            yield Problem(root, f"category {category}: {what}", severity)
        if len(bare) < len(anomalous):
            yield from (Problem(sample.image, "anomalous, but has no mask") for sample in bare)


def _lacking(
    members: Sequence[Sample], anomalous: int, bare: int
) -> Iterator[tuple[str, Severity]]:
    tested = sum(sample.split == "test" for sample in members)
    if not tested:
        yield "no test images", "fatal"
    elif not anomalous:
        yield "no anomalous test images: AUROC is undefined", "warning"
    elif anomalous == tested:
        yield "no normal test images: AUROC is undefined", "warning"
    if not any(sample.split == "train" for sample in members):
        yield "no train images, so no references: zero-shot only", "note"
    if bare and bare == anomalous:
        yield "no masks: image figures only", "note"


def _empty_masks(root: Path, measured: Iterable[SurveyedSample]) -> Iterator[Problem]:
    """Yield the categories in which no mask of an anomalous image marks anything."""
    marked: dict[str, list[int]] = defaultdict(list)
    for each in measured:
        if each.sample.anomalous and each.defective is not None:
            marked[each.sample.category].append(each.defective)
    for category, counts in marked.items():
        if not any(counts):
            what = f"none of its {len(counts)} masks marks a pixel: no pixel figures"
            yield Problem(root, f"category {category}: {what}")


def _duplicates(measured: Iterable[SurveyedSample]) -> Iterator[Problem]:
    """Yield images that show the same pixels, or have the same bytes, as an earlier one."""
    alike: dict[str | int, list[SurveyedSample]] = defaultdict(list)
    for each in measured:
        alike[each.content or each.sample.image.stat().st_size].append(each)
    for candidates in alike.values():
        first: dict[str, Sample] = {}
        for each in candidates if len(candidates) > 1 else ():  # only these can be equal
            same = each.content or digest(each.sample.image)
            original = first.setdefault(same, each.sample)
            if original is not each.sample:
                yield _duplicate(each.sample, original)


def _duplicate(sample: Sample, original: Sample) -> Problem:
    twice = original.image == sample.image
    what = "listed more than once" if twice else f"the same image as {original.image}"
    if original.split != sample.split:
        what += f", but in split {sample.split} rather than {original.split}"
    if original.label != sample.label:
        what += f", but labelled {sample.label} rather than {original.label}"
    contradicts = twice and original.label != sample.label
    return Problem(sample.image, what, "fatal" if contradicts else "warning")

"""Looking at every file of a data set before anything runs on it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.datasets import Problem, Severity
from vlmad.errors import InputError, first_line
from vlmad.files import digest
from vlmad_datasets.headers import read_header
from vlmad_datasets.masks import fit_mask, read_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from vlmad.datasets import Sample
    from vlmad_datasets.headers import Header
    from vlmad_datasets.opening import OpenDataset

RANKS: dict[Severity, int] = {"fatal": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Measured:
    """A sample and what its files say."""

    sample: Sample
    size: tuple[int, int]
    """Width and height of the upright image."""
    defective: int | None = None
    """How many pixels the mask marks; None without a mask."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in the files of a data set, the gravest problems first."""

    measured: tuple[Measured, ...]
    problems: tuple[Problem, ...]

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
    *,
    thorough: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read the header of every image and every mask, and list what is wrong, by file.

    Args:
        dataset: an opened data set.
        categories: the ones to look at, by default all.
        thorough: decode the images too, which also finds damage in their midst.
        progress: is told how many samples of how many are done.

    Raises:
        InputError: a category does not exist.
    """
    samples = dataset.select(categories)
    problems = list(dataset.problems)
    measured = []
    for index, sample in enumerate(samples, start=1):
        found = _measure(sample, thorough, problems)
        if found is not None:
            measured.append(found)
        if progress is not None:
            progress(index, len(samples))
    problems += _splits(dataset, samples)
    problems += _duplicates([one.sample for one in measured])
    problems.sort(key=lambda problem: RANKS[problem.severity])
    return Survey(tuple(measured), tuple(dict.fromkeys(problems)))


def _measure(sample: Sample, thorough: bool, problems: list[Problem]) -> Measured | None:
    try:
        header = read_header(sample.image, thorough)
    except InputError as error:
        problems.append(_fatal(sample.image, error))
        return None
    if sample.anomalous and sample.split == "train":
        problems.append(Problem(sample.image, "an anomalous image in the train split"))
    if sample.mask is None:
        return Measured(sample, header.size)
    try:
        marked = int(fit_mask(read_mask(sample.mask), header, sample.mask).sum())
    except (InputError, OSError) as error:
        problems.append(_fatal(sample.mask, error))
        return Measured(sample, header.size)
    problems += _contradictions(sample, header, marked)
    return Measured(sample, header.size, marked)


def _fatal(path: Path, error: Exception) -> Problem:
    return Problem(path, first_line(error).removeprefix(f"{path}: "), "fatal")


def _contradictions(sample: Sample, header: Header, marked: int) -> Iterator[Problem]:
    assert sample.mask is not None
    if sample.anomalous and not marked:
        yield Problem(sample.mask, "the mask of an anomalous image marks nothing")
    if not sample.anomalous and marked:
        yield Problem(sample.mask, f"the mask of a normal image marks {marked} pixels")
    if header.orientation != 1 and marked:
        yield Problem(
            sample.image, "the photograph is stored turned; see that its mask fits", "note"
        )


def _splits(dataset: OpenDataset, samples: Sequence[Sample]) -> Iterator[Problem]:
    """Yield the splits that lack images, and anomalous test images that lack masks."""
    by_category: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_category[sample.category].append(sample)
    for category, members in by_category.items():
        tested = [sample for sample in members if sample.split == "test"]
        anomalous = [sample for sample in tested if sample.anomalous]

        def about(what: str, severity: Severity, category: str = category) -> Problem:
            return Problem(dataset.root, f"category {category}: {what}", severity)

        if not tested:
            yield about("no test images", "fatal")
        elif not anomalous:
            yield about("no anomalous test images: AUROC is undefined", "warning")
        elif len(anomalous) == len(tested):
            yield about("no normal test images: AUROC is undefined", "warning")
        if not any(sample.split == "train" for sample in members):
            yield about("no train images, so no references: zero-shot only", "note")
        bare = [sample for sample in anomalous if sample.mask is None]
        if bare and len(bare) == len(anomalous):
            yield about("no masks: image figures only", "note")
        else:
            yield from (Problem(sample.image, "anomalous, but has no mask") for sample in bare)


def _duplicates(samples: Sequence[Sample]) -> Iterator[Problem]:
    """Yield images that are the same file, or have the same bytes, as an earlier one."""
    by_size: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_size[_length(sample.image)].append(sample)
    for alike in by_size.values():
        if len(alike) > 1:  # only files of one length can be equal, so only they are hashed
            yield from _equal(alike)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:  # it was there a moment ago
        raise InputError(f"{path}: {error.strerror or error}") from error


def _equal(samples: Sequence[Sample]) -> Iterator[Problem]:
    first: dict[str, Sample] = {}
    for sample in samples:
        original = first.setdefault(digest(sample.image), sample)
        if original is sample:
            continue
        what = f"the same image as {original.image}"
        if original.image == sample.image:
            what = "listed more than once"
        if original.split != sample.split:
            what += f", but in split {sample.split} rather than {original.split}"
        if original.label != sample.label:
            what += f", but labelled {sample.label} rather than {original.label}"
        twice = original.image == sample.image and original.label != sample.label
        yield Problem(sample.image, what, "fatal" if twice else "warning")

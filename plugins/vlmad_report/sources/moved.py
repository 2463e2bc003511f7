"""A bench whose data set lies elsewhere now: its images and masks, found again by their bytes.

A category whose images, masks and labels all have the bytes that the bench recorded is taken as
a whole. Of another one, images are found one by one, by the hashes beside their scores. Of masks
no such hashes are kept, so those of single images are not taken: they might be others.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.plan import content_digests
from vlmad_evaluation.bench.reading import Results

from vlmad.errors import InputError, OutputError, VlmadError
from vlmad.files import digest
from vlmad_run.run_folder import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmad_evaluation.bench.measuring import Scored

    from vlmad import Sample
    from vlmad_datasets import OpenDataset

    Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class MovedResults(Results):
    """Results whose images and masks are where a data set has them now."""

    before: Results
    """The same, with the places that were recorded."""
    now: Mapping[Sample, Sample]
    root: Path
    """Of the data set."""
    lost: tuple[str, ...]
    """What was not found, in sentences."""

    def scored(self, cell: Mapping[str, Any]) -> Iterator[Scored]:
        """Yield the images of a cell that were scored, where they are now."""
        for each in self.before.scored(cell):
            yield replace(each, sample=self.now[each.sample])


def find_again(results: Results, dataset: OpenDataset, progress: Told) -> Results:
    """Return results with the images and masks of a data set in place of the recorded ones.

    Args:
        results: of a bench or a grid.
        dataset: has the images that were measured in its test split, wherever it lies.
        progress: told how many files were compared by their bytes.

    Raises:
        InputError: a file cannot be read, or no image is in the data set.
    """
    found = _whole_categories(results, dataset, progress)
    others = [sample for sample in results.samples if sample not in found]
    single = _single_images(results, others, dataset, progress) if others else {}
    if not found and not single:
        if all(sample.image.is_file() for sample in results.samples):
            return results  # the data set is another folder's that is reported beside it
        raise InputError(
            f"no image of {results.folder} is in the test split of {dataset.root}, whatever its "
            "name; name the data set that was measured"
        )
    # an image without its mask: whether that of the data set is the same, nobody knows
    unknown = {s: replace(single.get(s, s), mask=None) for s in others}
    now = {sample: (found | unknown)[sample] for sample in results.samples}
    return MovedResults(
        results.folder,
        results.document,
        tuple(now.values()),
        results,
        now,
        dataset.root,
        tuple(_lost(others, single, dataset)),
    )


def _whole_categories(
    results: Results, dataset: OpenDataset, progress: Told
) -> dict[Sample, Sample]:
    """Pair the samples of the categories of which every byte is as it was."""
    recorded = _recorded_contents(results)
    if not recorded:
        return {}
    contents = content_digests(dataset, dataset.categories, progress)
    places = {content: category for category, content in contents.items()}
    pairs: dict[Sample, Sample] = {}
    for category, content in recorded.items():
        here = [sample for sample in results.samples if sample.category == category]
        if content in places:
            there = dataset.select([places[content]], "test")
            if len(here) == len(there):  # in one order, which is part of what was hashed
                pairs |= {a: _placed(a, b) for a, b in zip(here, there, strict=True)}
    return pairs


def _recorded_contents(results: Results) -> dict[str, str]:
    try:
        manifest = read_manifest(results.folder) or {}
        categories = manifest["identity"]["categories"]
        return {str(name): str(each["content"]) for name, each in categories.items()}
    except (OutputError, KeyError, TypeError, AttributeError):
        return {}  # images have their own hashes


def _placed(sample: Sample, other: Sample) -> Sample:
    """Return a sample with its name and label, and the files of the other."""
    return replace(sample, image=other.image, mask=other.mask)


def _single_images(
    results: Results, samples: Sequence[Sample], dataset: OpenDataset, progress: Told
) -> dict[Sample, Sample]:
    """Find images by the hashes beside their scores; of several copies the one of like name."""
    wanted = {s: h for s, h in _recorded_images(results).items() if s in set(samples)}
    there: dict[tuple[str, str], list[Sample]] = {}
    tested = dataset.select(split="test")
    for index, each in enumerate(tested, start=1):
        there.setdefault((digest(each.image), each.label), []).append(each)
        progress(index, len(tested))
    return {
        sample: _placed(sample, max(copies, key=lambda copy: _alike(sample, copy)))
        for sample, sha256 in wanted.items()
        if (copies := there.get((sha256, sample.label)))
    }


def _recorded_images(results: Results) -> dict[Sample, str]:
    """Return the hash of each image that was scored in any cell."""
    hashes: dict[Sample, str] = {}
    for cell in results.document["cells"]:
        with suppress(VlmadError):  # a cell without scores is said at the top of the page
            for each in results.scored(cell):
                if each.row.sha256 is not None:
                    hashes.setdefault(each.sample, each.row.sha256)
    return hashes


def _alike(one: Sample, other: Sample) -> int:
    return sum(
        (
            one.category == other.category,
            one.defect == other.defect,
            one.image.name == other.image.name,
        )
    )


def _lost(
    others: Sequence[Sample], single: Mapping[Sample, Sample], dataset: OpenDataset
) -> Iterator[str]:
    missing = [sample.image for sample in others if sample not in single]
    if missing:
        first = f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
        yield (
            f"Not in {dataset.root}, by their bytes, and not shown: {first}. "
            "Name the data set as it was measured."
        )
    masks = sum(sample.mask is not None for sample in single)
    if masks:
        categories = ", ".join(dict.fromkeys(sample.category for sample in single))
        yield (
            f"{masks} images were found in {dataset.root} without their masks: {categories} "
            "differs from what was measured in some file, and which, was not recorded. Figures "
            "that need masks leave these images out."
        )

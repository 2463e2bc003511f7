"""Finding image files: in folders, by patterns, in lists, and where plugins look.

What a folder holds is decided here for every command: a folder that a reader of data sets
recognises is one, so that its masks are no photographs and its labels are known.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from vlmad.console import say
from vlmad.datasets import LABELS, Label
from vlmad.errors import InputError
from vlmad_run.kinds import finder_by_ending, finder_for
from vlmad_run.labelling import Labelling
from vlmad_run.passed_over import PassedOver, count_by_reason, in_words
from vlmad_run.texts import entries, is_list, spellings
from vlmad_run.walking import is_mask_folder, is_readable, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator

    from vlmad.datasets import Sample
    from vlmad_run.opening import OpenDataset
    from vlmad_run.passed_over import Reason
    from vlmad_run.walking import Kind, Place

Wanted: TypeAlias = Literal["all", "labelled", "normal", "anomalous", "references"]
"""Of a data set: every photograph, those with a label, one label, or what is for training."""
DEEPEST = 3
"""As many folders below the one that is named are asked whether they are data sets."""
LINES_NAMED = 20
"""Of lists and tables, that are wrong."""


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Image files, and what was passed over."""

    images: list[Path] = field(default_factory=list)
    left: list[tuple[Path, Reason]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What data sets there are, and what of them was taken."""
    wrong_lines: int = 0
    """Of lists and tables, that name nothing; what they are was said."""

    @property
    def passed_over(self) -> list[PassedOver]:
        """What was passed over, by reason."""
        return count_by_reason(self.left)

    def said(self) -> list[str]:
        """Return the notes, and a line about what was passed over."""
        return [*self.notes, *filter(None, [in_words(self.passed_over)])]

    def without(self) -> str:
        """Return what was passed over as the end of a sentence; empty if nothing was."""
        words = in_words(self.passed_over)
        return f" ({words})" if words else ""


def find_images(paths: Collection[str | Path], wanted: Wanted = "all") -> list[Path]:
    """Return the image files that paths name; see `find`."""
    return find(paths, wanted).images


def find(paths: Collection[str | Path], wanted: Wanted = "all", asked: str = "") -> FoundImages:
    """Find the image files that paths name, each once, under the first name given for it.

    Args:
        paths: files, folders (searched to the bottom) and patterns, ``-`` for a list on standard
            input, ``@FILE`` for one in a file, or what a plugin finds images for (see
            `vlmad_run.kinds.ImageFinder`). Lines of a list that name nothing are printed.
        wanted: what to take of a data set. Files that are named themselves are always taken.
        asked: what is asked of files that hold several images, such as ``every:1`` of films, where
            their names are not followed by ``#`` and such words themselves.

    Raises:
        InputError: a path does not exist, there is no image at all, or labels are wanted of a
            data set that cannot be read.
    """
    found: dict[str, Path] = {}
    search = _Search(wanted, asked)
    for path in map(str, paths):
        for file in search.listed(path) if is_list(path) else search.named(path):
            found.setdefault(os.path.abspath(file), file)
    search.say_how_many()
    if asked and not search.told:
        raise InputError(f"'{asked}' is asked of films, and none is named")
    result = FoundImages(list(found.values()), search.left, search.notes, search.wrong_lines)
    if not found:
        where = ", ".join(map(str, paths)) or "nothing"
        raise InputError(f"no images in {where}{result.without()}")
    return result


def left_out_of(dataset: OpenDataset) -> FoundImages:
    """Return the images of a data set that was opened, and what is passed over in its folder.

    A table has none.
    """
    search = _Search("labelled")
    search.labels.add(dataset)
    if not dataset.root.is_dir():
        return FoundImages()
    return FoundImages(sorted(search.folder(dataset.root)), search.left)


class _Inside(NamedTuple):
    """Where a folder is that is searched."""

    depth: int = 0
    dataset: OpenDataset | None = None
    because: Reason | None = None
    """Why the images in it are passed over, if they are."""


class _Search:
    """One search, over all that a command names."""

    def __init__(self, wanted: Wanted, asked: str = "") -> None:
        self.wanted, self.asked = wanted, asked
        self.told: list[str] = []
        """By what finds the images of files that hold several."""
        self.labels = Labelling(needed=wanted != "all")
        self.left: list[tuple[Path, Reason]] = []
        self.wrong_lines = 0
        self._opened: dict[Path, OpenDataset] = {}
        self._taken: Counter[tuple[Path, Label]] = Counter()

    @property
    def notes(self) -> list[str]:
        """What data sets and films there are, and what of them was taken."""
        notes = [*self.told, *self.labels.notes]
        for root, dataset in self._opened.items():
            counts = [(self._taken[root, label], label) for label in get_args(Label)]
            words = " and ".join(f"{count} {label}" for count, label in counts if count) or "no"
            of = "of its train split" if self.labels.has_train(dataset) else "of all its splits"
            split = f" {of}" if self.wanted == "references" else ""
            notes.append(f"{root} is a data set ({dataset.name}): {words} images{split} are taken")
        return notes

    def listed(self, name: str) -> Iterator[Path]:
        """Yield the files of a list; what is wrong is named by its line, and fails when read."""
        for place, text in entries(name):
            try:
                yield from self._spelt(text)
            except InputError as error:
                self._say_wrong(f"{place}: {error}")
                yield Path(text)

    def _say_wrong(self, line: object) -> None:
        self.wrong_lines += 1
        if self.wrong_lines <= LINES_NAMED:
            say(line)

    def say_how_many(self) -> None:
        """Print how many wrong lines there are besides those that were printed."""
        if self.wrong_lines > LINES_NAMED:
            say(f"and {self.wrong_lines - LINES_NAMED} more lines that name nothing")

    def _spelt(self, text: str) -> list[Path]:
        """Find what an entry of a list names, in the first spelling that names anything."""
        first: InputError | None = None
        for spelling in spellings(text):
            try:
                return self.named(spelling)
            except InputError as error:
                first = first or error
        raise first or InputError("an empty name names no images")

    def named(self, argument: str) -> list[Path]:
        """Return the image files that a file, a folder or a pattern names.

        Links are followed. The files of a folder come sorted by name; a folder that cannot be
        opened stands among them itself, so that it is reported like an unreadable file.

        Raises:
            InputError: there is nothing of that name.
        """
        if argument == "":  # as of a shell's variable that is not set; a Path of it would be "."
            raise InputError("an empty name names no images")
        if finder := finder_for(argument):
            return self._taken_from(finder(argument))
        path = Path(argument)
        try:
            if path.is_dir():
                return sorted(self.folder(path))
            if path.exists() or path.is_symlink():
                return self._file(path)
            matches = sorted(glob.glob(str(path), recursive=True))
        except (OSError, ValueError) as error:  # such as a NUL
            raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if not matches:
            return self._of_several(argument)
        return [file for match in matches for file in self.named(match)]

    def _of_several(self, argument: str) -> list[Path]:
        """Return the images of files or a pattern of them, after whose name something is asked."""
        name, _, asked = argument.rpartition("#")
        files = [name] if os.path.isfile(name) else sorted(glob.glob(name, recursive=True))
        if not files or finder_by_ending(Path(name)) is None:
            raise InputError(f"{argument}: no such file or folder")
        return [image for file in files for image in self._held(Path(file), asked)]

    def _held(self, path: Path, asked: str) -> list[Path]:
        """Return the images that a file holds, if it may hold several."""
        finder = None if is_readable(path.name) else finder_by_ending(path)
        if finder is None or not path.is_file():
            return []
        return self._taken_from(finder(f"{path}#{asked}" if asked else str(path)))

    def _taken_from(self, found: Iterable[Path]) -> list[Path]:
        """Return the images that a plugin has found, and note what it says of them."""
        images = list(found)
        self.told += getattr(found, "notes", ())
        self.left += getattr(found, "left", ())
        return images

    def _file(self, path: Path) -> list[Path]:
        """Return the file, or the images that it holds, or names as the table of a data set."""
        if held := self._held(path, self.asked):
            return held
        dataset = None if is_readable(path.name) else self.labels.at(path)
        if dataset is None:
            return [path]
        self._opened[path] = dataset
        for problem in dataset.wrong_lines:
            self._say_wrong(problem)
        return list(self._not_met(dataset, set()))

    def folder(self, folder: Path) -> Iterator[Path]:
        """Yield the images below a folder, each folder once however many links lead to it."""
        waiting = {folder: self._outermost(folder)}
        roots, met = list[Path](), set[str]()
        for place in walk(folder):
            inside = self._inside(place, waiting.pop(place.path))
            if inside.dataset and inside.dataset.root == place.path:
                self._opened[place.path] = inside.dataset
                roots.append(place.path)
            if place.closed:
                yield place.path
            for name, kind in place.files:
                file = place.path / name
                met.add(self.labels.key(file))
                if self._takes(file, self._why_left(file, kind, inside)):
                    yield file
            self._go_on(place, inside, waiting)
        for root in roots:
            yield from self._not_met(self._opened[root], met)

    def _outermost(self, folder: Path) -> _Inside:
        dataset = self.labels.at(folder)
        if dataset is None and (self.wanted != "all" or is_mask_folder(folder.name)):
            self.labels.around(folder)
            if self.wanted != "all":
                self.labels.refuse_half(folder)
        return _Inside(dataset=dataset)

    def _inside(self, place: Place, inside: _Inside) -> _Inside:
        """Ask whether a folder is a data set, unless it lies in one or too deep."""
        if inside.dataset or inside.because or not place.folders or inside.depth > DEEPEST:
            return inside
        return inside._replace(dataset=self.labels.at(place.path))

    def _go_on(self, place: Place, inside: _Inside, waiting: dict[Path, _Inside]) -> None:
        """Note what the folders in a folder are, and take out those that are not searched."""
        for name, kind in place.folders:
            path = place.path / name
            because = inside.because or (kind if kind in ("mask", "written") else None)
            waiting[path] = _Inside(inside.depth + 1, inside.dataset, because)
            if kind == "hidden":
                self.left.append((path, kind))
        place.folders = [each for each in place.folders if each[1] != "hidden"]

    def _not_met(self, dataset: OpenDataset, met: Container[str]) -> Iterator[Path]:
        """Yield the samples of a data set that lie where images are not looked for."""
        for sample in dataset.samples:
            met_before = self.labels.key(sample.image) in met
            if not met_before and self._takes(sample.image, self._why_not(sample, dataset)):
                yield sample.image

    def _takes(self, file: Path, why_left: Reason | None) -> bool:
        if why_left is not None:
            self.left.append((file, why_left))
        return why_left is None

    def _why_left(self, file: Path, kind: Kind, inside: _Inside) -> Reason | None:
        """Return why a file is passed over, or None if it is taken."""
        sample = self.labels.sample(file)
        if sample is not None:
            return self._why_not(sample, inside.dataset)
        if kind != "image":
            return kind
        why = inside.because or self.labels.mask_or_beside(file)
        return why or ("unlabelled" if inside.dataset and self.wanted != "all" else None)

    def _why_not(self, sample: Sample, dataset: OpenDataset | None) -> Reason | None:
        """Return why a sample is passed over; None for the data set: a folder in it was named."""
        if self.wanted in LABELS and sample.label != self.wanted:
            return sample.label
        if self.wanted == "references":
            if sample.anomalous:
                return sample.label
            if dataset and sample.split != "train" and self.labels.has_train(dataset):
                return "split"
        if dataset:
            self._taken[dataset.root, sample.label] += 1
        return None

"""The data sets in and around the folders that are searched, and what they say of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad.errors import InputError, VlmadError, first_line
from vlmad.registry import installed
from vlmad_run.opening import open_dataset, recognising
from vlmad_run.unrecognised import resembling
from vlmad_run.walking import look_into

if TYPE_CHECKING:
    from vlmad.datasets import Sample
    from vlmad_run.opening import OpenDataset

LEVELS = 3
"""As many folders around the one that is named are asked whether they are its data set."""


class Labelling:
    """Opens data sets, each once, and knows their samples and masks by their files.

    Args:
        needed: whether labels are; if not, what cannot be read is no data set but has a note.
    """

    def __init__(self, needed: bool) -> None:
        self.needed = needed
        self.notes: list[str] = []
        self._asked: dict[Path, OpenDataset | None] = {}
        self._samples: dict[str, Sample] = {}
        self._masks: set[str] = set()
        self._beside: set[str] = set()
        self._folders: set[str] = set()
        self._endings: set[str] = set()
        """What the names of masks that lie among photographs add to these."""
        self._trained: set[Path] = set()
        self._real: dict[str, str] = {}

    def at(self, path: Path) -> OpenDataset | None:
        """Return the data set that a folder or table is, if any.

        Raises:
            InputError: it looks like one, its labels are needed, and it cannot be read.
        """
        if path not in self._asked:
            self._asked[path] = None
            if recognising(path, installed()):
                self._asked[path] = self._open(path)
        return self._asked[path]

    def _open(self, path: Path) -> OpenDataset | None:
        try:
            opened = open_dataset(path)
        except VlmadError as error:
            reason = first_line(error).partition("; choose with --dataset")[0]
            what = f"{path} looks like a data set, but cannot be read as one: {reason}"
            if path.is_file():  # which is no image, whatever is wanted of it
                raise InputError(what) from error
            if self.needed:
                raise InputError(f"{what}; name the folders of images in it") from error
            self.notes.append(what)
            return None
        self.add(opened)
        return opened

    def around(self, folder: Path) -> OpenDataset | None:
        """Return the data set that a folder lies in, if any that can be read."""
        for place in [*Path(os.path.abspath(folder)).parents][:LEVELS]:
            try:
                opened = self.at(place)
            except InputError:  # who names a folder in it may well know what it holds
                continue
            if opened is not None:
                return opened
        return None

    def refuse_half(self, folder: Path) -> None:
        """Say that several folders without labels are taken, if no reader thinks of a data set.

        Raises:
            InputError: it looks like a data set of which something is missing.
        """
        folders = [name for name, kind in look_into(folder).folders if kind == "image"]
        inside = os.path.join(self.key(folder), "")
        if len(folders) < 2 or any(f"{known}/".startswith(inside) for known in self._folders):
            return
        for lacking in resembling(folder, installed().of_kind("dataset")):
            raise InputError(f"{folder}: {lacking}, or name the folders of images in it")
        self.notes.append(f"{folder} holds {len(folders)} folders of images, and all are taken")

    def add(self, dataset: OpenDataset) -> None:
        """Know a data set that is open."""
        self._asked[dataset.root] = dataset
        photographs = {self.key(sample.image): sample for sample in dataset.samples}
        masks = {self.key(sample.mask) for sample in dataset.samples if sample.mask}
        folders = {os.path.dirname(image) for image in photographs}
        for sample in dataset.samples:
            if sample.mask and sample.mask.parent == sample.image.parent:
                self._endings.add(sample.mask.name.removeprefix(sample.image.stem))
        self._folders |= folders
        if any(s.split == "train" and not s.anomalous for s in dataset.samples):
            self._trained.add(dataset.root)
        self._samples |= photographs
        self._masks |= masks
        self._beside |= {os.path.dirname(mask) for mask in masks} - folders

    def has_train(self, dataset: OpenDataset) -> bool:
        """Return whether a data set has normal images for training."""
        return dataset.root in self._trained

    def sample(self, file: Path) -> Sample | None:
        """Return what a file is a sample of, if it is one."""
        return self._samples.get(self.key(file)) if self._samples else None

    def mask_or_beside(self, file: Path) -> Literal["mask", "preview"] | None:
        """Return whether a file that is no sample is a mask, or lies in a folder of masks."""
        if not self._masks:
            return None
        key = self.key(file)
        above = [key, *map(str, Path(key).parents)]
        if self._masks.intersection(above):
            return "mask"
        among = above[1] in self._folders and file.name.endswith(tuple(self._endings))
        if among:  # of an image that its data set leaves out
            return "mask"
        return "preview" if self._beside.intersection(above) else None

    def key(self, file: Path) -> str:
        """Return what a file is known by: its name in its folder, whatever links lead there."""
        folder, name = os.path.split(file)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], name)

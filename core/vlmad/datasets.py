"""Labelled images: what a reader of data sets gives.

A reader knows one layout of folders or one kind of table. It gives what is written there and
decodes nothing. No torch is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

Label: TypeAlias = Literal["normal", "anomalous"]
Split: TypeAlias = Literal["train", "validation", "test"]
Severity: TypeAlias = Literal["fatal", "warning", "note"]

LABELS: tuple[str, ...] = get_args(Label)
SPLITS: tuple[str, ...] = get_args(Split)
GOOD = "good"
"""The defect name of normal images, as the field's folders have it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image of a data set."""

    image: Path
    label: Label
    category: str
    split: Split = "test"
    """References come from `train`, figures from `test`; `validation` is for thresholds."""
    defect: str = GOOD
    mask: Path | None = None
    """An image whose pixels above 0 are defective, or a folder of such, to be merged."""

    @property
    def anomalous(self) -> bool:
        """Whether the image shows a defect."""
        return self.label == "anomalous"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file of a data set.

    `fatal`: no figure can be had from it. `warning`: figures can, but may mislead. `note`: to
    be known, not to be mended.
    """

    path: Path
    what: str
    severity: Severity = "warning"

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a reader found: samples, and what it could not make a sample of."""

    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()


class Dataset(Protocol):
    """A reader of one layout; made as ``factory(root, **options)``.

    `root` is the folder or file that the user named. The other keyword arguments are the
    reader's options, typed and documented like those of any part.
    """

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return, from a few names of folders or files, whether `root` has this layout."""
        return False

    def read(self) -> Contents:
        """Return all samples in a stable order; images stay closed, masks too if labels allow.

        Raises:
            InputError: there is nothing to read, or it cannot be understood at all.
        """

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        return class_name(category)


def class_name(category: str) -> str:
    """Return a category as words for a prompt.

    >>> class_name("metal_nut")
    'metal nut'
    """
    return " ".join(category.replace("_", " ").split())

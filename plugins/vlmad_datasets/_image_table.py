"""A table that lists images, for those whose folders follow no layout."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vlmad.datasets import GOOD, Contents, Dataset, Problem, Sample, Split
from vlmad.errors import InputError, did_you_mean
from vlmad_datasets.sides import ANOMALOUS_WORDS, NORMAL_WORDS, side_of
from vlmad_datasets.tabular import TABLE_SUFFIXES, read_rows
from vlmad_run.texts import named_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad.datasets import Label

COLUMNS = ("image", "label", "mask", "category", "defect", "split")
NEEDED = ("image", "label")
NUMBERS: dict[str, Label] = {
    **dict.fromkeys(("0", "false"), "normal"),
    **dict.fromkeys(("1", "true"), "anomalous"),
}
"""What labels are besides the words of `vlmad_datasets.sides`, as other tools write them."""
KNOWN_LABELS = (*NORMAL_WORDS, *ANOMALOUS_WORDS, *NUMBERS)
SPLIT_WORDS: dict[str, Split] = {
    **{split: split for split in get_args(Split)},
    "": "test",
    "val": "validation",
}
ANY_DEFECT = "anomalous"
"""The defect name of anomalous rows that give none."""


class ImageTable(Dataset):
    """A CSV file or JSON lines: image, label, and if known mask, category, defect, split.

    Paths are relative to the table. Labels are the usual words (good, ok, pass … or bad, ng,
    fail, defect …), or 0 and 1. Rows without a split are under test. Lines that make no sense, or
    name files that are not there, are left out and named.

    Args:
        category: of rows that name none; the file's name by default.
    """

    def __init__(self, root: Path, category: str | None = None) -> None:
        self.root = root
        self.category = category or root.stem

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether it is a file with the ending of a table."""
        return root.suffix.lower() in TABLE_SUFFIXES and root.is_file()

    def read(self) -> Contents:
        """Return the samples in the order of the rows; rows that make no sense are problems."""
        table = read_rows(self.root)
        notes = _check_columns(self.root, table.columns)
        samples, wrong = [], list(table.problems)
        for row in table.rows:
            try:
                sample = sample_of(row.fields, self.root.parent, self.category)
                _check_files(sample)
                samples.append(sample)
            except InputError as error:
                wrong.append(table.problem(row, error))
        left_out = (replace(each, severity="warning") for each in wrong)
        return Contents(tuple(samples), (*left_out, *notes))


def sample_of(
    fields: Mapping[str, str], folder: Path, category: str, any_defect: str = ANY_DEFECT
) -> Sample:
    """Return the sample that a row describes.

    Args:
        fields: of the row, by column.
        folder: from where its paths start.
        category: of a row that names none.
        any_defect: the name of a defect that has none.

    Raises:
        InputError: a field makes no sense.
    """
    label, split = fields["label"], fields.get("split", "")
    if not fields["image"]:
        raise InputError("no image")
    side = side_of(label) or NUMBERS.get(label.casefold())
    if side is None:
        hint = did_you_mean(label, KNOWN_LABELS)
        raise InputError(f"label '{label}' is neither side; {hint}")
    if split.casefold() not in SPLIT_WORDS:
        hint = did_you_mean(split, filter(None, SPLIT_WORDS))
        raise InputError(f"no split is called '{split}'; {hint}")
    return Sample(
        image=named_path(fields["image"], folder),
        label=side,
        category=fields.get("category") or category,
        split=SPLIT_WORDS[split.casefold()],
        defect=GOOD if side == "normal" else fields.get("defect") or any_defect,
        mask=named_path(fields["mask"], folder) if fields.get("mask") else None,
    )


def _check_files(sample: Sample) -> None:
    """Refuse a sample whose files are not there; whether they can be read is asked later."""
    for path in filter(None, (sample.image, sample.mask)):
        try:
            path.stat()
        except (OSError, ValueError) as error:  # such as a NUL
            raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _check_columns(path: Path, columns: Sequence[str]) -> list[Problem]:
    """Return a note of columns that are not used here.

    Raises:
        InputError: a needed column is missing, or one looks like a misspelt known one.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    absent = [name for name in COLUMNS if name not in columns]
    for name in unknown:
        if difflib.get_close_matches(name, absent, n=1, cutoff=0.75):
            raise InputError(f"{path}: no column is called '{name}'; {did_you_mean(name, absent)}")
    lacking = " or ".join(repr(name) for name in NEEDED if name in absent)
    if lacking:
        raise InputError(f"{path} has no column {lacking}; columns: {', '.join(COLUMNS)}")
    what = f"columns that are not used: {', '.join(unknown)}"
    return [Problem(path, what, "note")] if unknown else []

"""VisA, by the file that splits it (Zou et al., ECCV 2022)."""

from __future__ import annotations

from pathlib import Path

from vlmad.datasets import Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._foreign import inside
from vlmad_datasets._image_table import sample_of
from vlmad_datasets._layout import folders_in
from vlmad_datasets.tabular import read_rows

SPLIT_FILE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
IMAGES = "Data/Images"
ANNOTATIONS = "image_anno.csv"
ANY_DEFECT = "anomaly"


class Visa(Dataset):
    """The twelve objects of VisA, split as its split_csv/1cls.csv has it.

    Defects are named by each object's image_anno.csv, if it is there.

    Args:
        split: the file that splits, from the root; split_csv/1cls.csv by default.
    """

    def __init__(self, root: Path, split: str = SPLIT_FILE) -> None:
        self.root, self.split = root, root / split
        if not self.split.is_file():
            raise InputError(f"{self.split}: no such file; name it with --set dataset.split")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is the split file."""
        return (root / SPLIT_FILE).is_file()

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that there are objects of VisA, but no file that splits them."""
        objects = any((folder / IMAGES).is_dir() for folder in folders_in(root))
        return f"there is no {SPLIT_FILE}" if objects else None

    def read(self) -> Contents:
        """Return the samples in the order of the split file."""
        table = read_rows(self.split, COLUMNS)
        samples: list[Sample] = []
        problems = list(table.problems)
        defects: dict[str, dict[str, str]] = {}
        for row in table.rows:
            name = row.fields["object"]
            try:
                for path in (name, row.fields["image"] or name, row.fields["mask"] or name):
                    inside(self.root, path)
                if name not in defects:
                    defects[name] = _defects(self.root / name, problems)
                fields = row.fields | {"defect": defects[name].get(row.fields["image"], "")}
                samples.append(sample_of(fields, self.root, name, ANY_DEFECT))
            except InputError as error:
                problems.append(table.problem(row, error))
        return Contents(tuple(samples), tuple(problems))


def _defects(folder: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the names of the defects by image; several in one image are joined by a plus."""
    path = folder / ANNOTATIONS
    if not path.is_file():
        return {}
    try:
        rows = read_rows(path, ("image", "label")).rows
    except InputError as error:  # the names are a comfort, the samples do not need them
        problems.append(Problem(path, f"defects stay unnamed: {error}"))
        return {}
    named = {}
    for row in rows:
        words = [word.strip() for word in row.fields["label"].split(",") if word.strip()]
        if words and words != ["normal"]:
            named[row.fields["image"]] = " + ".join(words)
    return named

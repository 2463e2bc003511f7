"""VisA, by the file that splits it or by its folders (Zou et al., ECCV 2022)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vlmad import Contents, Dataset, Problem, Sample
from vlmad.datasets import GOOD
from vlmad.errors import InputError, did_you_mean
from vlmad_datasets._layout import Masks, folders_in, images_in, name_of
from vlmad_datasets.tabular import at_line, missing, read_rows

if TYPE_CHECKING:
    from vlmad.datasets import Label, Split
    from vlmad_datasets.tabular import TableRow

SPLIT_FILE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
LABELS: dict[str, Label] = {"normal": "normal", "anomaly": "anomalous"}
SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
NORMAL, ANOMALY = Path("Data/Images/Normal"), Path("Data/Images/Anomaly")
MASKS = Path("Data/Masks/Anomaly")
ANNOTATIONS = "image_anno.csv"
ANY_DEFECT = "anomaly"


class Visa(Dataset):
    """The twelve objects of VisA, split as its split_csv/1cls.csv has it.

    Without that file, or where the root is a single object, the folders are read and all
    images are under test. Defects are named by each object's image_anno.csv, if it is there.

    Args:
        split: the file that splits, from the root; split_csv/1cls.csv if there is one.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root = root
        self.split = root / (split or SPLIT_FILE)
        if split is not None and not self.split.is_file():
            raise InputError(f"{self.split}: no such file; name it with --set dataset.split")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is the split file, or an object's folders."""
        return (root / SPLIT_FILE).is_file() or bool(_objects(root))

    def read(self) -> Contents:
        """Return the samples in the order of the split file, or of the folders."""
        samples: list[Sample] = []
        problems: list[Problem] = []
        if self.split.is_file():
            self._read_split(samples, problems)
        else:
            for folder in _objects(self.root):
                samples += _read_object(folder, problems)
            what = f"no {SPLIT_FILE}: all images are under test"
            problems.append(Problem(self.root, what, "note"))
        return Contents(tuple(samples), tuple(problems))

    def _read_split(self, samples: list[Sample], problems: list[Problem]) -> None:
        table = read_rows(self.split)
        lacking = missing(COLUMNS, table.columns)
        if lacking:
            raise InputError(f"{self.split} has no column '{lacking[0]}'")
        problems += table.problems
        defects: dict[str, dict[str, str]] = {}
        for row in table.rows:
            name = row.fields["object"]
            if name not in defects and _is_inside(name):
                defects[name] = _defects(self.root / name, problems)
            made = self._sample(row, defects.get(name, {}))
            if isinstance(made, Sample):
                samples.append(made)
            else:
                problems.append(made)

    def _sample(self, row: TableRow, defects: dict[str, str]) -> Sample | Problem:
        fields = row.fields
        for column, known in (("label", LABELS), ("split", SPLITS)):
            if fields[column] not in known:
                hint = did_you_mean(fields[column], known)
                return at_line(row, self.split, f"no {column} is called '{fields[column]}'; {hint}")
        for column in ("object", "image", "mask"):
            if not (fields[column] or column == "mask") or not _is_inside(fields[column]):
                what = f"{column} '{fields[column]}' is no path inside of the data set"
                return at_line(row, self.split, what)
        label = LABELS[fields["label"]]
        return Sample(
            image=self.root / fields["image"],
            label=label,
            category=fields["object"],
            split=SPLITS[fields["split"]],
            defect=GOOD if label == "normal" else defects.get(fields["image"], ANY_DEFECT),
            mask=self.root / fields["mask"] if fields["mask"] else None,
        )


def _objects(root: Path) -> list[Path]:
    return [folder for folder in (root, *folders_in(root)) if (folder / NORMAL).is_dir()]


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts


def _read_object(folder: Path, problems: list[Problem]) -> list[Sample]:
    category = name_of(folder)
    defects = {Path(name).name: label for name, label in _defects(folder, problems).items()}
    samples = [Sample(image, "normal", category) for image in images_in(folder / NORMAL)]
    masks = Masks(folder / MASKS)
    for image in images_in(folder / ANOMALY):
        defect = defects.get(image.name, ANY_DEFECT)
        samples.append(Sample(image, "anomalous", category, "test", defect, masks.of(image)))
    problems += masks.unused()
    return samples


def _defects(folder: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the names of the defects by image; several in one image are joined by a plus."""
    path = folder / ANNOTATIONS
    if not path.is_file():
        return {}
    try:
        table = read_rows(path)
    except InputError as error:  # the names are a comfort, the samples do not need them
        problems.append(Problem(path, f"defects stay unnamed: {error}"))
        return {}
    if missing(("image", "label"), table.columns):
        problems.append(Problem(path, "defects stay unnamed: no columns image and label"))
        return {}
    named = {}
    for row in table.rows:
        words = [word.strip() for word in row.fields["label"].split(",") if word.strip()]
        if words and words != ["normal"]:
            named[row.fields["image"]] = " + ".join(words)
    return named

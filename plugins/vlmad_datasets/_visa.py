"""VisA, by the file that splits it or by its folders (Zou et al., ECCV 2022)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vlmad.datasets import Contents, Dataset, Problem, Sample
from vlmad.errors import InputError
from vlmad_datasets._image_table import sample_of
from vlmad_datasets._layout import Masks, folders_in, images_in, name_of, samples_in
from vlmad_datasets.tabular import read_rows

SPLIT_FILE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
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
                _read_object(folder, samples, problems)
            what = f"no {SPLIT_FILE}: all images are under test"
            problems.append(Problem(self.root, what, "note"))
        return Contents(tuple(samples), tuple(problems))

    def _read_split(self, samples: list[Sample], problems: list[Problem]) -> None:
        table = read_rows(self.split)
        for column in table.lacking(COLUMNS):
            raise InputError(f"{self.split} has no column '{column}'")
        problems += table.problems
        defects: dict[str, dict[str, str]] = {}
        for row in table.rows:
            name = row.fields["object"]
            try:
                for column in ("object", "image", "mask"):
                    _check_inside(column, row.fields[column])
                if name not in defects:
                    defects[name] = _defects(self.root / name, problems)
                fields = row.fields | {"defect": defects[name].get(row.fields["image"], "")}
                samples.append(sample_of(fields, self.root, name, ANY_DEFECT))
            except InputError as error:
                problems.append(table.problem(row, error))


def _check_inside(column: str, path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or (column == "object" and not path):
        raise InputError(f"{column} '{path}' is no path inside of the data set")


def _objects(root: Path) -> list[Path]:
    return [folder for folder in (root, *folders_in(root)) if (folder / NORMAL).is_dir()]


def _read_object(folder: Path, samples: list[Sample], problems: list[Problem]) -> None:
    category, masks = name_of(folder), Masks(folder / MASKS)
    defects = {Path(name).name: label for name, label in _defects(folder, problems).items()}
    samples += samples_in(folder / NORMAL, category, None, "test")
    for image in images_in(folder / ANOMALY):
        defect = defects.get(image.name, ANY_DEFECT)
        samples.append(Sample(image, "anomalous", category, "test", defect, masks.of(image)))
    problems += masks.unused()


def _defects(folder: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the names of the defects by image; several in one image are joined by a plus."""
    path = folder / ANNOTATIONS
    if not path.is_file():
        return {}
    try:
        table = read_rows(path)
        if table.lacking(("image", "label")):
            raise InputError("no columns image and label")
    except InputError as error:  # the names are a comfort, the samples do not need them
        problems.append(Problem(path, f"defects stay unnamed: {error}"))
        return {}
    named = {}
    for row in table.rows:
        words = [word.strip() for word in row.fields["label"].split(",") if word.strip()]
        if words and words != ["normal"]:
            named[row.fields["image"]] = " + ".join(words)
    return named

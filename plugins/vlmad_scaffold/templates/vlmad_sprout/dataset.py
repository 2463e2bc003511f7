"""The reader of labelled images `sprout`."""

from pathlib import Path

from vlmad import Contents, Dataset, Problem, Sample
from vlmad.datasets import GOOD, Split
from vlmad.errors import InputError


class SproutDataset(Dataset):
    """Images that labels.txt names, one a line: ``good`` or what is wrong, and the path.

    Args:
        references: how many of the first good ones are to be compared with.
    """

    def __init__(self, root: Path, references: int = 4) -> None:
        self.root, self.references = root, references

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Tell by the name of the table."""
        return (root / "labels.txt").is_file()

    def read(self) -> Contents:
        """Read the table, in its order."""
        if not self.recognises(self.root):
            raise InputError(f"{self.root}: there is no labels.txt")
        samples, problems, left = list[Sample](), list[Problem](), self.references
        for line in (self.root / "labels.txt").read_text(encoding="utf-8").splitlines():
            defect, _, name = line.partition(" ")
            image = self.root / name
            if not (name and image.is_file()):
                problems.append(Problem(image, "there is no such image", "fatal"))
            elif defect != GOOD:
                samples.append(Sample(image, "anomalous", self.root.name, defect=defect))
            else:
                split: Split = "train" if left > 0 else "test"
                samples.append(Sample(image, "normal", self.root.name, split))
                left -= 1
        return Contents(tuple(samples), tuple(problems))

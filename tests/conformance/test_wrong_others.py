"""Recipes, readers of data sets, commands, defects and formats with one mistake each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.registry import Registry
from vlmad_conformance.checking import check_registered
from vlmad_conformance.conformance_document import BrokenPromise

Install = Callable[..., Path]

SOURCE = '''
from pathlib import Path
import numpy as np
import typer
from vlmad import Contents, Dataset, Recipe, Sample, hookimpl
from vlmad.errors import InputError

PARTS = {{"backbone": "tiny", "extractor": "window", "attention": "none", "scorer": "harmonic"}}

READ = []

class Flat(Dataset):
    """Images whose names begin with their side.

    Args:
        suffix: of the images.
    """

    def __init__(self, root: Path, suffix: str = ".png") -> None:
        self.root, self.suffix = root, suffix

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return {recognises}

    def read(self) -> Contents:
        paths = {paths}
        if not paths:
            raise InputError(f"{{self.root}} holds no image")
        return Contents(tuple({sample} for path in paths))

    def side(self, path):
        return "normal" if path.name.startswith("good") else "anomalous"

class Spot:
    """A dark spot.

    Args:
        radius: in pixels.
    """

    def __init__(self, radius: int = 3) -> None:
        self.radius = radius

    def __call__(self, image, rng):
        rows, columns = np.indices(image.shape[:2])
        y, x = {place}
        region = (rows - y) ** 2 + (columns - x) ** 2 <= self.radius ** 2
        image[region] = {levels}
        return {drawn}

class Format:
    """Reads nothing."""
    endings = {endings}
    def recognises(self, content):
        return {knows}
    def facts(self, content, reading): ...
    def raster(self, content, reading): ...
    def image(self, content, reading): ...

def look(count: int = typer.Option(3, help={help})) -> None:
    """{doc}"""
    {deed}

@hookimpl
def register_detectors(register):
    register("mine", {recipe}, "mine")

@hookimpl
def register_datasets(register):
    register("flat", Flat)

@hookimpl
def register_commands(register):
    register("{command}", look, "Look.")

@hookimpl
def register_defects(register):
    register("spot", Spot)

@hookimpl
def register_formats(register):
    register("none", Format)
'''
SOUND = {
    "recognises": "any(root.glob('good*.png'))",
    "paths": "sorted(self.root.glob('*' + self.suffix))",
    "sample": "Sample(path, self.side(path), 'things', defect='good' if self.side(path) == "
    "'normal' else 'hole')",
    "place": "rng.integers(image.shape[0]), rng.integers(image.shape[1])",
    "levels": "image[region] // 2",
    "drawn": "image, region",
    "endings": "('.none',)",
    "knows": "isinstance(content, bytes) and content.startswith(b'NONE')",
    "help": "'how many'",
    "doc": "Look around.",
    "deed": "pass",
    "recipe": "Recipe(PARTS, summary='mine')",
    "command": "look",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("good0", "good1", "bad0"):
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(images / f"{name}.png")
    return images


def check(kind: str, folder: Path, install: Install, **changes: str) -> list[BrokenPromise]:
    install("others", SOURCE.format(**SOUND | changes))
    names = {"detector": "mine", "dataset": "flat", "defect": "spot", "format": "none"}
    name = names.get(kind, changes.get("command", "look"))
    options = {"root": str(folder)} if kind == "dataset" else {}
    registration = Registry.discover().get(kind, f"others:{name}")
    return check_registered(registration, options)


KINDS = ("detector", "dataset", "command", "defect", "format")


@pytest.mark.parametrize("kind", KINDS)
def test_sound_ones_break_nothing(kind: str, folder: Path, install: Install) -> None:
    assert check(kind, folder, install) == []


UNORDERED = "sorted(self.root.glob('*.png'), reverse=bool(READ.append(0) or len(READ) % 2))"
WRONG = {
    "a recipe of a part that is not there": (
        "detector",
        {"recipe": "Recipe({**PARTS, 'scorer': 'harmonica'}, summary='mine')"},
        "no scorer is called 'harmonica'; did you mean 'harmonic'",
    ),
    "a recipe with an option that is not there": (
        "detector",
        {"recipe": "Recipe(PARTS, {'scorer': {'temprature': 1}}, summary='mine')"},
        "has no option 'temprature'; did you mean 'temperature'",
    ),
    "a recipe whose parts do not fit": (
        "detector",
        {"recipe": "Recipe({**PARTS, 'extractor': 'patches'}, summary='mine')"},
        "takes the place of its 'patches', which does not fit",
    ),
    "a recipe without summary": ("detector", {"recipe": "Recipe(PARTS)"}, "it has no summary"),
    "what is no recipe": ("detector", {"recipe": "dict"}, "it is no vlmad.Recipe"),
    "a reader that recognises everything": (
        "dataset",
        {"recognises": "True"},
        "recognises gives True, not False; smallest input: an empty folder",
    ),
    "a reader that crashes on nothing": (
        "dataset",
        {"paths": "[next(self.root.glob('*.png')), *self.root.glob('*.png')]"},
        "StopIteration; smallest input: an empty folder",
    ),
    "a reader that finds another order": ("dataset", {"paths": UNORDERED}, "another order"),
    "a reader that gives an image twice": (
        "dataset",
        {"paths": "2 * sorted(self.root.glob('*.png'))"},
        "it gives an image twice",
    ),
    "a reader of masks that are not there": (
        "dataset",
        {"sample": "Sample(path, 'anomalous', 'x', defect='a', mask=path.with_suffix('.tif'))"},
        "bad0.tif does not exist; smallest input: the image .*bad0.png",
    ),
    "a reader of labels of its own": (
        "dataset",
        {"sample": "Sample(path, 'ok', 'x')"},
        "its label is 'ok'",
    ),
    "a reader whose defects are called good": (
        "dataset",
        {"sample": "Sample(path, self.side(path), 'x')"},
        "it is anomalous, yet its defect is called 'good'",
    ),
    "a reader that writes where it looks": (
        "dataset",
        {"recognises": "bool((root / 'index').write_text('x') < 0)"},
        "leaves files in the folder",
    ),
    "a command without help": ("command", {"doc": ""}, "it has no help"),
    "a command with an option without help": ("command", {"help": "''"}, "'count' has"),
    "a command of a name that is taken": ("command", {"command": "run"}, "its name is taken"),
    "a defect that draws by chance of its own": (
        "defect",
        {"place": "np.random.default_rng().integers(0, 60, 2)"},
        "the same rng draws another defect",
    ),
    "a defect that draws from the global state": (
        "defect",
        {"place": "np.random.randint(60), np.random.randint(90)"},
        "numpy's random numbers|another defect",
    ),
    "a defect of another size": (
        "defect",
        {"drawn": "image[1:], region[1:]"},
        r"it gives shapes \(63, 96, 3\)",
    ),
    "a defect that says where by numbers": (
        "defect",
        {"drawn": "image, region.astype(float)"},
        "uint8 and float64, not uint8 and bool",
    ),
    "a defect that does not show": ("defect", {"levels": "image[region]"}, "nothing is changed"),
    "a defect of large images only": (
        "defect",
        {"place": "rng.integers(10, image.shape[0]), 5"},
        "it raises ValueError.*an image of 1 x 1 pixels",
    ),
    "a format that takes the files of others": (
        "format",
        {"knows": "True"},
        "recognises gives True, not False; smallest input: a file of the bytes b''",
    ),
    "a format that fails at the first bytes": (
        "format",
        {"knows": "content[0] == 7"},
        "it raises IndexError",
    ),
    "a format with endings in capitals": (
        "format",
        {"endings": "('NONE',)"},
        "endings are in lower case, with the dot",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "changes", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_one_is_caught(
    kind: str, changes: dict[str, Any], words: str, folder: Path, install: Install
) -> None:
    found = check(kind, folder, install, **changes)
    assert any(re.search(words, str(each)) for each in found), found


SLOW = "import time\ntime.sleep(1.2)\n"


@pytest.mark.slow
def test_a_plugin_that_takes_long_to_import_is_caught(folder: Path, install: Install) -> None:
    install("others", SLOW + SOURCE.format(**SOUND))
    found = check_registered(Registry.discover().get("defect", "spot"))
    assert [each.what for each in found] == ["importing others takes 1.2 seconds"]


def test_a_plugin_that_changes_the_process_when_imported_is_caught(
    folder: Path, install: Install
) -> None:
    seeding = "import random\nrandom.seed(0)\n"
    install("others", seeding + SOURCE.format(**SOUND))
    [found] = check_registered(Registry.discover().get("defect", "spot"))
    assert found.promise == "good-manners"
    assert "Python's random numbers" in found.what

"""Readers are plugins like any part: found by name, or by what they recognise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vlmad import Sample
from vlmad.errors import InputError, OptionError, PluginError, UnknownPartError
from vlmad.registry import Registry
from vlmad_datasets import open_dataset

READER = '''
from pathlib import Path
from vlmad import Contents, Dataset, Sample, hookimpl

class Cards(Dataset):
    """Cards.

    Args:
        suit: which.
        needed: how many.
    """
    def __init__(self, root: Path, needed: int, suit: str = "hearts") -> None:
        self.root, self.suit, self.needed = root, suit, needed
    @classmethod
    def recognises(cls, root):
        return (root / "cards.txt").is_file()
    def read(self):
        BODY
    def class_name(self, category):
        return f"card of {category}"

@hookimpl
def register_datasets(register):
    register("NAME", Cards, "cards")
'''
GIVES = "return Contents((Sample(self.root / 'a.png', 'normal', self.suit),) * self.needed)"
Install = Callable[..., Path]


def source(body: str = GIVES, name: str = "cards") -> str:
    return READER.replace("BODY", body).replace("NAME", name)


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    folder = tmp_path / "deck"
    folder.mkdir()
    (folder / "cards.txt").write_text("")
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    return folder


def test_a_reader_of_a_plugin_is_found_by_what_it_recognises(install: Install, deck: Path) -> None:
    install("cards", source())
    opened = open_dataset(deck, options={"needed": "2"})
    assert opened.name == "cards"
    assert opened.samples == (Sample(deck / "a.png", "normal", "hearts"),) * 2
    assert opened.class_name("hearts") == "card of hearts"


def test_options_reach_a_reader_checked_and_the_root_is_none_of_them(
    install: Install, deck: Path
) -> None:
    install("cards", source())
    registry = Registry.discover()
    opened = open_dataset(deck, "cards", {"suit": "spades", "needed": 1}, registry)
    assert opened.categories == ("spades",)
    for options, message in [
        ({"siut": "x"}, r"no option 'siut'; did you mean 'suit'\?"),
        ({"root": "/"}, "has no option 'root'"),
        ({"needed": "many"}, "option 'needed' takes int, not 'many'"),
        ({}, "dataset 'cards' needs option 'needed': --set dataset.needed=…"),
    ]:
        with pytest.raises(OptionError, match=message):
            open_dataset(deck, "cards", options, registry)


def test_two_readers_that_recognise_a_folder_are_named(install: Install, deck: Path) -> None:
    install("cards", source())
    install("tarot", source(name="tarot"))
    with pytest.raises(
        InputError, match=r"several; choose with --dataset: (cards:cards or tarot:tarot|t.*:cards)"
    ):
        open_dataset(deck, options={"needed": 1})
    assert open_dataset(deck, "tarot:tarot", {"needed": 1}).name == "tarot"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1]", "dataset 'cards' of cards 1.0 gave no vlmad.Contents"),
        ("return Contents((1,))", "gave a int, not a vlmad.Sample"),
        (
            "return Contents((Sample(self.root, 'fine', 'x'),))",
            "gave the label 'fine', not normal or anomalous",
        ),
        (
            "return Contents((Sample('a.png', 'normal', 'x'),))",
            "gave an image or mask that is no pathlib.Path: 'a.png', None",
        ),
        (
            "return Contents((Sample(self.root, 'normal', 'x', 'dev'),))",
            "gave the split 'dev', not train or validation or test",
        ),
        ("raise KeyError('x')", "dataset 'cards' of cards 1.0 failed: KeyError: 'x'"),
    ],
)
def test_a_reader_that_breaks_its_contract_is_named(
    install: Install, deck: Path, body: str, message: str
) -> None:
    install("cards", source(body))
    with pytest.raises(PluginError, match=message):
        open_dataset(deck, options={"needed": 1})


def test_a_reader_that_cannot_answer_does_not_stop_the_others(install: Install, deck: Path) -> None:
    install("cards", source())
    broken = source(name="broken").replace("return (root", "return None.x or (root")
    install("broken", broken)
    assert open_dataset(deck, options={"needed": 1}).name == "cards"


def test_a_folder_that_may_not_be_listed_is_an_error_with_its_name(
    install: Install, deck: Path
) -> None:
    install("cards", source("raise PermissionError(13, 'Permission denied', '/secret')"))
    with pytest.raises(InputError, match="/secret: Permission denied"):
        open_dataset(deck, options={"needed": 1})


def test_what_is_not_there_or_has_no_reader_is_refused(tmp_path: Path, registry: Registry) -> None:
    for name, reason in (("none", "no such file or folder"), ("x" * 5000, "File name too long")):
        with pytest.raises(InputError, match=reason):
            open_dataset(tmp_path / name, registry=registry)
    with pytest.raises(UnknownPartError, match="no dataset is called 'mvtek'; did you mean 'mvtec"):
        open_dataset(tmp_path, "mvtek", registry=registry)


def test_samples_are_selected_by_category_and_split(registry: Registry) -> None:
    opened = open_dataset(Path(__file__).parents[2] / "examples" / "samples", registry=registry)
    cloth = opened.select(["cloth"], "train")
    assert {(sample.category, sample.split) for sample in cloth} == {("cloth", "train")}
    assert len(opened.select()) == len(opened.samples)
    with pytest.raises(InputError, match="has no category 'clot'; did you mean 'cloth'"):
        opened.select(["cloth", "clot"])


@pytest.mark.slow
def test_reading_a_data_set_does_not_import_torch() -> None:
    program = (
        "import sys; from vlmad_datasets import open_dataset; "
        "from vlmad_datasets.survey import survey; "
        "found = survey(open_dataset('examples/samples')); "
        "sys.exit('torch' in sys.modules or len(found.problems))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, timeout=60).returncode == 0

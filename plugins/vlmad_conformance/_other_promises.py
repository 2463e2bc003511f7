"""What recipes, readers of data sets, commands and parts of plugins' own kinds promise."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from typer.testing import CliRunner

from vlmad.building import load_detector
from vlmad.datasets import GOOD, LABELS, SPLITS, Contents, Sample
from vlmad.errors import InputError, VlmadError
from vlmad.hookspecs import KINDS
from vlmad.options import options_of
from vlmad.recipes import Recipe, find_recipe
from vlmad.registry import installed
from vlmad_conformance._making_promises import ROOT, SETTING, has_its_members, imports_quickly
from vlmad_conformance.facts import Breach, given, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad_conformance.promises import Subject, Tiers

ANEW = "anew"
"""The option by which what is learned is drawn."""
SIZES = ((64, 96), (24, 17), (1, 1))
"""Height and width of images to draw in."""
NOTHING = (b"", b"\0" * 16, b"neither a picture nor anything else")


def is_a_recipe(subject: Subject) -> None:
    """It names parts that there are, with options that they have, says so, and fits together."""
    registry = installed()
    require(isinstance(subject.factory, Recipe), "it is no vlmad.Recipe")
    recipe = find_recipe(registry, subject.name)
    require(bool(recipe.summary), "it has no summary")
    drawn: dict[str, dict[str, bool]] = {}
    for kind, name in recipe.parts.items():
        registration = registry.get(kind, registry.split(kind, name)[0], recipe.distribution)
        if ANEW in options_of(registration.resolve()):
            drawn[kind] = {ANEW: True}
    for kind in (key.split(":")[0] for key in recipe.options):
        require(kind in KINDS, f"it has options of '{kind}', which is no kind of part")
    chosen = load_detector(subject.name, options=drawn).assembly
    for kind, name in recipe.parts.items():
        own = chosen.parts.get(kind)
        kept = own is None or own.registration.name in name
        require(kept, f"{own} takes the place of its '{name}', which does not fit")


def recognises_its_own(subject: Subject) -> None:
    """It recognises no empty folder, and refuses to read one by an error of vlmad's own."""
    with tempfile.TemporaryDirectory() as folder, given("an empty folder"):
        root = Path(folder)
        recognised = subject.factory.recognises(root)
        require(recognised is False, f"recognises gives {recognised!r}, not False")
        require(not [*root.iterdir()], "recognises leaves files in the folder that it looks at")
        options = {name: v for name, v in subject.options.items() if name != ROOT}
        try:
            contents = subject.factory(root, **options).read()
        except InputError:
            return
        require(isinstance(contents, Contents), "read gives no vlmad.Contents")
        require(not contents.samples, "it finds samples where there are none")


def reads_samples(subject: Subject) -> None:
    """Its samples are the same each time, in their order, each with files that exist."""
    if ROOT not in subject.options:
        return
    root = Path(subject.options[ROOT])
    with given(f"the folder {root}"):
        contents = subject.make().read()
        require(isinstance(contents, Contents), "read gives no vlmad.Contents")
        require(bool(contents.samples), "it finds no samples")
        require(subject.factory.recognises(root) is True, "it does not recognise what it reads")
        again = subject.make().read()
        require(again == contents, "it reads other samples, or another order, the second time")
        images = [sample.image for sample in contents.samples]
        require(len(set(images)) == len(images), "it gives an image twice")
    reader = subject.make()
    for sample in contents.samples:
        with given(f"the image {getattr(sample, 'image', sample)}"):
            _check_sample(sample)
            words = reader.class_name(sample.category)
            require(isinstance(words, str) and bool(words), "class_name gives no text")


def _check_sample(sample: Sample) -> None:
    require(isinstance(sample, Sample), "it is no vlmad.Sample")
    paths = [sample.image] if sample.mask is None else [sample.image, sample.mask]
    for path in paths:
        require(isinstance(path, Path), f"{path!r} is no Path")
        require(path.exists(), f"{path} does not exist")
    require(sample.label in LABELS, f"its label is {sample.label!r}")
    require(sample.split in SPLITS, f"its split is {sample.split!r}")
    sides = sample.anomalous != (sample.defect == GOOD)
    require(sides, f"it is {sample.label}, yet its defect is called '{sample.defect}'")
    require(sample.anomalous or sample.mask is None, "a normal image has a mask")


def is_a_command(subject: Subject) -> None:
    """It is a function or Typer app whose help page says what it and each option does."""
    app, name = subject.factory, subject.own_name
    require(isinstance(app, typer.Typer) or callable(app), "it is no function and no Typer app")
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(subject.factory)
    for words, command in _commands_of(typer.main.get_command(app), f"vlmad {name}"):
        with given(f"{words} --help"):
            require(bool((command.help or "").strip()), "it has no help")
            for parameter in command.params:
                said = getattr(parameter, "help", None) or parameter.name == "help"
                require(bool(said), f"'{parameter.name}' has no help")
    for word, status in (("--help", 0), ("--no-such-option", 2)):
        with given(f"vlmad {name} {word}"):
            ended = CliRunner().invoke(app, [word]).exit_code
            require(ended == status, f"it ends with {ended}, not {status}")


def _commands_of(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
    for name, each in (below or {}).items():
        yield from _commands_of(each, f"{words} {name}")


def has_a_name_of_its_own(subject: Subject) -> None:
    """No other distribution registered its name for the same kind."""
    named = [r for r in installed().of_kind(subject.kind) if r.name == subject.own_name]
    if len(named) > 1:
        raise Breach(f"its name is taken: {' and '.join(r.origin for r in named)}")


def draws_where_it_says(subject: Subject) -> None:
    """A synthetic defect shows, in an image of the same size, and all chance is of its `rng`."""
    for height, width in SIZES:
        good = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
        shown = 0
        for seed in range(5):
            with given(f"an image of {width} x {height} pixels, seed {seed}"):
                first, again = (
                    subject.make()(good.copy(), np.random.default_rng(seed)) for _ in range(2)
                )
                changed, region = first
                sized = changed.shape == good.shape and region.shape == good.shape[:2]
                require(sized, f"it gives shapes {changed.shape} and {region.shape}")
                typed = changed.dtype == np.uint8 and region.dtype == np.bool_
                require(typed, f"it gives {changed.dtype} and {region.dtype}, not uint8 and bool")
                same = all(map(np.array_equal, first, again))
                require(same, "the same rng draws another defect")
                shown += bool((changed != good).any(-1)[region].any())
        if (height, width) == SIZES[0]:
            require(shown > 0, "nothing is changed where it says that a defect is")


def leaves_files_of_others(subject: Subject) -> None:
    """A format recognises by its first bytes what it reads, and nothing else."""
    reader = subject.make()
    endings = list(reader.endings)
    lower = all(e.startswith(".") and e == e.lower() for e in endings)
    require(lower, f"endings are in lower case, with the dot: {endings}")
    for content in NOTHING:
        with given(f"a file of the bytes {content[:20]!r}"):
            known = reader.recognises(content)
            require(known is False, f"recognises gives {known!r}, not False")


def refuses_what_leads_nowhere(subject: Subject) -> None:
    """What names nothing is refused by an error of vlmad's own; an engine opens no such file."""
    kind, name = subject.kind, subject.own_name
    words: list[Any] = [f"{name}://nothing/here"]
    if kind == "engine":
        words = [Path(f"/nothing/here.{name}"), {}]
    with given(f"the argument {words[0]}"):
        try:
            found = subject.factory(*words)
            if kind == "source":
                list(found)
        except VlmadError:
            return
        require(kind != "engine", "it opens a file that does not exist")
        require(kind != "sink" or callable(found), "what it gives cannot be called")


PROMISES: Mapping[str, Tiers] = {
    "detector": ((has_a_name_of_its_own, is_a_recipe),),
    "dataset": (
        (has_a_name_of_its_own, has_its_members),
        (recognises_its_own, reads_samples, *SETTING),
    ),
    "command": ((has_a_name_of_its_own, is_a_command, imports_quickly),),
    "defect": ((draws_where_it_says, *SETTING),),
    "format": ((has_its_members,), (leaves_files_of_others, imports_quickly)),
    "engine": ((has_its_members,), (refuses_what_leads_nowhere,)),
    "source": ((has_its_members,), (refuses_what_leads_nowhere,)),
    "sink": ((has_its_members, imports_quickly), (refuses_what_leads_nowhere,)),
}
OF_ANY_KIND: Tiers = ((has_its_members, imports_quickly),)

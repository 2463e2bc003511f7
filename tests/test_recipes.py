"""Recipes: files that name five parts, on top of others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vlmad import Recipe, load_detector
from vlmad.errors import OptionError, RecipeError, UnknownPartError
from vlmad.recipes import find_recipe, parse_recipe, read_recipe
from vlmad.registry import Registry


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_file_changes_what_it_names_and_keeps_the_rest(
    tmp_path: Path, registry: Registry
) -> None:
    path = write(
        tmp_path,
        'base = "anomalyclip"\nattention = "qq"\n[options]\nattention.blocks = 1\n'
        "extractor.layers = [2, 4]\nscorer.sigma = 2\n",
    )
    detector = load_detector(path, registry=registry)
    parts = detector.assembly.parts
    assert {kind: part.registration.name for kind, part in parts.items()} == {
        "backbone": "tiny",
        "prompts": "learned",
        "extractor": "dense",
        "attention": "qq",
        "scorer": "dense",
    }
    assert parts["attention"].options == {"blocks": 1}
    assert parts["extractor"].options == {"layers": (2, 4)}
    assert parts["scorer"].options["sigma"] == 2.0
    assert detector.assembly.recipe.name == "mine"


def test_the_command_line_wins_over_the_file_and_the_file_over_its_base(
    tmp_path: Path, registry: Registry
) -> None:
    path = write(tmp_path, 'base = "winclip"\n[options]\nscorer.temperature = 0.02\n')
    detector = load_detector(
        path,
        options={"scorer": {"pooling": "unit-mean"}},
        registry=registry,
    )
    options = detector.assembly.parts["scorer"].options
    assert options == {"temperature": 0.02, "pooling": "unit-mean", "full_image": True}
    detector = load_detector(path, options={"scorer": {"temperature": "0.5"}}, registry=registry)
    assert detector.assembly.parts["scorer"].options["temperature"] == 0.5


def test_options_of_a_part_that_was_exchanged_are_dropped(registry: Registry) -> None:
    base = Recipe({"scorer": "dense", "prompts": "plain"}, {"scorer": {"sigma": 1.0}})
    other = Recipe({"scorer": "harmonic"}).over(base)
    assert other.options_for("scorer", "harmonic") == {}
    assert other.parts["prompts"] == "plain"
    same = Recipe({"scorer": "dense"}, {"scorer": {"temperature": 1.0}}).over(base)
    assert same.options_for("scorer", "dense") == {"sigma": 1.0, "temperature": 1.0}


def test_options_for_a_named_part_apply_wherever_it_is_chosen() -> None:
    recipe = Recipe({"backbone": "tiny"}, {"backbone:openclip": {"image_size": 518}})
    assert recipe.options_for("backbone", "openclip") == {"image_size": 518}
    assert recipe.options_for("backbone", "tiny") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompts = ", "is not TOML"),
        ('promts = "plain"', "unknown key 'promts'; did you mean 'prompts'"),
        ("prompts = 3", "'prompts' must be a text, not 3"),
        ('options = "none"', "'options' must be a table"),
        ("[options]\nscorrer.sigma = 1", "options of 'scorrer' cannot be used; did you mean"),
        ("[options]\nscorer = 1", "options of 'scorer' cannot be used"),
    ],
)
def test_malformed_recipes_are_refused(
    text: str, message: str, tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(registry, write(tmp_path, text))


def test_a_recipe_that_is_missing_binary_or_a_folder_is_refused(
    tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        read_recipe(registry, tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="Is a directory"):
        read_recipe(registry, tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is not TOML"):
        read_recipe(registry, tmp_path / "binary.toml")


def test_an_unknown_base_part_or_option_in_a_file_is_refused(
    tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(UnknownPartError, match="did you mean 'winclip'"):
        load_detector(write(tmp_path, 'base = "winclp"'), registry=registry)
    with pytest.raises(UnknownPartError, match="no scorer is called 'hramonic'"):
        load_detector(write(tmp_path, 'scorer = "hramonic"'), registry=registry)
    path = write(tmp_path, "[options]\nscorer.temprature = 1")
    with pytest.raises(OptionError, match="has no option 'temprature'"):
        load_detector(path, registry=registry)


@pytest.mark.parametrize(
    "name", ["winclip", "anomalyclip", "hybrid", "clip", "clip-ac", "comparison"]
)
def test_a_recipe_written_as_toml_reads_back_as_itself(
    name: str, tmp_path: Path, registry: Registry
) -> None:
    recipe = find_recipe(registry, name)
    again = read_recipe(registry, write(tmp_path, recipe.to_toml()))
    assert again.parts == recipe.parts
    expected = load_detector(name, registry=registry).assembly.parts
    found = load_detector(again, registry=registry).assembly.parts
    assert {k: dict(p.options) for k, p in found.items()} == {
        k: dict(p.options) for k, p in expected.items()
    }


def test_texts_in_toml_are_quoted() -> None:
    recipe = Recipe({"prompts": "plain"}, {"prompts": {"normal": 'a "good" \\ {}', "sharp": True}})

    table = tomllib.loads(recipe.to_toml())
    assert parse_recipe(table, "x").options == {
        "prompts": {"normal": 'a "good" \\ {}', "sharp": True}
    }


def test_an_option_that_is_none_is_written_as_the_word(tmp_path: Path, registry: Registry) -> None:
    recipe = find_recipe(registry, "padim")
    again = read_recipe(registry, write(tmp_path, recipe.to_toml()))
    found = load_detector(again, registry=registry).assembly.parts["scorer"].options
    expected = load_detector("padim", registry=registry).assembly.parts["scorer"].options
    assert dict(found) == dict(expected)
    assert None in found.values()

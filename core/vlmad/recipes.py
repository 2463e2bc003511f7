"""Recipes: a detector as five names and their options, built in or in a TOML file.

A recipe file reads like the command line::

    base = "winclip"                      # what it leaves out comes from here
    prompts = "compositional"
    extractor = "window"

    [options]
    prompts.list = "anomalib21"           # as --set prompts.list=anomalib21
    extractor.scales = [2, 3]
    "backbone:openclip".image_size = 336  # only where that backbone is chosen
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import RecipeError, blaming, did_you_mean, one_line
from vlmad.files import read_toml
from vlmad.hookspecs import KINDS

if TYPE_CHECKING:
    from vlmad.registry import Registry

WORDS = ("summary", "paper", "resize")
"""What a recipe says of itself, be it nothing."""
DEFAULT = "winclip"
"""The recipe that parts come from where none is named."""
DEFAULT_PROMPTS = "compositional"
"""The prompts where a scorer of text takes its place in a recipe that names none."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The names of five parts, or of four for a scorer without text, and their options.

    `options` maps a kind to options of the recipe's own part of that kind, or ``kind:name``
    to options that apply wherever that part is chosen.
    """

    parts: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    summary: str = ""
    paper: str = ""
    name: str = ""
    resize: str = ""
    """How images become the model's square, where the user does not say; empty to squash."""
    distribution: str | None = None
    """Whose parts are meant where names clash."""

    def part(self, kind: str) -> str:
        """Return the recipe's part of a kind; what it has none of are prompts."""
        return self.parts.get(kind, DEFAULT_PROMPTS)

    def options_for(self, kind: str, *names: str) -> dict[str, Any]:
        """Return the options that the recipe gives to a part, by all its names, if it is chosen."""
        part = self.parts.get(kind, "")
        own = any(part == name or part.startswith(f"{name}:") for name in names)
        found = dict(self.options.get(kind, {})) if own else {}
        for name in names:
            found |= self.options.get(f"{kind}:{name}", {})
        return found

    def over(self, base: Recipe) -> Recipe:
        """Return this recipe with what it leaves out taken from `base`."""
        parts = {**base.parts, **self.parts}
        kept = {
            key: values
            for key, values in base.options.items()
            if parts.get(key) == base.parts.get(key)
        }
        own = {key: {**kept.get(key, {}), **values} for key, values in self.options.items()}
        distribution = self.distribution or base.distribution
        resize = self.resize or base.resize
        whole = replace(self, parts=parts, options={**kept, **own}, resize=resize)
        return replace(whole, distribution=distribution)

    def to_toml(self) -> str:
        """Return the recipe as the text of a recipe file."""
        import tomli_w

        options = {
            kind: {name: "none" if value is None else value for name, value in values.items()}
            for kind, values in self.options.items()
        }
        own = {"resize": self.resize, "options": options}
        return tomli_w.dumps({**self.parts, **{key: value for key, value in own.items() if value}})


def find_recipe(registry: Registry, name: str | None = None) -> Recipe:
    """Return the registered recipe called `name`, or the default one, which is always vlmad's.

    Raises:
        UnknownPartError: there is none; the nearest names are given.
        RecipeError: what the plugin registered is no recipe.
    """
    prefer = "vlmad" if name is None else None
    registration = registry.get("detector", name or DEFAULT, prefer)
    recipe = registration.resolve()
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{registration} is not a vlmad.Recipe")
    with blaming(f"{registration} cannot be read"):
        _check_recipe(recipe, str(registration))
    return replace(recipe, name=registration.name, distribution=registration.distribution)


def read_recipe(registry: Registry, path: Path) -> Recipe:
    """Read a recipe file, its base from the registry.

    Raises:
        RecipeError: the file is missing, is no TOML, or holds an unknown key.
    """
    table = read_toml(Path(path), "recipe", RecipeError)
    recipe = parse_recipe(table, str(path))
    return recipe.over(find_recipe(registry, table.get("base")))


def _check_recipe(recipe: Recipe, source: str) -> None:
    """Refuse a recipe that a plugin registered if its values are not what they must be."""
    texts = {word: getattr(recipe, word) for word in WORDS}
    parse_recipe({**recipe.parts, "options": recipe.options, **texts}, source)
    lacking = [kind for kind in KINDS if kind not in recipe.parts and kind != "prompts"]
    if lacking:
        raise RecipeError(f"recipe {source} names no {' and no '.join(lacking)}")


def parse_recipe(table: Mapping[str, Any], source: str) -> Recipe:
    """Check a recipe's table and make it a `Recipe`; `source` names it in messages.

    Raises:
        RecipeError: an unknown key, or a value of the wrong kind.
    """
    texts = ("base", "name", *WORDS, *KINDS)
    for key, value in table.items():
        if key not in (*texts, "options"):
            hint = did_you_mean(key, [*texts, "options"])
            raise RecipeError(f"recipe {source}: unknown key '{key}'; {hint}")
        if key in texts and not (isinstance(value, str) and (value or key in WORDS)):
            shown = one_line(repr(value))
            raise RecipeError(f"recipe {source}: '{key}' must be a text, not {shown}")
    options = table.get("options", {})
    if not isinstance(options, Mapping):
        raise RecipeError(f"recipe {source}: 'options' must be a table")
    for key, values in options.items():
        if key.split(":")[0] not in KINDS or not isinstance(values, Mapping):
            hint = did_you_mean(key, KINDS)
            raise RecipeError(f"recipe {source}: options of '{key}' cannot be used; {hint}")
    return Recipe(
        {kind: table[kind] for kind in KINDS if kind in table},
        {key: dict(values) for key, values in options.items()},
        table.get("summary", ""),
        table.get("paper", ""),
        table.get("name", Path(source).stem),
        table.get("resize", ""),
    )

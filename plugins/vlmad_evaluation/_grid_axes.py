"""What a grid lets vary: recipes, parts of each kind, and values of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.assembly import parse_settings
from vlmad.errors import InputError
from vlmad.hookspecs import KINDS
from vlmad.recipes import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.registry import Registry
    from vlmad_run.choosing import Choice

ALL = "all"


@dataclass(frozen=True, slots=True)
class Axes:
    """Alternatives, each list in the order in which it was given."""

    recipes: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    """By kind; empty where the recipe's part is taken."""
    options: Mapping[str, Mapping[str, tuple[str, ...]]]
    """By kind and option; they hold for the parts that have the option."""

    def varied(self, kind: str) -> bool:
        """Tell whether more than one part of a kind was named."""
        return len(self.parts[kind]) > 1


def parse_axes(choice: Choice, registry: Registry) -> Axes:
    """Read what the command line names: parts with commas between, values with bars.

    `all` stands for every installed part of a kind.

    Raises:
        InputError: a list is empty or names something twice.
        OptionError: a setting is malformed.

    >>> split_names("learned:a,b.safetensors, plain")
    ('learned:a', 'b.safetensors', 'plain')
    """
    named = {kind: getattr(choice, "prompt" if kind == "prompts" else kind) for kind in KINDS}
    parts = {}
    for kind, text in named.items():
        names = () if text is None else split_names(text)
        if names == (ALL,):
            names = tuple(r.name for r in registry.of_kind(kind))
        parts[kind] = _distinct(kind, names)
    options: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind, settings in parse_settings(choice.settings or []).items():
        options[kind] = {
            name: _distinct(f"{kind}.{name}", split_values(value))
            for name, value in settings.items()
        }
    for name in ("weights", "precision"):
        given = getattr(choice, name)
        if given is not None:
            options.setdefault("backbone", {})[name] = (str(given),)
    recipes = split_names(choice.detector or DEFAULT)
    return Axes(_distinct("detector", recipes), parts, options)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names between commas.

    Raises:
        InputError: there is nothing where a name should be.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f"a name is missing in '{text}'; separate names with one comma each")
    return names


def split_values(text: str) -> tuple[str, ...]:
    """Return the values between bars; a single one may be empty.

    Raises:
        InputError: there is nothing where one of several values should be.

    >>> split_values("2,3| 2,3,5")
    ('2,3', '2,3,5')
    """
    values = tuple(value.strip() for value in text.split("|"))
    if len(values) > 1 and not all(values):
        raise InputError(f"a value is missing in '{text}'; separate values with one bar each")
    return values


def _distinct(what: str, names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{what}: '{twice}' is named twice")
    return names

"""What is installed, as people read it and as JSON: names, parts, recipes, options."""

from __future__ import annotations

import inspect
import math
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import typer
from rich.text import Text

from vlmad.errors import UnknownPartError, blaming, did_you_mean, one_line
from vlmad.options import MOST_DOCS, REQUIRED, options_of
from vlmad.recipes import find_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from vlmad.plugin import Registration
    from vlmad.registry import Registry


SLOW = 1.0
"""Seconds of an import above which it is told."""


class RegisteredName(TypedDict):
    """A name and where it came from."""

    kind: str
    name: str
    summary: str
    plugin: str
    distribution: str
    version: str


class DescribedOption(TypedDict):
    """An option of a part; `default` is None where it is required or is none."""

    name: str
    takes: str
    required: bool
    default: Any
    meaning: str


class DescribedName(RegisteredName):
    """What a part, recipe or command is; None stands for what has no meaning for its kind."""

    text: str
    needs: list[str] | None
    gives: list[str] | None
    options: list[DescribedOption] | None
    recipe: dict[str, Any] | None


def list_plugins(out: Console, registry: Registry) -> None:
    """Print all names, kind by kind, and what a user should know of plugins."""
    for kind in registry.kinds:
        registrations = registry.of_kind(kind)
        if registrations:
            width = max(len(r.name) for r in registrations)
            out.print(kind, style="bold")
            for each in registrations:
                origin = "" if each.distribution == "vlmad" else f" ({each.origin})"
                _entry(out, each.name, width, f"{each.summary}{origin}")
            out.print()
    for note in _notes(registry):
        out.print(note)


def catalogue(registry: Registry) -> dict[str, Any]:
    """Return what is registered, the plugins it comes from, and clashes, as JSON takes it."""
    words = ("name", "distribution", "version", "status", "reason", "seconds")
    return {
        "registered": [_origin(r) for kind in registry.kinds for r in registry.of_kind(kind)],
        "plugins": [{word: getattr(plugin, word) for word in words} for plugin in registry.plugins],
        "clashes": [
            {"kind": kind, "name": name, "distributions": [r.distribution for r in found]}
            for (kind, name), found in clashes(registry).items()
        ],
    }


def clashes(registry: Registry) -> dict[tuple[str, str], list[Registration]]:
    """Return the names that more than one distribution registered."""
    by_name: dict[tuple[str, str], list[Registration]] = {}
    for registration in (r for plugin in registry.plugins for r in plugin.registrations):
        by_name.setdefault((registration.kind, registration.name), []).append(registration)
    return {key: found for key, found in by_name.items() if len(found) > 1}


def _entry(out: Console, name: str, width: int, meaning: str) -> None:
    """Print a name, never cut, and its meaning, which fills the lines to the right of all names."""
    indent = width + 4
    lines = Text(meaning).wrap(out, max(24, out.width - indent)) or [Text()]
    for start, line in zip_longest([f"  {name.ljust(width)}  "], lines, fillvalue=" " * indent):
        line.rstrip()
        out.print(Text(start) + line, soft_wrap=True)


def _notes(registry: Registry) -> Iterator[str]:
    """Yield what a user should know of plugins that are slow or lost, and of names used twice."""
    for plugin in registry.plugins:
        origin = f"{plugin.name} ({plugin.distribution} {plugin.version})"
        if plugin.status != "ok":
            yield f"not loaded: {origin}: {plugin.status}, {plugin.reason}"
        elif plugin.seconds > SLOW:
            yield f"slow: {origin} takes {plugin.seconds:.1f} s to import"
    for (kind, name), found in clashes(registry).items():
        choices = " or ".join(f"{r.distribution}:{r.name}" for r in found)
        yield f"{kind} '{name}' is registered more than once: write {choices}"


def describe_registration(registry: Registry, registration: Registration) -> DescribedName:
    """Return what a part, recipe or command is, as JSON takes it.

    Raises:
        PluginError: its plugin cannot be loaded, or it cannot be described.
    """
    found: DescribedName = {
        **_origin(registration),
        "text": registration.summary,
        "needs": None,
        "gives": None,
        "options": None,
        "recipe": None,
    }
    if registration.kind == "detector":
        recipe = find_recipe(registry, registration.full_name)
        options = {kind: dict(values) for kind, values in recipe.options.items()}
        parts = {"parts": dict(recipe.parts), "options": options, "paper": recipe.paper}
        return {**found, "text": recipe.summary, "recipe": parts}
    part = registration.resolve()
    with blaming(f"{registration} cannot be described"):
        found["text"] = _text(registration, part)
        if registration.kind != "command":
            found["needs"], found["gives"] = _words(part, "needs"), _words(part, "gives")
            found["options"] = _options(registration, part)
    return found


def print_description(out: Console, registry: Registry, registration: Registration) -> None:
    """Print what `describe_registration` returns."""
    found = describe_registration(registry, registration)
    out.print(f"{registration.kind} {registration.name}", style="bold", end="")
    out.print(f" ({registration.origin})")
    if found["recipe"]:
        out.print(Text(f"{found['text']}\n{found['recipe']['paper']}".rstrip()))
        out.print("", "As a recipe file, to change and give to --detector:", "", sep="\n")
        recipe = find_recipe(registry, registration.full_name)
        out.print(Text(recipe.to_toml()), soft_wrap=True)
        return
    out.print(Text(f"{found['text']}\n"))
    for word, values in (("needs", found["needs"]), ("gives", found["gives"])):
        if values is not None:
            out.print(f"{word}: {', '.join(values)}")
    if found["options"] is not None:
        _print_options(out, registration.kind, found["options"])


def _print_options(out: Console, kind: str, options: list[DescribedOption]) -> None:
    if not options:
        out.print("It has no options.")
    for each in options:
        default = "required" if each["required"] else f"default {_as_typed(each['default'])}"
        place = f"{kind}.{each['name']}"
        out.print("", f"  {place}  {each['takes']}, {default}", sep="\n")
        _entry(out, "", 2, each["meaning"])
    if options:
        out.print("", f"Set with --set {kind}.{options[0]['name']}=…", sep="\n")


def find_named(registry: Registry, text: str) -> list[Registration]:
    """Return what ``NAME`` or ``KIND:NAME`` may mean.

    Raises:
        UnknownPartError: nothing has that name; the nearest are named.
    """
    kind, colon, name = text.partition(":")
    kind = "prompts" if kind == "prompt" else kind
    if colon and kind in registry.kinds:
        return [registry.get(kind, name)]
    found = [each for candidate in registry.kinds for each in registry.named(candidate, text)]
    if not found:
        names = {name for kind in registry.kinds for name in registry.names(kind)}
        raise UnknownPartError(f"nothing is called '{text}'; {did_you_mean(text, names)}")
    return found


def _words(part: Any, attribute: str) -> list[str] | None:
    """Return what a part needs or gives."""
    values = getattr(part, attribute, None)
    return sorted(one_line(str(v)) for v in values) if isinstance(values, frozenset) else None


def _options(registration: Registration, part: Any) -> list[DescribedOption]:
    options = options_of(part, registration)
    if registration.kind == "dataset":
        options.pop("root", None)  # the folder, which the user names
    return [
        {
            "name": option.name,
            "takes": option.type_name,
            "required": option.default is REQUIRED,
            "default": None if option.default is REQUIRED else _plain(option.default),
            "meaning": option.doc,
        }
        for option in options.values()
    ]


def _plain(value: Any) -> Any:
    """Return a default as JSON takes it; what it cannot hold, as a text."""
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return str(value) if isinstance(value, Path) else one_line(repr(value))


def _as_typed(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _text(registration: Registration, part: Any) -> str:
    """Return the first part of a docstring, each paragraph on a line."""
    own = part.info.help if isinstance(part, typer.Typer) else inspect.getdoc(part)
    text = (own if isinstance(own, str) else registration.summary).split("\nArgs:")[0]
    paragraphs = text[:MOST_DOCS].strip().split("\n\n")
    return "\n\n".join(one_line(lines, most=MOST_DOCS) for lines in paragraphs)


def _origin(registration: Registration) -> RegisteredName:
    return {
        "kind": registration.kind,
        "name": registration.name,
        "summary": registration.summary,
        "plugin": registration.plugin.name,
        "distribution": registration.distribution,
        "version": registration.version,
    }

"""What is installed, as people read it and as JSON: names, parts, recipes, options."""

from __future__ import annotations

import inspect
import math
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import typer
from rich.text import Text

from vlmad.errors import NameClashError, UnknownPartError, blaming, did_you_mean, one_line
from vlmad.options import MOST_DOCS, REQUIRED, Option, options_of
from vlmad.recipes import Recipe, find_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from vlmad.registry import Registration, Registry

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


class PluginStatus(TypedDict):
    """A plugin and what became of it."""

    name: str
    distribution: str
    version: str
    status: str
    reason: str


def list_plugins(out: Console, registry: Registry) -> None:
    """Print all names, kind by kind, and what a user should know of plugins."""
    for kind in registry.kinds:
        _list_kind(out, kind, registry.of_kind(kind))
    for note in _notes(registry):
        out.print(note, markup=False)


def catalogue(registry: Registry) -> dict[str, Any]:
    """Return what is registered, the plugins it comes from, and clashes, as JSON takes it."""
    plugins: list[PluginStatus] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": plugin.status,
            "reason": plugin.reason,
        }
        for plugin in registry.plugins
    ]
    clashes = [
        {"kind": kind, "name": name, "distributions": [r.distribution for r in found]}
        for (kind, name), found in registry.clashes().items()
    ]
    registered = [_origin(r) for kind in registry.kinds for r in registry.of_kind(kind)]
    return {"registered": registered, "plugins": plugins, "clashes": clashes}


def _list_kind(out: Console, kind: str, registrations: list[Registration]) -> None:
    """Print the names of a kind, each followed by what it is; no name is ever cut."""
    if not registrations:
        return
    width = max(len(r.name) for r in registrations)
    out.print(Text(kind, style="bold"))
    for each in registrations:
        origin = "" if each.distribution == "vlmad" else f" ({each.origin})"
        _entry(out, each.name, width, f"{each.summary}{origin}")
    out.print()


def _entry(out: Console, name: str, width: int, meaning: str) -> None:
    """Print a name and its meaning, which fills the lines to the right of all names."""
    indent = width + 4
    lines = Text(meaning).wrap(out, max(24, out.width - indent)) or [Text()]
    for start, line in zip_longest([f"  {name.ljust(width)}  "], lines, fillvalue=" " * indent):
        line.rstrip()
        out.print(Text(start) + line, soft_wrap=True)


def _notes(registry: Registry) -> Iterator[str]:
    """Yield what a user should know of plugins that are not loaded, and of names used twice."""
    for plugin in registry.plugins:
        if plugin.status != "ok":
            origin = f"{plugin.name} ({plugin.distribution} {plugin.version})"
            yield f"not loaded: {origin}: {plugin.status}, {plugin.reason}"
    for (kind, name), found in registry.clashes().items():
        choices = " or ".join(f"{r.distribution}:{r.name}" for r in found)
        yield f"{kind} '{name}' is registered more than once: write {choices}"


def print_description(out: Console, registry: Registry, registration: Registration) -> None:
    """Print what a part, recipe or command is, its options, and where it comes from."""
    out.print(Text(f"{registration.kind} {registration.name}", style="bold"), end="")
    out.print(Text(f" ({registration.origin})"))
    if registration.kind == "detector":
        _print_recipe(out, find_recipe(registry, registration.full_name))
    else:
        _print_part(out, registration)


def description(registry: Registry, registration: Registration) -> dict[str, Any]:
    """Return what a part, recipe or command is, as JSON takes it.

    `options`, `needs` and `gives` are None where they have no meaning, `recipe` for all but
    recipes.
    """
    nothing = {"needs": None, "gives": None, "options": None, "recipe": None}
    table = {**_origin(registration), "text": registration.summary, **nothing}
    if registration.kind == "detector":
        recipe = find_recipe(registry, registration.full_name)
        options = {kind: dict(values) for kind, values in recipe.options.items()}
        parts = {"parts": dict(recipe.parts), "options": options, "paper": recipe.paper}
        return {**table, "text": recipe.summary, "recipe": parts}
    part = registration.resolve()
    with blaming(f"{registration} cannot be described"):
        table["text"] = _text(registration, part)
        if registration.kind != "command":
            table |= _words(part)
            table["options"] = _options(registration, part)
        return table


def _print_part(out: Console, registration: Registration) -> None:
    part = registration.resolve()
    with blaming(f"{registration} cannot be described"):
        out.print(f"{_text(registration, part)}\n", markup=False)
        if registration.kind == "command":
            return
        for word, values in _words(part).items():
            out.print(f"{word}: {', '.join(values)}", markup=False)
        options = _options(registration, part)
    if not options:
        out.print("It has no options.")
    for each in options:
        default = "required" if each["required"] else f"default {_as_typed(each['default'])}"
        place = f"{registration.kind}.{each['name']}"
        out.print(Text(f"\n  {place}  {each['takes']}, {default}"), soft_wrap=True)
        _entry(out, "", 2, each["meaning"])
    if options:
        out.print(f"\nSet with --set {registration.kind}.{options[0]['name']}=…", markup=False)


def _print_recipe(out: Console, recipe: Recipe) -> None:
    out.print(f"{recipe.summary}\n{recipe.paper}".rstrip(), markup=False)
    out.print("\nAs a recipe file, to change and give to --detector:\n")
    out.print(recipe.to_toml(), markup=False, soft_wrap=True)


def find_named(registry: Registry, text: str) -> list[Registration]:
    """Return what ``NAME`` or ``KIND:NAME`` may mean.

    Raises:
        UnknownPartError: nothing has that name; the nearest are named.
    """
    kind, colon, name = text.partition(":")
    kind = "prompts" if kind == "prompt" else kind
    if colon and kind in registry.kinds:
        return [registry.get(kind, name)]
    found = []
    for candidate in registry.kinds:
        try:
            found.append(registry.get(candidate, text))
        except UnknownPartError:
            continue
        except NameClashError:
            found += [r for r in registry.of_kind(candidate) if r.name == text]
    if not found:
        names = {name for kind in registry.kinds for name in registry.names(kind)}
        raise UnknownPartError(f"nothing is called '{text}'; {did_you_mean(text, names)}")
    return found


def _words(part: Any) -> dict[str, list[str]]:
    """Return what a part needs and gives."""
    found = {word: getattr(part, word, None) for word in ("needs", "gives")}
    return {
        word: sorted(one_line(str(value)) for value in values)
        for word, values in found.items()
        if isinstance(values, frozenset)
    }


def _options(registration: Registration, part: Any) -> list[DescribedOption]:
    options = options_of(part, registration)
    if registration.kind == "dataset":
        options.pop("root", None)  # the folder, which the user names
    return [_described(option) for option in options.values()]


def _described(option: Option) -> DescribedOption:
    required = option.default is REQUIRED
    return {
        "name": option.name,
        "takes": option.type_name,
        "required": required,
        "default": None if required else _plain(option.default),
        "meaning": option.doc,
    }


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

"""The commands ``vlmad plugins`` and ``vlmad describe``."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vlmad.containment import contained
from vlmad.errors import NameClashError, UnknownPartError, did_you_mean, one_line
from vlmad.hookspecs import HOOKS
from vlmad.options import MOST_DOCS, REQUIRED, Option, options_of
from vlmad.recipes import Recipe, find_recipe
from vlmad.registry import Registration, Registry
from vlmad_run.choosing import completing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def plugins(as_json: AsJson = False) -> None:
    """List all parts, recipes and commands, and the plugins they come from."""
    registry = Registry.discover()
    if as_json:
        _print_json(catalogue(registry))
        return
    console = Console()
    table = Table("kind", "name", "what it is", "from", box=None, header_style="bold")
    for kind in HOOKS:
        for registration in registry.of_kind(kind):
            words = kind, registration.name, registration.summary, registration.origin
            table.add_row(*map(Text, words))
    console.print(table)
    lost = [plugin for plugin in registry.plugins if plugin.status != "ok"]
    if lost:
        console.print("\n[bold]not loaded[/bold]")
        for plugin in lost:
            origin = f"{plugin.name} ({plugin.distribution} {plugin.version})"
            console.print(f"  {origin}: {plugin.status}, {plugin.reason}", markup=False)
    for note in _notes(registry):
        console.print(f"\n{note}", markup=False)


def _notes(registry: Registry) -> Iterator[str]:
    """Yield what a user should know of plugins that work."""
    from vlmad.cli import BUILT_IN

    for plugin in registry.plugins:
        if plugin.changed:
            origin = f"{plugin.name} ({plugin.distribution} {plugin.version})"
            changed = f"changed {', '.join(plugin.changed)} when it was loaded"
            yield f"note: {origin} {changed}; that was put back"
    for (kind, name), found in registry.clashes().items():
        choices = " or ".join(f"{r.distribution}:{r.name}" for r in found)
        yield f"{kind} '{name}' is registered more than once: write {choices}"
    for own in registry.of_kind("command"):
        if own.name in BUILT_IN:
            yield f"command '{own.name}' is vlmad's own: write {own.distribution}:{own.name}"


def catalogue(registry: Registry) -> dict[str, Any]:
    """Return what is registered, the plugins it comes from, and clashes, as JSON takes it."""
    return {
        "registered": [_origin(r) for kind in HOOKS for r in registry.of_kind(kind)],
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "status": plugin.status,
                "reason": plugin.reason,
                "changed": list(plugin.changed),
            }
            for plugin in registry.plugins
        ],
        "clashes": [
            {"kind": kind, "name": name, "distributions": [r.distribution for r in found]}
            for (kind, name), found in registry.clashes().items()
        ],
    }


def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="NAME, or KIND:NAME such as scorer:dense.", autocompletion=completing(*HOOKS)
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a part or recipe is, its options, and where it comes from.

    Examples: vlmad describe winclip, vlmad describe extractor:window
    """
    registry = Registry.discover()
    found = _find(registry, name)
    if as_json:
        _print_json({"described": [description(registry, each) for each in found]})
        return
    console = Console()
    for index, registration in enumerate(found):
        if index:
            console.print()
        if registration.kind == "detector":
            _describe_recipe(console, registry, registration)
        else:
            _describe_part(console, registry, registration)


def description(registry: Registry, registration: Registration) -> dict[str, Any]:
    """Return what a part, recipe or command is, as JSON takes it.

    `options`, `needs` and `gives` are None where they have no meaning, `recipe` for all but
    recipes. An option's default is None where it is required or is none.
    """
    table = {**_origin(registration), "text": registration.summary}
    table |= {"needs": None, "gives": None, "options": None, "recipe": None}
    if registration.kind == "detector":
        recipe = find_recipe(registry, f"{registration.distribution}:{registration.name}")
        options = {kind: dict(values) for kind, values in recipe.options.items()}
        parts = {"parts": dict(recipe.parts), "options": options, "paper": recipe.paper}
        return {**table, "text": recipe.summary, "recipe": parts}
    part = registration.resolve()
    with contained(f"{registration} cannot be described"):
        return table | _facts(registration, part)


def _facts(registration: Registration, part: Any) -> dict[str, Any]:
    """Return what a part itself tells."""
    facts: dict[str, Any] = {"text": _text(registration, part)}
    if registration.kind == "command":
        return facts
    for word in ("needs", "gives"):
        values = getattr(part, word, None)
        if isinstance(values, frozenset):
            facts[word] = sorted(one_line(str(value)) for value in values)
    facts["options"] = [
        {
            "name": option.name,
            "takes": option.type_name,
            "required": option.default is REQUIRED,
            "default": None if option.default is REQUIRED else _plain(option.default),
            "meaning": option.doc,
        }
        for option in _options(registration, part).values()
    ]
    return facts


def _plain(value: Any) -> Any:
    """Return a default as JSON takes it; what it cannot hold, as a text."""
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return str(value) if isinstance(value, Path) else one_line(repr(value))


def _options(registration: Registration, part: Any) -> dict[str, Option]:
    options = options_of(part, registration)
    if registration.kind == "dataset":
        options.pop("root", None)  # the folder, which the user names
    return options


def _origin(registration: Registration) -> dict[str, Any]:
    return {
        "kind": registration.kind,
        "name": registration.name,
        "summary": registration.summary,
        "plugin": registration.plugin,
        "distribution": registration.distribution,
        "version": registration.version,
    }


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=_jsonable))


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else repr(value)


def _text(registration: Registration, part: Any) -> str:
    """Return the first part of what a docstring says, each paragraph on a line."""
    own = part.info.help if isinstance(part, typer.Typer) else inspect.getdoc(part)
    text = (own if isinstance(own, str) else registration.summary).split("\nArgs:")[0]
    paragraphs = text[:MOST_DOCS].strip().split("\n\n")
    return "\n\n".join(one_line(lines, most=MOST_DOCS) for lines in paragraphs)


def _find(registry: Registry, text: str) -> list[Registration]:
    kind, colon, name = text.partition(":")
    kind = "prompts" if kind == "prompt" else kind
    if colon and kind in HOOKS:
        return [registry.get(kind, name)]
    found = []
    for candidate in HOOKS:
        try:
            found.append(registry.get(candidate, text))
        except UnknownPartError:
            continue
        except NameClashError:
            found += [r for r in registry.of_kind(candidate) if r.name == text]
    if not found:
        names = {name for kind in HOOKS for name in registry.names(kind)}
        raise UnknownPartError(f"nothing is called '{text}'; {did_you_mean(text, names)}")
    return found


def _describe_part(console: Console, registry: Registry, registration: Registration) -> None:
    told = description(registry, registration)
    _title(console, registration)
    console.print(told["text"] + "\n", markup=False, highlight=False)
    for word in ("needs", "gives"):
        if told[word]:
            console.print(f"{word}: {', '.join(told[word])}", markup=False)
    if registration.kind == "command":
        return
    if not told["options"]:
        console.print("It has no options.")
        return
    console.print()
    table = Table("option", "takes", "default", "meaning", box=None, header_style="bold")
    for option in told["options"]:
        place = f"{registration.kind}.{option['name']}"
        table.add_row(*map(Text, (place, option["takes"], _default(option), option["meaning"])))
    console.print(table)
    first = told["options"][0]["name"]
    console.print(f"\nSet with --set {registration.kind}.{first}=…", markup=False)


def _describe_recipe(console: Console, registry: Registry, registration: Registration) -> None:
    _title(console, registration)
    recipe = find_recipe(registry, f"{registration.distribution}:{registration.name}")
    console.print(recipe.summary, markup=False)
    if recipe.paper:
        console.print(recipe.paper, markup=False, highlight=False)
    console.print("\nAs a recipe file, to change and give to --recipe:\n")
    console.print(to_toml(recipe), markup=False, highlight=False)


def to_toml(recipe: Recipe) -> str:
    """Return a recipe as the text of a recipe file."""
    lines = [f'{kind} = "{name}"' for kind, name in recipe.parts.items()]
    settings = [
        f"{_key(kind)}.{option} = {_toml(value)}"
        for kind, options in recipe.options.items()
        for option, value in options.items()
    ]
    return "\n".join([*lines, *(["", "[options]", *settings] if settings else [])])


def _key(kind: str) -> str:
    return f'"{kind}"' if ":" in kind else kind


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _title(console: Console, registration: Registration) -> None:
    console.print(
        Text(f"{registration.kind} {registration.name}", style="bold"),
        Text(f" ({registration.origin})"),
        highlight=False,
    )


def _default(option: Mapping[str, Any]) -> str:
    value = option["default"]
    if option["required"]:
        return "required"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)

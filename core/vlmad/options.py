"""The options of a part: the keyword arguments of its factory, read from its signature.

Allowed types are bool, int, float, str, Path, Literal, tuple[X, ...] of these, and X | None.
``Annotated[X, Ge(1), Le(24)]`` bounds a number, ``Annotated[tuple[X, ...], Len(1, 32)]`` how many
there are (see `annotated_types`); what lies outside is refused before anything is read.
``Annotated[X, function]`` brings values that mean the same to one form (`in_order`), so that
they are known for the same setting wherever options are compared. The first option is also what
``NAME:ARGUMENT`` sets, as in ``openclip:ViT-B-32``.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
import types
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen

from vlmad.errors import OptionError, PluginError, blaming, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

REQUIRED = inspect.Parameter.empty
MOST_DOCS = 100_000
"""Characters of a docstring that are read."""
WORDS = {"true": True, "yes": True, "on": True, "1": True}
WORDS |= {"false": False, "no": False, "off": False, "0": False}


def in_order(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return the distinct numbers, the smallest first.

    >>> in_order([3, 2, 3])
    (2, 3)
    """
    return tuple(sorted(set(numbers)))


BOUNDS: dict[type, tuple[str, Callable[[Any, Any], bool], str]] = {
    Gt: ("gt", operator.gt, "above {}"),
    Ge: ("ge", operator.ge, "from {}"),
    Lt: ("lt", operator.lt, "to below {}"),
    Le: ("le", operator.le, "to {}"),
    MinLen: ("min_length", lambda items, least: len(items) >= least, ""),
    MaxLen: ("max_length", lambda items, most: len(items) <= most, "({} at most)"),
}
"""Of each kind of bound: its attribute, what holds within it, and how a person says it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a part: its name, type, default (or `REQUIRED`) and documentation."""

    name: str
    type: Any
    default: Any
    doc: str

    @property
    def type_name(self) -> str:
        """The type as a person writes it."""
        return describe_type(self.type)


def options_of(factory: Callable[..., Any], owner: object = None) -> dict[str, Option]:
    """Read the options of a factory from its signature and docstring.

    Args:
        factory: what makes the part.
        owner: how messages name the part; by default they show the factory.

    Raises:
        PluginError: a parameter has no type or no name to set it by, or the factory cannot be
            looked at.
    """
    shown = owner or _shown(factory)
    with blaming(f"cannot read the options of {shown}"):
        made_by = factory.__init__ if inspect.isclass(factory) else factory
        hints = get_type_hints(made_by, include_extras=True)
        docs = _argument_docs((inspect.getdoc(factory) or "")[:MOST_DOCS])
        options = {}
        for name, parameter in inspect.signature(factory).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY or name not in hints:
                lacks = f"option '{name}' of {shown} has no type, or no name to set it by"
                raise PluginError(lacks)
            options[name] = Option(name, hints[name], parameter.default, docs.get(name, ""))
        return options


def check_options(
    owner: str, options: Mapping[str, Option], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the given options converted to their types.

    Args:
        owner: how messages name the part, such as ``scorer 'harmonic'``.
        options: what the part offers.
        given: texts from a command line, or values from a recipe or Python.

    Raises:
        OptionError: an unknown name, or a value of the wrong type.
    """
    checked = {}
    for name, value in given.items():
        if name not in options:
            raise OptionError(f"{owner} has no option '{name}'; {did_you_mean(name, options)}")
        try:
            checked[name] = convert(options[name].type, value)
        except Exception:  # a plugin's own type may raise anything
            takes = options[name].type_name
            message = f"{owner}: option '{name}' takes {takes}, not {_shown(value)}"
            raise OptionError(message) from None
    return checked


def convert(kind: Any, value: Any) -> Any:
    """Convert a text or a value to the type `kind`.

    Raises:
        ValueError: it cannot be.

    >>> convert(tuple[int, ...], "2,3")
    (2, 3)
    >>> convert(bool, "off")
    False
    """
    origin, within = get_origin(kind), get_args(kind)
    if origin is Annotated:
        value = convert(within[0], value)
        if not all(holds(value, limit) for holds, limit, _ in _bounds(within[1:])):
            raise ValueError(value)
        for form in filter(callable, within[1:]):
            value = form(value)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(within, value)
    if origin is Literal:
        if not isinstance(value, str) or value not in within:
            raise ValueError(value)
        return value
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        items = items if isinstance(items, list | tuple) else [items]
        return tuple(convert(within[0], i.strip() if isinstance(i, str) else i) for i in items)
    if origin is not None:  # list[int] would take a text apart into its characters
        raise ValueError(value)
    return _convert_plain(kind, value)


def _convert_union(kinds: tuple[Any, ...], value: Any) -> Any:
    if type(None) in kinds and value in (None, "none"):
        return None
    for kind in kinds:
        if kind is not type(None):
            with suppress(ValueError):
                return convert(kind, value)
    raise ValueError(value)


def _convert_plain(kind: Any, value: Any) -> Any:
    if kind is bool:
        word = str(value).lower() if isinstance(value, bool | str) else ""
        if word not in WORDS:
            raise ValueError(value)
        return WORDS[word]
    taken = {int: str | int, str: str | Path, Path: str | Path}.get(kind, str | int | float | Path)
    if isinstance(value, bool) or not isinstance(value, taken):
        raise ValueError(value)
    converted = kind(value)
    if kind is float and not math.isfinite(converted):
        raise ValueError(value)
    return converted


def _bounds(metadata: Iterable[Any]) -> Iterator[tuple[Callable[[Any, Any], bool], Any, str]]:
    """Yield what must hold of a value, beside which limit, and how a person says it."""
    for each in metadata:
        if isinstance(each, GroupedMetadata):
            yield from _bounds(each)
        elif type(each) in BOUNDS:
            attribute, holds, words = BOUNDS[type(each)]
            limit = getattr(each, attribute)
            yield holds, limit, words.format(limit)


def describe_type(kind: Any) -> str:
    """Return a type, and its bounds, as a person writes it.

    >>> describe_type(tuple[int, ...])
    'int,int,…'
    >>> describe_type(Annotated[int, Ge(1), Le(24)])
    'int from 1 to 24'
    """
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *metadata = get_args(kind)
        return " ".join([describe_type(inner), *filter(None, (w for *_, w in _bounds(metadata)))])
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(k) for k in get_args(kind))
    if origin is Literal:
        return "|".join(map(str, get_args(kind)))
    if origin is tuple:
        item, _, bounds = describe_type(get_args(kind)[0]).partition(" ")
        return f"{item},{item},… {bounds}".rstrip()
    names = {str: "text", Path: "file", bool: "true|false", float: "number", type(None): "none"}
    return names.get(kind) or getattr(kind, "__name__", None) or one_line(str(kind))


def _argument_docs(docstring: str) -> dict[str, str]:
    """Read the ``Args:`` section of a Google-style docstring."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", docstring + "\n", re.MULTILINE)
    if not section:
        return {}
    entries = re.finditer(
        r"^(\w+):[ ]?(.*(?:\n[ \t]+.*)*)", inspect.cleandoc(section[1]), re.MULTILINE
    )
    return {entry[1]: one_line(entry[2], most=2000) for entry in entries}


def _shown(value: Any) -> str:
    with suppress(Exception):
        return one_line(repr(value))
    return f"a {type(value).__name__}"

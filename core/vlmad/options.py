"""The options of a part: the keyword arguments of its factory, read from its signature.

Allowed types are bool, int, float, str, Path, Literal, tuple[X, ...] of these, and X | None.
``Annotated[X, function]`` brings values that mean the same to one form (`InOrder`), so that they
are known for the same setting wherever options are compared.
"""

from __future__ import annotations

import inspect
import math
import re
import types
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from vlmad.errors import OptionError, PluginError, did_you_mean, one_line, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REQUIRED = inspect.Parameter.empty
MOST_DOCS = 100_000
"""Characters of a docstring that are read."""


def in_order(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return the distinct numbers, the smallest first.

    >>> in_order([3, 2, 3])
    (2, 3)
    """
    return tuple(sorted(set(numbers)))


InOrder: TypeAlias = Annotated[tuple[int, ...], in_order]
"""The type of an option whose numbers have no order and count once, such as window sizes."""


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
        PluginError: a parameter has no type, or one that cannot be set from text.
    """
    try:
        hash((factory, owner))
    except Exception:  # a callable object that cannot be remembered
        return _read_options.__wrapped__(factory, owner)
    return dict(_read_options(factory, owner))


@lru_cache(maxsize=1024)  # many combinations of parts ask for the same ones
def _read_options(factory: Callable[..., Any], owner: object) -> dict[str, Option]:
    try:
        made_by = factory.__init__ if inspect.isclass(factory) else factory
        hints = get_type_hints(made_by, include_extras=True)
        parameters = inspect.signature(factory).parameters
        docs = _argument_docs((inspect.getdoc(factory) or "")[:MOST_DOCS])
    except Exception as error:  # hints are code, and a factory can be any object
        shown = owner or _shown(factory)
        raise PluginError(f"cannot read the options of {shown}: {reason_of(error)}") from error
    shown = owner or _shown(factory)
    options = {}
    for name, parameter in parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise PluginError(f"option '{name}' of {shown} has no name to set it by")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name not in hints:
            raise PluginError(f"option '{name}' of {shown} has no type")
        default = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
        options[name] = Option(name, hints[name], default, docs.get(name, ""))
    return options


def _shown(factory: Any) -> str:
    with suppress(Exception):
        return one_line(repr(factory))
    return f"a {type(factory).__name__}"


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
        option = options[name]
        try:
            checked[name] = convert(option.type, value)
        except Exception:  # a plugin's own type may raise anything
            raise OptionError(
                f"{owner}: option '{name}' takes {option.type_name}, not {_shown(value)}"
            ) from None
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
    origin = get_origin(kind)
    if origin is Annotated:
        kind, *forms = get_args(kind)
        value = convert(kind, value)
        for form in filter(callable, forms):
            value = form(value)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(kind), value)
    if origin is Literal:
        if value in get_args(kind) and isinstance(value, str):
            return value
        raise ValueError(value)
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            items = [items]
        return tuple(convert(_item(kind), _strip(item)) for item in items)
    return _convert_plain(kind, value)


def _item(kind: Any) -> Any:
    """Return what a tuple holds."""
    return next(iter(get_args(kind)), str)


def _strip(item: Any) -> Any:
    return item.strip() if isinstance(item, str) else item


def _convert_union(kinds: tuple[Any, ...], value: Any) -> Any:
    if type(None) in kinds and (value is None or value == "none"):
        return None
    for kind in kinds:
        if kind is not type(None):
            try:
                return convert(kind, value)
            except ValueError:
                continue
    raise ValueError(value)


def _convert_plain(kind: Any, value: Any) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise ValueError(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise ValueError(value)
    if kind is int and isinstance(value, float):
        raise ValueError(value)
    if kind in (str, Path) and not isinstance(value, str | Path):
        raise ValueError(value)
    converted = kind(value)
    if kind is float and not math.isfinite(converted):
        raise ValueError(value)
    return converted


def describe_type(kind: Any) -> str:
    """Return a type as a person writes it.

    >>> describe_type(tuple[int, ...])
    'int,int,…'
    """
    origin = get_origin(kind)
    if origin is Annotated:
        return describe_type(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(k) for k in get_args(kind))
    if origin is Literal:
        return "|".join(map(str, get_args(kind)))
    if origin is tuple:
        item = describe_type(_item(kind))
        return f"{item},{item},…"
    if kind is type(None):
        return "none"
    names = {str: "text", Path: "file", bool: "true|false", float: "number"}
    return names.get(kind) or getattr(kind, "__name__", None) or one_line(str(kind))


def check_counts(option: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return the distinct numbers of an option that takes counts or sizes, in order.

    Raises:
        OptionError: there are none, or one is below 1.
    """
    if not numbers or min(numbers) < 1:
        raise OptionError(f"option '{option}' takes whole numbers from 1, not {numbers}")
    return in_order(numbers)


def check_positive(option: str, number: float) -> float:
    """Return the number of an option that must be above 0.

    Raises:
        OptionError: it is not.
    """
    if number <= 0:
        raise OptionError(f"option '{option}' takes numbers above 0, not {number}")
    return number


def _argument_docs(docstring: str) -> dict[str, str]:
    """Read the ``Args:`` section of a Google-style docstring."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", docstring + "\n", re.MULTILINE)
    if not section:
        return {}
    docs: dict[str, str] = {}
    body = inspect.cleandoc(section[1])
    for entry in re.finditer(r"^(\w+):[ ]?(.*(?:\n[ \t]+.*)*)", body, re.MULTILINE):
        docs[entry[1]] = one_line(entry[2], most=2000)
    return docs

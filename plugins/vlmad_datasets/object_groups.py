"""Groups of objects and types of defects, to average figures over; read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MVTEC_AD = Path(__file__).with_name("mvtec_ad_groups.toml")


@dataclass(frozen=True, slots=True)
class Groups:
    """To which group a category belongs, and of which type each of its defects is."""

    objects: Mapping[str, str]
    """From category to group."""
    defects: Mapping[tuple[str, str], str]
    """From category and defect to type."""


def read_groups(path: Path = MVTEC_AD) -> Groups:
    """Read groups and types; by default those of MVTec AD's objects.

    Args:
        path: a TOML file with a table ``groups`` of lists of categories, and for each type a
            table ``defects.TYPE`` from categories to lists of defects. Either may be missing.

    Raises:
        InputError: it cannot be read, has another form, or puts something in two places.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {first_line(error)}") from error
    strange = sorted(set(table) - {"groups", "defects"})
    if strange:
        raise InputError(f"{path}: a table '{strange[0]}'; there are only groups and defects")
    objects: dict[str, str] = {}
    for group, categories in _items(path, "groups", table.get("groups", {})):
        for category in _texts(path, group, categories):
            _add(path, objects, category, group)
    defects: dict[tuple[str, str], str] = {}
    for kind, by_category in _items(path, "defects", table.get("defects", {})):
        for category, names in _items(path, f"defects.{kind}", by_category):
            for name in _texts(path, f"defects.{kind}.{category}", names):
                _add(path, defects, (category, name), kind)
    return Groups(objects, defects)


def _items(path: Path, place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: '{place}' is no table")
    yield from value.items()


def _texts(path: Path, place: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{path}: '{place}' is no list of names")
    return value


def _add(path: Path, found: dict[Any, str], key: Any, value: str) -> None:
    if key in found:
        name = key if isinstance(key, str) else " ".join(key)
        raise InputError(f"{path}: '{name}' stands under '{found[key]}' and '{value}'")
    found[key] = value

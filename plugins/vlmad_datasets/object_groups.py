"""Groups of objects and types of defects, to average figures over; read from a TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from vlmad.errors import InputError
from vlmad.files import read_toml
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Key = TypeVar("Key", str, tuple[str, str])

MVTEC_AD = Path(__file__).with_name("mvtec_ad_groups.toml")


@dataclass(frozen=True, slots=True)
class Groups:
    """To which group a category belongs, and of which type each of its defects is."""

    objects: Mapping[str, str]
    """From category to group."""
    defects: Mapping[tuple[str, str], str]
    """From category and defect to type."""


class GroupsFile(Document):
    """The file: categories by group, and defects by type and category."""

    groups: dict[str, list[str]] = Field(default_factory=dict)
    defects: dict[str, dict[str, list[str]]] = Field(default_factory=dict)


def read_groups(path: Path = MVTEC_AD) -> Groups:
    """Read groups and types; by default those of MVTec AD's objects.

    Args:
        path: a TOML file with a table ``groups`` of lists of categories, and for each type a
            table ``defects.TYPE`` from categories to lists of defects. Either may be missing.

    Raises:
        InputError: it cannot be read, has another form, or puts something in two places.
    """
    file = GroupsFile.of(read_toml(path, "groups"), path)
    objects = [(name, group) for group, names in file.groups.items() for name in names]
    defects = [
        ((category, name), kind)
        for kind, by_category in file.defects.items()
        for category, names in by_category.items()
        for name in names
    ]
    return Groups(_without_doubles(path, objects), _without_doubles(path, defects))


def _without_doubles(path: Path, pairs: Iterable[tuple[Key, str]]) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for key, value in pairs:
        if key in found:
            name = key if isinstance(key, str) else " ".join(key)
            raise InputError(f"{path}: '{name}' stands under '{found[key]}' and '{value}'")
        found[key] = value
    return found

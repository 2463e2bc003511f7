"""The options of a detector's parts, as documents record them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_jsonable_python

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.hookspecs import KINDS
from vlmad.registry import installed
from vlmad_openclip.store import remembered_digest, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from vlmad.assembly import Assembly
    from vlmad.detector import Detector

NOT_SUBSTANCE = {"backbone": ("device", "weights", "precision", "fetch")}
"""Options that change where and how, not what is computed; the weights' hash and the precision
in force stand in the identity themselves."""


def recipe_name(assembly: Assembly) -> str:
    """Return the name of the recipe, with the parts that took the place of its own.

    The backbone does not count: a recipe is of any. Where a name is that of parts of several
    kinds, and one of them alone was replaced, its kind is told.
    """
    replaced = replaced_parts(assembly)
    told = dict.fromkeys(_told_apart(kind, replaced) for kind in replaced)
    return "-with-".join([assembly.recipe.name, *(["-".join(told)] if told else [])])


def _told_apart(kind: str, replaced: Mapping[str, str]) -> str:
    """Return the name of a replaced part, with its kind where that is not plain."""
    name, registry = replaced[kind], installed()
    alike = [k for k in KINDS if k not in (kind, "backbone") and name in registry.names(k)]
    together = any(replaced.get(k) == name for k in alike)
    return name if together or not alike else f"{name}-{kind}"


def replaced_parts(assembly: Assembly) -> dict[str, str]:
    """Return by kind the names of parts that took the place of the recipe's, but the backbone."""
    found = {k: c.registration.name for k, c in assembly.parts.items() if k != "backbone"}
    return {k: n for k, n in found.items() if n not in assembly.recipe.part(k).split(":")[:2]}


def options_in_full(detector: Detector) -> dict[str, dict[str, JsonValue]]:
    """Return all options of all parts as plain values, files under their whole names."""
    return {
        kind: {name: _plain(_in_full(value)) for name, value in chosen.options.items()}
        for kind, chosen in detector.assembly.parts.items()
    }


def content_of(value: object) -> JsonValue:
    """Return a file's hash in the place of its path, and everything else as it is."""
    if not isinstance(value, Path):
        return _plain(value)
    if not value.is_file():
        raise InputError(f"{value}: no such file")
    return f"sha256:{digest(value)}"


def _in_full(value: object) -> object:
    """Return the name of a file so that it is found from any working directory."""
    named = isinstance(value, Path) or (isinstance(value, str) and Path(value).suffix)
    return os.path.abspath(str(value)) if named and os.path.isfile(str(value)) else value


def file_digests(options: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, str]:
    """Return the SHA-256 of each file that is an option, by ``kind.option``."""
    return {
        f"{kind}.{option}": file_digest(Path(value))
        for kind, values in options.items()
        for option, value in values.items()
        if isinstance(value, str) and os.path.isabs(value) and os.path.isfile(value)
    }


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, remembered: it may be gigabytes of weights."""
    return remembered_digest(path, stamp(path), "bytes of an option", lambda: digest(path))


def _plain(value: object) -> JsonValue:
    """Return a value as JSON gives it back."""
    plain: JsonValue = to_jsonable_python(value, fallback=str, inf_nan_mode="strings")
    return plain

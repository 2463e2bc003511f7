"""Which parts are checked, with which options, and what is expected of them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from vlmad.building import load_detector
from vlmad.errors import InputError, OptionError, UnknownPartError, VlmadError, did_you_mean
from vlmad.files import read_toml
from vlmad.registry import installed
from vlmad_conformance._smoke import smoke
from vlmad_conformance.checking import beside_expected, check_registered, subject_of
from vlmad_conformance.conformance_document import BrokenPromise, CheckedPart
from vlmad_documents.documents import Document
from vlmad_run.part_options import recipe_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad.plugin import Registration
    from vlmad.registry import Registry


class Expectations(Document):
    """Options of parts that need some, and why promises are broken, both by ``kind:name``."""

    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    expected: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = Field(
        default_factory=dict
    )


def read_expectations(path: Path) -> Expectations:
    """Read a TOML file of tables ``[options."kind:name"]`` and ``[expected."kind:name"]``.

    Raises:
        InputError: it cannot be read, or says something else.
    """
    return Expectations.of(read_toml(path, "file of expectations", InputError), path)


def chosen(registry: Registry, named: Sequence[str]) -> list[Registration]:
    """Return what distributions, plugins or ``kind:name`` stand for; nothing is all.

    Raises:
        UnknownPartError: one is none of them.
    """
    everything = [r for kind in registry.kinds for r in registry.of_kind(kind)]
    known = {r.distribution for r in everything} | {f"{r.kind}:{r.name}" for r in everything}
    lost = {name for p in registry.plugins if p.status != "ok" for name in (p.name, p.distribution)}
    found: list[Registration] = []
    for word in named:
        own = [r for r in everything if word in (r.distribution, r.plugin.name)]
        kind, _, name = word.partition(":")
        if not own and kind in registry.kinds and name:
            own = [registry.get(kind, name)]
        if not own and word not in lost:
            hint = did_you_mean(word, known)
            raise UnknownPartError(f"'{word}' is no distribution and no KIND:NAME; {hint}")
        found += own
    return list(dict.fromkeys(found if named else everything))


def parse_settings(settings: Iterable[str], parts: Iterable[Registration]) -> dict[str, Any]:
    """Return options as after ``--set``: NAME=VALUE, of the only part that is checked.

    Raises:
        OptionError: one is no NAME=VALUE, or there are several parts.
    """
    table = dict(each.partition("=")[::2] for each in settings)
    if table and len(list(parts)) != 1:
        raise OptionError("--set is for one part: vlmad check KIND:NAME --set NAME=VALUE")
    for name, value in table.items():
        if not (name and value):
            raise OptionError(f"--set {name}: write NAME=VALUE")
    return table


def hold(
    registration: Registration,
    expectations: Expectations,
    settings: Mapping[str, Any],
    in_use: bool = False,
) -> CheckedPart:
    """Hold a part to its promises; one that is expected to be broken, and is kept, is broken.

    Args:
        registration: the part.
        expectations: of all parts.
        settings: options beside those.
        in_use: whether commands are run with it too (`vlmad_conformance._smoke`).
    """
    place, started = f"{registration.kind}:{registration.name}", time.perf_counter()
    own = {**expectations.options.get(place, {}), **settings}
    found = check_registered(registration, own)
    if in_use:
        found += smoke(registration, own)
    broken = beside_expected(found, expectations.expected.get(place, {}))
    return CheckedPart(
        kind=registration.kind,
        name=registration.name,
        distribution=registration.distribution,
        version=registration.version,
        kept=all(each.expected for each in broken),
        seconds=round(time.perf_counter() - started, 3),
        broken=broken,
        recipes=_recipes_with(registration, own) if registration.kind == "backbone" else None,
    )


def _recipes_with(backbone: Registration, options: Mapping[str, Any]) -> list[str]:
    found = []
    for recipe in installed().of_kind("detector"):
        with suppress(VlmadError):
            given = {"backbone": dict(subject_of(backbone, options).options)}
            name, own = recipe.full_name, backbone.full_name
            detector = load_detector(name, backbone=own, options=given)
            if detector.requests() and recipe_name(detector.assembly) == recipe.name:
                found.append(recipe.name)
    return found


def not_loaded(registry: Registry, named: Iterable[str]) -> list[CheckedPart]:
    """Return the plugins of those distributions, or of all, that could not be loaded."""
    words = {*named}
    return [
        CheckedPart(
            kind="plugin",
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            kept=False,
            seconds=0,
            broken=[BrokenPromise(promise="is-loaded", what=f"{plugin.status}, {plugin.reason}")],
        )
        for plugin in registry.plugins
        if plugin.status not in ("ok", "blocked")
        and (not words or words & {plugin.name, plugin.distribution})
    ]

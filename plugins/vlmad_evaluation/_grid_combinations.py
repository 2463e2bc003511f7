"""From axes to detectors: every combination is assembled, and what does not fit says why."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmad.assembly import assemble
from vlmad.detector import Detector
from vlmad.errors import (
    IncompatiblePartsError,
    InputError,
    OptionError,
    PluginError,
    did_you_mean,
)
from vlmad.hookspecs import KINDS
from vlmad.options import options_of
from vlmad.recipes import DEFAULT, Recipe, find_recipe, read_recipe
from vlmad_evaluation._bench_detectors import share_backbone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vlmad.assembly import Chosen
    from vlmad.registry import Registration, Registry
    from vlmad_evaluation._grid_axes import Axes

MOST = 4096
"""Combinations; more are a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A combination as it was asked for."""

    name: str
    recipe: Recipe
    named: Mapping[str, str | None]
    settings: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a combination cannot be; as a text, what `vlmad run` would say."""

    problem: str
    remedies: tuple[str, ...] = ()
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.problem


@dataclass(frozen=True, slots=True)
class Grid:
    """The combinations that can be, by name, and those that cannot, with the reason."""

    detectors: Mapping[str, Detector]
    values: Mapping[str, Mapping[str, str]]
    """For each detector what it has of each axis: parts by kind, options by ``kind.option``."""
    illegal: Mapping[str, Misfit]
    same: Mapping[str, str]
    """Names that came out as another combination, because a part made way."""


def combine(
    axes: Axes,
    registry: Registry,
    resize: str = "squash",
    recipe_file: Path | None = None,
) -> Grid:
    """Assemble every combination; no weights are loaded.

    Args:
        axes: what varies.
        registry: what is installed.
        resize: how images become the model's square.
        recipe_file: a recipe on which the axes build, in place of registered ones.

    Raises:
        UnknownPartError: a name is unknown.
        OptionError: no part of the grid has an option, or a value is of the wrong type.
        InputError: there are absurdly many combinations, or none that can be.
    """
    detectors: dict[str, Detector] = {}
    illegal: dict[str, Misfit] = {}
    same: dict[str, str] = {}
    known: dict[Any, str] = {}
    backbones: list[Chosen] = []
    for wanted in _wanted(axes, registry, recipe_file):
        try:
            assembly = assemble(registry, wanted.recipe, wanted.named, wanted.settings)
            detector = Detector(share_backbone(assembly, backbones), resize)
            detector.requests()
        except IncompatiblePartsError as error:
            illegal[wanted.name] = Misfit(error.problem, error.remedies, str(error))
            continue
        except (OptionError, PluginError) as error:
            illegal[wanted.name] = Misfit(str(error))
            continue
        key = tuple((c.registration, repr(c.options)) for c in detector.assembly.parts.values())
        if known.setdefault(key, wanted.name) == wanted.name:
            detectors[wanted.name] = detector
        else:
            same[wanted.name] = known[key]
    if not detectors:
        raise InputError(f"no combination can be: {next(iter(illegal.values()))}")
    values = {name: _values(detector, axes) for name, detector in detectors.items()}
    return Grid(detectors, values, illegal, same)


def with_baseline(grid: Grid, baseline: str | None) -> dict[str, Detector]:
    """Return the detectors, the baseline first; by default the first stays first.

    Raises:
        InputError: there is no such combination.
    """
    if baseline is None:
        return dict(grid.detectors)
    baseline = grid.same.get(baseline, baseline)
    if baseline not in grid.detectors:
        hint = did_you_mean(baseline, grid.detectors)
        reason = grid.illegal.get(baseline)
        raise InputError(
            f"--baseline '{baseline}' cannot be: {reason}"
            if reason
            else f"there is no combination '{baseline}'; {hint}"
        )
    return {baseline: grid.detectors[baseline], **grid.detectors}


def _wanted(axes: Axes, registry: Registry, recipe_file: Path | None) -> Iterator[Wanted]:
    """Yield all combinations of parts, each with all values of the options that its parts have."""
    recipes = [_recipe(registry, name, recipe_file) for name in axes.recipes]
    named = [axes.parts[kind] or (None,) for kind in KINDS]
    used: set[tuple[str, str]] = set()
    wanted: list[Wanted] = []
    for recipe, names in itertools.product(recipes, itertools.product(*named)):
        chosen = dict(zip(KINDS, names, strict=True))
        parts = {kind: _part(registry, recipe, kind, chosen[kind]) for kind in KINDS}
        places = _places(axes, parts)
        used |= set(places)
        for values in itertools.product(*(axes.options[kind][option] for kind, option in places)):
            given = dict(zip(places, values, strict=True))
            name = _name(axes, recipe, chosen, given)
            wanted.append(Wanted(name, recipe, chosen, _by_kind(given)))
            if len(wanted) > MOST:
                raise InputError(f"the grid has more than {MOST} combinations; name fewer")
    _check_used(axes, used)
    yield from wanted


def _places(axes: Axes, parts: Mapping[str, Registration]) -> list[tuple[str, str]]:
    """Return which of the options that vary these parts have, as kind and option."""
    places = []
    for kind, options in axes.options.items():
        try:
            offered = options_of(parts[kind].resolve())
        except PluginError:  # the combination says so when it is assembled
            continue
        places += [(kind, option) for option in options if option in offered]
    return places


def _recipe(registry: Registry, name: str, file: Path | None) -> Recipe:
    base = None if name == DEFAULT else name  # which no plugin can take away
    return find_recipe(registry, base) if file is None else read_recipe(registry, file, base)


def _part(registry: Registry, recipe: Recipe, kind: str, named: str | None) -> Registration:
    name, _ = registry.split(kind, named or recipe.parts[kind])
    return registry.get(kind, name, None if named else recipe.distribution)


def _by_kind(given: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    settings: dict[str, dict[str, str]] = {}
    for (kind, option), value in given.items():
        settings.setdefault(kind, {})[option] = value
    return settings


def _check_used(axes: Axes, used: set[tuple[str, str]]) -> None:
    for kind, options in axes.options.items():
        for option in options:
            if (kind, option) not in used:
                raise OptionError(f"no {kind} of the grid has an option '{option}'")


def _name(
    axes: Axes,
    recipe: Recipe,
    chosen: Mapping[str, str | None],
    given: Mapping[tuple[str, str], str],
) -> str:
    """Name a combination by what varies in the grid, such as ``learned + window scales=2,3``."""
    words = [recipe.name] if len(axes.recipes) > 1 else []
    for kind in KINDS:
        part = chosen[kind] if axes.varied(kind) else None
        options = [
            f"{option}={value}"
            for (of, option), value in given.items()
            if of == kind and len(axes.options[kind][option]) > 1
        ]
        label = " ".join([part or "", *options]).strip()
        words += [label] if label else []
    return " + ".join(words) or recipe.name


def _values(detector: Detector, axes: Axes) -> dict[str, str]:
    """Return what a combination has of each axis, for tables."""
    values: dict[str, str] = {}
    if len(axes.recipes) > 1:
        values["detector"] = detector.assembly.recipe.name
    for kind, chosen in detector.assembly.parts.items():
        if axes.varied(kind):
            values[kind] = chosen.registration.name
        for option, alternatives in axes.options.get(kind, {}).items():
            if len(alternatives) > 1:
                values[f"{kind}.{option}"] = _plain(chosen.options.get(option))
    return values


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

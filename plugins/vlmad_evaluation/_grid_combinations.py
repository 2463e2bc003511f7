"""From what varies to detectors: every combination is assembled; what does not fit says why.

What varies is a table of alternatives: of `detector` (recipes), of kinds (parts), and of
``kind.option`` (values). A combination has one of each, options where its parts have them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vlmad.assembly import assemble
from vlmad.detector import Detector
from vlmad.errors import (
    IncompatiblePartsError,
    InputError,
    OptionError,
    PluginError,
    VlmadError,
    did_you_mean,
)
from vlmad.hookspecs import KINDS
from vlmad.options import options_of
from vlmad.recipes import DEFAULT, Recipe, find_recipe, read_recipe
from vlmad_evaluation._bench_plan import share_backbone
from vlmad_evaluation.result_documents import GridAxes
from vlmad_run.choosing import parse_settings
from vlmad_run.part_options import recipe_name, replaced_parts

if TYPE_CHECKING:
    from vlmad.assembly import Assembly
    from vlmad.fitting import Chosen
    from vlmad.registry import Registry
    from vlmad_formats.reading import Reading
    from vlmad_run.choosing import Choice

Space: TypeAlias = Mapping[str, tuple[str, ...]]
Combination: TypeAlias = Mapping[str, str]
ALL = "all"
MOST = 4096
"""Combinations; more are a slip of the keyboard."""


def parse_space(choice: Choice, registry: Registry) -> Space:
    """Read what the command line names: parts with commas between, values with bars.

    `all` stands for every installed part of a kind.
    """
    space = {"detector": split(choice.detector or DEFAULT, ",", "detector")}
    settings = choice.options()
    for kind in KINDS:
        text = getattr(choice, "prompt" if kind == "prompts" else kind)
        if text == ALL:
            space[kind] = tuple(registry.names(kind))
        elif text is not None:
            space[kind] = split(text, ",", kind)
        for option, values in settings.get(kind, {}).items():
            space[f"{kind}.{option}"] = split(values, "|", f"{kind}.{option}")
    return space


def split(text: str, separator: str, what: str) -> tuple[str, ...]:
    """Return the alternatives in a text.

    >>> split("learned:a,b.safetensors, plain", ",", "prompts")
    ('learned:a', 'b.safetensors', 'plain')
    """
    words = tuple(word.strip() for word in text.split(separator))
    if len(words) > 1 and not all(words):
        raise InputError(f"{what}: '{text}' has nothing on one side of a '{separator}'")
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise InputError(f"{what}: '{twice}' is named twice")
    return words


def combine(
    space: Space, registry: Registry, resize: str | None = None, reading: Reading | None = None
) -> tuple[dict[str, Detector], GridAxes]:
    """Assemble every combination; no weights are loaded."""
    detectors: dict[str, Detector] = {}
    combinations: dict[str, dict[str, str]] = {}
    illegal: dict[str, str] = {}
    same: dict[str, str] = {}
    known: dict[object, str] = {}
    backbones: list[Chosen] = []
    for recipe, combination in _combinations(space, registry):
        several = (key for key in space if len(space[key]) > 1)
        varied = {key: combination[key] for key in several if key in combination}
        name = _name(varied) or recipe.name
        try:
            assembly = _assemble(registry, recipe, combination)
            how = resize or recipe.resize or "squash"
            detector = Detector(share_backbone(assembly, backbones), how, reading)
            detector.requests()
        except (IncompatiblePartsError, OptionError, PluginError) as error:
            illegal[name] = str(error)
            continue
        if "prompts" not in assembly.parts:
            varied = _without_prompts(varied)
        replaced = replaced_parts(assembly)
        fixed = [replaced[k] for k in replaced if k in combination and k not in varied]
        if "detector" in varied and fixed:
            varied["detector"] = "-".join([varied["detector"], "with", *fixed])
        name = _name(varied) or recipe_name(assembly)
        parts = how, *((c.registration, repr(c.options)) for c in assembly.parts.values())
        if known.setdefault(parts, name) == name:
            detectors[name], combinations[name] = detector, varied
        elif known[parts] != name:
            same[name] = known[parts]
    if not detectors:
        raise InputError(f"no combination can be: {next(iter(illegal.values()))}")
    return detectors, GridAxes(combinations=combinations, illegal=illegal, same=same)


def _assemble(registry: Registry, recipe: Recipe, combination: Combination) -> Assembly:
    """Assemble a combination, without the prompts where its scorer makes no use of text."""
    try:
        return assemble(registry, recipe, combination, _settings(combination))
    except IncompatiblePartsError:
        fewer = _without_prompts(combination)
        if fewer != combination:
            with suppress(VlmadError):
                assembly = assemble(registry, recipe, fewer, _settings(fewer))
                if "prompts" not in assembly.parts:
                    return assembly
        raise


def _without_prompts(combination: Combination) -> dict[str, str]:
    return {k: value for k, value in combination.items() if k.partition(".")[0] != "prompts"}


def with_baseline(
    detectors: Mapping[str, Detector], axes: GridAxes, baseline: str | None
) -> dict[str, Detector]:
    """Return the detectors, the baseline first; by default the first stays first."""
    name = next(iter(detectors)) if baseline is None else axes.same.get(baseline, baseline)
    if name in axes.illegal:
        raise InputError(f"--baseline '{name}' cannot be: {axes.illegal[name]}")
    if name not in detectors:
        raise InputError(f"there is no combination '{name}'; {did_you_mean(name, detectors)}")
    return {name: detectors[name], **detectors}


def _combinations(space: Space, registry: Registry) -> Iterator[tuple[Recipe, Combination]]:
    """Yield all combinations of parts, each with all values of the options that its parts have."""
    found: list[tuple[Recipe, Combination]] = []
    used: set[str] = set()
    named = [key for key in space if "." not in key]
    for names in itertools.product(*(space[key] for key in named)):
        parts = dict(zip(named, names, strict=True))
        recipe = _recipe(registry, parts["detector"])
        options = [key for key in space if "." in key and _has(registry, recipe, parts, key)]
        used.update(options)
        for values in itertools.product(*(space[key] for key in options)):
            found.append((recipe, parts | dict(zip(options, values, strict=True))))
            if len(found) > MOST:
                raise InputError(f"the grid has more than {MOST} combinations; name fewer")
    for key in space:
        kind, dot, option = key.partition(".")
        if dot and key not in used:
            raise OptionError(f"no {kind} of the grid has an option '{option}'")
    yield from found


def _recipe(registry: Registry, name: str) -> Recipe:
    if name.endswith(".toml"):
        return read_recipe(registry, Path(name))
    return find_recipe(registry, None if name == DEFAULT else name)


def _has(registry: Registry, recipe: Recipe, parts: Mapping[str, str], key: str) -> bool:
    """Return whether the part of a kind, be it the recipe's, has the option ``kind.option``."""
    kind, _, option = key.partition(".")
    name, _ = registry.split(kind, parts.get(kind, recipe.part(kind)))
    registration = registry.get(kind, name, None if kind in parts else recipe.distribution)
    try:
        return option in options_of(registration.resolve())
    except PluginError:  # the combination says so when it is assembled
        return False


def _settings(combination: Combination) -> dict[str, dict[str, str]]:
    return parse_settings([f"{key}={value}" for key, value in combination.items() if "." in key])


def _name(varied: Combination) -> str:
    """Name a combination by what varies in the grid.

    >>> _name({"prompts": "plain", "extractor": "window", "extractor.scales": "2,3"})
    'plain + window scales=2,3'
    """
    words: dict[str, list[str]] = {kind: [] for kind in ("detector", *KINDS)}
    for key, value in varied.items():
        kind, dot, option = key.partition(".")
        words[kind].append(f"{option}={value}" if dot else value)
    return " + ".join(" ".join(each) for each in words.values() if each)

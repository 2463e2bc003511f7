"""From names to a detector: chooses five parts, checks that they fit, and builds them.

A part comes from the user or, where the user named none, from the recipe. Where a part the
user named does not fit one of the recipe's, the first fitting part takes the latter's place,
and a note says so; parts that the user named and that do not fit are refused. All this
happens before any weight is loaded. A scorer that makes no use of text has no prompts beside it.
"""

from __future__ import annotations

import inspect
import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlmad import parts as words
from vlmad.errors import (
    IncompatiblePartsError,
    OptionError,
    PluginError,
    VlmadError,
    blaming,
)
from vlmad.fitting import Chosen, misfit, without_unused
from vlmad.hookspecs import KINDS
from vlmad.options import REQUIRED, check_options, options_of
from vlmad.parts import PROTOCOLS
from vlmad.types import BackboneSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad.plugin import Registration
    from vlmad.recipes import Recipe
    from vlmad.registry import Registry


@dataclass(frozen=True, slots=True)
class Assembly:
    """Parts that fit, and notes on what was chosen for the user.

    They are five, or four without prompts where the scorer makes no use of text.
    """

    recipe: Recipe
    parts: Mapping[str, Chosen]
    notes: tuple[str, ...] = ()


def assemble(
    registry: Registry,
    recipe: Recipe,
    named: Mapping[str, str | None],
    settings: Mapping[str, Mapping[str, Any]],
) -> Assembly:
    """Choose, build and check the parts.

    Args:
        registry: what is installed.
        recipe: where parts come from that the user did not name.
        named: from kind to ``name`` or ``name:argument``, as the user wrote it; None is unnamed.
        settings: from kind to options that the user set.

    Raises:
        UnknownPartError: a name is unknown.
        OptionError: an option is unknown or has the wrong type.
        IncompatiblePartsError: parts that the user named do not fit each other, or nothing
            fits them.
    """
    builder = _Builder(registry, recipe, settings)
    built = {kind: builder.build(kind, named.get(kind)) for kind in KINDS}
    first = without_unused(built)
    problem = misfit(first)
    if problem is None:
        return Assembly(recipe, first, (*builder.notes, *_notes_of(first)))
    mismatch = misfit({kind: chosen for kind, chosen in first.items() if chosen.named})
    others = [] if mismatch else builder.replacements(built)
    fitting = next((parts for parts in others if misfit(parts) is None), None)
    if fitting is None:
        raise IncompatiblePartsError(mismatch or problem, builder.remedies(built))
    exchanged = [
        f"{fitting[kind]} takes the place of '{old.registration.name}': {problem}"
        for kind, old in first.items()
        if kind in fitting and fitting[kind] is not old
    ]
    return Assembly(recipe, fitting, (*builder.notes, *exchanged, *_notes_of(fitting)))


class _Builder:
    """Builds parts by name; remembers none, but notes which of them were renamed."""

    def __init__(
        self, registry: Registry, recipe: Recipe, settings: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.registry, self.recipe, self.settings = registry, recipe, settings
        self.notes: list[str] = []

    def build(self, kind: str, named: str | None) -> Chosen:
        """Build the part the user named, or the recipe's."""
        name, argument = self.registry.split(kind, named or self.recipe.part(kind))
        prefer = None if named else self.recipe.distribution
        registration = self.registry.get(kind, name, prefer)
        if name not in (registration.name, registration.full_name):
            self.notes.append(f"{kind} '{name}' is called '{registration.name}' now")
        return self._make(registration, argument, bool(named))

    def alternatives(self, kind: str, but: Registration) -> Iterator[Chosen]:
        """Build all other parts of a kind that can be built without further options."""
        for registration in self.registry.of_kind(kind):
            if registration != but:
                with suppress(VlmadError):
                    yield self._make(registration, None, named=False)

    def replacements(self, first: Mapping[str, Chosen]) -> Iterator[Mapping[str, Chosen]]:
        """Yield the parts with ever more of the unnamed ones exchanged; never the backbone."""
        free = [kind for kind in first if kind != "backbone" and not first[kind].named]
        others = {kind: list(self.alternatives(kind, first[kind].registration)) for kind in free}
        for count in range(1, len(free) + 1):
            for kinds in itertools.combinations(free, count):
                for choice in itertools.product(*(others[kind] for kind in kinds)):
                    yield without_unused({**first, **dict(zip(kinds, choice, strict=True))})

    def remedies(self, parts: Mapping[str, Chosen]) -> list[str]:
        """Return the single exchanges that would make parts fit, as words of a command line.

        If there are none, those for which parts that nobody named would make room.
        """
        tried = {
            f"--{'prompt' if kind == 'prompts' else kind} {other.registration.name}": {
                **parts,
                kind: replace(other, named=True),
            }
            for kind in parts
            if kind != "backbone"
            for other in self.alternatives(kind, parts[kind].registration)
        }
        fits = [words for words, each in tried.items() if misfit(without_unused(each)) is None]
        return fits or [
            words
            for words, each in tried.items()
            if any(misfit(others) is None for others in self.replacements(each))
        ]

    def _make(self, registration: Registration, argument: str | None, named: bool) -> Chosen:
        kind, factory = registration.kind, registration.resolve()
        owner = f"{kind} '{registration.name}'"
        offered = options_of(factory, registration)
        given = self.recipe.options_for(kind, *registration.names)
        if argument is not None:
            if not offered:
                raise OptionError(f"{owner} takes no options, but was given '{argument}'")
            given[next(iter(offered))] = argument
        given |= self.settings.get(kind, {})
        defaults = {name: option.default for name, option in offered.items()}
        options = defaults | check_options(owner, offered, given)
        for name, value in options.items():
            if value is REQUIRED:
                takes = offered[name].type_name
                raise OptionError(f"{owner} needs an option: --set {kind}.{name}={takes}")
        with blaming(f"{registration} cannot be built"):
            part = factory(**options)
            _check_part(registration, part)
        return Chosen(registration, options, part, named)


def _check_part(registration: Registration, part: Any) -> None:
    """Refuse what lacks something of its protocol, or whose words are no words."""
    protocol = PROTOCOLS[registration.kind]
    lacks = missing_attributes(part, protocol)
    if lacks:
        lacking = f"it lacks {', '.join(lacks)}"
        raise PluginError(f"{registration} is no vlmad.{protocol.__name__}: {lacking}")
    if registration.kind == "backbone" and not isinstance(part.spec, BackboneSpec):
        raise PluginError(f"{registration} has a spec that is no vlmad.BackboneSpec")
    given = part.spec.provides if registration.kind == "backbone" else getattr(part, "gives", ())
    for word in (*given, *getattr(part, "needs", ())):
        if not isinstance(word, str):
            raise PluginError(f"{registration} needs or gives what is no word: {word!r}")


def missing_attributes(part: Any, protocol: type) -> list[str]:
    """Return what a part lacks of a protocol, without evaluating its properties."""
    members = {name for name in vars(protocol) if not name.startswith("_")}
    members |= protocol.__annotations__.keys() | ({"__call__"} & vars(protocol).keys())
    nothing = object()
    return sorted(n for n in members if inspect.getattr_static(part, n, nothing) is nothing)


def _notes_of(parts: Mapping[str, Chosen]) -> Iterator[str]:
    """Yield what parts note about the backbone (`vlmad.parts.HasNotes`)."""
    spec = parts["backbone"].part.spec
    for chosen in parts.values():
        if isinstance(chosen.part, words.HasNotes):
            with blaming(f"{chosen.registration} failed"):
                yield from [f"{chosen}: {note}" for note in chosen.part.notes_on(spec)]

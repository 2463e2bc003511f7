"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy checks the hooks of the entry points in group ``vlmad``. Every plugin is loaded, checked and
asked by itself, so that one that is broken, outdated or blocked is listed with its reason and stops
nothing that does not need it. One whose files have not changed since is listed from an index and
imported only when something of it is used.

A plugin may bring a kind of its own: an entry point of group ``vlmad.kinds``, named for the kind,
that leads to the protocol of what is registered. Others then implement ``register_<kind>s``.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from vlmad import _index, hookspecs
from vlmad.errors import (
    NameClashError,
    PluginError,
    UnknownPartError,
    blaming,
    did_you_mean,
    one_line,
    reason_of,
)
from vlmad.hookspecs import GROUP, HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
KINDS_GROUP = "vlmad.kinds"
LIMIT_VARIABLE = "VLMAD_PLUGINS"
LONGEST_NAME = 100
_NAME = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered."""

    kind: str
    name: str
    summary: str
    plugin: Plugin = field(repr=False, compare=False)
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of {self.origin}"

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def full_name(self) -> str:
        """The name as it is unique: ``distribution:name``."""
        return f"{self.distribution}:{self.name}"

    def resolve(self) -> Any:
        """Import what was registered; a plugin that was listed from the index is loaded now.

        Raises:
            PluginError: it leads nowhere, or its module or plugin cannot be imported.
        """
        targets = self.plugin.targets
        if self not in targets:
            self.plugin.load()
        if self not in targets:
            reason = self.plugin.reason or "the plugin no longer registers it"
            raise PluginError(f"{self} cannot be loaded: {reason}")
        if not isinstance(targets[self], str):
            return targets[self]
        module, _, attribute = targets[self].partition(":")
        with blaming(f"{self} cannot be loaded from {targets[self]!r}", importing=True):
            return getattr(importlib.import_module(module), attribute)


@dataclass(slots=True)
class Plugin:
    """An entry point of group ``vlmad`` and what became of it."""

    name: str
    distribution: str
    version: str
    point: EntryPoint | None = field(default=None, repr=False)
    kinds: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The hook of each kind."""
    status: Literal["ok", "broken", "outdated", "blocked"] = "ok"
    reason: str = ""
    registrations: list[Registration] = field(default_factory=list)
    targets: dict[Registration, Any] = field(default_factory=dict, repr=False)
    """What is behind the names, once the plugin was imported: callables, recipes, or the
    strings ``module:attribute`` of such."""

    def __str__(self) -> str:
        return f"plugin '{self.name}' of {self.distribution} {self.version}"

    @property
    def package(self) -> str:
        """The package or module that its entry point names."""
        value = "" if self.point is None else self.point.value
        return value.partition(":")[0].partition(".")[0].strip()

    def load(self) -> None:
        """Import the plugin and collect what it registers, or note what went wrong."""
        self.status, self.reason = "ok", ""
        self.targets.clear()
        try:
            with blaming("loading it failed", importing=True):
                self._collect()
        except PluginError as error:
            cause = error.__cause__ or error
            outdated = isinstance(cause, pluggy.PluginValidationError)
            self.status, self.reason = "outdated" if outdated else "broken", reason_of(cause)
            self.targets.clear()
        except KeyboardInterrupt as error:
            raise type(error)(f"while {self} was loaded; --no-plugins leaves it out") from None
        self.registrations = list(self.targets)

    def list(self) -> None:
        """Fill in what it registers: from the index, or by loading it."""
        assert self.point is not None
        facts = [self.distribution, self.version, self.point.name, self.point.value, *self.kinds]
        entry = _index.entry_of(self.package, facts)
        rows = None if entry is None else _index.read_entry(entry)
        with suppress(PluginError):  # no words that we wrote
            self.registrations = [self._registration(*row) for row in rows or ()]
        if rows is not None and len(rows) == len(self.registrations):
            return
        may_be_old = self.package in sys.modules
        self.load()
        unchanged = not may_be_old and entry == _index.entry_of(self.package, facts)
        if entry is not None and self.status == "ok" and unchanged:
            _index.write_entry(entry, [(r.kind, r.name, r.summary) for r in self.registrations])

    def _collect(self) -> None:
        assert self.point is not None
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        for kind in self.kinds.keys() - HOOKS.keys():
            manager.add_hookspecs(_spec_of(self.kinds[kind]))
        manager.register(self.point.load(), self.name)
        manager.check_pending()
        for kind, hook in self.kinds.items():
            getattr(manager.hook, hook)(register=partial(self._register, kind))

    def _register(self, kind: str, name: str, factory: Any, summary: str = "") -> None:
        registration = self._registration(kind, name, summary)
        if registration in self.targets:
            raise PluginError(f"it registers {kind} '{name}' twice")
        is_path = isinstance(factory, str) and factory.count(":") == 1
        is_recipe = kind == "detector" and not isinstance(factory, str)
        if not (is_path or is_recipe or callable(factory)):
            raise PluginError(f"{kind} '{name}' is neither a callable nor 'module:attribute'")
        self.targets[registration] = factory

    def _registration(self, kind: str, name: str, summary: str) -> Registration:
        if kind not in self.kinds:
            raise PluginError(f"it registers a {one_line(repr(kind))}, which is no kind")
        if not (isinstance(name, str) and len(name) <= LONGEST_NAME and _NAME.fullmatch(name)):
            raise PluginError(
                f"{one_line(repr(name))} is no name for a {kind}: letters, digits and '-' only, "
                f"a letter first, {LONGEST_NAME} at most"
            )
        if not isinstance(summary, str):
            raise PluginError(f"the summary of {kind} '{name}' is no text")
        words = one_line(summary)
        return Registration(kind, name, words, self, self.distribution, self.version)


class Registry:
    """All parts, recipes, commands and whatever else the loaded plugins registered."""

    def __init__(self, plugins: list[Plugin], brought: Mapping[str, EntryPoint]) -> None:
        self.plugins, self._brought = plugins, brought
        self.kinds = [*HOOKS, *brought]

    @classmethod
    def discover(cls, limit: Iterable[str] | None = None) -> Registry:
        """List the installed plugins.

        Args:
            limit: names of plugins or distributions to list beside the built-in ones;
                None reads the environment variable ``VLMAD_PLUGINS`` and, where that is
                not set, lists all.
        """
        if limit is None and LIMIT_VARIABLE in os.environ:
            limit = [word.strip() for word in os.environ[LIMIT_VARIABLE].split(",")]
        plugins, brought = _find_plugins()
        for plugin in plugins:
            own = plugin.distribution == BUILT_IN
            if not own and limit is not None and not {plugin.name, plugin.distribution} & {*limit}:
                reason = f"{LIMIT_VARIABLE} or --no-plugins leaves it out"
                plugin.status, plugin.reason = "blocked", reason
            elif plugin.status == "ok":
                plugin.list()
        return cls(plugins, brought)

    def of_kind(self, kind: str) -> list[Registration]:
        """Return what is registered for a kind, built-in parts first."""
        found = [r for plugin in self.plugins for r in plugin.registrations if r.kind == kind]
        return sorted(found, key=lambda r: r.distribution != BUILT_IN)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once, in the order of `of_kind`."""
        return list(dict.fromkeys(r.name for r in self.of_kind(kind)))

    def get(self, kind: str, name: str, prefer: str | None = None) -> Registration:
        """Find a registration by `name` or ``distribution:name``.

        Of names that clash, that of the distribution `prefer` is meant (a recipe's own).

        Raises:
            UnknownPartError: nothing has that name; the nearest are named.
            NameClashError: several distributions registered it.
        """
        found = [r for r in self.of_kind(kind) if name in (r.name, r.full_name)]
        if not found:
            raise UnknownPartError(self._unknown(kind, name))
        if len(found) > 1:
            found = [r for r in found if r.distribution == prefer] or found
        if len(found) > 1:
            owners = " and ".join(r.origin for r in found)
            choices = " or ".join(f"'{r.full_name}'" for r in found)
            raise NameClashError(f"{kind} '{name}' is registered by {owners}; write {choices}")
        return found[0]

    def split(self, kind: str, text: str) -> tuple[str, str | None]:
        """Split ``name:argument`` or ``distribution:name:argument``, as a user writes a part.

        The argument is the value of the part's first option.
        """
        names = [name for r in self.of_kind(kind) for name in (r.full_name, r.name)]
        begun = next((name for name in names if text.startswith(f"{name}:")), None)
        if begun is None or text in names:
            return text, None
        return begun, text[len(begun) + 1 :]

    def clashes(self) -> dict[tuple[str, str], list[Registration]]:
        """Return the names that more than one distribution registered."""
        by_name: dict[tuple[str, str], list[Registration]] = {}
        for registration in (r for plugin in self.plugins for r in plugin.registrations):
            by_name.setdefault((registration.kind, registration.name), []).append(registration)
        return {key: found for key, found in by_name.items() if len(found) > 1}

    def protocol(self, kind: str) -> type | None:
        """Return the protocol of a kind that a plugin brings, or None if there is none.

        Raises:
            PluginError: it cannot be imported.
        """
        if kind not in self._brought:
            return None
        with blaming(f"the protocol of {kind} cannot be loaded", importing=True):
            return self._brought[kind].load()  # type: ignore[no-any-return]

    def _unknown(self, kind: str, name: str) -> str:
        message = f"no {kind} is called '{name}'; {did_you_mean(name, self.names(kind))}"
        lost = ", ".join(f"{p.name} ({p.status})" for p in self.plugins if p.status != "ok")
        return f"{message}; not loaded: {lost}, see 'vlmad plugins'" if lost else message


@cache
def installed() -> Registry:
    """Return what is installed, listed once in a command or process; `discover` lists it anew."""
    return Registry.discover()


def _find_plugins() -> tuple[list[Plugin], dict[str, EntryPoint]]:
    """Return all plugins, nothing of them imported yet, and the kinds that they bring.

    Of two distributions of one name the first counts, as it does for Python: an editable install
    may be listed twice.
    """
    plugins: list[Plugin] = []
    brought: dict[str, EntryPoint] = {}
    kinds, known = dict(HOOKS), set()
    for found in distributions():
        try:
            if GROUP not in (found.read_text("entry_points.txt") or "") or found.name in known:
                continue
            points, origin = found.entry_points, (_shown(found.name), _shown(found.version))
            known.add(found.name)
        except Exception as error:  # whatever stands in the files of a stranger
            name = _shown(getattr(found, "_path", Path("unknown")).stem)
            reason = f"its metadata cannot be read: {reason_of(error)}"
            plugins.append(Plugin(name, name, "unknown", status="broken", reason=reason))
            continue
        own = points.select(group=GROUP)
        plugins += [Plugin(_shown(point.name), *origin, point, kinds) for point in own]
        brought |= {p.name: p for p in points.select(group=KINDS_GROUP) if p.name not in HOOKS}
    kinds |= {name: f"register_{name}s" for name in brought}
    return plugins, brought


def _shown(word: str | None) -> str:
    return one_line(word or "unknown", LONGEST_NAME)


def _spec_of(hook: str) -> Any:
    """Return the hook spec of a kind that is not vlmad's own."""

    def spec(register: hookspecs.Register) -> None:
        """Register something of this kind."""

    return type("Specs", (), {hook: staticmethod(hookspecs.hookspec(spec))})

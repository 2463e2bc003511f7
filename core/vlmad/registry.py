"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy finds the entry points of group ``vlmad`` and checks the hooks; every plugin is loaded,
checked and asked on its own, so that one that is broken, outdated or blocked is listed with
its reason and stops nothing that does not need it.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from vlmad import hookspecs
from vlmad.errors import NameClashError, PluginError, UnknownPartError, did_you_mean
from vlmad.hookspecs import GROUP, HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
LIMIT_VARIABLE = "VLMAD_PLUGINS"


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered, and where it came from."""

    kind: str
    name: str
    target: Any
    """A callable, a recipe, or the string ``module:attribute`` of one."""
    summary: str
    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}"

    def resolve(self) -> Any:
        """Import what was registered.

        Raises:
            PluginError: the string leads nowhere, or its module cannot be imported.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.origin} cannot be loaded "
                f"from {self.target!r}: {_reason(error)}"
            ) from error


@dataclass(slots=True)
class Plugin:
    """An entry point of group ``vlmad`` and what became of it."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "outdated", "blocked"] = "ok"
    reason: str = ""
    registrations: list[Registration] = field(default_factory=list)


class Registry:
    """All parts, recipes and commands of the plugins that could be loaded."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = list(plugins)

    @classmethod
    def discover(cls, limit: Iterable[str] | None = None) -> Registry:
        """Load the installed plugins.

        Args:
            limit: names of plugins or distributions to load beside the built-in ones;
                None reads the environment variable ``VLMAD_PLUGINS`` and, where that is
                not set, loads all.
        """
        if limit is None and LIMIT_VARIABLE in os.environ:
            limit = [word.strip() for word in os.environ[LIMIT_VARIABLE].split(",")]
        allowed = None if limit is None else {*limit, BUILT_IN}
        return cls(_load(plugin, point, allowed) for plugin, point in _entry_points())

    def of_kind(self, kind: str) -> list[Registration]:
        """Return what is registered for a kind, built-in parts first."""
        found = [r for plugin in self.plugins for r in plugin.registrations if r.kind == kind]
        return sorted(found, key=lambda r: r.distribution != BUILT_IN)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once, in the order of `of_kind`."""
        return list(dict.fromkeys(r.name for r in self.of_kind(kind)))

    def get(self, kind: str, name: str, prefer: str | None = None) -> Registration:
        """Find a registration by `name` or ``distribution:name``.

        Args:
            kind: a key of `vlmad.hookspecs.HOOKS`.
            name: as a user writes it.
            prefer: the distribution that wins a clash of names (a recipe's own).

        Raises:
            UnknownPartError: nothing has that name; the nearest are named.
            NameClashError: several distributions registered it.
        """
        found = [r for r in self.of_kind(kind) if name in (r.name, f"{r.distribution}:{r.name}")]
        if not found:
            raise UnknownPartError(self._unknown(kind, name))
        if len(found) > 1:
            found = [r for r in found if r.distribution == prefer] or found
        if len(found) > 1:
            owners = " and ".join(r.origin for r in found)
            choices = " or ".join(f"'{r.distribution}:{r.name}'" for r in found)
            raise NameClashError(f"{kind} '{name}' is registered by {owners}; write {choices}")
        return found[0]

    def split(self, kind: str, text: str) -> tuple[str, str | None]:
        """Split ``name:argument`` or ``distribution:name:argument``, as a user writes a part.

        The argument is the value of the part's first option.
        """
        for registration in self.of_kind(kind):
            for name in (f"{registration.distribution}:{registration.name}", registration.name):
                if text == name:
                    return name, None
                if text.startswith(name + ":"):
                    return name, text[len(name) + 1 :]
        return text, None

    def clashes(self) -> dict[tuple[str, str], list[Registration]]:
        """Return the names that more than one distribution registered."""
        by_name: dict[tuple[str, str], list[Registration]] = {}
        for plugin in self.plugins:
            for registration in plugin.registrations:
                by_name.setdefault((registration.kind, registration.name), []).append(registration)
        return {key: found for key, found in by_name.items() if len(found) > 1}

    def _unknown(self, kind: str, name: str) -> str:
        message = f"no {kind} is called '{name}'; {did_you_mean(name, self.names(kind))}"
        lost = [p for p in self.plugins if p.status != "ok"]
        if lost:
            names = ", ".join(f"{p.name} ({p.status})" for p in lost)
            message += f"; not loaded: {names}, see 'vlmad plugins'"
        return message


def _entry_points() -> Iterable[tuple[Plugin, EntryPoint]]:
    seen = set()
    for distribution in distributions():
        for point in distribution.entry_points:
            name = distribution.metadata["Name"]
            if point.group == GROUP and (name, point.name) not in seen:
                seen.add((name, point.name))  # an editable install may be listed twice
                yield Plugin(point.name, name, distribution.version), point


def _load(plugin: Plugin, point: EntryPoint, allowed: set[str] | None) -> Plugin:
    """Load one plugin and collect what it registers; record what went wrong, never raise it."""
    if allowed is not None and not {plugin.name, plugin.distribution} & allowed:
        plugin.status, plugin.reason = "blocked", f"{LIMIT_VARIABLE} or --no-plugins leaves it out"
        return plugin
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(point.load(), plugin.name)
        manager.check_pending()
        plugin.registrations = _collect(plugin, manager)
    except pluggy.PluginValidationError as error:
        plugin.status, plugin.reason = "outdated", _reason(error)
    except (Exception, SystemExit) as error:
        plugin.status, plugin.reason = "broken", _reason(error)
    return plugin


def _collect(plugin: Plugin, manager: pluggy.PluginManager) -> list[Registration]:
    found: dict[tuple[str, str], Registration] = {}
    for kind, hook in HOOKS.items():

        def register(name: str, factory: Any, summary: str = "", kind: str = kind) -> None:
            _check(kind, name, factory)
            if (kind, name) in found:
                raise PluginError(f"it registers {kind} '{name}' twice")
            found[kind, name] = Registration(
                kind, name, factory, summary, plugin.name, plugin.distribution, plugin.version
            )

        getattr(manager.hook, hook)(register=register)
    return list(found.values())


def _check(kind: str, name: str, factory: Any) -> None:
    if not isinstance(name, str) or not name or not name.replace("-", "").isidentifier():
        raise PluginError(f"{name!r} is no name for a {kind}: letters, digits and '-' only")
    is_path = isinstance(factory, str) and factory.count(":") == 1
    if not (is_path or callable(factory) or kind == "detector"):
        raise PluginError(f"{kind} '{name}' is neither a callable nor 'module:attribute'")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

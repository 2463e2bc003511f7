"""Loading one plugin: what it registers, or why it cannot be used; and what a name leads to."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import pluggy

from vlmad import hookspecs
from vlmad.containment import contained
from vlmad.errors import PluginError, one_line, reason_of
from vlmad.hookspecs import GROUP, HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

LONGEST_NAME = 100


@dataclass(slots=True)
class NotLoaded:
    """Stands for what a plugin registered, where the plugin itself was not imported yet."""

    point: EntryPoint
    loaded: Plugin | None = None

    def target(self, wanted: Registration) -> Any:
        """Load the plugin, once for all that it registered, and return what is wanted.

        Raises:
            PluginError: it cannot be loaded, or no longer registers it.
        """
        plugin = self.loaded
        if plugin is None:
            plugin = Plugin(wanted.plugin, wanted.distribution, wanted.version)
            load_plugin(plugin, self.point)
        for registration in plugin.registrations:
            if (registration.kind, registration.name) == (wanted.kind, wanted.name):
                self.loaded = plugin
                return registration.target
        reason = plugin.reason or "the plugin no longer registers it"
        raise PluginError(f"{wanted} cannot be loaded: {reason}")


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered, and where it came from."""

    kind: str
    name: str
    target: Any = field(compare=False)
    """A callable, a recipe, the string ``module:attribute`` of one, or `NotLoaded`."""
    summary: str
    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of {self.origin}"

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}"

    def resolve(self) -> Any:
        """Import what was registered.

        Raises:
            PluginError: the string leads nowhere, or its module or plugin cannot be imported.
        """
        target = self.target
        if type(target) is NotLoaded:
            target = target.target(self)
        if type(target) is not str:
            return target
        module, _, attribute = target.partition(":")
        anew = module not in sys.modules  # else nothing is run
        with contained(f"{self} cannot be loaded from {target!r}", importing=anew):
            return getattr(importlib.import_module(module), attribute)


@dataclass(slots=True)
class Plugin:
    """An entry point of group ``vlmad`` and what became of it."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "outdated", "blocked"] = "ok"
    reason: str = ""
    registrations: list[Registration] = field(default_factory=list)
    package: str = ""
    """Which package or module its entry point names."""
    changed: tuple[str, ...] = ()
    """What it changed for the whole process when it was loaded, and what was put back."""


def load_plugin(plugin: Plugin, point: EntryPoint) -> Plugin:
    """Load one plugin and collect what it registers; record what went wrong, never raise it.

    Raises:
        KeyboardInterrupt: the user interrupted it; which plugin was being loaded is said.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    changed: list[str] = []
    try:
        with contained("loading it failed", importing=True) as changed:
            manager.register(point.load(), plugin.name)
            manager.check_pending()
            plugin.registrations = _collect(plugin, manager)
    except PluginError as error:
        cause = error.__cause__ or error
        outdated = isinstance(cause, pluggy.PluginValidationError)
        plugin.status, plugin.reason = "outdated" if outdated else "broken", reason_of(cause)
    except KeyboardInterrupt:
        origin = f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version}"
        raise KeyboardInterrupt(
            f"while {origin} was loaded; --no-plugins leaves it out"
        ) from None
    plugin.changed = _all_changes(point, changed)
    return plugin


_changes: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()
"""What each module changed when it was imported, which is once; plugins are listed more often."""


def _all_changes(point: EntryPoint, changed: Iterable[str]) -> tuple[str, ...]:
    module = sys.modules.get(point.module)
    before = () if module is None else _changes.get(module, ())
    together = tuple(dict.fromkeys([*before, *changed]))
    if module is not None and together:
        _changes[module] = together
    return together


def _collect(plugin: Plugin, manager: pluggy.PluginManager) -> list[Registration]:
    found: dict[tuple[str, str], Registration] = {}
    for kind, hook in HOOKS.items():

        def register(name: str, factory: Any, summary: str = "", kind: str = kind) -> None:
            target = _check(kind, name, factory)
            made = registration_of(plugin, kind, name, target, summary)
            if (kind, made.name) in found:
                raise PluginError(f"it registers {kind} '{made.name}' twice")
            found[kind, made.name] = made

        getattr(manager.hook, hook)(register=register)
    return list(found.values())


def registration_of(
    plugin: Plugin, kind: str, name: str, target: Any, summary: str
) -> Registration:
    """Return a registration of a plugin's, its words checked.

    Raises:
        PluginError: the name is none, or the summary is no text.
    """
    if kind not in HOOKS:
        raise PluginError(f"it registers a {one_line(repr(kind))}, which is no kind")
    if not _is_name(name):
        raise PluginError(
            f"{one_line(repr(name))} is no name for a {kind}: letters, digits and '-' only, "
            f"a letter first, {LONGEST_NAME} at most"
        )
    if not isinstance(summary, str):
        raise PluginError(f"the summary of {kind} '{name}' is no text")
    words = one_line(str.__str__(summary))
    where = plugin.name, plugin.distribution, plugin.version
    return Registration(kind, str.__str__(name), target, words, *where)


def _is_name(name: Any) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    text = str.__str__(name)
    return not text.startswith("-") and text.replace("-", "").isidentifier()


def _check(kind: str, name: str, factory: Any) -> Any:
    """Return what can be registered; a text of a class of its own as a plain one."""
    if isinstance(factory, str) and factory.count(":") == 1:
        return str.__str__(factory)
    if isinstance(factory, str) or not (callable(factory) or kind == "detector"):
        shown = one_line(repr(name))
        raise PluginError(f"{kind} {shown} is neither a callable nor 'module:attribute'")
    return factory

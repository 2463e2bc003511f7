"""Loading one plugin: what it registers, or why it cannot be used; and what a name leads to."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from vlmad import hookspecs
from vlmad.errors import PluginError
from vlmad.hookspecs import GROUP, HOOKS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """Stands for what a plugin registered, where the plugin itself was not imported."""

    point: EntryPoint


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered, and where it came from."""

    kind: str
    name: str
    target: Any
    """A callable, a recipe, the string ``module:attribute`` of one, or `NotLoaded`."""
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
            PluginError: the string leads nowhere, or its module or plugin cannot be imported.
        """
        if isinstance(self.target, NotLoaded):
            return self._from_plugin(self.target.point)
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

    def _from_plugin(self, point: EntryPoint) -> Any:
        plugin = load_plugin(Plugin(self.plugin, self.distribution, self.version), point)
        for registration in plugin.registrations:
            if (registration.kind, registration.name) == (self.kind, self.name):
                return registration.resolve()
        reason = plugin.reason or "the plugin no longer registers it"
        raise PluginError(f"{self.kind} '{self.name}' of {self.origin} cannot be loaded: {reason}")


@dataclass(slots=True)
class Plugin:
    """An entry point of group ``vlmad`` and what became of it."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "outdated", "blocked"] = "ok"
    reason: str = ""
    registrations: list[Registration] = field(default_factory=list)


def load_plugin(plugin: Plugin, point: EntryPoint) -> Plugin:
    """Load one plugin and collect what it registers; record what went wrong, never raise it."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        with redirect_stdout(sys.stderr):  # what a plugin prints is no result of a command
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

"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy finds the entry points of group ``vlmad`` and checks the hooks; every plugin is loaded,
checked and asked on its own, so that one that is broken, outdated or blocked is listed with
its reason and stops nothing that does not need it. A plugin whose files have not changed since
is listed from an index and imported only when a part of it is wanted.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import (
    NameClashError,
    UnknownPartError,
    VlmadError,
    did_you_mean,
    one_line,
    reason_of,
)
from vlmad.files import read_bounded
from vlmad.hookspecs import GROUP
from vlmad.index import list_plugin
from vlmad.registration import Plugin, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["BUILT_IN", "LIMIT_VARIABLE", "Plugin", "Registration", "Registry"]

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
LIMIT_VARIABLE = "VLMAD_PLUGINS"
MOST_NAME = 100
"""Characters of a distribution's name or version that are shown."""


class Registry:
    """All parts, recipes and commands of the plugins that could be loaded."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = list(plugins)

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
        allowed = None if limit is None else set(limit)
        return cls(_list(plugin, point, allowed) for plugin, point in _entry_points())

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


def _entry_points() -> Iterable[tuple[Plugin, EntryPoint | None]]:
    """Yield what distributions name, or a broken plugin for one whose metadata cannot be read.

    Of two of one name the first counts, as it does for Python: an editable install may be listed
    twice.
    """
    seen = set()
    for distribution in distributions():
        points, name, version, reason = _metadata(distribution)
        if (points or reason) and _normalized(name) not in seen:
            seen.add(_normalized(name))
            for point in points:
                package = point.value.partition(":")[0].partition(".")[0].strip()
                yield Plugin(one_line(point.name), name, version, package=package), point
            if reason:
                yield Plugin(name, name, version, "broken", reason), None


def _metadata(distribution: Distribution) -> tuple[list[EntryPoint], str, str, str]:
    """Return a distribution's plugins, its name and version, or why they cannot be read."""
    folder = getattr(distribution, "_path", Path("unknown"))
    name, version = one_line(folder.stem, MOST_NAME), "unknown"
    try:
        if GROUP not in (distribution.read_text("entry_points.txt") or ""):
            return [], name, version, ""
        points = [point for point in distribution.entry_points if point.group == GROUP]
        if points:
            name, version = _name_and_version(distribution, name)
        return points, name, version, ""
    except Exception as error:  # whatever stands in the files of a stranger
        ours = False
        with suppress(Exception):
            ours = GROUP.encode() in read_bounded(folder / "entry_points.txt")
        reason = f"its metadata cannot be read: {reason_of(error)}" if ours else ""
        return [], name, version, reason


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _list(plugin: Plugin, point: EntryPoint | None, allowed: set[str] | None) -> Plugin:
    named = {plugin.name, plugin.distribution}
    if allowed is not None and plugin.distribution != BUILT_IN and not named & allowed:
        plugin.status, plugin.reason = "blocked", f"{LIMIT_VARIABLE} or --no-plugins leaves it out"
    elif point is not None:
        try:
            return list_plugin(plugin, point)
        except VlmadError:
            raise  # of the user's settings
        except Exception as error:  # a module that is hostile when it is merely looked at
            plugin.status, plugin.reason, plugin.registrations = "broken", reason_of(error), []
    return plugin


def _name_and_version(distribution: Distribution, otherwise: str) -> tuple[str, str]:
    """Read both from the head of the metadata; parsing all of it would import the mail parser."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    lines = text.partition("\n\n")[0].splitlines()
    head = {key: value for key, found, value in (x.partition(": ") for x in lines) if found}
    name, version = head.get("Name") or otherwise, head.get("Version") or "unknown"
    return one_line(name, MOST_NAME), one_line(version, MOST_NAME)

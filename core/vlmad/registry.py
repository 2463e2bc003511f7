"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy checks the hooks of the entry points in group ``vlmad``. Every plugin is loaded, checked and
asked by itself, so that one that is broken, outdated or blocked is listed with its reason and stops
nothing that does not need it. One whose files have not changed since is listed from an index and
imported only when something of it is used.

A plugin may bring a kind of its own: an entry point of group ``vlmad.kinds``, named for the kind,
that leads to the protocol of what is registered. Others then implement ``register_<kind>s``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions
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
    from collections.abc import Iterable, Iterator, Mapping

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
KINDS_GROUP = "vlmad.kinds"
LIMIT_VARIABLE = "VLMAD_PLUGINS"
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered, and where it came from."""

    kind: str
    name: str
    target: Any = field(compare=False)
    """A callable, a recipe, the string ``module:attribute`` of one, or `_Unloaded`."""
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
        if isinstance(target, _Unloaded):
            target = self._registered_by(target)
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        with blaming(f"{self} cannot be loaded from {target!r}", importing=True):
            return getattr(importlib.import_module(module), attribute)

    def _registered_by(self, unloaded: _Unloaded) -> Any:
        plugin = Plugin(self.plugin, self.distribution, self.version)
        _load(plugin, unloaded.point, unloaded.kinds)
        for registration in plugin.registrations:
            if (registration.kind, registration.name) == (self.kind, self.name):
                return registration.target
        reason = plugin.reason or "the plugin no longer registers it"
        raise PluginError(f"{self} cannot be loaded: {reason}")


@dataclass(frozen=True, slots=True)
class _Unloaded:
    """Stands for what a plugin registered that was listed from the index."""

    point: EntryPoint
    kinds: Mapping[str, str]


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


class Registry:
    """All parts, recipes, commands and whatever else the loaded plugins registered."""

    def __init__(self, plugins: Iterable[Plugin], kinds: Mapping[str, str] = HOOKS) -> None:
        self.plugins, self.kinds = list(plugins), kinds

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
        found = list(_with_plugins())
        kinds = _known_kinds(found)
        points = ((plugin, point) for each in found for plugin, point in each.plugins())
        return cls([_list(plugin, point, allowed, kinds) for plugin, point in points], kinds)

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
            kind: a key of `kinds`.
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


@dataclass(frozen=True, slots=True)
class _Found:
    """A distribution that names plugins, or why its metadata cannot be read."""

    name: str
    version: str
    points: tuple[EntryPoint, ...] = ()
    reason: str = ""

    def plugins(self) -> Iterator[tuple[Plugin, EntryPoint | None]]:
        for point in self.points:
            if point.group == GROUP:
                package = point.value.partition(":")[0].partition(".")[0].strip()
                name = one_line(point.name)
                yield Plugin(name, self.name, self.version, package=package), point
        if self.reason:
            yield Plugin(self.name, self.name, self.version, "broken", self.reason), None


def _known_kinds(found: Iterable[_Found]) -> dict[str, str]:
    """Return the hook of each kind: vlmad's own, and those that plugins bring."""
    points = [point for each in found for point in each.points if point.group == KINDS_GROUP]
    return {point.name: f"register_{point.name}s" for point in points} | HOOKS


def protocol_of(kind: str) -> type | None:
    """Return the protocol of a kind that a plugin brings, or None if there is none.

    Raises:
        PluginError: it cannot be imported.
    """
    for point in (point for found in _with_plugins() for point in found.points):
        if (point.group, point.name) == (KINDS_GROUP, kind):
            with blaming(f"the protocol of {kind} cannot be loaded", importing=True):
                return point.load()  # type: ignore[no-any-return]
    return None


def _with_plugins() -> Iterator[_Found]:
    """Yield the distributions with entry points of vlmad's.

    Of two of one name the first counts, as it does for Python: an editable install may be listed
    twice.
    """
    known = set()
    for distribution in distributions():
        found = _read_metadata(distribution)
        if (found.points or found.reason) and _normalized(found.name) not in known:
            known.add(_normalized(found.name))
            yield found


def _read_metadata(distribution: Distribution) -> _Found:
    name = one_line(getattr(distribution, "_path", Path("unknown")).stem, LONGEST_NAME)
    try:
        if GROUP not in (distribution.read_text("entry_points.txt") or ""):
            return _Found(name, "unknown")
        groups = (GROUP, KINDS_GROUP)
        points = tuple(p for p in distribution.entry_points if p.group in groups)
        if not points:
            return _Found(name, "unknown")
        version = one_line(distribution.version or "unknown", LONGEST_NAME)
        return _Found(one_line(distribution.name or name, LONGEST_NAME), version, points)
    except Exception as error:  # whatever stands in the files of a stranger
        return _Found(name, "unknown", (), f"its metadata cannot be read: {reason_of(error)}")


def _list(
    plugin: Plugin, point: EntryPoint | None, allowed: set[str] | None, kinds: Mapping[str, str]
) -> Plugin:
    """Fill in what a plugin registers: from the index, or by loading it."""
    if point is None:
        return plugin
    free = allowed is None or plugin.distribution == BUILT_IN
    if not (free or {plugin.name, plugin.distribution} & (allowed or set())):
        plugin.status, plugin.reason = "blocked", f"{LIMIT_VARIABLE} or --no-plugins leaves it out"
        return plugin
    entry = _index.entry_of(point, f"{plugin.distribution} {plugin.version}", [*kinds])
    rows = None if entry is None else entry.read()
    if rows is not None:
        with suppress(PluginError):
            target = _Unloaded(point, kinds)
            plugin.registrations = [_registration(plugin, *row, target, kinds) for row in rows]
            return plugin
    _load(plugin, point, kinds)
    if entry is not None and plugin.status == "ok":
        entry.write([(r.kind, r.name, r.summary) for r in plugin.registrations])
    return plugin


def _load(plugin: Plugin, point: EntryPoint, kinds: Mapping[str, str]) -> None:
    """Load a plugin and collect what it registers; record what went wrong, never raise it.

    Raises:
        KeyboardInterrupt: the user interrupted it; which plugin was being loaded is said.
    """
    try:
        with blaming("loading it failed", importing=True):
            manager = pluggy.PluginManager(GROUP)
            manager.add_hookspecs(hookspecs)
            for specs in _specs_of(kinds):
                manager.add_hookspecs(specs)
            manager.register(point.load(), plugin.name)
            manager.check_pending()
            plugin.registrations = _collect(plugin, manager, kinds)
    except PluginError as error:
        cause = error.__cause__ or error
        outdated = isinstance(cause, pluggy.PluginValidationError)
        plugin.status, plugin.reason = "outdated" if outdated else "broken", reason_of(cause)
        plugin.registrations = []
    except KeyboardInterrupt as error:
        origin = f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version}"
        reason = f"while {origin} was loaded; --no-plugins leaves it out"
        raise type(error)(reason) from None


def _specs_of(kinds: Mapping[str, str]) -> Iterator[Any]:
    """Yield a hook spec for each kind that is not vlmad's own."""

    def spec(register: hookspecs.Register) -> None:
        """Register something of this kind."""

    for kind in kinds.keys() - HOOKS.keys():
        yield type("Specs", (), {kinds[kind]: staticmethod(hookspecs.hookspec(spec))})


def _collect(
    plugin: Plugin, manager: pluggy.PluginManager, kinds: Mapping[str, str]
) -> list[Registration]:
    found: dict[tuple[str, str], Registration] = {}
    for kind, hook in kinds.items():

        def register(name: str, factory: Any, summary: str = "", kind: str = kind) -> None:
            target = _check_target(kind, name, factory)
            made = _registration(plugin, kind, name, summary, target, kinds)
            if (kind, made.name) in found:
                raise PluginError(f"it registers {kind} '{made.name}' twice")
            found[kind, made.name] = made

        getattr(manager.hook, hook)(register=register)
    return list(found.values())


def _registration(
    plugin: Plugin, kind: str, name: str, summary: str, target: Any, kinds: Mapping[str, str]
) -> Registration:
    """Return a registration of a plugin's, its words checked.

    Raises:
        PluginError: the name is none, or the summary is no text.
    """
    if kind not in kinds:
        raise PluginError(f"it registers a {one_line(repr(kind))}, which is no kind")
    if not _is_name(name):
        raise PluginError(
            f"{one_line(repr(name))} is no name for a {kind}: letters, digits and '-' only, "
            f"a letter first, {LONGEST_NAME} at most"
        )
    if not isinstance(summary, str):
        raise PluginError(f"the summary of {kind} '{name}' is no text")
    where = plugin.name, plugin.distribution, plugin.version
    return Registration(kind, str.__str__(name), target, one_line(str.__str__(summary)), *where)


def _is_name(name: Any) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    text = str.__str__(name)
    return not text.startswith("-") and text.replace("-", "").isidentifier()


def _check_target(kind: str, name: str, factory: Any) -> Any:
    """Return what can be registered; a text of a class of its own as a plain one."""
    if isinstance(factory, str) and factory.count(":") == 1:
        return str.__str__(factory)
    if isinstance(factory, str) or not (callable(factory) or kind == "detector"):
        shown = one_line(repr(name))
        raise PluginError(f"{kind} {shown} is neither a callable nor 'module:attribute'")
    return factory


@cache
def distribution_digest(name: str) -> str | None:
    """Return the SHA-256 of the Python files of an installed distribution, or None.

    They are those that its RECORD names or, of an editable install, those below the folders that
    it adds to the path. A result belongs to the code that made it: this tells one from another.
    """
    try:
        files = sorted(_python_files(Distribution.from_name(name)))
        digest = hashlib.sha256()
        for label, path in files:
            content = path.read_bytes()
            digest.update(f"{label} {len(content)}\n".encode() + content)
    except (OSError, PackageNotFoundError, ValueError):
        return None
    return digest.hexdigest() if files else None


def _python_files(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        if path.suffix == ".py":
            yield str(file), path
        elif path.suffix == ".pth":
            for folder in map(Path, path.read_text().splitlines()):
                if folder.is_dir():
                    yield from ((str(p.relative_to(folder)), p) for p in folder.rglob("*.py"))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

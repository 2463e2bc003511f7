"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy checks the hooks of the entry points in group ``vlmad``. Every plugin is loaded, checked and
asked by itself, so that one that is broken, incompatible or blocked is listed with its reason and
stops nothing that does not need it. One whose files have not changed since is listed from an index
and imported only when something of it is used; one whose import ended vlmad is left out.

A plugin may bring a kind of its own: an entry point of group ``vlmad.kinds``, named for the kind,
that leads to the protocol of what is registered. Others then implement ``register_<kind>s``.
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from vlmad import _index, hookspecs
from vlmad._import_mark import ImportMark
from vlmad.errors import (
    IncompatiblePluginError,
    NameClashError,
    PluginError,
    UnknownPartError,
    blaming,
    did_you_mean,
    one_line,
    reason_of,
)
from vlmad.hookspecs import API, GROUP, HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
KINDS_GROUP = "vlmad.kinds"
LIMIT_VARIABLE = "VLMAD_PLUGINS"
LONGEST_NAME = 100
_READ: Any = Distribution.entry_points
_NAME = re.compile(r"[^\W\d][\w-]*")
_MADE_FOR = re.compile(r"^vlmad_api\b[^=\n]*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Registration:
    """One name that a plugin registered."""

    kind: str
    name: str
    summary: str
    plugin: Plugin = field(repr=False, compare=False)
    distribution: str
    version: str
    formerly: tuple[str, ...] = ()
    """Names that it had before."""

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

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is known by: its own names, the unique one first, and those of before."""
        former = (f"{self.distribution}:{name}" for name in self.formerly)
        return (self.full_name, self.name, *former, *self.formerly)

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
    status: Literal["ok", "broken", "incompatible", "blocked"] = "ok"
    reason: str = ""
    error: BaseException | None = field(default=None, repr=False)
    """What it raised."""
    seconds: float = 0.0
    """How long its import took, now or when it was listed first."""
    mark: ImportMark = field(default_factory=ImportMark, repr=False)
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
        self.status, self.reason, self.error = "ok", "", None
        self.targets.clear()
        threads, began = {*threading.enumerate()}, time.perf_counter()
        self.mark.begin()
        try:
            with blaming("loading it failed", importing=True):
                self._collect()
        except PluginError as error:
            self._refuse(error.__cause__ or error)
        except KeyboardInterrupt as error:
            self.mark.end(well=bool(self.registrations))  # then it was sound before
            raise type(error)(f"while {self} was loaded; --no-plugins leaves it out") from None
        self.seconds = time.perf_counter() - began
        self.registrations = list(self.targets)
        left = [each for each in {*threading.enumerate()} - threads if not each.daemon]
        if not left:
            self.mark.end()
            return
        # Python waits for threads before it calls this
        atexit.register(lambda: self.mark.end(well=not any(each.is_alive() for each in left)))

    def _refuse(self, error: BaseException) -> None:
        self.status, self.reason, self.error = "broken", reason_of(error), error
        self.targets.clear()
        of_vlmad = isinstance(error, ImportError) and f"{error.name}.".startswith("vlmad.")
        if isinstance(error, IncompatiblePluginError):
            self.status, self.reason = "incompatible", str(error)
        elif of_vlmad or isinstance(error, pluggy.PluginValidationError):
            remedy = f"this vlmad has API {API}; pip install --upgrade vlmad {self.distribution}"
            self.status, self.reason = "incompatible", f"{self.reason}: {remedy}"

    def list(self, retry: bool = False) -> None:
        """Fill in what it registers: from the index, or by loading it, if it let vlmad end before.

        Args:
            retry: load it in any case.
        """
        assert self.point is not None
        facts = [self.distribution, self.version, self.point.name, self.point.value, *self.kinds]
        path = _index.entry_of(self.package, facts)
        if path is not None and self.distribution != BUILT_IN:
            self.mark = ImportMark(path.with_suffix(".importing"))
        if not retry and self.mark.stands():
            retried = "'vlmad plugins --retry' tries it again"
            self.status = "broken"
            self.reason = f"vlmad did not come to its end when it imported it last; {retried}"
            return
        entry = None if path is None or retry else _index.read_entry(path)
        if entry is not None and self._take(entry):
            return
        may_be_old = self.package in sys.modules
        self.load()
        unchanged = not may_be_old and path == _index.entry_of(self.package, facts)
        if path is not None and self.status == "ok" and unchanged:
            rows = [[r.kind, r.name, r.summary, *r.formerly] for r in self.registrations]
            _index.write_entry(path, _index.Entry(rows, self.seconds))

    def _take(self, entry: _index.Entry) -> bool:
        """Take what the index has of it, if these are words that we wrote."""
        with suppress(PluginError, ValueError):
            found = [self._registration(k, n, words, old) for k, n, words, *old in entry.rows]
            self.registrations, self.seconds = found, entry.seconds
            return True
        return False

    def _collect(self) -> None:
        assert self.point is not None
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        for kind in self.kinds.keys() - HOOKS.keys():
            manager.add_hookspecs(_spec_of(self.kinds[kind]))
        self._check_api(_made_for(self.package))
        module = self.point.load()
        self._check_api(getattr(module, "vlmad_api", API))  # it may be deep in its package
        manager.register(module, self.name)
        manager.check_pending()
        for kind, hook in self.kinds.items():
            getattr(manager.hook, hook)(register=partial(self._register, kind))

    def _check_api(self, number: object) -> None:
        """Refuse a plugin that says that it is made for another API."""
        if str(number) != str(API):
            newer = str(number).isdecimal() and int(str(number)) > API
            remedy = f"pip install --upgrade {BUILT_IN if newer else self.distribution}"
            made_for = f"it is made for API {one_line(str(number))} of vlmad"
            raise IncompatiblePluginError(f"{made_for}, and this one has API {API}: {remedy}")

    def _register(
        self, kind: str, name: str, factory: Any, summary: str = "", formerly: Sequence[str] = ()
    ) -> None:
        registration = self._registration(kind, name, summary, formerly)
        if registration in self.targets:
            raise PluginError(f"it registers {kind} '{name}' twice")
        is_path = isinstance(factory, str) and factory.count(":") == 1
        is_recipe = kind == "detector" and not isinstance(factory, str)
        if not (is_path or is_recipe or callable(factory)):
            raise PluginError(f"{kind} '{name}' is neither a callable nor 'module:attribute'")
        self.targets[registration] = factory

    def _registration(
        self, kind: str, name: str, summary: str, formerly: Sequence[str] = ()
    ) -> Registration:
        if kind not in self.kinds:
            raise PluginError(f"it registers a {one_line(repr(kind))}, which is no kind")
        former = (formerly,) if isinstance(formerly, str) else tuple(formerly)
        for each in (name, *former):
            if not (isinstance(each, str) and len(each) <= LONGEST_NAME and _NAME.fullmatch(each)):
                raise PluginError(
                    f"{one_line(repr(each))} is no name for a {kind}: letters, digits and '-' "
                    f"only, a letter first, {LONGEST_NAME} at most"
                )
        if not isinstance(summary, str):
            raise PluginError(f"the summary of {kind} '{name}' is no text")
        origin = (self.distribution, self.version)
        return Registration(kind, name, one_line(summary), self, *origin, former)


class Registry:
    """All parts, recipes, commands and whatever else the loaded plugins registered."""

    def __init__(self, plugins: list[Plugin], brought: Mapping[str, EntryPoint]) -> None:
        self.plugins, self._brought = plugins, brought
        self.kinds = [*HOOKS, *brought]

    @classmethod
    def discover(cls, limit: Iterable[str] | None = None, retry: bool = False) -> Registry:
        """List the installed plugins.

        Args:
            limit: names of plugins or distributions to list beside the built-in ones;
                None reads the environment variable ``VLMAD_PLUGINS`` and, where that is
                not set, lists all.
            retry: import all of them, those too that did not let vlmad come to its end.
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
                plugin.list(retry)
        return cls(plugins, brought)

    def of_kind(self, kind: str) -> list[Registration]:
        """Return what is registered for a kind, built-in parts first."""
        found = [r for plugin in self.plugins for r in plugin.registrations if r.kind == kind]
        return sorted(found, key=lambda r: r.distribution != BUILT_IN)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once, in the order of `of_kind`."""
        return list(dict.fromkeys(r.name for r in self.of_kind(kind)))

    def get(self, kind: str, name: str, prefer: str | None = None) -> Registration:
        """Find a registration by `name` or ``distribution:name``, or by one that it had before.

        Of names that clash, that of the distribution `prefer` is meant (a recipe's own).

        Raises:
            UnknownPartError: nothing has that name; the nearest are named.
            NameClashError: several distributions registered it.
        """
        found = [r for r in self.of_kind(kind) if name in (r.name, r.full_name)]
        found = found or [r for r in self.of_kind(kind) if name in r.names]
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
        names = [name for r in self.of_kind(kind) for name in r.names]
        begun = next((name for name in names if text.startswith(f"{name}:")), None)
        if begun is None or text in names:
            return text, None
        return begun, text[len(begun) + 1 :]

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
            points, origin = _READ.fget(found), (_shown(found.name), _shown(found.version))
            known.add(found.name)
        except Exception as error:  # whatever stands in the files of a stranger
            name = _shown(getattr(found, "_path", Path("unknown")).stem)
            reason = f"its metadata cannot be read: {reason_of(error)}"
            plugins.append(Plugin(name, name, "unknown", status="broken", reason=reason))
            _pass_over_damaged()
            continue
        own = points.select(group=GROUP)
        plugins += [Plugin(_shown(point.name), *origin, point, kinds) for point in own]
        brought |= {p.name: p for p in points.select(group=KINDS_GROUP) if p.name not in HOOKS}
    kinds |= {name: f"register_{name}s" for name in brought}
    return plugins, brought


@cache
def _pass_over_damaged() -> None:
    """Let torch, triton and pydantic, which read all entry points, not fail at damaged ones."""

    def readable(found: Distribution) -> Any:
        try:
            return _READ.fget(found)
        except Exception:
            return EntryPoints()

    Distribution.entry_points = property(readable)  # type: ignore[method-assign, assignment]


def _made_for(package: str) -> str:
    """Return which API a package says it is made for, without running it."""
    spec = find_spec(package) if package else None
    source = getattr(spec.loader, "get_source", None) if spec is not None else None
    found = _MADE_FOR.search((source and source(package)) or "")
    return found[1] if found else str(API)


def _shown(word: str | None) -> str:
    return one_line(word or "unknown", LONGEST_NAME)


def _spec_of(hook: str) -> Any:
    """Return the hook spec of a kind that is not vlmad's own."""

    def spec(register: hookspecs.Register) -> None:
        """Register something of this kind."""

    return type("Specs", (), {hook: staticmethod(hookspecs.hookspec(spec))})

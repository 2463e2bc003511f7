"""A plugin and the names that it registers: listed from an index, loaded when they are used."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from vlmad import _index, hookspecs
from vlmad._api import check_api, stated_api, status_of
from vlmad._import_mark import ImportMark
from vlmad.errors import PluginError, blaming, one_line
from vlmad.hookspecs import API, GROUP, HOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.metadata import EntryPoint

BUILT_IN = "vlmad"
"""The distribution that the built-in plugins come in; it is never blocked."""
LONGEST_NAME = 100
_NAME = re.compile(r"[^\W\d][\w-]*")
_LOADING = threading.RLock()


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
        with _LOADING:  # another thread may be about it
            if self not in targets:
                self.plugin.load()
        if self not in targets:
            reason = self.plugin.reason or "the plugin no longer registers it"
            raise PluginError(f"{self} cannot be loaded: {reason}")
        if not isinstance(targets[self], str):
            return targets[self]
        module, _, attribute = targets[self].partition(":")
        failure = f"{self} cannot be loaded from {targets[self]!r}"
        with blaming(failure, importing=True):
            try:
                return getattr(importlib.import_module(module), attribute)
            except ImportError as error:
                lacking = error
        reason = status_of(lacking, self.plugin.package, self.distribution)[1]
        raise PluginError(f"{failure}: {reason}") from lacking


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
        began = time.perf_counter()
        try:
            with (
                self.mark.standing(sound=bool(self.registrations)),
                blaming("loading it failed", importing=True),
            ):
                self._collect()
        except PluginError as error:
            self.error = error.__cause__ or error
            self.status, self.reason = status_of(self.error, self.package, self.distribution)
            self.targets.clear()
        except KeyboardInterrupt as error:
            raise type(error)(f"while {self} was loaded; --no-plugins leaves it out") from None
        self.seconds = time.perf_counter() - began
        self.registrations = list(self.targets)

    def list(self, retry: bool = False) -> None:
        """Fill in what it registers: from the index, or by loading it, if it let vlmad end before.

        Args:
            retry: load it in any case.
        """
        assert self.point is not None
        facts = [self.distribution, self.version, self.point.name, self.point.value, *self.kinds]
        path = _index.entry_of(self.package, self.name, facts)
        if path is not None and self.distribution != BUILT_IN:
            self.mark = ImportMark(path.with_suffix(".importing"))
        if not retry and self.mark.stands():
            retried = "'vlmad plugins --retry' tries it again"
            self.status = "broken"
            self.reason = f"vlmad ended, or was ended, while it imported this; {retried}"
            return
        entry = None if path is None or retry else _index.read_entry(path)
        if entry is not None and self._take(entry):
            return
        may_be_old = self.package in sys.modules
        self.load()
        unchanged = not may_be_old and path == _index.entry_of(self.package, self.name, facts)
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
        if self.point.pattern.match(self.point.value) is None:
            raise PluginError(f"its entry point names no module: {self.point.value!r}")
        check_api(stated_api(self.package), self.distribution)
        module = self.point.load()
        check_api(getattr(module, "vlmad_api", API), self.distribution)  # deep in its package
        manager.register(module, self.name)
        manager.check_pending()
        for kind, hook in self.kinds.items():
            getattr(manager.hook, hook)(register=partial(self._register, kind))

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


def _spec_of(hook: str) -> Any:
    """Return the hook spec of a kind that is not vlmad's own."""

    def spec(register: hookspecs.Register) -> None:
        """Register something of this kind."""

    return type("Specs", (), {hook: staticmethod(hookspecs.hookspec(spec))})

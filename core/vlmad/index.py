"""An index of what plugins register, so that listing them imports none.

There is an entry for each plugin of a distribution's version. It counts only while every file
that was read to make it, and every folder of the plugin's package, has the size and time that
it had then: an editable install is never listed as it was before. A plugin that could not be
loaded has no entry, so it is tried anew each time, and listed as soon as it is repaired; nor has
one that changed things for the whole process, so that it is told of each time.

An entry holds words alone. What is behind a name, only the plugin tells, and which module that
is, its entry point: an index that was tampered with can lie about names but runs nothing.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmad import hookspecs, registration
from vlmad.caches.keys import key_of
from vlmad.caches.store import open_store
from vlmad.errors import PluginError
from vlmad.registration import NotLoaded, Plugin, Registration, load_plugin, registration_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

Stamp: TypeAlias = tuple[str, int, int]
"""A path, its time of change in nanoseconds, and its size (0 for a folder)."""

_imported: dict[str, list[Stamp]] = {}
"""Modules that were imported here, as their files were then; those imported by others may
have changed since, so nothing is written about them."""


def list_plugin(plugin: Plugin, point: EntryPoint) -> Plugin:
    """Fill in what a plugin registers, from the index if it can be trusted."""
    store = open_store("index")
    if store is None:
        return load_plugin(plugin, point)
    key = _key(plugin, point)
    known = _read(store.read(key), plugin, point)
    if known is not None:
        plugin.registrations = known
        return plugin
    before = set(sys.modules)
    load_plugin(plugin, point)
    for module in _modules(point):
        if module not in before:
            _imported[module] = _stamps(module)
    if plugin.status == "ok" and not plugin.changed:
        content = _describe(plugin, point)
        if content is not None:
            store.write(key, content)
    return plugin


def _key(plugin: Plugin, point: EntryPoint) -> str:
    rules = [_stamp(str(file)) for file in (hookspecs.__file__, registration.__file__, __file__)]
    names = [plugin.distribution, plugin.version, point.name, point.value]
    return key_of({"plugin": names, "rules": rules, "python": sys.version})


def _describe(plugin: Plugin, point: EntryPoint) -> bytes | None:
    """Return an entry, or None if a file may have changed since it was imported."""
    stamps = []
    for module in _modules(point):
        if _imported.get(module) != _stamps(module):
            return None
        stamps += _imported[module]
    registrations = [[r.kind, r.name, r.summary] for r in plugin.registrations]
    table = {"files": stamps, "registrations": registrations}
    return json.dumps(table).encode()


def _read(content: bytes | None, plugin: Plugin, point: EntryPoint) -> list[Registration] | None:
    """Return what an entry lists, or None if there is none or its files have changed."""
    if content is None:
        return None
    behind = NotLoaded(point)
    try:
        table = json.loads(content)
        stamps: list[Stamp] = [(str(path), *times) for path, *times in table["files"]]
        if _origin(point.module) not in {path for path, _, _ in stamps}:
            return None
        if any(_stamp(stamp[0]) != stamp for stamp in stamps):
            return None
        return [
            registration_of(plugin, kind, name, behind, summary)
            for kind, name, summary in table["registrations"]
        ]
    except (AttributeError, KeyError, PluginError, RecursionError, TypeError, ValueError):
        return None  # nothing that we wrote


def _origin(module: str) -> str | None:
    """Return the file of a module without importing it or the packages above it."""
    package, *rest = module.split(".")
    try:
        spec, name = find_spec(package), package
        for word in rest:
            name = f"{name}.{word}"
            spec = PathFinder.find_spec(name, spec.submodule_search_locations) if spec else None
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


def _modules(point: EntryPoint) -> list[str]:
    """Return the modules of a plugin's package that are imported."""
    package = point.module.partition(".")[0]
    return [name for name in list(sys.modules) if name.partition(".")[0] == package]


def _stamps(name: str) -> list[Stamp]:
    """Return the stamps of a module's file and, if it is a package, of its folders."""
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    return [_stamp(str(path)) for path in (*([file] if file else []), *_folders(module))]


def _folders(module: Any) -> Iterable[Any]:
    return getattr(module, "__path__", None) or []


def _stamp(path: str) -> Stamp:
    """Return what tells whether a file, or the list of a folder's files, has changed."""
    try:
        state = os.stat(path)
    except OSError:
        return path, -1, -1
    return path, state.st_mtime_ns, 0 if os.path.isdir(path) else state.st_size

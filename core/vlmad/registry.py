"""What is installed: finds plugins, isolates each, and answers to names.

Pluggy checks the hooks of the entry points in group ``vlmad``. Every plugin is loaded, checked and
asked by itself, so that one that is broken, incompatible or blocked is listed with its reason and
stops nothing that does not need it. One whose files have not changed since is listed from an index
and imported only when something of it is used; one whose import ended vlmad is left out.

A plugin may bring a kind of its own: an entry point of group ``vlmad.kinds``, named for the kind,
that leads to the protocol of what is registered. Others then implement ``register_<kind>s``.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import (
    NameClashError,
    UnknownPartError,
    blaming,
    did_you_mean,
    one_line,
    reason_of,
)
from vlmad.hookspecs import GROUP, HOOKS
from vlmad.plugin import BUILT_IN, LONGEST_NAME, Plugin, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS_GROUP = "vlmad.kinds"
LIMIT_VARIABLE = "VLMAD_PLUGINS"
READ: Any = Distribution.entry_points
"""As Python has it, whatever the command line makes of it for others."""


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

    def named(self, kind: str, name: str) -> list[Registration]:
        """Return what has a name, alone or after its distribution's, or else what had it before."""
        own = [r for r in self.of_kind(kind) if name in (r.name, r.full_name)]
        return own or [r for r in self.of_kind(kind) if name in r.names]

    def get(self, kind: str, name: str, prefer: str | None = None) -> Registration:
        """Find a registration by `name` or ``distribution:name``, or by one that it had before.

        Of names that clash, that of the distribution `prefer` is meant (a recipe's own).

        Raises:
            UnknownPartError: nothing has that name; the nearest are named.
            NameClashError: several distributions registered it.
        """
        found = self.named(kind, name)
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
            points, origin = READ.fget(found), (_shown(found.name), _shown(found.version))
            known.add(found.name)
        except Exception as error:  # whatever stands in the files of a stranger
            place = getattr(found, "_path", Path("unknown"))
            name, where = _shown(place.stem), one_line(f"entry_points.txt or METADATA in {place}")
            reason = f"{where} cannot be read: {reason_of(error)}"
            lost = Plugin(name, name, "unknown", status="broken", reason=reason, error=error)
            plugins.append(lost)
            continue
        own = points.select(group=GROUP)
        plugins += [Plugin(_shown(point.name), *origin, point, kinds) for point in own]
        brought |= {p.name: p for p in points.select(group=KINDS_GROUP) if p.name not in HOOKS}
    kinds |= {name: f"register_{name}s" for name in brought}
    return plugins, brought


def _shown(word: str | None) -> str:
    return one_line(word or "unknown", LONGEST_NAME)

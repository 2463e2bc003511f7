"""Whose code it was that raised what nobody expected."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NamedTuple

from vlmad.registry import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vlmad.registration import Plugin


class Culprit(NamedTuple):
    """A third party's plugin in whose code an error arose."""

    plugin: Plugin
    own_command: bool
    """Whether it was a command of its own that was run."""


def culprit(error: BaseException, plugins: Iterable[Plugin]) -> Culprit | None:
    """Return the third party's plugin whose code an error passed through last, if any did."""
    theirs = {p.package: p for p in plugins if p.distribution != BUILT_IN and p.package}
    names = [
        str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    packages = [name.partition(".")[0] for name in names if not name.startswith("vlmad.cli")]
    concerned = [package for package in packages if package in {*theirs, "vlmad"}]
    for package in reversed(concerned):
        if package in theirs:
            return Culprit(theirs[package], concerned[0] == package)
    return None

"""Beginning a plugin: ``vlmad new-plugin`` writes a distribution that works at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``new-plugin``."""
    summary = "Write a plugin that works at once, to be changed."
    register("new-plugin", "vlmad_scaffold.cli:new_plugin", summary)

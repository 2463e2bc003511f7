"""Holding parts to what they promise: ``vlmad check``, and `vlmad.testing` for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``check``."""
    summary = "Hold parts of plugins to what they promise."
    register("check", "vlmad_conformance.cli:check", summary)

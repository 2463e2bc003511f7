"""Explanations for people and machines: the command ``vlmad explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad explain`."""
    register("explain", "vlmad_explain.cli:explain", "Show what drove the score of an image.")

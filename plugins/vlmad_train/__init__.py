"""Training of what parts can learn, on frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad train`."""
    register("train", "vlmad_train.cli:train", "Learn prompts, or what else parts can learn.")

"""What is installed, and whether it can work here: ``plugins``, ``describe``, ``doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register the commands that look around."""
    register("plugins", "vlmad_doctor.cli:plugins", "List all parts, recipes and commands.")
    summary = "Show what a part or recipe is, and its options."
    register("describe", "vlmad_doctor.cli:describe", summary)
    summary = "Check whether vlmad can work here, and what to do."
    register("doctor", "vlmad_doctor.cli:doctor", summary)

"""The command ``vlmad doctor``: whether vlmad can work here, and what to do if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``vlmad doctor``."""
    summary = "Check whether vlmad can work here, and what to do."
    register("doctor", "vlmad_doctor.cli:doctor", summary)

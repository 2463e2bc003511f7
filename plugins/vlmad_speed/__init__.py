"""How fast features come on this machine, and how far from its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad bench-speed`."""
    register("bench-speed", "vlmad_speed.cli:bench_speed", "Measure the encoding of images.")

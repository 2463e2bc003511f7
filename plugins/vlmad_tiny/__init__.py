"""The embedded backbone: a small image-text model that comes with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_backbones(register: Register) -> None:
    """Register `tiny`."""
    register("tiny", "vlmad_tiny._tiny:Tiny", "embedded 9.6 M parameter model, needs no network")

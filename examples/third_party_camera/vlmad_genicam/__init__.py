"""Industrial cameras (GenICam, over GigE Vision or USB3 Vision) as a source of images for vlmad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_sources(register: Register) -> None:
    """Register the source of arguments that begin with ``genicam://``."""
    register("genicam", "vlmad_genicam.source:SOURCE", "Frames of an industrial camera.")

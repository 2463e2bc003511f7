"""Images for vlmad when a PLC asks for them, and the answer to it, over Modbus TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_sources(register: Register) -> None:
    """Register the source of arguments that begin with ``modbus://``."""
    register("modbus", "vlmad_plc.source:SOURCE", "An image for each trigger of a PLC, answered.")

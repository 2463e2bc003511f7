"""`vlmad serve`: a station that is asked over HTTP, and what keeps it up.

- `vlmad_serve.application`: the routes, as an ASGI application
- `vlmad_serve.batching`: images that wait, and the thread that judges them together
- `vlmad_serve.access`: who may ask
- `vlmad_serve.listening`: sockets, slow clients, and how it stops
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``vlmad serve``."""
    register("serve", "vlmad_serve.cli:serve", "Judge images that are sent over HTTP.")

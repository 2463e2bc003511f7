"""Joining the shards of a run that several machines scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad merge`."""
    register(
        "merge", "vlmad_shards.cli:merge", "Join the shards of vlmad run --shard into one run."
    )

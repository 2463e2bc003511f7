"""Finding the sink of what ``--to`` names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from vlmad.errors import InputError, did_you_mean
from vlmad.registry import installed
from vlmad_line.endpoints import WantsMaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_line.judgements import Message

KIND = "sink"


@dataclass(frozen=True, slots=True)
class OpenSink:
    """What takes messages to where an argument of ``--to`` leads."""

    name: str
    """The argument without a password."""
    deliver: Callable[[Sequence[Message]], None]
    wants_maps: bool


def open_sink(argument: str) -> OpenSink:
    """Open what ``--to`` names.

    Raises:
        InputError: nothing installed has such a scheme, or the argument is wrong.
    """
    registry, (scheme, colon, rest) = installed(), argument.partition(":")
    if not colon or scheme not in registry.names(KIND):
        hint = did_you_mean(scheme, registry.names(KIND))
        raise InputError(f"--to {without_password(argument)}: no sink '{scheme}:…'; {hint}")
    if not rest.strip("/"):
        raise InputError(f"--to {argument} names nothing after '{scheme}:'")
    sink = registry.get(KIND, scheme).resolve()
    wants = isinstance(sink, WantsMaps) and sink.wants_maps
    return OpenSink(without_password(argument), sink(argument), wants)


def without_password(argument: str) -> str:
    """Return an argument that can be printed and stored.

    >>> without_password("mqtt://line:secret@broker/parts")
    'mqtt://line@broker/parts'
    """
    try:
        parts = urlsplit(argument)
        if parts.password is None:
            return argument
    except ValueError:
        return argument.rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}"))

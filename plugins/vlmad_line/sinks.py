"""Finding the sink of what ``--to`` names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from vlmad.errors import InputError, did_you_mean
from vlmad.registry import installed
from vlmad_line.endpoints import TakesRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_line.judgements import Message

KIND = "sink"
SHORT = re.compile("[0-9]{1,3}|every:[0-9.]{1,9}")
PLAIN = re.compile(
    r"(from|format)=[\w.:/-]+|(base|device|limit|quiet|silent|skip|channel)=[0-9.]{1,9}"
)
"""What tells two stations of one machine apart, and is no secret by its name; a place with a
password or a query is none of these."""


@dataclass(frozen=True, slots=True)
class OpenSink:
    """What takes messages to where an argument of ``--to`` leads."""

    name: str
    """The argument without what may be secret; the ledger knows the sink by it."""
    deliver: Callable[[Sequence[Message]], None]

    @property
    def takes_rows(self) -> bool:
        """Whether it takes rows and maps of files."""
        return isinstance(self.deliver, TakesRows)


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
    return OpenSink(without_password(argument), sink(argument))


def open_sinks(arguments: Sequence[str]) -> list[OpenSink]:
    """Open what each ``--to`` names.

    Raises:
        InputError: one cannot be opened, or is like another.
    """
    sinks = [open_sink(argument) for argument in dict.fromkeys(arguments)]
    refuse_alike([sink.name for sink in sinks])
    return sinks


def refuse_alike(names: Sequence[str]) -> None:
    """Refuse names that cannot be told apart.

    Raises:
        InputError: one is there twice.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is named twice; what may be secret does not tell two apart")


def without_password(argument: str) -> str:
    """Return an argument that can be printed and stored.

    Whatever a query says may be secret, but for short numbers and what has the name of a place.

    >>> without_password("mqtt://line:secret@broker/parts")
    'mqtt://line@broker/parts'
    >>> without_password("http://camera/video?pwd=secret&channel=2")
    'http://camera/video?pwd=***&channel=2'
    >>> without_password("http://camera/photo?pwd=secret#every:0.5")
    'http://camera/photo?pwd=***#every:0.5'
    """
    address, mark, query = argument.partition("?")
    if "://" not in address:
        return argument
    shown = mark + "".join(map(_without_value, re.split("([&;#])", query)))
    scheme, _, rest = address.partition("://")
    try:
        parts = urlsplit(address)
        _ = parts.port  # else it may be a password that was cut off
    except ValueError:
        return (rest.rpartition("@")[2] if "@" in rest else f"{scheme}://***") + shown
    if parts.password is None:
        return address + shown
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}")) + shown


def _without_value(said: str) -> str:
    name, equals, value = said.partition("=")
    if said in ("", "&", ";", "#") or PLAIN.fullmatch(said):
        return said
    if SHORT.fullmatch(value if equals else said):
        return said
    return f"{name}=***" if equals else "***"

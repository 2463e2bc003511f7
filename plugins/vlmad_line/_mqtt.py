"""``mqtt://host[:port]/topic`` and ``mqtts://…``: each judgement and alarm as JSON, QoS 1."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from vlmad.errors import InputError, OutputError
from vlmad_line.sinks import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_line.judgements import Message

PORTS = {"mqtt": 1883, "mqtts": 8883}
TIMEOUT = 10.0
"""Seconds for the broker to answer."""


def to_broker(argument: str) -> Callable[[Sequence[Message]], None]:
    """Return what publishes on a topic; the broker says of each message that it has it.

    A connection is made for each delivery: whatever happened to the one before, nothing waits on
    it, and a broker has no line that keeps silent.
    """
    shown = without_password(argument)
    try:
        import aiomqtt
    except ImportError as error:
        raise InputError(f"--to {shown} needs: pip install 'vlmad[line]'") from error
    try:
        place = urlsplit(argument)
        port = place.port or PORTS[place.scheme]
    except ValueError as error:
        raise InputError(f"--to {shown} is no address of a broker: {error}") from error
    host, topic = place.hostname, unquote(place.path.removeprefix("/"))
    odd = place.query or "#" in argument or set(topic) & set("+\0")
    if not host or not topic or odd:
        raise InputError(f"--to {shown}: give a broker and a topic, as mqtt://broker/line/1")

    async def publish(messages: Sequence[Message]) -> None:
        async with aiomqtt.Client(
            host,
            port,
            username=None if place.username is None else unquote(place.username),
            password=None if place.password is None else unquote(place.password),
            tls_context=ssl.create_default_context() if place.scheme == "mqtts" else None,
            timeout=TIMEOUT,
        ) as client:
            for message in messages:
                await client.publish(topic, message.to_json(indent=None), qos=1)

    def deliver(messages: Sequence[Message]) -> None:
        try:
            asyncio.run(publish(messages))
        except aiomqtt.MqttError as error:
            raise OutputError(f"the broker does not take it: {error}") from error

    return deliver

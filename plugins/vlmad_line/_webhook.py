"""``http://…`` and ``https://…``: each judgement and alarm as JSON in a POST of its own."""

from __future__ import annotations

import base64
import http.client
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from vlmad.errors import InputError, OutputError, one_line
from vlmad_line.sinks import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from urllib.parse import SplitResult

    from vlmad_line.judgements import Message

TIMEOUT = 10.0
"""Seconds for the other side to answer."""


def to_webhook(argument: str) -> Callable[[Sequence[Message]], None]:
    """Return what posts to a URL; an answer of 200 to 299 says that the other side has it.

    Redirections are not followed: what is POST would become GET.
    """
    try:
        place = urlsplit(argument)
        _ = place.port
    except ValueError as error:
        raise InputError(f"--to {without_password(argument)} is no URL: {error}") from error
    if not place.hostname or place.fragment:
        raise InputError(f"--to {without_password(argument)} is no URL of a receiver")
    target = (place.path or "/") + (f"?{place.query}" if place.query else "")
    headers = {"Content-Type": "application/json", **_authorization(place)}

    def deliver(messages: Sequence[Message]) -> None:
        with closing(_connection(place)) as connection:
            for message in messages:
                own = {**headers, "Idempotency-Key": message.id}
                try:
                    connection.request("POST", target, message.to_json(indent=None), own)
                    answer = connection.getresponse()
                    answer.read(1 << 20)
                except http.client.HTTPException as error:
                    name = type(error).__name__
                    raise OutputError(f"no answer that can be read: {name}") from error
                if not 200 <= answer.status < 300:
                    raise OutputError(f"it answers {answer.status} {one_line(answer.reason, 60)}")

    return deliver


def _connection(place: SplitResult) -> http.client.HTTPConnection:
    secure = place.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(place.hostname or "", place.port, timeout=TIMEOUT)


def _authorization(place: SplitResult) -> dict[str, str]:
    if place.username is None:
        return {}
    pair = f"{unquote(place.username)}:{unquote(place.password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
